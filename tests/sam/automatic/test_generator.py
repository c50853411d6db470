"""The mask generator gives SAM's own records, from less work."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.utils.amg import remove_small_regions

from samlab import masks as rle_masks
from samlab.errors import InputError, SamlabWarning
from samlab.sam.automatic import generator as amg
from samlab.sam.automatic import search
from samlab.sam.automatic.generator import MaskGenerator
from samlab.sam.automatic.small_regions import drop_islands, fill_holes
from samlab.sam.fast.decoder import PlainDecoder, PromptDecoder
from samlab.sam.fast.encoder import ImageEmbedding, encode

OPTIONS = {
    "points_per_side": 5,
    "pred_iou_thresh": 0.75,
    "stability_score_thresh": 0.6,
    "stability_score_offset": 0.1,
    "box_nms_thresh": 1.0,
    "crop_nms_thresh": 1.0,
}


@pytest.fixture(scope="module")
def image():
    y, x = np.mgrid[:90, :130]
    red = 120 + 100 * np.sin(x / 7) * np.cos(y / 11)
    picture = np.stack([red, 2 * y, 255 - x], axis=-1).clip(0, 255).astype(np.uint8)
    picture[30:60, 40:80] = (250, 30, 30)
    return picture


@pytest.fixture
def plain(monkeypatch):
    """SAM's own encoder and decoder inside: what comes after them must then be equal to the bit."""

    def encode_plainly(image, sam, **options):
        predictor = SamPredictor(sam)
        predictor.set_image(image)
        return ImageEmbedding(
            predictor.features,
            predictor.input_size,
            predictor.original_size,
            sam.image_encoder.img_size,
        )

    def open_plainly(sam, embedding, dtype=None):
        return PlainDecoder(sam, embedding)

    monkeypatch.setattr(amg, "encode", encode_plainly)
    monkeypatch.setattr(search, "open_decoder", open_plainly)


def same(a, b):
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


VARIANTS = {
    "defaults": {},
    "coco_rle": {"output_mode": "coco_rle"},
    "uncompressed_rle": {"output_mode": "uncompressed_rle", "points_per_batch": 7},
    "suppression": {"box_nms_thresh": 0.8},
    "crops": {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2, "points_per_side": 4},
    "crops with suppression": {
        "crop_n_layers": 1,
        "crop_nms_thresh": 0.9,
        "crop_overlap_ratio": 0.2,
        "points_per_side": 3,
    },
    "no thresholds": {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "points_per_side": 3},
    "own points": {
        "points_per_side": None,
        "point_grids": [np.array([[0.1, 0.5], [0.9, 0.2], [0.0, 1.0]])],
    },
}


@pytest.mark.parametrize("name", VARIANTS)
def test_record_for_record_equal(mini_sam, image, plain, name):
    options = OPTIONS | VARIANTS[name]
    expected = SamAutomaticMaskGenerator(mini_sam, **options).generate(image)
    got = MaskGenerator(mini_sam, **options).generate(image)
    assert len(expected) > 0
    assert len(got) == len(expected)
    for ours, theirs in zip(got, expected, strict=True):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert same(ours[key], theirs[key]), key
            assert type(ours[key]) is type(theirs[key])


@pytest.mark.parametrize("area", [20, 400])
def test_small_regions_are_removed_as_opencv_does(mini_sam, image, plain, area):
    pytest.importorskip("cv2")
    options = OPTIONS | {"min_mask_region_area": area, "crop_n_layers": 1, "points_per_side": 3}
    expected = SamAutomaticMaskGenerator(mini_sam, **options).generate(image)
    got = MaskGenerator(mini_sam, **options).generate(image)
    assert len(got) == len(expected) > 2
    for ours, theirs in zip(got, expected, strict=True):
        assert all(same(ours[key], theirs[key]) for key in theirs)


def test_the_fast_path_finds_the_same_masks(mini_sam, image):
    expected = SamAutomaticMaskGenerator(mini_sam, **OPTIONS).generate(image)
    got = MaskGenerator(mini_sam, **OPTIONS).generate(image)
    assert len(got) == len(expected) > 2
    for ours, theirs in zip(got, expected, strict=True):
        differing = ours["segmentation"] != theirs["segmentation"]
        assert differing.sum() <= 2  # rounding of sums in another order
        assert ours["point_coords"] == theirs["point_coords"]
        assert ours["predicted_iou"] == pytest.approx(theirs["predicted_iou"], abs=1e-5)
        assert ours["stability_score"] == pytest.approx(theirs["stability_score"], abs=1e-3)


def test_segments_carry_the_records(mini_sam, image):
    generator = MaskGenerator(mini_sam, **OPTIONS, output_mode="coco_rle")
    records = generator.generate(image)
    segments = generator.segments(image, encode(image, mini_sam), image_id="a", tokens=True)
    assert [r["segmentation"] for r in records] == [dict(r) for r in segments.rles]
    assert [r["bbox"] for r in records] == [r["bbox"] for r in segments.to_records()]
    np.testing.assert_array_equal(segments.boxes, rle_masks.boxes(segments.rles))
    np.testing.assert_array_equal(segments.areas, rle_masks.area(segments.rles))
    assert segments.embedding("token").shape == (len(segments), 256)
    assert segments.image_id == "a"
    assert segments.image_size == (90, 130)
    assert segments.provenance["masks"]["points_per_side"] == 5


