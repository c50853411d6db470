"""Noise that takes the class it is nearest to."""

from __future__ import annotations

import numpy as np

_ROWS = 2048


def fill(vectors: np.ndarray, labels: np.ndarray, metric: str) -> np.ndarray:
    """Labels int64 (N,) in which noise has its nearest segment's class where that is near enough.

    Near enough is nearer than half of all classed segments are to the nearest one of another class,
    so that what stands between the classes, or far from all, stays noise. Where there is one class
    only, nearer than its own members lie apart at most.

    vectors (N, D); labels (N,), -1 for noise; metric `"cosine"` or `"euclidean"`.
    """
    noise, classed = np.flatnonzero(labels < 0), np.flatnonzero(labels >= 0)
    if len(noise) == 0 or len(classed) == 0:
        return labels
    points = vectors.astype(np.float64)
    if metric == "cosine":  # the order of distances on the sphere is that of the cosine
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
    own = labels[classed]
    limit = _limit(points[classed], own)
    result = labels.copy()
    for start in range(0, len(noise), _ROWS):
        rows = noise[start : start + _ROWS]
        squared = _squared(points[rows], points[classed])
        nearest = squared.argmin(axis=1)
        near = squared[np.arange(len(rows)), nearest] <= limit
        result[rows[near]] = own[nearest[near]]
    return result


def _limit(points: np.ndarray, labels: np.ndarray) -> float:
    """A squared distance."""
    single = len(np.unique(labels)) == 1
    found = []
    for start in range(0, len(points), _ROWS):
        squared = _squared(points[start : start + _ROWS], points)
        if single:
            found.append(squared.max(axis=1))
        else:
            same = labels[start : start + _ROWS, None] == labels[None]
            found.append(np.where(same, np.inf, squared).min(axis=1))
    every = np.concatenate(found)
    return float(every.max() if single else np.median(every))


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squares, 0)
