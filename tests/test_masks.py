"""Run-length masks against pycocotools and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from segment_anything.utils.amg import mask_to_rle_pytorch

from samlab import masks
from samlab.errors import InputError

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))
STACKS = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12))


@given(MASKS)
@settings(max_examples=100, deadline=None)
def test_round_trip(mask) -> None:
    rle = masks.encode(mask)
    assert rle["size"] == list(mask.shape)
    assert isinstance(rle["counts"], str)
    assert np.array_equal(masks.decode(rle), mask)


@given(MASKS)
@settings(max_examples=200, deadline=None)
def test_coordinates_are_nonzeros(mask) -> None:
    rows, columns = masks.coordinates(masks.encode(mask))
    expected = np.nonzero(mask.T)
    assert np.array_equal(rows, expected[1])
    assert np.array_equal(columns, expected[0])


def test_coordinates_of_long_runs_and_of_sams_uncompressed_form(rng) -> None:
    for mask in (
        np.ones((1500, 1200), bool), np.zeros((900, 3), bool),
        np.pad(np.ones((300, 2), bool), ((500, 600), (700, 1))), rng.random((200, 300)) > 0.5,
    ):  # fmt: skip
        rle = masks.encode(mask)
        plain = {"size": rle["size"], "counts": masks._run_lengths(rle["counts"].encode()).tolist()}
        for form in (rle, plain):
            found = np.zeros(mask.shape, bool)
            found[masks.coordinates(form)] = True
            assert np.array_equal(found, mask)


@given(MASKS)
@settings(max_examples=60, deadline=None)
def test_sams_uncompressed_form_is_taken_too(mask) -> None:
    import torch

    plain = mask_to_rle_pytorch(torch.from_numpy(mask[None]))[0]
    assert np.array_equal(masks.decode(plain), mask)
    assert masks.compress(plain) == masks.encode(mask)


@given(STACKS)
@settings(max_examples=60, deadline=None)
def test_area_and_boxes_equal_numpy(stack) -> None:
    rles = masks.encode(stack)
    assert masks.area(rles).tolist() == stack.sum((1, 2)).tolist()
    for box, mask in zip(masks.boxes(rles), stack, strict=True):
        ys, xs = np.nonzero(mask)
        expected = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0, 0, 0, 0]
        assert box.tolist() == expected


@given(STACKS, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_iou_equals_numpy(stack, roll) -> None:
    other = np.roll(stack, roll, axis=2)
    got = masks.iou(masks.encode(stack), masks.encode(other))
    for i, a in enumerate(stack):
        for j, b in enumerate(other):
            union = (a | b).sum()
            assert got[i, j] == pytest.approx((a & b).sum() / union if union else 0.0)


def test_one_pixel_mask_has_a_unit_box() -> None:
    mask = np.zeros((9, 9), bool)
    mask[5, 3] = True
    assert masks.boxes([masks.encode(mask)]).tolist() == [[3, 5, 4, 6]]


def test_nothing_in_nothing_out() -> None:
    assert masks.encode(np.zeros((0, 4, 5), bool)) == []
    assert masks.decode_all([], (4, 5)).shape == (0, 4, 5)
    assert masks.area([]).shape == (0,)
    assert masks.boxes([]).shape == (0, 4)
    assert masks.iou([], [masks.encode(np.ones((2, 2), bool))]).shape == (0, 1)


def test_wrong_shape_and_size_are_named() -> None:
    with pytest.raises(InputError, match=r"shape \(H, W\) or masks of shape \(N, H, W\), got \(3"):
        masks.encode(np.zeros(3, bool))
    with pytest.raises(InputError, match=r"size \(4, 5\) \(H, W\), got \(2, 2\) for mask 0"):
        masks.check_sizes([masks.encode(np.ones((2, 2), bool))], (4, 5))


@pytest.mark.parametrize("n", [255, 256, 600])
def test_area_of_more_masks_than_a_uint8_counts(n) -> None:
    rles = [masks.encode(np.eye(3, dtype=bool))] * n
    assert masks.area(rles).tolist() == [3] * n
