"""What a region's picture and its rivals say about it.

A region alone looks much the same in a busy picture and in an empty one, but people outline the
clearest things of each. `place_in_picture` ranks a region's figures among all regions of its
picture; `rivals` compares its first quality with that of its doubles, of what contains it, of what
it contains and of what crosses it.
"""

from __future__ import annotations

import numpy as np

from samlab.sam.tiny.region_tree import Array

RANKED = (0, 4, 5, 6, 7, 8, 10, 18, 20)
"""Columns of `region_features` that are ranked: outline strength, lightness, colour, affinity,
semantic and cost across the outline; strength and cost inside; the hardest join inside."""

AVERAGED = (0, 8, 10)
"""Columns whose mean over the picture is a figure of each of its regions."""

TWIN = 0.85
"""Of two regions that overlap by more than this IoU, only the better one is a candidate."""

CANDIDATES = 1000
"""So many regions at most are compared with one another."""

DOUBLE = 0.7  # IoU from which two regions are versions of one thing
WITHIN = 0.9  # share of a region inside another from which it is contained


def candidates(iou: Array, quality: Array) -> Array:
    """Indices of the regions worth comparing, best first: none has a twin that is better."""
    free = np.ones(len(quality), bool)
    chosen: list[int] = []
    for k in np.argsort(-quality, kind="stable").tolist():
        if free[k]:
            chosen.append(k)
            free &= iou[k] <= TWIN
            if len(chosen) == CANDIDATES:
                break
    return np.array(chosen, np.int64)


def ranks(values: Array, weights: Array | None = None) -> Array:
    """(n,) in 0..1: share of the weight that lies at or below each value, equal values alike."""
    weights = np.ones(len(values)) if weights is None else weights
    levels, index = np.unique(values, return_inverse=True)
    share = np.cumsum(np.bincount(index, weights, minlength=len(levels)))
    result: Array = (share / share[-1])[index]
    return result


def place_in_picture(features: Array, areas: Array) -> Array:
    """(n, 12) from all regions of a picture: ranks by root of the area, then means."""
    weights = np.sqrt(areas)
    columns = [ranks(features[:, k], weights) for k in RANKED]
    means = [np.full(len(areas), np.average(features[:, k], weights=weights)) for k in AVERAGED]
    return np.stack(columns + means, axis=1)


def rivals(iou: Array, areas: Array, quality: Array) -> Array:
    """(n, 17) from the candidates: IoU (n, n), areas (n,), first quality (n,)."""
    area = areas.astype(np.float32)
    q = quality.astype(np.float32)
    shared = iou * (area[:, None] + area[None]) / (1 + iou)
    others = ~np.eye(len(area), dtype=bool)
    doubles = (iou > DOUBLE) & others
    above = (shared > WITHIN * area[:, None]) & ~doubles & others
    below = (shared > WITHIN * area[None]) & ~doubles & others
    crossing = (iou > 0.1) & ~doubles & ~above & ~below & others
    best = [_best(q, group) for group in (doubles, above, below, crossing)]
    near = np.where(iou > 0.5, iou, 0).astype(np.float64)
    squares = q.astype(np.float64) ** 2
    parent = np.where(above, q, 0).argmax(1)
    growth = np.where(above.any(1), np.log(area[parent] / area), 6)
    columns = [
        q,
        *best,
        near @ q / near.sum(1),
        below @ (area * squares) / area / 20,
        ranks(q),
        ranks(q, np.sqrt(areas)),
        np.full(len(q), np.log(q.sum())),
        *(q - value for value in best),
        above @ squares,
        crossing @ squares,
        growth,
    ]
    return np.stack(columns, axis=1)


def _best(q: Array, group: Array) -> Array:
    """(n,) highest q among each row's group, 0 where that is empty."""
    result: Array = np.where(group, q, 0).max(1, initial=0)
    return result
