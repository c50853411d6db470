"""The differences between a picture's regions by which their classes are joined."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from samlab.latent.cluster.merging import Merging
from samlab.latent.partition import TOGETHER, partition, shared_pixels
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments

EVIDENCE = 2.0
"""Weight of what the masks say about a pair of regions, beside 1 for their vectors; both are taken
in units of their mean over all pairs."""


def disjoint(segments: Segments) -> Segments:
    """The regions to cluster: the segments themselves where they do not overlap."""
    return segments if TOGETHER in segments.scores else partition(segments)


class Joining:
    """Ward's tree of segments: of their regions, whose classes the segments take.

    Args:
        segments: N segments with vectors, or vectors (N, D).
        embedding, metric: As in `samlab.cluster`.

    Attributes:
        tree: `Merging` of the regions; of nothing where all segments are empty.
    """

    def __init__(self, segments: Segments | np.ndarray, embedding: str | None, metric: Any) -> None:
        regions: Any = disjoint(segments) if isinstance(segments, Segments) else segments
        self.tree = merging(regions, embedding, metric)
        self._count = len(segments)
        self._shared: list[tuple[np.ndarray, np.ndarray, sparse.csr_matrix]] | None = None
        if isinstance(segments, Segments) and regions is not segments:
            self._shared = _shared_by_picture(segments, regions)

    def into(self, count: int) -> np.ndarray:
        """Labels int64 (N,) for so many classes, 1 to the number of regions: of each segment the
        class in which most of its pixels lie, -1 without any."""
        labels = self.tree.into(count)
        if self._shared is None:
            return labels
        found = np.full(self._count, -1, np.int64)
        for own, there, shared in self._shared:
            member = np.zeros((len(there), count), np.int64)
            member[np.arange(len(there)), labels[there]] = 1
            pixels = shared @ member
            found[own] = np.where(pixels.any(axis=1), pixels.argmax(axis=1), -1)
        return found


def _shared_by_picture(
    segments: Segments, regions: Segments
) -> list[tuple[np.ndarray, np.ndarray, sparse.csr_matrix]]:
    """Of each picture the rows of its segments, those of its regions, and the pixels they share."""
    found = []
    for name in dict.fromkeys(np.asarray(regions.image_ids).tolist()):
        own = np.flatnonzero(segments.image_ids == name)
        there = np.flatnonzero(regions.image_ids == name)
        found.append((own, there, shared_pixels(segments[own], regions[there])))
    return found


def merging(source: Segments | np.ndarray, embedding: str | None, metric: Any) -> Merging:
    """Ward's tree of vectors, and of what the masks say where that is known."""
    vectors = vectors_of(source, embedding, metric=metric).astype(np.float64)
    points = unit(vectors) if metric == "cosine" and len(vectors) else vectors
    squares = (points**2).sum(axis=1)
    squared = np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0)
    np.fill_diagonal(squared, 0)
    differences = _in_units(squared)
    if isinstance(source, Segments):
        differences = differences + EVIDENCE * _in_units(_apart(source))
    return Merging(differences, areas_of(source))


def areas_of(source: Segments | np.ndarray) -> np.ndarray:
    """Weights float64 (N,): pixels, at least one; 1 for bare vectors."""
    if isinstance(source, Segments):
        return np.maximum(source.areas, 1).astype(np.float64)
    return np.ones(len(source))


def _apart(segments: Segments) -> np.ndarray:
    """How unlikely two regions are parts of one, float64 (N, N); NaN where nothing is known."""
    n = len(segments)
    if TOGETHER not in segments.scores:
        return np.full((n, n), np.nan)
    factors = segments.scores[TOGETHER].astype(np.float64)
    both = np.maximum(factors @ factors.T, 0)
    one = np.diag(both)
    either = one[:, None] + one[None] - both
    apart = 1 - np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    pictures = np.unique(np.asarray(segments.image_ids).astype(str), return_inverse=True)[1]
    apart[pictures[:, None] != pictures[None]] = np.nan
    np.fill_diagonal(apart, 0)
    return np.clip(apart, 0, 1)


def _in_units(squared: np.ndarray) -> np.ndarray:
    """In units of the mean over the pairs of which something is known, which is what the rest get;
    zeros where all are equal, or nothing is known."""
    pairs = squared[np.triu_indices(len(squared), 1)]
    known = pairs[np.isfinite(pairs)]
    mean = known.mean() if len(known) else 0.0
    if mean <= 1e-9:
        return np.zeros_like(squared)
    return np.where(np.isfinite(squared), squared / mean, 1.0)