def test_nothing_passes(mini_sam, image):
    generator = MaskGenerator(mini_sam, points_per_side=2, pred_iou_thresh=99, crop_n_layers=1)
    assert generator.generate(image) == []
    segments = generator.segments(image, tokens=True)
    assert len(segments) == 0
    assert segments.image_size == (90, 130)


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (3, 2)])
def test_tiny_pictures(mini_sam, size):
    picture = np.full((*size, 3), 90, np.uint8)
    generator = MaskGenerator(mini_sam, **OPTIONS | {"points_per_side": 2, "crop_n_layers": 1})
    records = generator.generate(picture)
    assert records
    for record in records:
        assert record["segmentation"].shape == size


def test_an_embedding_of_another_picture_is_refused(mini_sam, image):
    generator = MaskGenerator(mini_sam, points_per_side=2)
    with pytest.raises(InputError, match=r"embedding of this picture, \(90, 130\) \(H, W\)"):
        generator.segments(image, encode(image[:50], mini_sam))


# ---------------------------------------------------------------- proposals


def test_selecting_equals_generating(mini_sam, image):
    options = OPTIONS | {"crop_n_layers": 1, "points_per_side": 3}
    proposals = MaskGenerator(mini_sam, **options).propose(
        image, pred_iou_floor=0.5, stability_score_floor=0.3
    )
    sizes = []
    for iou, stability, nms in [(0.5, 0.3, 1.0), (0.75, 0.6, 1.0), (0.9, 0.75, 0.7)]:
        changed = {
            "pred_iou_thresh": iou,
            "stability_score_thresh": stability,
            "box_nms_thresh": nms,
        }
        expected = MaskGenerator(mini_sam, **options | changed).segments(image)
        got = proposals.select(**changed)
        assert [dict(r) for r in got.rles] == [dict(r) for r in expected.rles]
        np.testing.assert_array_equal(got.points, expected.points)
        sizes.append(len(got))
    assert sizes[0] > sizes[1] > sizes[2]
    assert len(proposals.select()) == len(MaskGenerator(mini_sam, **options).segments(image))


def test_thresholds_below_the_floor_are_refused(mini_sam, image):
    proposals = MaskGenerator(mini_sam, **OPTIONS).propose(image, pred_iou_floor=0.7)
    with pytest.raises(InputError, match=r"pred_iou_thresh of at least 0.7, .* pred_iou_floor=0.2"):
        proposals.select(pred_iou_thresh=0.2)


# ---------------------------------------------------------------- adaptive


def test_adaptive_asks_less_and_keeps_the_order(mini_sam, image, monkeypatch):
    asked = []
    honest = search.Search.ask

    def counting(self, points, ids):
        asked.extend(ids.tolist())
        honest(self, points, ids)

    monkeypatch.setattr(search.Search, "ask", counting)
    monkeypatch.setattr(search, "_SMALL_CELLS", 18.0)  # the mini model's masks are large
    options = OPTIONS | {"points_per_side": 8, "stability_score_thresh": 0.3}
    floors = {"pred_iou_floor": 0.75, "stability_score_floor": 0.3}
    everything = MaskGenerator(mini_sam, **options).propose(image, **floors).candidates
    assert sorted(asked) == list(range(64))
    asked.clear()
    some = MaskGenerator(mini_sam, **options, adaptive=True).propose(image, **floors).candidates
    assert 4 < len(asked) < 64
    assert len(set(asked)) == len(asked)
    x, y = some.points.T
    assert np.array_equal(np.lexsort((x, y)), np.arange(len(some)))
    found = {(tuple(p), area) for p, area in zip(some.points, some.areas, strict=True)}
    areas = {}
    for p, area in zip(everything.points, everything.areas, strict=True):
        areas.setdefault(tuple(p), []).append(area)
    assert all(min(abs(area - a) for a in areas[p]) <= 2 for p, area in found)


# ---------------------------------------------------------------- trouble


def records_key(segments):
    return [r["counts"] for r in segments.rles]


@pytest.mark.parametrize("limit", [1, 3])
def test_out_of_memory_halves_the_batch(mini_sam, image, monkeypatch, limit):
    expected = MaskGenerator(mini_sam, **OPTIONS).segments(image)
    honest = search.Search.ask
    sizes = []

    def poor(self, points, ids):
        sizes.append(len(ids))
        if len(ids) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        honest(self, points, ids)

    monkeypatch.setattr(search.Search, "ask", poor)
    got = MaskGenerator(mini_sam, **OPTIONS, points_per_batch=16).segments(image)
    assert sizes[:3] == [16, 8, 4]
    np.testing.assert_array_equal(got.points, expected.points)
    np.testing.assert_allclose(got.areas, expected.areas, atol=2)


