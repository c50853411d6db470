"""Classes across more segments than fit in memory: fit on a sample, assign the rest.

The sample is clustered as `samlab.cluster` does it. What is not in it is assigned by the method's
own rule. DBSCAN: a point within eps of a core point belongs to its class (Ester et al. 1996,
density-reachability); of several the nearest decides, where DBSCAN itself takes whichever it meets
first. HDBSCAN has no such rule for new points; here a point belongs to the class of the nearest
member, if it is as near to it as the members of that class are to one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from samlab.errors import InputError
from samlab.errors.ranges import Seed
from samlab.latent.cluster.clusters import cluster, sweep
from samlab.latent.cluster.distances import distance_matrix
from samlab.latent.cluster.eps import more_telling
from samlab.latent.cluster.results import Clustering
from samlab.latent.similarity import nearest
from samlab.latent.vectors import unit, vectors_of

SAMPLE = 3000
"""Segments that are clustered; their distances take 72 MB, a few times over."""

_MOST_NOISE = 0.8
"""A clustering of many pictures with a larger share of the segments in no class says little."""

_ROWS = 4096
"""Rows compared at once."""

Block: TypeAlias = "tuple[np.ndarray, np.ndarray]"


@dataclass(frozen=True)
class VectorBlocks:
    """N vectors that are read block by block, as often as needed.

    Attributes:
        n: How many.
        read: Gives the blocks: row numbers int64 (M,), out of 0 .. n-1, and vectors (M, D). The
            rows may come in any order; a row that comes twice counts once.

    Example:
        >>> blocks = VectorBlocks.of(np.zeros((5, 2)), rows=2)
        >>> [len(rows) for rows, _ in blocks.read()]
        [2, 2, 1]
    """

    n: int
    read: Callable[[], Iterator[Block]]

    @classmethod
    def of(cls, vectors: np.ndarray, rows: int = 65_536) -> VectorBlocks:
        """The rows of an array (N, D), which may be a memory map."""
        n = len(vectors)

        def read() -> Iterator[Block]:
            for start in range(0, n, rows):
                block = np.asarray(vectors[start : start + rows], np.float32)
                yield np.arange(start, start + len(block)), block

        return cls(n, read)


@dataclass(frozen=True)
class AcrossClustering:
    """Classes of N segments, found on a sample.

    Attributes:
        labels: int64 (N,); -1 is noise.
        sample: int64 (S,), ascending: the rows that were clustered.
        vectors: float32 (S, D), theirs.
        fit: The clustering of the sample: eps, why this eps, k-distances, silhouette.
    """

    labels: np.ndarray
    sample: np.ndarray
    vectors: np.ndarray = field(repr=False)
    fit: Clustering


def cluster_across(
    vectors: VectorBlocks | np.ndarray,
    eps: float | Literal["auto"] = "auto",
    min_samples: int | Literal["auto"] = "auto",
    metric: Literal["cosine", "euclidean"] = "cosine",
    method: Literal["dbscan", "hdbscan"] = "dbscan",
    *,
    sample: int = SAMPLE,
    seed: Seed = 0,
) -> AcrossClustering:
    """Group vectors into classes: cluster a sample, assign the rest; see the module.

    Args:
        vectors: (N, D), in memory, mapped or in blocks.
        eps: As in `samlab.cluster`; `"auto"` looks at the sample. Where what it chooses puts more
            than 80 % into one class or into none, as happens with many different pictures, it is
            the radius with the most classes instead.
        min_samples: As in `samlab.cluster`, counted in the sample: a class needs so many segments
            there, so a class that is rare in the whole is noise in a small sample.
        metric, method: As in `samlab.cluster`.
        sample: How many to cluster, drawn evenly at random; all if there are no more. Then the
            result is that of `samlab.cluster`.
        seed: Of the drawing.

    Returns:
        `AcrossClustering`. No vectors give no labels.

    Example:
        >>> points = np.repeat(np.eye(3), 100, axis=0)
        >>> points += 0.01 * np.random.default_rng(0).random(points.shape)
        >>> np.bincount(cluster_across(points, sample=60).labels).tolist()
        [100, 100, 100]
    """
    if sample < 1:
        raise InputError(f"Expected a sample of 1 or more segments, got {sample}.")
    blocks = vectors if isinstance(vectors, VectorBlocks) else VectorBlocks.of(vectors)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(blocks.n, min(sample, blocks.n), replace=False))
    drawn = vectors_of(rows_of(blocks, chosen), metric=metric)
    fit = cluster(drawn, eps, min_samples, metric, method)
    if eps == "auto" and method == "dbscan" and len(drawn):
        fit = _finer(drawn, fit)
    labels = np.full(blocks.n, -1, np.int64)
    if len(chosen) < blocks.n:
        anchors = _anchors(drawn, fit)
        for rows, block in blocks.read():
            labels[rows] = _assign(vectors_of(block, metric=metric), anchors)
    labels[chosen] = fit.labels
    return AcrossClustering(labels, chosen, drawn, fit)


def rows_of(blocks: VectorBlocks, rows: np.ndarray) -> np.ndarray:
    """Read some rows, int64 (S,) ascending: float32 (S, D)."""
    found: np.ndarray | None = None
    for here, block in blocks.read():
        if found is None:
            found = np.zeros((len(rows), block.shape[1]), np.float32)
        wanted = np.flatnonzero(np.isin(here, rows))
        found[np.searchsorted(rows, here[wanted])] = block[wanted]
    return np.zeros((0, 0), np.float32) if found is None else found


def nearest_across(
    query: np.ndarray, vectors: VectorBlocks | np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows with the largest cosine for each query (Q, D); exact, one block at a time.

    Returns:
        rows int64 and cosine float32, both (Q, min(k, N)), descending; of equals the lower row
        first.
    """
    blocks = vectors if isinstance(vectors, VectorBlocks) else VectorBlocks.of(vectors)
    asked = vectors_of(np.atleast_2d(query), what="query")
    ids: np.ndarray = np.zeros((len(asked), 0), np.int64)
    scores: np.ndarray = np.zeros((len(asked), 0), np.float32)
    nearest(asked, asked[:0], k)  # k is checked where there are no blocks, too
    for rows, block in blocks.read():
        here, cosine = nearest(asked, block, k)
        ids = np.concatenate([ids, rows[here]], axis=1)
        scores = np.concatenate([scores, cosine], axis=1)
        order = np.lexsort((ids, -scores), axis=1)
        ids, scores = (np.take_along_axis(a, order, 1) for a in (ids, scores))
        if len(asked):
            ids, scores = _first_of_each(ids, scores, k)
    return ids, scores


