"""How good a region is likely to be: a few figures per region and a small learned function.

`region_features` describes sets of superpixels by their outline, their inside and their shape;
`Perceptron` turns features into a number between 0 and 1: the cost of joining two neighbours, or
the expected IoU of a region with a true segment. Both were fitted on rendered scenes, whose true
segments are known (`training/fit_tree.py`). Inference is NumPy.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from samlab.sam.tiny.region_tree import (
    AFFINITY,
    AREA,
    BORDER,
    INNER_LENGTH,
    INNER_SUM,
    LAB,
    LAB2,
    LENGTH,
    SEMANTIC,
    STRENGTH,
    Array,
    RegionGraph,
    pair_features,
)
from samlab.sam.tiny.regions import Regions

STRONG = (0.2, 0.4, 0.6)  # boundary probabilities: what share of an outline is above each


@dataclass(frozen=True)
class Perceptron:
    """Standardise, then dense layers with ReLU between and a sigmoid at the end.

    mean, scale (F,); layers: pairs of weight (in, out) and bias (out,). All float32.
    """

    mean: Array
    scale: Array
    layers: tuple[tuple[Array, Array], ...]

    def __call__(self, features: Array) -> Array:
        """(n, F) -> (n,) float32 in 0..1."""
        x = np.clip((features - self.mean) * self.scale, -6, 6)
        for weight, bias in self.layers[:-1]:
            x = np.maximum(x @ weight + bias, 0)
        weight, bias = self.layers[-1]
        logits = (x @ weight + bias)[:, 0]
        result: Array = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        return result

    def to_arrays(self, prefix: str) -> dict[str, Array]:
        """Named arrays, as they stand in the weights file."""
        arrays = {f"{prefix}.mean": self.mean, f"{prefix}.scale": self.scale}
        for k, (weight, bias) in enumerate(self.layers):
            arrays |= {f"{prefix}.{k}.weight": weight, f"{prefix}.{k}.bias": bias}
        return {name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], prefix: str) -> Perceptron:
        """The inverse of `to_arrays`; other names in `arrays` are ignored."""
        layers: list[tuple[Array, Array]] = []
        while f"{prefix}.{len(layers)}.weight" in arrays:
            name = f"{prefix}.{len(layers)}"
            layers.append((arrays[f"{name}.weight"], arrays[f"{name}.bias"]))
        return cls(arrays[f"{prefix}.mean"], arrays[f"{prefix}.scale"], tuple(layers))


@dataclass(frozen=True)
class TreeModel:
    """Everything that was fitted.

    merge_cost: of two neighbours; quality: expected IoU of a region from its own figures; right:
    of a candidate beside its rivals; whole: whether a right region is a whole; curve (2, n): the
    answer of `right`, rising, and the share that was right on scenes kept for it, never falling.
    """

    merge_cost: Perceptron
    quality: Perceptron
    right: Perceptron
    whole: Perceptron
    curve: Array

    def probability(self, features: Array) -> Array:
        """(n,) from the features of candidates: calibrated probability to be right."""
        result: Array = np.interp(self.right(features), self.curve[0], self.curve[1])
        return result

    def to_arrays(self) -> dict[str, Array]:
        """Named arrays, as they stand in the weights file."""
        arrays = {"tree.curve": np.ascontiguousarray(self.curve, np.float32)}
        for prefix, name in PARTS.items():
            arrays |= getattr(self, name).to_arrays(prefix)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array]) -> TreeModel:
        """The inverse of `to_arrays`; other names in `arrays` are ignored."""
        parts = {name: Perceptron.from_arrays(arrays, prefix) for prefix, name in PARTS.items()}
        return cls(**parts, curve=arrays["tree.curve"])


PARTS = {
    "tree.merge": "merge_cost",
    "tree.quality": "quality",
    "tree.right": "right",
    "tree.whole": "whole",
}


def region_features(graph: RegionGraph, regions: Regions) -> Array:
    """(n, F) float32."""
    joint_cost = regions.joint_cost
    inside = regions.members.astype(np.float32)
    one, other = inside[:, graph.pairs[:, 0]], inside[:, graph.pairs[:, 1]]
    inner = one * other
    cut = one + other - 2 * inner
    pair = pair_features(
        graph.region[graph.pairs[:, 0]], graph.region[graph.pairs[:, 1]], graph.edge
    )
    length = graph.edge[:, LENGTH]
    mean_strength = graph.edge[:, STRENGTH] / np.maximum(length, 1)
    per_edge = np.stack(
        [
            np.ones_like(length),
            mean_strength,
            *(mean_strength > bound for bound in STRONG),
            pair[:, 6],
            pair[:, 7],
            pair[:, 11],
            pair[:, 12],
            joint_cost,
            joint_cost > 0.5,
        ],
        axis=1,
    )
    weighted = (per_edge * length[:, None]).astype(np.float32)
    outer_sums, inner_sums = cut @ weighted, inner @ weighted
    outline = outer_sums[:, 0]
    outer = outer_sums[:, 1:] / np.maximum(outline, 1)[:, None]
    between = inner_sums[:, 1:] / np.maximum(inner_sums[:, 0], 1)[:, None]
    hardest = (inner * joint_cost.astype(np.float32)).max(axis=1, initial=0)
    sums = inside @ graph.region.astype(np.float32)
    return np.concatenate(
        [
            outer,
            between,
            hardest[:, None],
            _inside(sums, inner_sums),
            _shape(sums, outline, regions.boxes, graph.leaves.shape),
            regions.figures,
        ],
        axis=1,
    ).astype(np.float32)


def _inside(sums: Array, inner_sums: Array) -> Array:
    """How uniform a region is."""
    area = sums[:, AREA]
    mean = sums[:, LAB] / area[:, None]
    deviation = np.sqrt(np.maximum(sums[:, LAB2] / area[:, None] - mean**2, 0))
    strength = (sums[:, INNER_SUM] + inner_sums[:, 1]) / np.maximum(
        sums[:, INNER_LENGTH] + inner_sums[:, 0], 1
    )
    affinity = np.linalg.norm(sums[:, AFFINITY], axis=1) / area
    semantic = np.linalg.norm(sums[:, SEMANTIC], axis=1) / area
    columns = [strength, deviation[:, 0], np.hypot(deviation[:, 1], deviation[:, 2])]
    return np.stack([*columns, affinity, semantic], axis=1)


def _shape(sums: Array, outline: Array, boxes: Array, cells: tuple[int, ...]) -> Array:
    """Size, compactness, and how much of the picture's border it holds."""
    area, border = sums[:, AREA], sums[:, BORDER]
    perimeter = outline + border
    extent = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
    sides = [
        boxes[:, 0] == 0,
        boxes[:, 1] == 0,
        boxes[:, 2] == cells[1],
        boxes[:, 3] == cells[0],
    ]
    columns = [
        np.log(area),
        np.log(area / (cells[0] * cells[1])),
        4 * np.pi * area / perimeter**2,
        border / perimeter,
        border / (2 * sum(cells)),
        np.sum(sides, axis=0),
        area / extent.prod(1),
        np.log(extent[:, 0] / extent[:, 1]),
        extent[:, 0] / cells[1],
        extent[:, 1] / cells[0],
    ]
    return np.stack(columns, axis=1)