def test_out_of_memory_for_one_point_is_an_error(mini_sam, image, monkeypatch):
    def hopeless(self, points, ids):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(search.Search, "ask", hopeless)
    with pytest.raises(torch.OutOfMemoryError):
        MaskGenerator(mini_sam, **OPTIONS).generate(image)


def test_other_errors_are_not_tried_again(mini_sam, image, monkeypatch):
    calls = []

    def broken(self, points, ids):
        calls.append(len(ids))
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(search.Search, "ask", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        MaskGenerator(mini_sam, **OPTIONS).generate(image)
    assert len(calls) == 1


def test_after_an_interrupt_the_generator_works_on(mini_sam, image, monkeypatch):
    generator = MaskGenerator(mini_sam, **OPTIONS, points_per_batch=4)
    expected = records_key(generator.segments(image))
    honest = search.Search.ask

    def interrupted(self, points, ids):
        if ids[0] >= 8:
            raise KeyboardInterrupt
        honest(self, points, ids)

    with monkeypatch.context() as patch:
        patch.setattr(search.Search, "ask", interrupted)
        with pytest.raises(KeyboardInterrupt):
            generator.segments(image)
    assert records_key(generator.segments(image)) == expected


def test_nan_of_half_precision_is_redone_in_float32(mini_sam, image, monkeypatch):
    embedding = encode(image, mini_sam)
    expected = MaskGenerator(mini_sam, **OPTIONS).segments(image, embedding)

    answer = PromptDecoder._answer

    def overflowing(self, tokens, masks):
        chunk = answer(self, tokens, masks)
        if self.dtype != torch.float32:
            chunk.iou[-1] = float("nan")
        return chunk

    monkeypatch.setattr(PromptDecoder, "_answer", overflowing)
    generator = MaskGenerator(mini_sam, **OPTIONS)
    generator.dtype = torch.bfloat16
    with pytest.warns(SamlabWarning, match=r"gave NaN in torch.bfloat16; going on in float32"):
        got = generator.segments(image, embedding)
    assert records_key(got) == records_key(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_mode": "png"}, "Expected output_mode in"),
        ({"points_per_side": None}, "exactly one of points_per_side and point_grids; got neither"),
        ({"point_grids": [np.zeros((1, 2))]}, "got both"),
        ({"points_per_side": 0}, "points_per_side .* of at least 1, got 0"),
        (
            {"points_per_side": 4, "crop_n_layers": 3, "crop_n_points_downscale_factor": 2},
            r"points_per_side=4 scaled down by 2\*\*3",
        ),
        ({"points_per_side": None, "point_grids": [np.zeros((0, 2))]}, "at least one point, got"),
        (
            {"points_per_side": None, "point_grids": [np.array([[0.5, 1.5]])]},
            r"inside the picture, x and y in \[0, 1\] .* got \[0.5, 1.5\]",
        ),
        (
            {"points_per_side": None, "point_grids": [np.zeros((1, 2))], "crop_n_layers": 1},
            "Expected 2 point_grids, one per crop layer and one for the whole picture; got 1",
        ),
        ({"points_per_batch": 0}, "points_per_batch of at least 1"),
        ({"crop_n_layers": -1}, "crop_n_layers of at least 0"),
    ],
)
def test_senseless_options_are_refused(mini_sam, options, message):
    with pytest.raises(InputError, match=message):
        MaskGenerator(mini_sam, **options)


def test_a_progress_bar_when_asked(mini_sam, image, capsys):
    MaskGenerator(mini_sam, points_per_side=2, progress=True).generate(image)
    assert "4/4" in capsys.readouterr().err
    MaskGenerator(mini_sam, points_per_side=2).generate(image)
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------- small regions


@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    seed=st.integers(0, 999),
    share=st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]),
    area=st.sampled_from([1, 2, 4, 9, 1000]),
)
@settings(max_examples=150, deadline=None)
def test_small_regions_equal_opencv(height, width, seed, share, area):
    pytest.importorskip("cv2")
    mask = np.random.default_rng(seed).random((height, width)) < share
    for ours, mode in ((fill_holes, "holes"), (drop_islands, "islands")):
        if not (mask if mode == "islands" else ~mask).any():
            continue  # the reference fails on these
        expected, changed = remove_small_regions(mask, area, mode)
        got, touched = ours(mask, area)
        assert touched == changed
        if mode == "islands" and area == 1000:  # which of the largest stays: equal sizes may tie
            assert got.sum() == expected.sum()
        else:
            np.testing.assert_array_equal(got, expected)


def test_an_empty_mask_has_no_small_regions():
    for repair in (fill_holes, drop_islands):
        for value in (True, False):
            mask = np.full((4, 5), value)
            got, changed = repair(mask, 3)
            assert not changed
            np.testing.assert_array_equal(got, mask)
