"""DBSCAN of more segments than a distance matrix can hold: neighbours found block by block."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.cluster import DBSCAN
from sklearn.metrics import silhouette_score

from samlab.errors import InputError
from samlab.latent.cluster.eps import choose_eps
from samlab.latent.cluster.hierarchy import Hierarchy
from samlab.latent.vectors import unit

BLOCK = 2048
SAMPLE = 2048


def cluster_blockwise(
    vectors: np.ndarray, eps: float | None, min_samples: int, metric: str, max_memory: int
) -> tuple[np.ndarray, float, np.ndarray, float, str]:
    """DBSCAN for large N.

    Returns:
        labels (N,), eps, ascending k-distances of a sample, silhouette of a sample, reason.
    """
    cosine = metric == "cosine"
    points = unit(vectors) if cosine else vectors
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(points), min(SAMPLE, len(points)), replace=False))
    kth = _kth_distances(points, chosen, min_samples, cosine)
    reason = "given"
    if eps is None:  # a sample's own distances, but its density in the whole
        distances = _distances(points[chosen], points[chosen], cosine).astype(np.float64)
        np.fill_diagonal(distances, 0)
        distances = np.minimum(distances, distances.T)
        eps, reason = choose_eps(Hierarchy(distances, min_samples, kth))
        reason = f"{reason}; judged on {len(chosen)} of {len(points)} segments"
    graph = radius_graph(points, eps, cosine, max_memory)
    model = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed")
    labels = np.asarray(model.fit(graph).labels_, np.int64)
    return labels, eps, np.sort(kth), _sampled_silhouette(points, labels, metric, rng), reason


def radius_graph(
    points: np.ndarray, eps: float, cosine: bool, max_memory: int
) -> sparse.csr_matrix:
    """Distances of all pairs within eps as a sparse (N, N); refuses to grow beyond max_memory."""
    values, columns, counts, edges = [], [], [], 0
    for start in range(0, len(points), BLOCK):
        distances = _distances(points[start : start + BLOCK], points, cosine)
        near = distances <= eps
        counts.append(near.sum(axis=1))
        columns.append(np.nonzero(near)[1].astype(np.int32))
        values.append(distances[near].astype(np.float32))
        edges += len(columns[-1])
        if edges * 8 > max_memory:
            done = (start + len(distances)) / len(points)
            raise InputError(
                f"With eps={eps:.3g} the neighbours of {len(points)} segments take more than "
                f"max_memory, {max_memory / 2**30:.1f} GiB, after {done:.0%} of them. Lower eps, "
                "raise max_memory, or cluster a sample (segments[::10])."
            )
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    data = np.concatenate(values).astype(np.float64)
    return sparse.csr_matrix((data, np.concatenate(columns), starts), shape=(len(points),) * 2)


def _kth_distances(points: np.ndarray, ids: np.ndarray, k: int, cosine: bool) -> np.ndarray:
    out = []
    for start in range(0, len(ids), BLOCK):
        distances = _distances(points[ids[start : start + BLOCK]], points, cosine)
        kth = min(k, len(points)) - 1
        out.append(np.partition(distances, kth, axis=1)[:, kth])
    return np.concatenate(out).astype(np.float64)


def _distances(a: np.ndarray, b: np.ndarray, cosine: bool) -> np.ndarray:
    if cosine:
        return np.clip(1 - a @ b.T, 0, 2)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _sampled_silhouette(
    points: np.ndarray, labels: np.ndarray, metric: str, rng: np.random.Generator
) -> float:
    kept = np.flatnonzero(labels >= 0)
    if len(kept) > SAMPLE:
        kept = rng.choice(kept, SAMPLE, replace=False)
    classes = len(np.unique(labels[kept]))
    if classes < 2 or classes >= len(kept):
        return float("nan")
    return float(silhouette_score(points[kept], labels[kept], metric=metric))
