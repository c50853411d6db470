"""Cut-outs and inpainting masks: PIL reads back the pixels and the alpha."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from samlab.errors import ImageError, InputError
from samlab.formats.cutouts import cut_out, inpainting_mask, write_cutouts, write_inpainting_masks
from samlab.segments import Segments
from tests.formats.shapes import RINGED, SIZE, blobs, segments_of

PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


@settings(deadline=None, max_examples=40)
@given(mask=blobs())
def test_a_hard_cut_has_the_mask_as_alpha_and_the_pictures_colours(mask: np.ndarray) -> None:
    whole = cut_out(PIXELS, mask, crop=False)
    np.testing.assert_array_equal(whole[..., 3] == 255, mask)
    np.testing.assert_array_equal(whole[..., 3] == 0, ~mask)
    np.testing.assert_array_equal(whole[..., :3], PIXELS)
    cropped = cut_out(PIXELS, mask)
    ys, xs = np.nonzero(mask)
    window = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
    np.testing.assert_array_equal(cropped, whole[window])


def test_a_soft_edge_fades_inwards_and_not_at_the_pictures_border() -> None:
    mask = np.zeros(SIZE, bool)
    mask[:, :20] = True
    alpha = cut_out(PIXELS, mask, soft=4, crop=False)[..., 3]
    assert alpha[5, 13:22].tolist() == [255, 255, 255, 204, 153, 102, 51, 0, 0]
    assert (alpha[:, :16] == 255).all()
    assert cut_out(PIXELS, np.ones(SIZE, bool), soft=9)[..., 3].min() == 255
    assert cut_out(PIXELS, np.zeros(SIZE, bool), soft=9).shape == (0, 0, 4)


def test_files_are_named_after_picture_number_and_class(pictures: Path, tmp_path: Path) -> None:
    parts = [segments_of([RINGED, RINGED], [0, 2]), segments_of([RINGED], [-1], "sub/b.png")]
    report = write_cutouts(parts, tmp_path / "out", pictures, margin=1)
    files = sorted(p.relative_to(report.path).as_posix() for p in report.path.rglob("*.png"))
    assert files == ["a_0000_car.png", "a_0001_b-Straße-b-nass.png", "sub/b_0000_object.png"]
    with Image.open(report.path / files[0]) as image:
        assert image.mode == "RGBA"
        assert image.size == (39, 29)  # the margin ends at the picture's border
        np.testing.assert_array_equal(np.asarray(image)[..., 3] > 0, RINGED[:29, 1:])


def test_one_picture_needs_no_name(tmp_path: Path) -> None:
    segments = Segments(segments_of([RINGED]).rles)
    report = write_cutouts(segments, tmp_path / "out", PIXELS)
    assert [p.name for p in report.path.iterdir()] == ["picture_0000_object.png"]
    written = write_inpainting_masks(segments, tmp_path / "masks")
    assert [p.name for p in written.path.iterdir()] == ["picture_mask.png"]


def test_bad_input(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a mask of the picture's size \(30, 40\)"):
        cut_out(PIXELS, np.ones((3, 3), bool))
    with pytest.raises(InputError, match="soft and margin of 0 or more, got -1 and 0"):
        cut_out(PIXELS, RINGED, soft=-1)
    with pytest.raises(ImageError, match="among the images given"):
        write_cutouts(segments_of([RINGED]), tmp_path / "out", {"b.jpg": PIXELS})
    with pytest.raises(ImageError, match="the masks of 'a.jpg' were made from"):
        write_cutouts(segments_of([RINGED]), tmp_path / "out", PIXELS[1:])
    with pytest.raises(ImageError, match=r"No picture 'no\.jpg' in the folder"):
        write_cutouts(segments_of([RINGED], image_id="no.jpg"), tmp_path / "out", pictures)
    with pytest.raises(InputError, match="grow and feather of 0 or more, got 1 and -2"):
        inpainting_mask(RINGED, grow=1, feather=-2)
    with pytest.raises(InputError, match=r"a boolean mask \(H, W\), got an array of dtype uint8"):
        inpainting_mask(PIXELS)
    assert not (tmp_path / "out").exists()


@settings(deadline=None, max_examples=30)
@given(mask=blobs())
def test_an_inpainting_mask_covers_what_lies_within_reach(mask: np.ndarray) -> None:
    segments = segments_of([mask])
    np.testing.assert_array_equal(inpainting_mask(segments, grow=0), mask * np.uint8(255))
    hard, soft = inpainting_mask(mask, grow=3), inpainting_mask(mask, grow=3, feather=5)
    ys, xs = np.nonzero(mask)
    yy, xx = np.mgrid[: SIZE[0], : SIZE[1]]
    far = np.full(SIZE, np.inf)
    for y, x in zip(ys, xs, strict=True):
        far = np.minimum(far, np.hypot(yy - y, xx - x))
    np.testing.assert_array_equal(hard == 255, far <= 3)
    np.testing.assert_array_equal(soft == 255, far <= 3)
    assert (soft[far >= 9] == 0).all()
    between = (far > 3) & (far < 9)
    assert (soft[between] < 255).all()
    assert (soft[between] > 0).all()


def test_inpainting_masks_are_written_together_or_each(tmp_path: Path) -> None:
    dot = np.zeros(SIZE, bool)
    dot[3, 4] = True
    segments = segments_of([dot, RINGED])
    both = write_inpainting_masks(segments, tmp_path / "both", grow=2, feather=3).path
    with Image.open(both / "a_mask.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(
            np.asarray(image), inpainting_mask(dot | RINGED, grow=2, feather=3)
        )
    each = write_inpainting_masks(segments, tmp_path / "each", grow=0, each=True).path
    found = [np.asarray(Image.open(each / f"a_000{i}_mask.png")) > 0 for i in range(2)]
    np.testing.assert_array_equal(found, [dot, RINGED])
    assert not inpainting_mask(segments_of([])).any()
