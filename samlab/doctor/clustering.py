"""Whether every way to classes runs with the NumPy, SciPy and scikit-learn that are here."""

from __future__ import annotations

import numpy as np

from samlab.doctor.findings import Finding
from samlab.doctor.packages import version
from samlab.latent.cluster import cluster

_GROUPS, _MEMBERS = 3, 12
_WAYS = (
    ("DBSCAN", {"method": "dbscan", "eps": 0.1}),
    ("DBSCAN with eps chosen", {"method": "dbscan"}),
    ("HDBSCAN", {"method": "hdbscan"}),
    ("HDBSCAN with eps", {"method": "hdbscan", "eps": 0.1}),
    ("Ward", {"method": "ward"}),
    ("k-means", {"method": "kmeans"}),
)
_BREAKS = (ArithmeticError, AttributeError, ImportError, LookupError, TypeError, ValueError)
"""What calls raise between versions of packages that do not fit each other."""


def check_clustering() -> Finding:
    """Three groups that nobody can miss, by every method."""
    rng = np.random.default_rng(0)
    points = np.repeat(np.eye(_GROUPS), _MEMBERS, axis=0)
    points += 0.02 * rng.normal(size=points.shape)
    wrong = []
    for name, options in _WAYS:
        try:
            found = cluster(points, min_samples=4, **options)
        except _BREAKS as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
            continue
        if found.n_clusters != _GROUPS:
            wrong.append(f"{name}: {found.n_clusters} classes instead of {_GROUPS}")
    packages = ", ".join(f"{name} {version(name)}" for name in ("scikit-learn", "scipy", "numpy"))
    if wrong:
        return Finding(
            "Clustering",
            "fail",
            f"{'; '.join(wrong)} ({packages})",
            "Go back to the versions that 'samlab doctor' names as tried, or upgrade samlab.",
        )
    return Finding("Clustering", "ok", f"{len(_WAYS)} ways find {_GROUPS} classes")
