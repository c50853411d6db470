"""Fault matrix, picture files: whatever lies under a picture's name, one sentence or one row."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from samlab import pictures
from samlab.errors import ImageError
from samlab.images import MAX_BYTES, decode_image, raster_formats, read_image
from samlab.runs.engine.read_ahead import load_picture


def noise(height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def saved(path: Path, **options: object) -> Path:
    Image.fromarray(noise()).save(path, **options)
    return path


def as_row(path: Path) -> str:
    """The error that a run keeps for this file; it must not raise."""
    error = load_picture(pictures.Picture(0, path.name, str(path))).error
    return "" if error is None else str(error)


def flipped(data: bytes, count: int, seed: int) -> bytes:
    changed = bytearray(data)
    for place in np.random.default_rng(seed).integers(8, len(data), count):
        changed[place] ^= 1 << (seed % 8)
    return bytes(changed)


KINDS = [".png", ".jpg", ".tif", ".webp", ".bmp", ".gif", ".jp2", ".ppm", ".tga", ".dds", ".avif"]


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_give_a_picture_or_one_kind_of_error(tmp_path, kind) -> None:
    if kind == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = saved(tmp_path / f"a{kind}").read_bytes()
    for seed in range(40):
        try:
            array = decode_image(flipped(data, 1 + seed % 4, seed), f"a{kind}")
        except ImageError:
            continue
        assert array.dtype == np.uint8
        assert array.shape[2] == 3


def test_a_decoder_that_raises_anything_makes_a_row_not_an_end(tmp_path, monkeypatch) -> None:
    path = saved(tmp_path / "a.png")
    for error in (RuntimeError("odd"), NotImplementedError("kind 7"), KeyError("x"), IndexError(3)):

        def fail(self: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
        assert "could not be decoded" in as_row(path)
        assert str(path) in as_row(path)


def test_postscript_never_reaches_another_program(tmp_path, monkeypatch) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n"
        b"0 0 20 20 rectfill\nshowpage\n%%EOF\n"
    )
    monkeypatch.setattr("subprocess.check_call", lambda *a, **k: pytest.fail("started a program"))
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a: pytest.fail("Ghostscript"))
    with pytest.raises(ImageError, match=r"not a picture that samlab reads.*%!PS-Ado"):
        read_image(path)


def test_only_rasters_are_tried() -> None:
    assert {"PNG", "JPEG", "TIFF", "WEBP", "BMP"} <= set(raster_formats())
    assert not {"EPS", "WMF", "ICO", "ICNS", "CUR", "MPEG", "HDF5"} & set(raster_formats())


def test_an_icon_is_refused_before_it_is_unpacked(tmp_path) -> None:
    Image.new("RGBA", (256, 256)).save(tmp_path / "a.ico")
    with pytest.raises(ImageError, match="not a picture that samlab reads"):
        read_image(tmp_path / "a.ico")


def test_a_pipe_is_refused_and_does_not_wait(tmp_path) -> None:
    os.mkfifo(tmp_path / "b.jpg")
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(as_row(tmp_path / "b.jpg")), daemon=True)
    thread.start()
    thread.join(20)
    assert said
    assert "which is a pipe, a socket or a device" in said[0]


def test_a_device_is_refused() -> None:
    with pytest.raises(ImageError, match="which is a pipe, a socket or a device"):
        read_image("/dev/zero")


@pytest.mark.parametrize(
    ("name", "said"),
    [("a\0b.png", "null byte"), ("x" * 5000, "name too long"), ("a/" * 3000, "could not be read")],
)
def test_impossible_paths_get_a_sentence(name, said) -> None:
    with pytest.raises(ImageError, match=r"(?i)could not be read") as raised:
        read_image(name)
    assert said.lower() in str(raised.value).lower()
    assert len(str(raised.value)) < 300


def test_a_huge_file_is_refused_before_it_is_read(tmp_path) -> None:
    path = tmp_path / "sparse.tif"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ImageError, match=r"has 2,400,000,001 bytes; expected at most"):
        read_image(path)


def test_a_file_replaced_while_it_is_read_gives_hash_and_pixels_of_one_file(
    tmp_path, monkeypatch
) -> None:
    import hashlib

    path, other = saved(tmp_path / "a.png"), tmp_path / "b.png"
    Image.new("RGB", (9, 9), (1, 2, 3)).save(other)
    true_decode = pictures.decode_image

    def replaced_meanwhile(data: bytes, name: str) -> np.ndarray:
        os.replace(other, path)
        return true_decode(data, name)

    first = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(pictures, "decode_image", replaced_meanwhile)
    array, _, digest = pictures.read_picture(str(path))
    assert digest == first
    assert np.array_equal(array, noise())


def test_a_transparent_colour_of_16_bits_counts(tmp_path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.array([[4096, 0]], np.uint16)).save(path, transparency=4096)
    assert read_image(path)[0, :, 0].tolist() == [255, 0]


def test_a_pil_image_of_a_cut_file_is_one_sentence(tmp_path) -> None:
    path = saved(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:-400])
    with Image.open(path) as image, pytest.raises(ImageError, match="PIL image could not be dec"):
        read_image(image)
