"""Fitting the region tree: targets against a scene small enough to know the answers."""

from __future__ import annotations

import numpy as np
import pytest

from samlab.sam.tiny.region_tree import AREA, Maps, RegionGraph, graph_trees, region_graph
from samlab.sam.tiny.regions import fixed_cost
from training.fit_tree import judge, merge_examples, truth_of
from training.fitting import fit

PARENTS = np.array([0, 0, 0, 2])
"""Floor (1), a square (2), and a square painted on it (3)."""


@pytest.fixture(scope="module")
def leaf() -> np.ndarray:
    found = np.ones((120, 120), np.int32)
    found[17:103, 17:103] = 2
    found[33:87, 33:87] = 3
    return found


@pytest.fixture(scope="module")
def graph() -> RegionGraph:
    """Outlines of a square in a square, and nothing else to go by."""
    boundary = np.zeros((60, 60), np.float32)
    for low, high in ((8, 51), (16, 43)):
        boundary[low : high + 1, [low, high]] = 1
        boundary[[low, high], low : high + 1] = 1
    blank = np.zeros((60, 60, 1), np.float32)
    maps = Maps(boundary, blank.repeat(3, 2), blank.repeat(16, 2), blank.repeat(8, 2))
    return region_graph(maps, superpixels=60)


def test_truth_counts_every_cell_and_knows_the_hierarchy(graph, leaf):
    truth = truth_of(graph, leaf, PARENTS)
    assert truth.cells.sum() == pytest.approx(60 * 60)
    np.testing.assert_allclose(truth.cells.sum(1), graph.region[:, AREA], atol=0.5)
    assert truth.whole.tolist() == [0, 1, 2, 2]
    assert truth.below[2].tolist() == [0, 0, 1, 1]
    assert truth.below[0].all()


def test_targets_say_same_leaf_same_whole_or_neither(graph, leaf):
    pure = truth_of(graph, leaf, PARENTS)
    features, targets = merge_examples(pure, fixed_cost)
    assert len(features) == len(targets) >= len(graph.pairs)
    assert (targets >= -1e-9).all()
    assert (targets <= 1 + 1e-9).all()
    one = truth_of(graph, np.ones_like(leaf), PARENTS)
    assert merge_examples(one, fixed_cost)[1].max() < 1e-6


def test_the_whole_picture_is_no_segment(graph, leaf):
    judged, iou = judge(truth_of(graph, leaf, PARENTS), fixed_cost)
    assert judged.best.max() > 0.8
    assert judged.depth.tolist() == [1, 1, 2]
    assert iou.shape == (len(judged.areas),) * 2
    everything = judged.areas.argmax()
    largest = max(86 * 86, 120 * 120 - 86 * 86)
    assert judged.best[everything] == pytest.approx(largest / 120**2, abs=0.02)


def test_fit_learns_a_smooth_function():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 4)) * [1, 10, 0.1, 1]
    y = 1 / (1 + np.exp(-(x[:, 0] + 0.1 * x[:, 1])))
    learned = fit(x, y, (8,), seed=0, steps=300)
    assert np.abs(learned(x) - y).mean() < 0.05
    again = fit(x, y, (8,), seed=0, steps=300)
    np.testing.assert_array_equal(learned(x), again(x))


def test_trees_need_no_ordered_weights(graph):
    assert len(graph_trees(graph, np.ones(len(graph.pairs)), "lav")) == 3


def test_stamping_changes_the_header_and_nothing_else(tmp_path):
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    from training.stamp import stamp

    path, arrays = tmp_path / "w.safetensors", {"a": np.arange(6, dtype=np.float16)}
    save_file(arrays, path, metadata={"steps": "3", "figure": "old"})
    stamp(path, {"figure": "0.5"})
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"steps": "3", "figure": "0.5"}
    np.testing.assert_array_equal(load_file(path)["a"], arrays["a"])
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
