"""Regions against the masks they come from: disjoint, complete, and better than a greedy choice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samlab import masks
from samlab.errors import InputError
from samlab.latent.partition import parents, partition, shared_pixels, with_parents
from samlab.latent.partition.arrangement import arrange
from samlab.segments import Segments


def segments_of(dense, scores=None, **columns):
    return Segments(
        [masks.encode(mask) for mask in np.asarray(dense, bool)],
        predicted_iou=np.linspace(0.9, 1, len(dense)) if scores is None else scores,
        image_size=np.shape(dense)[1:],
        **columns,
    )


@st.composite
def stacks(draw):
    n, height, width = (draw(st.integers(1, high)) for high in (8, 9, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    dense = rng.random((n, height, width)) < draw(st.sampled_from([0.1, 0.5, 0.9]))
    for mask in dense[::2]:  # boxes too: real masks nest
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask[:] = False
        mask[y:, x:] = True
    return dense


@settings(max_examples=100, deadline=None)
@given(stacks())
def test_cells_are_the_pixels_in_the_same_masks(dense):
    found = arrange([masks.encode(mask) for mask in dense], dense.shape[1:])
    patterns, areas = np.unique(dense.reshape(len(dense), -1), axis=1, return_counts=True)
    ours = np.concatenate([found.inside.toarray(), found.areas[None]])
    theirs = np.concatenate([patterns, areas[None]])
    assert sorted(ours.T.tolist()) == sorted(theirs.T.tolist())
    again = found.joined(np.arange(len(found.areas)))
    whole = np.stack([masks.decode(rle) for rle in again])
    assert (whole.sum(axis=0) == 1).all()
    assert whole.sum(axis=(1, 2)).tolist() == found.areas.tolist()


@settings(max_examples=100, deadline=None)
@given(stacks(), st.sampled_from(["keep", "nearest"]))
def test_regions_are_disjoint_and_cover_what_the_segments_cover(dense, unassigned):
    found = partition(segments_of(dense), unassigned=unassigned)
    painted = sum(
        (found.mask(i).astype(int) for i in range(len(found))), np.zeros(dense.shape[1:], int)
    )
    covered = dense.any(axis=0) if unassigned == "keep" or not dense.any() else True
    np.testing.assert_array_equal(painted, np.broadcast_to(covered, painted.shape).astype(int))
    assert (found.areas > 0).all()
    assert (found.parent == -1).all()


def test_disjoint_segments_stay_as_they_are():
    dense = np.arange(16).reshape(4, 4) // 4 == np.arange(4)[:, None, None]
    given = segments_of(dense, embeddings={"sam": np.eye(4)})
    found = partition(given)
    assert found.rles == given.rles
    np.testing.assert_array_equal(found.embedding(), given.embedding())
    assert partition(partition(found)).rles == given.rles


def test_the_better_of_whole_and_parts_is_chosen():
    """Left and right half against the whole: the scores decide, not the order."""
    whole = np.ones((10, 10), bool)
    left = np.zeros((10, 10), bool)
    left[:, :5] = True
    dense = np.stack([left, whole, ~left])
    assert len(partition(segments_of(dense, [0.9, 0.99, 0.9]))) == 1
    assert len(partition(segments_of(dense, [0.99, 0.9, 0.98]))) == 2


def test_many_versions_of_a_thing_give_one_region():
    """Twenty discs that differ by a pixel or two, on a background: two regions, no rings."""
    y, x = np.mgrid[:80, :80]
    distance = np.hypot(y - 40, x - 40)
    discs = [distance < r for r in np.linspace(19, 22, 20)]
    dense = np.stack([*discs, np.ones_like(discs[0]) & (distance > 20.5)])
    found = partition(segments_of(dense), unassigned="nearest")
    assert len(found) == 2
    areas = np.sort(found.areas)
    assert areas[0] == pytest.approx(np.pi * 20.5**2, rel=0.15)


def test_columns_come_from_the_best_match():
    dense = np.zeros((3, 8, 8), bool)
    dense[0, :4], dense[1, 4:], dense[2, 3:5, :2] = True, True, True
    given = segments_of(
        dense, [0.99, 0.98, 0.5], level=[0, 1, 2], points=np.arange(6).reshape(3, 2),
        embeddings={"sam": np.eye(3)},
    )  # fmt: skip
    found = partition(given)
    assert found.level.tolist() == [0, 1]
    np.testing.assert_array_equal(found.embedding(), np.eye(3)[:2])
    assert found.scores["together"].shape == (2, 32)


def test_several_pictures_are_cut_each_on_its_own():
    one = segments_of(np.stack([np.ones((4, 4)), np.eye(4)])).with_image_id("a")
    other = segments_of(np.ones((1, 6, 5))).with_image_id("b")
    found = partition(Segments.concat([one, other]))
    assert found.image_ids.tolist()[-1] == "b"
    assert found[found.image_ids == "a"].areas.sum() == 16


def test_nothing_and_empty_masks_go_through():
    assert len(partition(Segments())) == 0
    assert len(partition(segments_of(np.zeros((2, 3, 3))))) == 0
    assert len(partition(segments_of(np.stack([np.zeros((3, 3)), np.ones((3, 3))])))) == 1
    with pytest.raises(InputError, match="unassigned='keep' or 'nearest', got 'all'"):
        partition(Segments(), unassigned="all")


def test_scores_are_not_needed():
    dense = np.zeros((3, 8, 8), bool)
    dense[0], dense[1, :4], dense[2, 4:] = True, True, True
    assert 1 <= len(partition(segments_of(dense, np.full(3, np.nan)))) <= 2


@settings(max_examples=60, deadline=None)
@given(stacks())
def test_shared_pixels_are_those_of_the_arrays(dense):
    given = segments_of(dense)
    flat = dense.reshape(len(dense), -1).astype(int)
    np.testing.assert_array_equal(shared_pixels(given, given).toarray(), flat @ flat.T)


def test_parents_are_the_smallest_that_hold():
    dense = np.zeros((5, 10, 10), bool)
    dense[0], dense[1, :6], dense[2, :3, :3], dense[3, 7:, 7:], dense[4, :6] = 1, 1, 1, 1, 1
    assert parents(segments_of(dense)).tolist() == [-1, 0, 1, 0, 0]
    assert with_parents(segments_of(dense)).parent.tolist() == [-1, 0, 1, 0, 0]
    assert parents(Segments()).tolist() == []


def test_twenty_thousand_segments():
    """Disjoint ones stay; of those that overlap in a chain, each pixel keeps a region."""
    starts = np.arange(0, 80_000, 4)
    apart = [masks.from_stretches((200, 400), s[None], s[None] + 4) for s in starts]
    assert len(partition(Segments(apart, image_size=(200, 400)))) == 20_000
    chain = [masks.from_stretches((200, 400), s[None], s[None] + 6) for s in starts[:-1]]
    assert partition(Segments(chain, image_size=(200, 400))).areas.sum() == 79_998
