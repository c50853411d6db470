"""The few clusterings of a hierarchy that are worth a look, from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from samlab.errors import InputError, counted
from samlab.errors.arguments import checked_arguments
from samlab.latent.cluster.distances import auto_min_samples, default_eps, distance_matrix
from samlab.latent.cluster.hierarchy import Hierarchy
from samlab.latent.cluster.merging import LEAST, Merging
from samlab.latent.cluster.regions import Joining, areas_of
from samlab.latent.vectors import vectors_of
from samlab.segments import Segments

RUNGS = 6
"""At most so many."""

STEP = 1.25
"""Two rungs differ by this factor in their number of classes, at least by one."""

MOST_CLASSES = 30
"""Finer clusterings are no overview."""


@dataclass(frozen=True)
class Rung:
    """One clustering of the ladder.

    Attributes:
        eps: What to give `samlab.cluster` as `eps`, with `method`, to get it.
        labels: int64 (N,), -1 is noise.
        n_clusters: Number of classes.
        unassigned: Share of the segments' area without a class, 0 .. 1.
        stability: How far eps may grow before classes join, as a factor; larger is more stable.
        chosen: Whether it is the one that `samlab.cluster` takes by itself.
        sentence: What it is, in plain words.
    """

    eps: float
    labels: np.ndarray = field(repr=False)
    n_clusters: int
    unassigned: float
    stability: float
    chosen: bool
    sentence: str


@checked_arguments
def ladder(
    segments: Segments | np.ndarray,
    method: Literal["ward", "dbscan"] = "ward",
    *,
    min_samples: int | Literal["auto"] = "auto",
    metric: Literal["cosine", "euclidean"] = "cosine",
    embedding: str | None = None,
) -> list[Rung]:
    """The most stable clusterings of segments, 4 to 6 of them where there are so many.

    A clustering is stable if it lasts while the cut (`"ward"`) or the radius (`"dbscan"`) grows.

    Args:
        segments, metric, embedding, min_samples: As in `samlab.cluster`.
        method: The hierarchy.

    Returns:
        `Rung`s, the fewest classes first. Fewer than two segments give none.

    Example:
        >>> points = np.repeat(np.eye(4), 5, axis=0)
        >>> points += 0.01 * np.random.default_rng(0).random((20, 4))
        >>> max(ladder(points), key=lambda rung: rung.stability).n_clusters
        4
    """
    if method not in ("ward", "dbscan"):
        raise InputError(f"Expected method='ward' or method='dbscan', got {method!r}.")
    if len(segments) < 2:
        return []
    if method == "dbscan":
        return _of_radii(segments, min_samples, metric, embedding)
    joining = Joining(segments, embedding, metric)
    tree = joining.tree
    if len(tree) < 2 or not tree.heights.any():
        return []
    rungs = []
    areas = areas_of(segments)
    for count in lasting_counts(tree):
        labels = joining.into(count)
        factor = _factor(tree, count)
        rungs.append(
            Rung(
                tree.height(count), labels, count, _unassigned(areas, labels), factor,
                count == tree.stable,
                f"{counted(count, 'class')}; the next two to be joined differ {factor:.1f} times "
                "as much as the last",
            )
        )  # fmt: skip
    return rungs


def _factor(tree: Merging, count: int) -> float:
    low, high = tree.span(count)
    return max(high, LEAST) / max(low, LEAST)


def lasting_counts(tree: Merging) -> list[int]:
    """Numbers of classes, ascending, at which the joining of regions pauses longest."""
    most = min(len(tree), MOST_CLASSES)
    return _spread({count: _factor(tree, count) for count in range(2, most + 1)}, tree.stable)


def _spread(stability: dict[int, float], first: int | None) -> list[int]:
    """Up to RUNGS of the numbers of classes, the most stable, none too near to another."""
    order = sorted(stability, key=lambda count: -stability[count])
    chosen = [first] if first in stability else []
    for count in order:
        apart = all(
            max(count, other) >= max(STEP * min(count, other), min(count, other) + 1)
            for other in chosen
        )
        if apart and len(chosen) < RUNGS and (stability[count] > 1 or len(chosen) < RUNGS - 2):
            chosen.append(count)
    return sorted(count for count in chosen if count is not None)


def _of_radii(
    segments: Segments | np.ndarray,
    min_samples: int | Literal["auto"],
    metric: Literal["cosine", "euclidean"],
    embedding: str | None,
) -> list[Rung]:
    vectors = vectors_of(segments, embedding, metric=metric)
    needed = auto_min_samples(len(vectors)) if min_samples == "auto" else int(min_samples)
    if needed > len(vectors):
        return []
    tree = Hierarchy(distance_matrix(vectors, metric), needed)
    radii = default_eps(np.sort(tree.core_distances), 120)
    if len(radii) < 2:
        return []
    rows = np.stack([tree.cut(radius) for radius in radii])
    areas = areas_of(segments)
    rungs = []
    for step, lasts in lasting_steps(radii, rows, areas):
        count, noise = int(rows[step].max()) + 1, _unassigned(areas, rows[step])
        sentence = (
            f"{counted(count, 'class')}, {noise:.0%} of the area in none; eps may grow "
            f"{lasts:.1f} times before that changes"
        )
        rungs.append(Rung(float(radii[step]), rows[step], count, noise, lasts, False, sentence))
    return rungs


def lasting_steps(
    radii: np.ndarray, rows: np.ndarray, areas: np.ndarray
) -> list[tuple[int, float]]:
    """Of clusterings at ascending radii those that last, the fewest classes first.

    Of each number of classes the longest run of radii, in its middle; what is unassigned counts
    against it. All segments in one class is no answer, nor is no class.

    Args:
        radii: float (S,).
        rows: int (S, N), labels at each, -1 for noise.
        areas: float (N,).

    Returns:
        Row, and the factor by which the radius may grow before the number of classes changes.
    """
    if len(radii) < 2 or rows.shape[1] == 0:
        return []
    counts = np.array([len(np.unique(row[row >= 0])) for row in rows])
    counts[(counts == 1) & (rows >= 0).all(axis=1)] = 0
    ends = np.append(radii[1:], radii[-1] * radii[-1] / radii[-2])
    starts = np.flatnonzero(np.append(True, np.diff(counts) != 0))
    runs: dict[int, tuple[float, int, float]] = {}
    for start, stop in zip(starts, np.append(starts[1:], len(counts)), strict=True):
        middle, count = int(start + stop - 1) // 2, int(counts[start])
        lasts = float(ends[stop - 1] / radii[start])
        rank = float(np.log(lasts) * (1 - _unassigned(areas, rows[middle])))
        known = runs.get(count, (-1.0, 0, 0.0))[0]
        if 1 <= count <= MOST_CLASSES and rank > known:
            runs[count] = (rank, middle, lasts)
    spread = _spread({count: 1 + rank for count, (rank, _, _) in runs.items()}, None)
    return [runs[count][1:] for count in spread]


def _unassigned(areas: np.ndarray, labels: np.ndarray) -> float:
    return float(areas[labels < 0].sum() / areas.sum())
