"""Ranking for rightness: who is compared with whom, and what a predicted IoU says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samlab.sam.tiny.context import TWIN, candidates, ranks, rivals
from samlab.sam.tiny.ranking import THRESHOLD, _middles, predicted_iou, probability_of


def overlap(rows: np.ndarray) -> np.ndarray:
    """IoU of each set of cells with each."""
    shared = rows.astype(float) @ rows.T
    size = rows.sum(1)
    union = np.maximum(size[:, None] + size[None] - shared, 1)  # some sets are empty
    return (shared / union).astype(np.float32)


def nested() -> np.ndarray:
    """A row of 100 cells: a half, the same but for one cell, its first third, and the middle."""
    x = np.arange(100)
    return np.stack([x < 50, x < 49, x < 17, (x >= 40) & (x < 80)])


@given(st.integers(0, 10_000))
def test_no_candidate_has_a_better_twin(seed):
    rng = np.random.default_rng(seed)
    iou = overlap(np.sort(rng.random((12, 2)), axis=1)[:, :1] <= np.arange(30) / 29)
    quality = np.round(rng.random(12), 1)
    found = candidates(iou, quality)
    assert (np.diff(quality[found]) <= 0).all()
    inner = iou[np.ix_(found, found)] - np.eye(len(found))
    assert inner.max(initial=0) <= np.float32(TWIN)
    for k in set(range(12)) - set(found.tolist()):
        better = found[quality[found] >= quality[k]]
        assert (iou[k, better] > TWIN).any()


def test_equal_values_have_equal_ranks():
    np.testing.assert_allclose(ranks(np.array([3.0, 1, 3, 2])), [1, 0.25, 1, 0.5])
    weighted = ranks(np.array([1.0, 2, 2]), np.array([2.0, 1, 1]))
    np.testing.assert_allclose(weighted, [0.5, 1, 1])


def test_rivals_are_told_apart():
    """Doubles, what contains a region, what it contains, and what crosses it."""
    rows = nested()
    quality = np.array([0.9, 0.8, 0.7, 0.6])
    found = rivals(overlap(rows), rows.sum(1), quality)
    doubles, above, below, crossing = found[:, 1:5].T
    np.testing.assert_allclose(doubles, [0.8, 0.9, 0, 0], atol=1e-6)
    np.testing.assert_allclose(above, [0, 0, 0.9, 0], atol=1e-6)
    np.testing.assert_allclose(below, [0.7, 0.7, 0, 0], atol=1e-6)
    np.testing.assert_allclose(crossing, [0.6, 0.6, 0, 0.9], atol=1e-6)
    assert np.isfinite(found).all()


def test_a_region_alone_has_no_rivals():
    found = rivals(np.ones((1, 1), np.float32), np.array([7]), np.array([0.4]))
    assert found.shape == (1, 17)
    assert np.isfinite(found).all()


@given(st.lists(st.tuples(st.floats(0.001, 1), st.booleans()), min_size=1, max_size=20))
def test_predicted_iou_keeps_order_and_goes_back(pairs):
    right, shown = np.array([p for p, _ in pairs]), np.array([s for _, s in pairs])
    iou = predicted_iou(right, shown)
    assert iou.dtype == np.float32
    assert ((iou > np.float32(THRESHOLD)) == shown).all()
    np.testing.assert_allclose(probability_of(iou), right, atol=1e-5)


def frames(rows: np.ndarray) -> np.ndarray:
    """Boxes of sets of cells in a row, each one cell high."""
    ends = [(np.flatnonzero(row)[0], 0, np.flatnonzero(row)[-1] + 1, 1) for row in rows]
    return np.array(ends, float)


def test_the_version_in_the_middle_is_shown():
    x = np.arange(100)
    rows = np.stack([x < 44, x < 50, x < 56, x >= 90])
    found = _middles(np.array([0, 3]), overlap(rows), frames(rows), np.array([1.0, 3, 2, 0]))
    assert found.tolist() == [1, 3]  # the third has fewer votes


def test_no_version_takes_the_place_of_another_shown_region():
    x = np.arange(100)
    rows = np.stack([x < 40, x < 49, x < 60])  # the second is a version of both
    found = _middles(np.array([0, 2]), overlap(rows), frames(rows), np.array([0.0, 9, 0]))
    assert found.tolist() == [0, 2]