def appeal(iou: Array, quality: Array, lasting: Array) -> Array:
    """(n,) how likely a region is what somebody means: log of the sum over all regions of their
    quality times their persistence, shared with very similar regions (by the 8th power of the IoU).

    Several versions of a thing, from several trees, so vote for the one in their middle.
    """
    like = iou**2
    like *= like
    like *= like
    votes: Array = np.log(like @ (quality * lasting).astype(np.float32) + 1e-4)
    return votes


def choose(
    iou: Array, boxes: Array, weights: Array, count: int, same_box: float, least: float = 0.0
) -> Array:
    """Indices of up to `count` regions that together represent all regions best.

    Greedily the one that adds most to the sum over regions j of `weights[j]` times the best IoU of
    j with a chosen one, until that gain falls below `least`; the first is chosen anyway. What has a
    box IoU above `same_box` with a chosen one is out, because SAM's mask generator would drop one
    of the two. Gains only shrink as the choice grows, so an old gain is an upper bound and most
    need not be computed again
    (Minoux, 1978).
    """
    size = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    weights = weights.astype(np.float32)
    covered = np.zeros(len(iou), np.float32)
    alive = np.ones(len(iou), bool)
    queue = [(-gain, k, 0) for k, gain in enumerate((iou @ weights).tolist())]
    heapq.heapify(queue)
    chosen: list[int] = []
    while queue and len(chosen) < count:
        negative, k, stamp = heapq.heappop(queue)
        if not alive[k]:
            continue
        if -negative < least and chosen:
            break
        if stamp != len(chosen):
            gain = float(np.maximum(iou[k] - covered, 0) @ weights)
            heapq.heappush(queue, (-gain, k, len(chosen)))
            continue
        chosen.append(k)
        covered = np.maximum(covered, iou[k])
        alive &= box_iou(boxes, size, k) <= same_box
        alive[k] = False
    return np.array(chosen, np.int64)


def box_iou(boxes: Array, size: Array, k: int) -> Array:
    """(n,) IoU of the box of each region with that of region k; size (n,): areas of the boxes."""
    low = np.maximum(boxes[:, :2], boxes[k, :2])
    high = np.minimum(boxes[:, 2:], boxes[k, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    ratio: Array = shared / (size + size[k] - shared)
    return ratio
