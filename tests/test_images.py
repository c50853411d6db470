"""read_image: every common picture becomes uint8 RGB, and the rest is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from samlab.errors import ImageError, SamlabError
from samlab.images import read_image


def gradient(height: int = 5, width: int = 7) -> np.ndarray:
    values = np.linspace(0, 255, height * width).astype(np.uint8).reshape(height, width)
    return np.stack([values, values[::-1], values[:, ::-1]], axis=-1)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_lossless_files_come_back_as_they_were(tmp_path, suffix) -> None:
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(gradient()).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_image(path), gradient())
    assert np.array_equal(read_image(str(path)), gradient())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_modes_become_rgb(mode) -> None:
    image = Image.fromarray(gradient()).convert(mode)
    out = read_image(image)
    assert out.dtype == np.uint8
    assert out.shape == (5, 7, 3)
    assert out.flags.c_contiguous
    assert np.array_equal(out, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(tmp_path, orientation) -> None:
    """Rebuild the upright picture from the stored one, by the EXIF 2.3 definition of the tag."""
    upright = gradient()
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(undo[orientation](upright))).save(path, exif=exif)
    assert np.array_equal(read_image(path), upright)
    with Image.open(path) as image:
        assert np.array_equal(read_image(image), upright)


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", "<u2"), ("I;16B", ">u2")])
def test_sixteen_bits_are_scaled_not_clipped(mode, dtype) -> None:
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    image = Image.frombytes(mode, (4, 1), values.astype(dtype).tobytes())
    assert read_image(image)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_sixteen_bit_png_file(tmp_path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 65535], [32768, 514]], np.uint16)).save(path)
    assert read_image(path)[..., 0].tolist() == [[0, 255], [128, 2]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_a_range_are_refused(mode) -> None:
    with pytest.raises(ImageError, match=f"has the mode {mode}, whose range"):
        read_image(Image.new(mode, (3, 3)))


def test_transparency_is_laid_over_white() -> None:
    rgba = np.zeros((1, 2, 4), np.uint8)
    rgba[0, 1] = (10, 20, 30, 255)
    assert read_image(rgba).tolist() == [[[255, 255, 255], [10, 20, 30]]]
    assert read_image(Image.fromarray(rgba)).tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_palette_with_transparency(tmp_path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putdata([0, 1])
    path = tmp_path / "p.png"
    image.save(path, transparency=0)
    assert read_image(path).tolist() == [[[255, 255, 255], [0, 200, 0]]]


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.bool_]),
        st.tuples(st.integers(5, 12), st.integers(5, 12)).flatmap(
            lambda hw: st.sampled_from([hw, (*hw, 1), (*hw, 3), (*hw, 4)])
        ),
    )
)
@settings(max_examples=60, deadline=None)
def test_any_valid_array_becomes_rgb(array) -> None:
    before = array.copy()
    out = read_image(array)
    assert out.shape == (*array.shape[:2], 3)
    assert out.dtype == np.uint8
    assert np.array_equal(array, before)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "Expected a picture of dtype uint8 .* got float32"),
        (np.zeros((4, 4), np.int64), "got int64"),
        (np.zeros((3, 40, 50), np.uint8), r"looks like channels first.*transpose\(1, 2, 0\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"got \(2, 4, 4, 3\). Pass one picture at a time"),
        (np.zeros((4, 4, 5), np.uint8), r"got \(4, 4, 5\)"),
        (np.zeros(7, np.uint8), r"got \(7,\)"),
        (np.zeros((0, 4, 3), np.uint8), "has no pixels: its size is 4 x 0"),
    ],
)
def test_wrong_arrays_are_refused_by_name(array, message) -> None:
    with pytest.raises(ImageError, match=message):
        read_image(array)


def test_other_objects_are_refused() -> None:
    with pytest.raises(
        ImageError, match="a path, a PIL image or a NumPy array as the source; got list"
    ):
        read_image([[1, 2]])  # type: ignore[arg-type]


def test_missing_file_and_folder(tmp_path) -> None:
    with pytest.raises(ImageError, match="the file does not exist. Check the path"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="got the folder"):
        read_image(tmp_path)


def test_html_renamed_to_jpg(tmp_path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_text("<!DOCTYPE html><html><body>404</body></html>")
    with pytest.raises(ImageError, match="starts like an HTML page"):
        read_image(path)


def test_empty_file(tmp_path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(ImageError, match="the file is empty"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_file(tmp_path, suffix, share) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match="could not be decoded.*get a fresh copy"):
        read_image(path)


def test_bomb_is_refused_before_decoding(tmp_path, monkeypatch) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20000, 10000)).save(path)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded a bomb"))
    with pytest.raises(ImageError, match="before decoding|expected at most"):
        read_image(path)


def test_max_pixels_is_the_callers_choice() -> None:
    with pytest.raises(ImageError, match=r"has 20 x 10 = 200 pixels; expected at most 100"):
        read_image(np.zeros((10, 20), np.uint8), max_pixels=100)


def test_errors_are_samlab_errors_and_value_errors() -> None:
    assert issubclass(ImageError, SamlabError)
    assert issubclass(ImageError, ValueError)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1)])
def test_thin_pictures(shape) -> None:
    assert read_image(np.zeros(shape, np.uint8)).shape == (*shape, 3)
