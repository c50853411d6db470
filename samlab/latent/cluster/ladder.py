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
from samlab.latent.cluster.regions import areas_of, carried_over, disjoint, merging
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
    regions = disjoint(segments) if isinstance(segments, Segments) else segments
    tree = merging(regions, embedding, metric)
    if len(tree) < 2 or not tree.heights.any():
        return []
    rungs = []
    for count in _spread(_lasting(tree), tree.stable):
        labels = tree.into(count)
        labels = carried_over(segments, regions, labels)
        factor = _factor(tree, count)
        rungs.append(
            Rung(
                tree.height(count), labels, count, _unassigned(segments, labels), factor,
                count == tree.stable,
                f"{counted(count, 'class')}; the next two to be joined differ {factor:.1f} times "
                "as much as the last",
            )
        )  # fmt: skip
    return rungs


def _factor(tree: Merging, count: int) -> float:
    low, high = tree.span(count)
    return max(high, LEAST) / max(low, LEAST)


def _lasting(tree: Merging) -> dict[int, float]:
    most = min(len(tree), MOST_CLASSES)
    return {count: _factor(tree, count) for count in range(2, most + 1)}


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
    counts = rows.max(axis=1) + 1
    noise = np.array([_unassigned(segments, row) for row in rows])
    growth = radii[1] / radii[0]
    # Of each number of classes the longest run of radii; what is unassigned counts against it.
    starts = np.flatnonzero(np.append(True, np.diff(counts) != 0))
    runs: dict[int, tuple[float, int, float]] = {}
    for start, stop in zip(starts, np.append(starts[1:], len(counts)), strict=True):
        middle, count = int(start + stop - 1) // 2, int(counts[start])
        lasts = float(growth ** (stop - start))
        rank = float(np.log(lasts) * (1 - noise[middle]))
        if 1 <= count <= MOST_CLASSES and rank > runs.get(count, (-1.0, 0, 0.0))[0]:
            runs[count] = (rank, middle, lasts)
    rungs = []
    for count in _spread({c: 1 + rank for c, (rank, _, _) in runs.items()}, None):
        _, step, lasts = runs[count]
        sentence = (
            f"{counted(count, 'class')}, {noise[step]:.0%} of the area in none; eps may grow "
            f"{lasts:.1f} times before that changes"
        )
        rungs.append(
            Rung(float(radii[step]), rows[step], count, float(noise[step]), lasts, False, sentence)
        )
    return rungs


def _unassigned(source: Segments | np.ndarray, labels: np.ndarray) -> float:
    areas = areas_of(source)
    return float(areas[labels < 0].sum() / areas.sum())
