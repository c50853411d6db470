"""Distances of all pairs, radii that are worth trying on them, and how well classes fit them."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import silhouette_samples
from sklearn.metrics.pairwise import cosine_distances, euclidean_distances


def distance_matrix(vectors: np.ndarray, metric: str = "cosine") -> np.ndarray:
    """Distances float64 (N, N), symmetric with a zero diagonal; cosine distance is 1 - cosine."""
    if len(vectors) == 0:
        return np.zeros((0, 0))
    double = vectors.astype(np.float64)
    distances = cosine_distances(double) if metric == "cosine" else euclidean_distances(double)
    return np.minimum(distances, distances.T)  # BLAS leaves the two halves an ulp apart


def matrix_bytes(n: int) -> int:
    """What clustering takes at its peak: 4.5 matrices of float64.

    Measured: DBSCAN 3.6 (distances, mutual reachability and its condensed copy, the silhouette's
    own), HDBSCAN 4.1.
    """
    return 36 * n * n


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
