"""From boundaries, affinities and colours to regions that merge into larger ones.

`region_graph` cuts the picture into a few hundred superpixels (the finest level of a watershed
hierarchy) and sums up what is known about each of them and about each stretch of outline that two
of them share. All sums are additive, so a merged region's sums are the sum of its parts' sums:
`merge` joins the pair of neighbours that most likely belong together, again and again, and asks
the merge cost anew for the joined region (as in Nunez-Iglesias et al., "Machine learning of
hierarchical clustering to segment 2D and 3D images", 2013, GALA). `graph_trees` gives further
trees from the library higra (Perret et al., 2019) on the same superpixels; each tree fails
elsewhere, so their regions are pooled.

A region is a set of superpixels, a boolean row of length S. Everything here works on cells, the
stride-4 grid of the valid part of the picture.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import higra as hg
import numpy as np
from scipy import ndimage

SUPERPIXELS = 500
SMOOTHING = 0.7  # cells; narrower keeps noise, wider loses thin regions

Array = np.ndarray
Cost = Callable[[Array], Array]
Watch = Callable[[Array, Array, Array], None]


@dataclass(frozen=True)
class Maps:
    """What the network sees, on the cells of the valid part of the picture.

    boundary (h, w): probability that an outline passes; lab (h, w, 3): CIE Lab / 100;
    affinity (h, w, 16) and semantic (h, w, 128): vectors that are close where things belong
    together. All float32.
    """

    boundary: Array
    lab: Array
    affinity: Array
    semantic: Array


# Columns of RegionGraph.region: 0 cells, 1:4 Lab, 4:7 squared Lab, 7:23 affinity, then semantic,
# and at the end: inner boundary sum, inner boundary length, length along the picture's border.
AREA, LAB, LAB2, AFFINITY = 0, slice(1, 4), slice(4, 7), slice(7, 23)
SEMANTIC = slice(23, -3)
INNER_SUM, INNER_LENGTH, BORDER = -3, -2, -1
# Columns of RegionGraph.edge: length, boundary sum, squared sum; the last two are extremes.
LENGTH, STRENGTH, STRENGTH2, WEAKEST, STRONGEST = range(5)


@dataclass(frozen=True)
class RegionGraph:
    """Superpixels and their neighbourhoods.

    leaves (h, w) int: superpixel of each cell; region (S, D): additive sums of each superpixel;
    pairs (E, 2) int: neighbours; edge (E, 5): sums over their shared outline.
    """

    leaves: Array
    region: Array
    pairs: Array
    edge: Array


def region_graph(maps: Maps, superpixels: int = SUPERPIXELS) -> RegionGraph:
    """Superpixels of the watershed hierarchy by `_size`, with their sums."""
    height, width = maps.boundary.shape
    smooth = ndimage.gaussian_filter(maps.boundary.astype(np.float64), SMOOTHING, mode="nearest")
    if height * width == 1:
        leaves = np.zeros((1, 1), np.int64)
        pairs, edge = np.zeros((0, 2), np.int64), np.zeros((0, 5))
        return RegionGraph(leaves, _region_sums(maps, leaves, 1), pairs, edge)
    graph = hg.get_4_adjacency_graph((height, width))
    weights = hg.weight_graph(graph, smooth, hg.WeightFunction.mean)
    tree, altitudes = hg.watershed_hierarchy_by_attribute(graph, weights, _size)
    cut = hg.HorizontalCutExplorer(tree, altitudes).horizontal_cut_from_num_regions(
        min(superpixels, height * width)
    )
    labels = cut.labelisation_leaves(tree)
    leaves = np.unique(labels, return_inverse=True)[1].reshape(height, width)
    count = int(leaves.max()) + 1
    region = _region_sums(maps, leaves, count)
    pairs, edge = _edge_sums(graph, weights, leaves.ravel(), region)
    return RegionGraph(leaves, region, pairs, edge)


def _size(tree: hg.Tree, altitudes: Array) -> Array:
    """Which basins of the watershed are kept longest: large ones, and small ones behind a clear
    outline. The root of the area times the height, so that neither a speck nor a haze counts."""
    height = np.maximum(hg.attribute_height(tree, altitudes), 1e-3)
    return np.asarray(np.sqrt(hg.attribute_area(tree)) * height)


def _region_sums(maps: Maps, leaves: Array, count: int) -> Array:
    flat = leaves.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(count))
    lab = maps.lab.reshape(len(flat), 3)
    columns = np.concatenate(
        [
            np.ones((len(flat), 1), np.float32),
            lab,
            lab * lab,
            maps.affinity.reshape(len(flat), -1),
            maps.semantic.reshape(len(flat), -1),
        ],
        axis=1,
    )
    sums = np.add.reduceat(columns[order], starts, axis=0, dtype=np.float64)
    region = np.concatenate([sums, np.zeros((count, 3))], axis=1)
    for line in (leaves[0], leaves[-1], leaves[:, 0], leaves[:, -1]):
        region[:, BORDER] += np.bincount(line, minlength=count)
    return region


def _edge_sums(
    graph: hg.UndirectedGraph, weights: Array, flat: Array, region: Array
) -> tuple[Array, Array]:
    """Neighbouring pairs and their sums; writes the inner sums into `region`."""
    sources, targets = graph.edge_list()
    a, b = flat[sources], flat[targets]
    inside = a == b
    count = len(region)
    region[:, INNER_SUM] = np.bincount(a[inside], weights[inside], minlength=count)
    region[:, INNER_LENGTH] = np.bincount(a[inside], minlength=count)
    low, high = np.minimum(a, b)[~inside], np.maximum(a, b)[~inside]
    values = weights[~inside]
    keys, index = np.unique(low.astype(np.int64) * count + high, return_inverse=True)
    edge = np.zeros((len(keys), 5))
    edge[:, LENGTH] = np.bincount(index, minlength=len(keys))
    edge[:, STRENGTH] = np.bincount(index, values, minlength=len(keys))
    edge[:, STRENGTH2] = np.bincount(index, values * values, minlength=len(keys))
    edge[:, WEAKEST] = 1.0
    np.minimum.at(edge[:, WEAKEST], index, values)
    np.maximum.at(edge[:, STRONGEST], index, values)
    return np.stack([keys // count, keys % count], axis=1), edge


# ---------------------------------------------------------------- merging


def pair_features(a: Array, b: Array, edge: Array) -> Array:
    """What speaks for and against joining: (n, 17) float32.

    From the sums of both regions (n, D) and of their shared outlines (n, 5).
    """
    area_a, area_b = a[:, AREA], b[:, AREA]
    mean_a, mean_b = a[:, LAB] / area_a[:, None], b[:, LAB] / area_b[:, None]
    var_a = np.maximum(a[:, LAB2] / area_a[:, None] - mean_a**2, 0)
    var_b = np.maximum(b[:, LAB2] / area_b[:, None] - mean_b**2, 0)
    difference = mean_a - mean_b
    length = edge[:, LENGTH]
    strength = edge[:, STRENGTH] / length
    spread = np.sqrt(np.maximum(edge[:, STRENGTH2] / length - strength**2, 0))
    inner_a = a[:, INNER_SUM] / np.maximum(a[:, INNER_LENGTH], 1)
    inner_b = b[:, INNER_SUM] / np.maximum(b[:, INNER_LENGTH], 1)
    small, large = np.minimum(area_a, area_b), np.maximum(area_a, area_b)
    joint = np.sqrt((var_a.sum(1) + var_b.sum(1)) / 2)
    colour = np.sqrt((difference**2).sum(1))
    columns = [
        strength,
        spread,
        edge[:, WEAKEST],
        edge[:, STRONGEST],
        strength - np.maximum(inner_a, inner_b),
        strength - np.minimum(inner_a, inner_b),
        np.abs(difference[:, 0]),
        np.hypot(difference[:, 1], difference[:, 2]),
        colour / (joint + 0.02),
        joint,
        np.abs(np.sqrt(var_a.sum(1)) - np.sqrt(var_b.sum(1))),
        _distance(a[:, AFFINITY], b[:, AFFINITY]),
        _distance(a[:, SEMANTIC], b[:, SEMANTIC]),
        np.log(small),
        np.log(large),
        length / np.sqrt(small),
        np.log(length),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _distance(a: Array, b: Array) -> Array:
    """Cosine distance of rows; zero rows are at distance 0."""
    dot = np.einsum("nd,nd->n", a, b)
    norms = np.sqrt(np.einsum("nd,nd->n", a, a) * np.einsum("nd,nd->n", b, b))
    return np.where(norms > 0, 1 - dot / np.maximum(norms, 1e-12), 0)


def join_edges(a: Array, b: Array) -> Array:
    """Edge sums of two stretches of outline taken together."""
    joined = a + b
    joined[..., WEAKEST] = np.minimum(a[..., WEAKEST], b[..., WEAKEST])
    joined[..., STRONGEST] = np.maximum(a[..., STRONGEST], b[..., STRONGEST])
    return joined


@dataclass(frozen=True)
class Tree:
    """A binary tree over S leaves: parents (2S-1,) int, the root is its own parent and last;
    altitudes (2S-1,) float, zero at leaves, never falling towards the root."""

    parents: Array
    altitudes: Array


def merge(graph: RegionGraph, cost: Cost, watch: Watch | None = None) -> Tree:
    """Join the cheapest pair of neighbours until one region is left.

    `cost` gives a number for each row of `pair_features`; it is asked again for every pair that a
    join has changed. `watch`, for fitting, sees every pair that is priced: nodes (n,), nodes (n,)
    and their features.
    """
    count = len(graph.region)
    total = 2 * count - 1
    region = np.zeros((total, graph.region.shape[1]))
    region[:count] = graph.region
    edge = np.zeros((len(graph.pairs) + 8 * total, 5))
    edge[: len(graph.pairs)] = graph.edge
    used = len(graph.pairs)
    near: list[dict[int, int]] = [{} for _ in range(total)]
    for k, (a, b) in enumerate(graph.pairs.tolist()):
        near[a][b] = near[b][a] = k
    parents, altitudes = np.arange(total), np.zeros(total)
    alive = [True] * count + [False] * (total - count)
    queue: list[tuple[float, int, int, int]] = []
    if used:
        one, other = graph.pairs[:, 0], graph.pairs[:, 1]
        features = pair_features(region[one], region[other], graph.edge)
        first = cost(features)
        if watch is not None:
            watch(one, other, features)
        queue = [
            (c, k, a, b)
            for k, (c, (a, b)) in enumerate(zip(first.tolist(), graph.pairs.tolist(), strict=True))
        ]
        heapq.heapify(queue)
    highest = 0.0
    for new in range(count, total):
        price, stamp, a, b = heapq.heappop(queue)
        while not (alive[a] and alive[b] and near[a][b] == stamp):
            price, stamp, a, b = heapq.heappop(queue)
        highest = max(highest, price)
        alive[a] = alive[b] = False
        alive[new] = True
        parents[a] = parents[b] = new
        altitudes[new] = highest
        region[new] = region[a] + region[b]
        shared = edge[stamp]
        region[new, INNER_SUM] += shared[STRENGTH]
        region[new, INNER_LENGTH] += shared[LENGTH]
        around = [n for n in near[a].keys() | near[b].keys() if n not in (a, b)]
        if not around:
            continue
        around.sort()
        if used + len(around) > len(edge):
            edge = np.concatenate([edge, np.zeros_like(edge)])
        for k, n in enumerate(around):
            from_a, from_b = near[n].pop(a, None), near[n].pop(b, None)
            if from_a is None:
                edge[used + k] = edge[from_b]
            elif from_b is None:
                edge[used + k] = edge[from_a]
            else:
                edge[used + k] = join_edges(edge[from_a], edge[from_b])
            near[n][new] = near[new][n] = used + k
        fresh = edge[used : used + len(around)]
        others = region[around]
        features = pair_features(np.broadcast_to(region[new], others.shape), others, fresh)
        prices = cost(features)
        if watch is not None:
            watch(np.full(len(around), new), np.array(around), features)
        for k, (n, p) in enumerate(zip(around, prices.tolist(), strict=True)):
            heapq.heappush(queue, (p, used + k, new, n))
        used += len(around)
    return Tree(parents, altitudes)


def graph_trees(graph: RegionGraph, weights: Array, kinds: str) -> list[Tree]:
    """Trees from fixed edge weights (E,), one per letter of `kinds`: "l" for average linkage, "a"
    and "v" for the watersheds by area and by volume.

    Needs at least two superpixels.
    """
    count = len(graph.region)
    plain = hg.UndirectedGraph(count)
    plain.add_edges(graph.pairs[:, 0], graph.pairs[:, 1])
    area = np.ascontiguousarray(graph.region[:, AREA])
    length = np.ascontiguousarray(graph.edge[:, LENGTH])
    weights = np.ascontiguousarray(weights, dtype=np.float64)
    trees = []
    for kind in kinds:
        if kind == "l":
            tree, altitudes = hg.binary_partition_tree_average_linkage(plain, weights, length)
        else:
            by = {"a": hg.watershed_hierarchy_by_area, "v": hg.watershed_hierarchy_by_volume}[kind]
            tree, altitudes = by(plain, weights, vertex_area=area, canonize_tree=False)
        trees.append(Tree(np.asarray(tree.parents()), np.asarray(altitudes, dtype=np.float64)))
    return trees


def members(tree: Tree, leaves: int) -> Array:
    """Which leaves each node contains: (nodes, leaves) bool."""
    inside = np.zeros((len(tree.parents), leaves), bool)
    inside[np.arange(leaves), np.arange(leaves)] = True
    for node, parent in enumerate(tree.parents.tolist()[:-1]):
        inside[parent] |= inside[node]
    return inside
