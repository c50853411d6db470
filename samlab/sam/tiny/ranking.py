"""Which regions a person would outline: a calibrated probability, and the few that are shown.

All regions get a first quality from their own figures. The best of each group of twins are compared
with one another (`context`), and a second perceptron says how likely each is right: that its IoU
with something a person outlines is at least one half. `choose` then picks regions that represent
the others best, each weighted by how likely it is right, and those stay that are likely enough. Of
the versions of a thing that several trees give, the one in their middle is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samlab.sam.tiny.context import candidates, place_in_picture, rivals
from samlab.sam.tiny.region_tree import Array, RegionGraph
from samlab.sam.tiny.regions import Regions, persistence
from samlab.sam.tiny.scores import TreeModel, appeal, box_iou, choose, region_features

MOST_SHOWN = 250
"""At most so many regions pass the default threshold of SAM's mask generator."""

LIKELY = 0.2
"""Least probability of a shown region. A mask less likely right than this costs precision more
than it adds to recall, on photos that were kept for tuning."""

AT_LEAST = 3
"""So many are shown where none is likely, as of an even picture."""

SAME_THING = 0.75
"""IoU from which regions are versions of one thing, of which the one in their middle is shown."""

SAME_BOX = 0.7
"""Box IoU above which SAM's mask generator drops the lower of two masks."""

THRESHOLD = 0.88
"""SAM's default `pred_iou_thresh`: shown regions lie above it, all others below."""


@dataclass(frozen=True)
class Ranking:
    """n regions of a picture, judged.

    quality (n,) expected IoU by the region alone; votes (n,) see `appeal`; right (n,) probability
    to be what a person outlines; whole (n,) probability that a right region is a whole and not a
    part; shown (k,) indices, most likely first. All but the votes in 0..1.
    """

    quality: Array
    votes: Array
    right: Array
    whole: Array
    shown: Array

    @property
    def level(self) -> Array:
        """(n,) int: 0 a whole, 1 a part, as the more likely of the two."""
        result: Array = (self.whole < 0.5).astype(np.int64)
        return result


def candidate_features(
    features: Array, areas: Array, iou: Array, quality: Array
) -> tuple[Array, Array]:
    """Indices of the candidates (c,) and what the second perceptron sees of them (c, F)."""
    index = candidates(iou, quality)
    place = place_in_picture(features, areas)[index]
    context = rivals(iou[np.ix_(index, index)], areas[index], quality[index])
    return index, np.concatenate([features[index], place, context], axis=1).astype(np.float32)


def rank(graph: RegionGraph, regions: Regions, iou: Array, model: TreeModel) -> Ranking:
    """Judge all regions of a picture; iou (n, n) of each with each."""
    features = region_features(graph, regions)
    quality = model.quality(features)
    index, seen = candidate_features(features, regions.areas, iou, quality)
    likely, whole = model.probability(seen), model.whole(seen)
    # What is no candidate has a better twin, or is of little quality: as likely as its nearest.
    nearest = iou[:, index].argmax(1)
    share = iou[np.arange(len(iou)), index[nearest]]
    right = likely[nearest] * share
    right[index] = likely
    weights = (likely * quality[index]) ** 2 * np.sqrt(regions.areas[index])
    chosen = choose(iou[np.ix_(index, index)], regions.boxes[index], weights, MOST_SHOWN, SAME_BOX)
    kept = chosen[likely[chosen] >= LIKELY]
    kept = kept if len(kept) else chosen[:AT_LEAST]
    kept = kept[np.argsort(-likely[kept], kind="stable")]
    votes = appeal(iou, quality, persistence(regions))
    shown = _middles(index[kept], iou, regions.boxes, votes)
    right[shown] = likely[kept]
    return Ranking(quality, votes, right, whole[nearest], shown)


def _middles(shown: Array, iou: Array, boxes: Array, votes: Array) -> Array:
    """(k,) for each of the regions `shown` the version of it with most votes whose box is not that
    of another one; iou (n, n), boxes (n, 4) and votes (n,) of all regions."""
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    close = np.stack([box_iou(boxes, size, k) > SAME_BOX for k in shown.tolist()])
    count, result = close.sum(0), shown.copy()
    for place, k in enumerate(shown.tolist()):
        free = (iou[k] >= SAME_THING) & (count - close[place] == 0)
        free[k] = True
        best = int(np.where(free, votes, -np.inf).argmax())
        if best != k:
            result[place], count = best, count - close[place]
            close[place] = box_iou(boxes, size, best) > SAME_BOX
            count = count + close[place]
    return result


def predicted_iou(right: Array, shown: Array) -> Array:
    """float32, shape of `right`: what SAM's interface calls the predicted IoU.

    A probability p becomes 0.88 + 0.12 p where `shown` (bool) and 0.88 p elsewhere, so that SAM's
    default threshold separates the two.

    >>> predicted_iou(np.array([0.5, 0.5]), np.array([True, False])).round(3).tolist()
    [0.9399999976158142, 0.4399999976158142]
    """
    above = THRESHOLD + (1 - THRESHOLD) * np.clip(right, 1e-3, 1)
    return np.where(shown, above, THRESHOLD * right).astype(np.float32)


def probability_of(iou: Array) -> Array:
    """The inverse of `predicted_iou`: the probability to be right, whichever branch it was.

    >>> probability_of(predicted_iou(np.array([0.5, 0.25]), np.array([True, False]))).round(2)
    array([0.5 , 0.25])
    """
    iou = np.asarray(iou, np.float64)
    return np.where(iou > THRESHOLD, (iou - THRESHOLD) / (1 - THRESHOLD), iou / THRESHOLD)