# -- inside -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Anchors:
    """Sampled points that draw others into their class, each within its own reach."""

    points: np.ndarray
    labels: np.ndarray
    reach: np.ndarray
    cosine: bool


def _finer(drawn: np.ndarray, fit: Clustering) -> Clustering:
    """The clustering, or one that tells more: many pictures have more to tell apart than one."""
    metric: Any = fit.metric

    def tried() -> tuple[np.ndarray, np.ndarray]:
        swept = sweep(drawn, None, fit.min_samples, metric)
        return swept.eps, swept.n_clusters

    found = more_telling(fit.labels, fit.eps, _MOST_NOISE, tried)
    if found is None:
        return fit
    return replace(cluster(drawn, found[0], fit.min_samples, metric), reason=found[1])


def _anchors(drawn: np.ndarray, fit: Clustering) -> _Anchors:
    cosine = fit.metric == "cosine"
    points = drawn.astype(np.float64)
    if cosine and len(points):
        points = unit(points)
    distances = distance_matrix(drawn, fit.metric)
    kth = min(fit.min_samples, max(len(drawn), 1)) - 1
    core = np.partition(distances, kth, axis=1)[:, kth] if len(drawn) else np.zeros(0)
    if fit.method == "dbscan":
        kept = (core <= fit.eps) & (fit.labels >= 0)
        reach = np.full(int(kept.sum()), fit.eps)
    else:
        kept = fit.labels >= 0
        widest = np.zeros(fit.n_clusters)
        np.maximum.at(widest, fit.labels[kept], core[kept])
        reach = widest[fit.labels[kept]]
    return _Anchors(points[kept], fit.labels[kept], reach, cosine)


def _assign(vectors: np.ndarray, anchors: _Anchors) -> np.ndarray:
    """Labels int64 (M,) of vectors (M, D): that of the nearest anchor, if within its reach."""
    labels = np.full(len(vectors), -1, np.int64)
    if len(anchors.points) == 0:
        return labels
    squares = (anchors.points**2).sum(axis=1)
    for start in range(0, len(vectors), _ROWS):
        part = vectors[start : start + _ROWS].astype(np.float64)
        if anchors.cosine:
            distances = 1 - unit(part) @ anchors.points.T
        else:
            distances = squares - 2 * part @ anchors.points.T
            distances += (part**2).sum(axis=1, keepdims=True)
            np.sqrt(np.maximum(distances, 0, out=distances), out=distances)
        first = distances.argmin(axis=1)
        near = distances[np.arange(len(part)), first] <= anchors.reach[first]
        labels[start : start + _ROWS] = np.where(near, anchors.labels[first], -1)
    return labels


def _first_of_each(ids: np.ndarray, scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first k different ids of each row, and their scores."""
    kept = [np.sort(np.unique(row, return_index=True)[1])[:k] for row in ids]
    width = min(len(row) for row in kept)
    columns = np.array([row[:width] for row in kept])
    return np.take_along_axis(ids, columns, 1), np.take_along_axis(scores, columns, 1)
