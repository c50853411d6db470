"""Regions and trees against brute force on small pictures, and the masks drawn from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional as F

from samlab.sam.tiny.outlines import mask_logits, outline_gain
from samlab.sam.tiny.region_tree import (
    AREA,
    BORDER,
    INNER_LENGTH,
    LENGTH,
    STRENGTH,
    Maps,
    graph_trees,
    members,
    merge,
    pair_features,
    region_graph,
)
from samlab.sam.tiny.regions import (
    centrality,
    fixed_cost,
    pooled_regions,
    region_boxes,
    superpixel_boxes,
)
from samlab.sam.tiny.scores import Perceptron, TreeModel, appeal, choose, region_features


def make_maps(boundary: np.ndarray, seed: int = 0) -> Maps:
    rng = np.random.default_rng(seed)
    h, w = boundary.shape
    return Maps(
        boundary.astype(np.float32),
        rng.random((h, w, 3), np.float32),
        rng.standard_normal((h, w, 16)).astype(np.float32),
        rng.standard_normal((h, w, 8)).astype(np.float32),
    )


def squares(side: int = 60) -> np.ndarray:
    """Boundaries of a square, and weaker ones of a square in it."""
    boundary = np.zeros((side, side))
    for margin, strength in ((8, 1.0), (16, 0.5)):
        boundary[margin : side - margin, [margin, side - margin - 1]] = strength
        boundary[[margin, side - margin - 1], margin : side - margin] = strength
    return boundary


@pytest.fixture(scope="module")
def graph():
    rng = np.random.default_rng(3)
    return region_graph(make_maps(rng.random((20, 30))), superpixels=40)


def test_superpixels_are_connected_and_counted(graph):
    from scipy.ndimage import label

    assert graph.leaves.shape == (20, 30)
    for k in range(len(graph.region)):
        mask = graph.leaves == k
        assert label(mask)[1] == 1
        assert graph.region[k, AREA] == mask.sum()


def test_sums_along_outlines_equal_a_plain_count(graph):
    leaves = graph.leaves
    across = [(leaves[:, :-1], leaves[:, 1:]), (leaves[:-1], leaves[1:])]
    counted: dict[tuple[int, int], int] = {}
    inner = np.zeros(len(graph.region))
    for a, b in across:
        for p, q in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True):
            if p == q:
                inner[p] += 1
            else:
                counted[min(p, q), max(p, q)] = counted.get((min(p, q), max(p, q)), 0) + 1
    assert counted == {
        (int(a), int(b)): int(n)
        for (a, b), n in zip(graph.pairs, graph.edge[:, LENGTH], strict=True)
    }
    np.testing.assert_array_equal(inner, graph.region[:, INNER_LENGTH])
    assert graph.region[:, BORDER].sum() == 2 * (20 + 30)
    assert (graph.edge[:, STRENGTH] <= graph.edge[:, LENGTH] + 1e-9).all()


def test_merging_adds_sums_and_never_falls(graph):
    tree = merge(graph, fixed_cost)
    inside = members(tree, len(graph.region))
    assert inside[-1].all()
    assert (np.diff(tree.altitudes[len(graph.region) :]) >= 0).all()
    for node in range(len(graph.region), len(tree.parents)):
        children = np.flatnonzero(tree.parents[:-1] == node)
        assert len(children) == 2
        assert not (inside[children[0]] & inside[children[1]]).any()
        np.testing.assert_array_equal(inside[node], inside[children].any(0))


def test_merge_prices_equal_features_computed_from_scratch(graph):
    """Every pair priced on the way has the features of regions rebuilt from their cells."""
    seen = []
    tree = merge(graph, fixed_cost, lambda a, b, f: seen.extend(zip(a, b, f, strict=True)))
    inside = members(tree, len(graph.region))
    for a, b, found in seen[:: max(1, len(seen) // 60)]:
        rows = np.stack([inside[a], inside[b]]).astype(float)
        region = rows @ graph.region
        one, other = inside[:, graph.pairs[:, 0]], inside[:, graph.pairs[:, 1]]
        for k, row in enumerate((a, b)):
            inner = one[row] & other[row]
            region[k, -3] += graph.edge[inner, STRENGTH].sum()
            region[k, -2] += graph.edge[inner, LENGTH].sum()
        shared = (one[a] & other[b]) | (one[b] & other[a])
        edge = graph.edge[shared].sum(0)
        edge[3], edge[4] = graph.edge[shared, 3].min(), graph.edge[shared, 4].max()
        wanted = pair_features(region[:1], region[1:], edge[None])[0]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_every_tree_ends_in_the_whole_picture(graph):
    for tree in graph_trees(graph, graph.edge[:, STRENGTH], "lav"):
        inside = members(tree, len(graph.region))
        assert inside[-1].all()
        assert len(inside) == 2 * len(graph.region) - 1


def test_nested_squares_are_found():
    plain = make_maps(squares())
    maps = Maps(plain.boundary, plain.lab * 0, plain.affinity * 0, plain.semantic * 0)
    graph = region_graph(maps, superpixels=60)
    found = pooled_regions(graph, fixed_cost)[0].members[:, graph.leaves]
    for margin in (8, 16):
        target = np.zeros((60, 60), bool)
        target[margin : 60 - margin, margin : 60 - margin] = True
        union = (found | target).sum((1, 2))
        assert ((found & target).sum((1, 2)) / union).max() > 0.75


def test_pool_has_no_duplicates_and_true_boxes(graph):
    pool, _ = pooled_regions(graph, fixed_cost)
    assert len({row.tobytes() for row in pool.members}) == len(pool.members)
    for row, box, area in zip(pool.members, pool.boxes, pool.areas, strict=True):
        y, x = np.nonzero(row[graph.leaves])
        assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        assert area == len(x)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 40), (40, 1), (3, 3)])
def test_small_pictures(shape):
    graph = region_graph(make_maps(np.zeros(shape)))
    pool, _ = pooled_regions(graph, fixed_cost)
    features = region_features(graph, pool)
    assert pool.members.all(1).any()
    assert np.isfinite(features).all()
    assert len(superpixel_boxes(graph.leaves)) == len(graph.region)


@settings(max_examples=20, deadline=None)
@given(arrays(np.float32, (7, 9), elements=st.floats(0, 1, width=32)))
def test_any_boundary_gives_finite_features(boundary):
    graph = region_graph(make_maps(boundary))
    pool, _ = pooled_regions(graph, fixed_cost)
    assert np.isfinite(region_features(graph, pool)).all()


# ---------------------------------------------------------------- masks


def test_masks_have_the_cells_of_their_superpixels_and_smooth_edges():
    leaves = np.zeros((20, 20), int)
    leaves[5:15, 6:16] = 1
    gain = outline_gain(np.ones((20, 20), np.float32))
    rows = np.array([[False, True], [False, False], [True, True]])
    logits = mask_logits(rows, leaves, gain, (32, 32))
    assert logits.shape == (3, 32, 32)
    inside = logits[0, :20, :20] > 0
    corners = (inside != (leaves == 1)).sum()
    assert corners <= 4
    assert (logits[1] < 0).all()
    assert (logits[2] > 0).all()


@pytest.mark.parametrize("side", [4, 10, 40])
@pytest.mark.parametrize(("boundary", "low", "high"), [(1.0, 0.98, 1.0), (0.0, 0.91, 0.99)])
def test_stability_follows_the_boundary_not_the_size(side, boundary, low, high):
    leaves = np.zeros((64, 64), int)
    leaves[10 : 10 + side, 10 : 10 + side] = 1
    gain = outline_gain(np.full((64, 64), boundary, np.float32))
    logits = mask_logits(np.array([[False, True]]), leaves, gain, (64, 64))
    fine = F.interpolate(torch.from_numpy(logits)[None], scale_factor=8, mode="bilinear")[0, 0]
    stability = (fine > 1).sum().item() / (fine > -1).sum().item()
    assert low <= stability <= high


# ---------------------------------------------------------------- scores


def test_choice_has_no_two_like_boxes_and_equals_the_plain_greedy_rule():
    from torchvision.ops import box_iou

    rng = np.random.default_rng(0)
    low = rng.integers(0, 40, (80, 2))
    boxes = np.concatenate([low, low + rng.integers(1, 40, (80, 2))], axis=1)
    same = box_iou(*[torch.from_numpy(boxes).float()] * 2).numpy()
    weights = rng.random(80)
    found = choose(same, boxes, weights, 30, 0.7)
    assert (same[np.ix_(found, found)] - np.eye(len(found)) <= 0.7 + 1e-6).all()
    covered, alive, plain = np.zeros(80), np.ones(80, bool), []
    while alive.any() and len(plain) < 30:
        gain = np.where(alive, np.maximum(same - covered, 0) @ weights, -1)
        best = int(gain.argmax())
        plain.append(best)
        covered = np.maximum(covered, same[best])
        alive &= same[best] <= 0.7
    assert found.tolist() == plain


def test_appeal_prefers_the_middle_of_a_crowd():
    iou = np.array([[1, 0.8, 0.5], [0.8, 1, 0.8], [0.5, 0.8, 1]])
    assert appeal(iou, np.ones(3), np.ones(3)).argmax() == 1


def test_perceptron_goes_through_arrays_unchanged():
    rng = np.random.default_rng(0)
    parts = [(rng.random((5, 4)), rng.random(4)), (rng.random((4, 1)), rng.random(1))]
    layers = tuple((w.astype(np.float32), b.astype(np.float32)) for w, b in parts)
    one = Perceptron(np.zeros(5, np.float32), np.ones(5, np.float32), layers)
    model = TreeModel(one, one, one, one, np.array([[0, 1], [0.5, 1]], np.float32))
    again = TreeModel.from_arrays(model.to_arrays())
    x = rng.random((7, 5)).astype(np.float32)
    np.testing.assert_array_equal(again.quality(x), one(x))
    np.testing.assert_allclose(again.probability(x), 0.5 + one(x) / 2, rtol=1e-6)


def test_region_boxes_of_unions():
    boxes = np.array([[0, 0, 2, 2], [5, 1, 6, 9]], np.int16)
    rows = np.array([[True, False], [True, True]])
    np.testing.assert_array_equal(region_boxes(rows, boxes), [[0, 0, 2, 2], [0, 0, 6, 9]])


def test_centrality_is_highest_in_the_middle_and_falls_to_the_rim():
    leaves = np.arange(81).reshape(9, 9)
    rows = np.stack([np.ones(81, bool), np.isin(leaves.ravel(), leaves[1:6, 2:5])])
    found = centrality(rows, region_boxes(rows, superpixel_boxes(leaves)), leaves)
    y, x = np.indices((9, 9))
    depth = np.minimum(np.minimum(x, 8 - x), np.minimum(y, 8 - y)) + 1
    np.testing.assert_array_equal(found[0], np.ceil(depth * 255 / 5))
    assert found[1, 3, 3] == 255
    assert found[1, 1, 2] == 128
    assert (found[1][~rows[1].reshape(9, 9)] == 0).all()


@given(st.integers(1, 120))
def test_the_innermost_cell_has_all_of_it(side):
    leaves = np.zeros((side, side + 1), int)
    found = centrality(np.ones((1, 1), bool), np.array([[0, 0, side + 1, side]]), leaves)
    assert found.max() == 255
    assert found.min() > 0
