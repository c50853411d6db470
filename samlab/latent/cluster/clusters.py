"""Segments to classes: DBSCAN with an eps chosen for a reason, every eps at once, HDBSCAN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.cluster import HDBSCAN
from sklearn.metrics import silhouette_samples
from sklearn.metrics.pairwise import cosine_distances, euclidean_distances

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.latent.cluster import blockwise as neighbourhoods
from samlab.latent.cluster.eps import choose_eps, more_telling
from samlab.latent.cluster.hierarchy import Hierarchy
from samlab.latent.vectors import vectors_of
from samlab.segments import Segments

DEFAULT_MEMORY = 2 * 2**30
"""Bytes that distances may take before samlab looks for another way: some 7,700 segments."""


MOST_NOISE = 0.95
"""A clustering with a larger share of the segments in no class says little. A few alike among many
that are not, such as coins on a cloth, are an answer."""


@dataclass(frozen=True)
class Clustering:
    """Classes of N segments, and how they were found.

    Attributes:
        labels: int64 (N,); classes count from 0, -1 is noise.
        eps: The radius used; NaN for HDBSCAN without one.
        min_samples: Neighbours (itself included) that make a segment a core of a class.
        k_distances: float64 (N,), ascending: each segment's distance to its min_samples-th
            neighbour, itself included. At `eps`, segments left of the crossing are cores.
        noise_fraction: Share of segments without a class, 0 .. 1; 0.0 without segments.
        silhouette: Mean silhouette of the segments that have a class, -1 .. 1; NaN with fewer than
            two classes.
        reason: Why this eps, in a sentence.
        metric: `"cosine"` or `"euclidean"`.
        method: `"dbscan"` or `"hdbscan"`.
    """

    labels: np.ndarray
    eps: float
    min_samples: int
    k_distances: np.ndarray = field(repr=False)
    silhouette: float
    reason: str
    metric: str = "cosine"
    method: str = "dbscan"

    @property
    def n_clusters(self) -> int:
        return int(self.labels.max(initial=-1)) + 1

    @property
    def noise_fraction(self) -> float:
        return float(np.mean(self.labels == -1)) if len(self.labels) else 0.0


@dataclass(frozen=True)
class Sweep:
    """DBSCAN over many eps.

    Attributes:
        eps: float64 (E,).
        labels: int64 (E, N).
        min_samples: As in `Clustering`.
    """

    eps: np.ndarray
    labels: np.ndarray
    min_samples: int

    @property
    def n_clusters(self) -> np.ndarray:
        """int64 (E,)."""
        return self.labels.max(axis=1, initial=-1) + 1

    @property
    def noise_fraction(self) -> np.ndarray:
        """float64 (E,), 0.0 without segments."""
        n = max(self.labels.shape[1], 1)
        return np.asarray((self.labels == -1).sum(axis=1) / n)

    def to_pandas(self) -> pd.DataFrame:
        """One row per eps: eps, n_clusters, noise_fraction, largest (segments of its largest)."""
        largest = [np.bincount(row[row >= 0]).max(initial=0) for row in self.labels]
        return pd.DataFrame(
            {
                "eps": self.eps,
                "n_clusters": self.n_clusters,
                "noise_fraction": self.noise_fraction,
                "largest": np.asarray(largest, np.int64),
            }
        )


@checked_arguments
def cluster(
    segments: Segments | np.ndarray,
    eps: float | Literal["auto"] = "auto",
    min_samples: int | Literal["auto"] = "auto",
    metric: Literal["cosine", "euclidean"] = "cosine",
    method: Literal["dbscan", "hdbscan"] = "dbscan",
    *,
    embedding: str | None = None,
    max_memory: int = DEFAULT_MEMORY,
) -> Clustering:
    """Group segments into classes by their vectors.

    Args:
        segments: Segments with an embedding, or vectors (N, D).
        eps: Radius of a neighbourhood, in units of the metric (cosine distance: 0 .. 2); or
            `"auto"`, see `samlab.latent.cluster.eps`; where what that chooses puts more than 80 %
            into one class or 95 % into none, the radius with the most classes instead. For HDBSCAN:
            the distance below which classes are not split further (its
            `cluster_selection_epsilon`), 0 with `"auto"`.
        min_samples: Segments, itself included, that must lie within eps for a class to begin; or
            `"auto"`: sqrt(N) / 2 between 3 and 8, so that 8 is used from 256 segments on.
        metric: `"cosine"` ignores the vectors' length; `"euclidean"` does not.
        method: `"dbscan"`, or `"hdbscan"`, which finds classes of different density.
        embedding: Which vectors; the first ones by default.
        max_memory: Bytes that distances may take. Above, DBSCAN goes on blockwise with neighbours
            within eps only; HDBSCAN refuses.

    Returns:
        `Clustering`; `segments.with_labels(result.labels)` puts it into the table. No segments give
        no labels; fewer than min_samples give noise only.

    Example:
        >>> points = np.repeat(np.eye(3), 10, axis=0)
        >>> points += 0.01 * np.random.default_rng(0).random(points.shape)
        >>> cluster(points).n_clusters
        3
    """
    vectors = vectors_of(segments, embedding, metric=metric)
    n = len(vectors)
    needed = _check_min_samples(min_samples, n)
    if method not in ("dbscan", "hdbscan"):
        raise InputError(f"Expected method 'dbscan' or 'hdbscan', got {method!r}.")
    radius = None if isinstance(eps, str) and eps == "auto" else float(_check_eps([eps])[0])
    options: dict[str, Any] = {"min_samples": needed, "metric": metric, "method": method}
    if n == 0:
        nothing = np.zeros(0)
        return Clustering(
            labels=nothing.astype(np.int64), eps=np.nan if radius is None else radius,
            k_distances=nothing, silhouette=np.nan, reason="there are no segments", **options,
        )  # fmt: skip
    if _matrix_bytes(n) > max_memory:
        if method == "hdbscan":
            raise InputError(_too_large(n, max_memory))
        labels, radius, curve, quality, reason = neighbourhoods.cluster_blockwise(
            vectors, radius, needed, metric, max_memory
        )
        return Clustering(
            labels=labels, eps=radius, k_distances=curve, silhouette=quality, reason=reason,
            **options,
        )  # fmt: skip
    distances = distance_matrix(vectors, metric)
    tree = Hierarchy(distances, needed)
    reason = "given"
    if method == "hdbscan":
        labels = _hdbscan(distances, needed, radius or 0.0)
        reason = "HDBSCAN needs no eps" if radius is None else "given"
        radius = np.nan if radius is None else radius
    else:
        if radius is None:
            radius, reason = _automatic(tree)
        labels = tree.cut(radius)
    return Clustering(
        labels=labels, eps=radius, k_distances=_k_distances(tree),
        silhouette=silhouette(distances, labels), reason=reason, **options,
    )  # fmt: skip


@checked_arguments
def sweep(
    segments: Segments | np.ndarray,
    eps: Sequence[float] | np.ndarray | None = None,
    min_samples: int | Literal["auto"] = "auto",
    metric: Literal["cosine", "euclidean"] = "cosine",
    *,
    embedding: str | None = None,
    max_memory: int = DEFAULT_MEMORY,
) -> Sweep:
    """DBSCAN for many eps from one distance matrix; each row equals scikit-learn's own fit.

    Args:
        segments: Segments with an embedding, or vectors (N, D).
        eps: Radii (E,); by default 60 of them that span the k-distances geometrically.
        min_samples, metric, embedding, max_memory: As in `cluster`.

    Returns:
        `Sweep`; no segments give labels of shape (E, 0).
    """
    vectors = vectors_of(segments, embedding, metric=metric)
    n = len(vectors)
    needed = _check_min_samples(min_samples, n)
    if n and _matrix_bytes(n) > max_memory:
        raise InputError(_too_large(n, max_memory))
    tree = Hierarchy(distance_matrix(vectors, metric), needed) if n else None
    if eps is None:
        radii = default_eps(_k_distances(tree)) if tree is not None else np.zeros(0)
    else:
        radii = _check_eps(eps)
    if tree is None:
        return Sweep(radii, np.zeros((len(radii), 0), np.int64), needed)
    labels = np.stack([tree.cut(r) for r in radii]) if len(radii) else np.zeros((0, n), np.int64)
    return Sweep(radii, labels, needed)


def distance_matrix(vectors: np.ndarray, metric: str = "cosine") -> np.ndarray:
    """Distances float64 (N, N), symmetric with a zero diagonal; cosine distance is 1 - cosine."""
    if len(vectors) == 0:
        return np.zeros((0, 0))
    double = vectors.astype(np.float64)
    distances = cosine_distances(double) if metric == "cosine" else euclidean_distances(double)
    return np.minimum(distances, distances.T)  # BLAS leaves the two halves an ulp apart


def default_eps(k_distances: np.ndarray, n: int = 60) -> np.ndarray:
    """Radii (n,) worth trying, geometrically spaced around the finite, positive k-distances."""
    values = k_distances[np.isfinite(k_distances) & (k_distances > 0)]
    if len(values) == 0:
        return np.zeros(0)
    return np.geomspace(max(values.min(), values.max() * 1e-3) * 0.5, values.max() * 1.5, n)


def auto_min_samples(n: int) -> int:
    """sqrt(n) / 2, between 3 and 8: in 26 segments three alike are a class, in 300 eight.

    Example:
        >>> [auto_min_samples(n) for n in (5, 26, 100, 300, 5000)]
        [3, 3, 5, 8, 8]
    """
    return int(np.clip(round(np.sqrt(n) / 2), 3, 8))


def silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette of the rows that have a class; NaN with fewer than two classes."""
    kept = labels >= 0
    classes = len(np.unique(labels[kept]))
    if classes < 2 or classes >= kept.sum():
        return float("nan")
    inside = distances[np.ix_(kept, kept)]
    return float(silhouette_samples(inside, labels[kept], metric="precomputed").mean())


