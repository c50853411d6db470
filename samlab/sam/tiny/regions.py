"""The pool of regions of one picture: the nodes of several trees over the same superpixels.

Each tree fails elsewhere. A region that several trees agree on, or that survives many merges, is
more likely to be a thing; `Regions` keeps these figures beside the regions themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from samlab.sam.tiny.region_tree import (
    AREA,
    Array,
    Cost,
    RegionGraph,
    Tree,
    graph_trees,
    members,
    merge,
    pair_features,
)

SMALLEST_REGION = 6  # cells
TREES = 8
ALIKE, VERY_ALIKE = 0.5, 0.7
"""IoU from which two regions count as versions of the same thing."""


@dataclass(frozen=True)
class Regions:
    """n regions of one picture.

    members (n, S) bool: superpixels; areas (n,) cells; boxes (n, 4) XYXY in cells, half-open;
    joint_cost (E,): merge cost of the superpixels' pairs; figures (n, F): how the trees see it.
    """

    members: Array
    areas: Array
    boxes: Array
    joint_cost: Array
    figures: Array

    def take(self, index: Array) -> Regions:
        """Some of the regions, in the order of `index`."""
        return Regions(
            self.members[index],
            self.areas[index],
            self.boxes[index],
            self.joint_cost,
            self.figures[index],
        )


def fixed_cost(features: Array) -> Array:
    """A merge cost by hand: boundary, colour difference and affinity."""
    colour = np.hypot(features[:, 6], features[:, 7])
    cost: Array = features[:, 0] + colour + 0.6 * np.sqrt(2 * np.maximum(features[:, 11], 0))
    return cost


def pooled_regions(graph: RegionGraph, cost: Cost) -> tuple[Regions, Array]:
    """All distinct nodes of all trees, of at least `SMALLEST_REGION` cells, and the IoU of each
    with each, (n, n) float32."""
    leaves = len(graph.region)
    one, other = graph.pairs[:, 0], graph.pairs[:, 1]
    pair = pair_features(graph.region[one], graph.region[other], graph.edge)
    joint, plain = cost(pair), fixed_cost(pair)
    trees = [merge(graph, cost), merge(graph, fixed_cost)]
    if leaves > 1:
        trees += graph_trees(graph, joint, "lv")
        trees += graph_trees(graph, plain, "lv")
        trees += graph_trees(graph, pair[:, 0], "av")
    inside = np.concatenate([members(tree, leaves) for tree in trees])
    keys = np.concatenate([_keys(tree, leaves) for tree in trees])
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    lives = np.zeros((len(first), 2 * TREES))
    start = 0
    for k, tree in enumerate(trees):
        nodes = index[start : start + len(tree.parents)]
        lives[nodes, 2 * k : 2 * k + 2] = _life(tree, leaves)
        start += len(tree.parents)
    rows = inside[first]
    areas = rows @ graph.region[:, AREA]
    keep = (areas >= SMALLEST_REGION) | (areas == areas.max())
    rows, areas, lives = rows[keep], areas[keep], lives[keep]
    boxes = region_boxes(rows, superpixel_boxes(graph.leaves))
    iou = _overlap(graph, rows, areas)
    figures = np.concatenate([lives, _agreement(iou, lives)], axis=1)
    return Regions(rows, areas, boxes, joint, figures), iou


def _overlap(graph: RegionGraph, rows: Array, areas: Array) -> Array:
    inside, size = rows.astype(np.float32), areas.astype(np.float32)
    shared = (inside * graph.region[:, AREA].astype(np.float32)) @ inside.T
    iou: Array = shared / (size[:, None] + size[None] - shared)
    return iou


def _keys(tree: Tree, leaves: int) -> Array:
    """A 64-bit number per node that depends on its leaves alone."""
    rng = np.random.default_rng(1)
    keys = [*rng.integers(1, 2**62, leaves).tolist(), *[0] * (len(tree.parents) - leaves)]
    for node, parent in enumerate(tree.parents.tolist()[:-1]):
        keys[parent] = (keys[parent] + keys[node]) & (2**62 - 1)
    return np.array(keys, np.int64)


def _life(tree: Tree, leaves: int) -> Array:
    """(nodes, 2): 1 + log2 of the number of regions left when a node appears, and by how much
    that number halves until it is swallowed. Ranks, unlike altitudes, are alike in all pictures."""
    total = len(tree.parents)
    born = np.full(total, float(leaves))
    order = np.argsort(np.argsort(tree.altitudes[leaves:], kind="stable"), kind="stable")
    born[leaves:] = leaves - 1 - order
    dies = born[tree.parents] + 1
    dies[-1] = 1
    return np.stack([1 + np.log2(born), np.log2(born / dies)], axis=1)


def persistence(regions: Regions) -> Array:
    """(n,) how long the regions live, all trees together: sum of the halvings in `_life`."""
    total: Array = regions.figures[:, 1 : 2 * TREES : 2].sum(1)
    return total


def _agreement(iou: Array, lives: Array) -> Array:
    """(n, 5): in how many trees, the longest and earliest life, and how much of the others' weight
    lies on regions like this one, absolutely and beside the best of its like."""
    present = lives[:, 0::2] > 0
    dies = np.where(present, lives[:, 0::2] - 1 - lives[:, 1::2], 20)
    weight = np.where(present, 2.0**-dies, 0).sum(1).astype(np.float32)
    votes = np.where(iou >= ALIKE, iou, 0) @ weight
    best = np.where(iou > VERY_ALIKE, votes[None], 0).max(1)
    return np.stack(
        [present.sum(1), lives[:, 1::2].max(1), dies.min(1), np.log(votes), votes / best], axis=1
    )


def centrality(rows: Array, boxes: Array, leaves: Array) -> Array:
    """(n, h, w) uint8, how deep in a region each cell lies: its distance to the outside, in 255ths
    of that of the region's innermost cell; 0 outside. Distances are those of a chess king.

    rows (n, S) bool, boxes (n, 4) of the regions; leaves (h, w).
    """
    result = np.zeros((len(rows), *leaves.shape), np.uint8)
    for k, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        inside = np.pad(rows[k][leaves[y0:y1, x0:x1]], 1)
        depth = ndimage.distance_transform_cdt(inside, "chessboard")[1:-1, 1:-1]
        result[k, y0:y1, x0:x1] = -(-depth * 255 // depth.max())  # whole numbers, rounded up
    return result


def superpixel_boxes(leaves: Array) -> Array:
    """(S, 4) XYXY, half-open, in cells."""
    count = int(leaves.max()) + 1
    y, x = np.indices(leaves.shape)
    boxes = np.zeros((count, 4), np.int16)
    boxes[:, 0], boxes[:, 1] = leaves.shape[1], leaves.shape[0]
    flat = leaves.ravel()
    np.minimum.at(boxes[:, 0], flat, x.ravel().astype(np.int16))
    np.minimum.at(boxes[:, 1], flat, y.ravel().astype(np.int16))
    np.maximum.at(boxes[:, 2], flat, (x.ravel() + 1).astype(np.int16))
    np.maximum.at(boxes[:, 3], flat, (y.ravel() + 1).astype(np.int16))
    return boxes


def region_boxes(rows: Array, boxes: Array) -> Array:
    """(n, 4) int64 boxes of sets of superpixels; every set has at least one."""
    limit = np.int16(np.iinfo(np.int16).max)
    sides = [np.where(rows, boxes[None, :, k], limit).min(1) for k in (0, 1)]
    sides += [np.where(rows, boxes[None, :, k], np.int16(0)).max(1) for k in (2, 3)]
    return np.stack(sides, axis=1).astype(np.int64)
