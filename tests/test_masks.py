"""Run-length masks against pycocotools and plain NumPy."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco
from segment_anything.utils.amg import mask_to_rle_pytorch

from samlab import masks
from samlab.errors import FormatError, InputError
from samlab.segments import Segments

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
        plain = {"size": rle["size"], "counts": coco_runs(mask)}
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


# -- from outside ---------------------------------------------------------------------------------

TOO_SHORT = {"size": [4, 4], "counts": "1"}
NEITHER = "neither COCO's compressed text nor whole numbers"
BROKEN = [
    (TOO_SHORT, "do not add up to its size"),
    ({"size": [4, 4], "counts": "11"}, "do not add up to its size"),
    ({"size": [4, 4], "counts": "0a0"}, "do not add up to its size"),  # 0 and 17
    ({"size": [4, 4], "counts": ""}, "do not add up to its size"),
    ({"size": [4, 4], "counts": [4, -4, 16]}, "do not add up to its size"),
    ({"size": [4, 4], "counts": "4L`0"}, "do not add up to its size"),  # 4, -4, 16
    ({"size": [4, 4], "counts": [20]}, "do not add up to its size"),
    ({"size": [4, 4], "counts": "`"}, "not COCO's compressed text, or are cut short"),
    ({"size": [4, 4], "counts": "`0 "}, "not COCO's compressed text, or are cut short"),
    ({"size": [4, 4], "counts": "`0é"}, "not COCO's compressed text, or are cut short"),
    ({"size": [4, 4], "counts": "`" * 40 + "0"}, "do not add up to its size"),
    ({"size": [4, 4], "counts": None}, NEITHER),
    ({"size": [4, 4], "counts": [8.5, 7.5]}, NEITHER),
    ({"size": [4, 4], "counts": [2**62, 2**62, 2**62, 2**62, 16]}, "do not add up to its size"),
    ({"size": [4, 4], "counts": [2**80, 16]}, NEITHER),
    ({"size": [4, 4], "counts": [[16]]}, NEITHER),
    (
        {"size": [4, 4], "counts": [float("nan")]},
        NEITHER,
    ),
    ({"size": [10**5, 10**5], "counts": [10**10]}, "not one of 1 to 2,147,483,647 pixels"),
    ({"size": [-4, -4], "counts": [16]}, "not one of 1 to 2,147,483,647 pixels"),
    ({"size": [0, 0], "counts": ""}, "not one of 1 to 2,147,483,647 pixels"),
    ({"size": [4.5, 4], "counts": [18]}, "not one of 1 to 2,147,483,647 pixels"),
    ({"size": [4], "counts": [4]}, "not two numbers, height and width"),
    ({"size": None, "counts": [4]}, "not two numbers, height and width"),
    ({"counts": "`0"}, "not two numbers, height and width"),
]


@pytest.mark.parametrize(("rle", "why"), BROKEN)
def test_broken_run_lengths_are_refused_wherever_they_come_in(rle: Any, why: str) -> None:
    good = masks.encode(np.eye(4, dtype=bool))
    sentence = f"^Expected masks as COCO's run lengths; mask [01] cannot be used: .*{why}"
    for use in (
        lambda: Segments([good, rle]),
        lambda: masks.checked([good, rle]),
        lambda: masks.area([rle]),
        lambda: masks.boxes([rle]),
        lambda: masks.iou([rle], [good]),
        lambda: masks.decode(rle),
        lambda: masks.coordinates(rle),
    ):
        with pytest.raises(FormatError, match=sentence):
            use()
    with pytest.raises(FormatError, match=f"^[a-z].*{why}$"):
        masks.sound(rle)


def test_an_array_is_no_run_lengths() -> None:
    drawn = np.ones((4, 4), bool)
    with pytest.raises(FormatError, match="no object with 'size' and 'counts'"):
        masks.checked([drawn])
    with pytest.raises(InputError, match="Expected rles of Segments to be a list"):
        Segments([drawn])


def test_a_table_on_disk_is_checked_too(tmp_path: Path) -> None:
    table = Segments([masks.encode(np.eye(4, dtype=bool))]).to_arrow()
    at = table.schema.get_field_index("mask_counts")
    table = table.set_column(at, "mask_counts", pa.array(["1"], pa.string()))
    with pytest.raises(FormatError, match="do not add up to its size"):
        Segments.from_arrow(table)
    record = {"segmentation": {"size": [4, 4], "counts": "1"}}
    with pytest.raises(FormatError, match="do not add up to its size"):
        Segments.from_records([record])


@given(MASKS)
@settings(max_examples=200, deadline=None)
def test_what_pycocotools_made_passes_unchanged(mask: np.ndarray) -> None:
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    text = {"size": list(mask.shape), "counts": rle["counts"].decode()}
    assert masks.sound(text) == text == masks.sound(rle)
    plain = {"size": [*mask.shape], "counts": coco_runs(mask)}
    assert masks.sound(plain) == text
    assert masks.sound({**plain, "counts": np.array(plain["counts"], np.uint32)}) == text


def coco_runs(mask: np.ndarray) -> list[int]:
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, flat.size]).tolist()
    return [0, *runs] if flat[0] else runs


@given(st.integers(1, 12), st.integers(1, 12), st.lists(st.integers(0, 5), max_size=40))
@settings(max_examples=300, deadline=None)
def test_runs_of_length_zero_change_nothing(height: int, width: int, runs: list[int]) -> None:
    total = height * width
    ends = np.minimum(np.cumsum(runs, dtype=np.int64), total)
    runs = np.diff([0, *ends.tolist(), total]).tolist()
    dense = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
    rle = {"size": [height, width], "counts": runs}
    assert np.array_equal(masks.decode(rle), dense)
    assert masks.sound(rle) == masks.encode(dense)
    assert masks.boxes([rle]).tolist() == masks.boxes([masks.encode(dense)]).tolist()


@given(MASKS, st.integers(0, 10**6), st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_is_refused_or_another_mask_of_that_size(mask, at, bit) -> None:
    rle = dict(masks.encode(mask))
    text = bytearray(rle["counts"].encode())
    text[at % len(text)] ^= 1 << bit
    try:
        found = masks.sound({**rle, "counts": bytes(text)})
    except FormatError:
        return
    assert masks.decode(found).shape == mask.shape
    assert masks.area([found])[0] == masks.decode(found).sum()
    assert 0 <= masks.iou([found], [rle])[0, 0] <= 1


def test_what_was_checked_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    text = [dict(rle) for rle in masks.encode(np.stack([np.eye(4, dtype=bool)] * 3))]
    segments = Segments(text)
    looked = []
    decode = masks._run_lengths
    monkeypatch.setattr(
        masks, "_run_lengths", lambda counts: looked.append(len(counts)) or decode(counts)
    )
    again = Segments.concat([segments[1:], segments.with_labels(np.zeros(3)), *segments])
    assert masks.area(again.rles).tolist() == [4] * 8
    masks.iou(pickle.loads(pickle.dumps(again)).rles, masks.encode(np.ones((2, 4, 4), bool)))
    assert not looked
    Segments(text)
    assert looked == [3]