def _automatic(tree: Hierarchy) -> tuple[float, str]:
    """What `choose_eps` chooses, or what tells more."""
    eps, reason = choose_eps(tree)

    def tried() -> tuple[np.ndarray, np.ndarray]:
        radii = default_eps(_k_distances(tree))
        return radii, np.array([tree.cut(r).max(initial=-1) + 1 for r in radii], np.int64)

    return more_telling(tree.cut(eps), eps, MOST_NOISE, tried) or (eps, reason)


def _k_distances(tree: Hierarchy) -> np.ndarray:
    """Ascending; with fewer segments than min_samples, the distance to the farthest one."""
    if tree.min_samples > len(tree.distances):
        return np.sort(tree.distances.max(axis=1))
    return np.sort(tree.core_distances)


def _hdbscan(distances: np.ndarray, min_samples: int, eps: float) -> np.ndarray:
    if len(distances) < max(min_samples, 2):
        return np.full(len(distances), -1, np.int64)
    model = HDBSCAN(
        min_cluster_size=max(min_samples, 2), min_samples=min_samples, metric="precomputed",
        cluster_selection_epsilon=eps, copy=True,
    )  # fmt: skip
    return np.asarray(model.fit(distances).labels_, np.int64)


def _check_min_samples(value: int | str, n: int) -> int:
    if value == "auto":
        return auto_min_samples(n)
    if isinstance(value, str) or int(value) != value or value < 1:
        raise InputError(f"Expected min_samples to be 'auto' or 1 or more, got {value!r}.")
    return int(value)


def _check_eps(values: Any) -> np.ndarray:
    try:
        eps = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        eps = np.array([np.nan])
    if not (np.isfinite(eps).all() and (eps > 0).all()):
        raise InputError(
            f"Expected eps to be 'auto' or above 0, got {_said(values)}. Cosine distances lie in "
            "0 .. 2."
        )
    return eps


def _said(values: Any) -> str:
    """A single radius is shown as it was given."""
    single = isinstance(values, (list, np.ndarray)) and len(values) == 1
    return repr(values[0] if single else values)


def _matrix_bytes(n: int) -> int:
    """What all of it takes at its peak: 4.5 matrices of float64.

    Measured: DBSCAN 3.6 (distances, mutual reachability and its condensed copy, the silhouette's
    own), HDBSCAN 4.1.
    """
    return 36 * n * n


def _too_large(n: int, max_memory: int) -> str:
    return (
        f"The distances of {n} segments take {_matrix_bytes(n) / 2**30:.1f} GiB, more than "
        f"max_memory allows ({max_memory / 2**30:.1f} GiB). Cluster a sample "
        "(segments[::10]), use method='dbscan' of samlab.cluster, which then works blockwise, or "
        "raise max_memory."
    )
