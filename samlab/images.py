"""One loader for every picture: any file, PIL image or array becomes uint8 RGB (H, W, 3)."""

from __future__ import annotations

import io
import os
import stat
import warnings
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from samlab.errors import ImageError
from samlab.errors.arguments import check

ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray

#: Pictures with more pixels than this are refused before they are decoded.
MAX_PIXELS = 150_000_000
#: Files with more bytes than this are refused before they are read: 16 for each of MAX_PIXELS.
MAX_BYTES = 16 * MAX_PIXELS

_EIGHT_BIT_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK"}
_EIGHT_BIT_MODES |= {"YCbCr", "LAB", "HSV"}
_RASTER = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI",
    "SGI", "TGA", "TIFF", "WEBP",
)  # fmt: skip
_SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B", "I;16N"}


def read_image(source: ImageLike, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture as uint8 RGB.

    Args:
        source: A path, a PIL image, or an array of shape (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4) and dtype uint8, uint16 or bool.
        max_pixels: Largest accepted H * W; larger pictures are refused before decoding.

    Returns:
        A C-contiguous uint8 array (H, W, 3). The EXIF orientation is applied, transparency is
        laid over white, and 16-bit values are scaled by 255/65535 rather than clipped.

    Raises:
        ImageError: The file is missing, no picture, truncated or too large; the mode or the
            array's dtype or shape is not one of those above. Whatever a decoder raises becomes
            one; only a lack of memory stays a MemoryError.

    Example:
        >>> read_image(np.zeros((4, 6), np.uint8)).shape
        (4, 6, 3)
    """
    check(max_pixels, int, "max_pixels", read_image)
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        _check_size(source.size, max_pixels, "the PIL image")
        return _from_open(source)
    if isinstance(source, (str, os.PathLike)):
        return decode_image(read_bytes(source), os.fspath(source), max_pixels=max_pixels)
    raise ImageError(
        "Expected a picture as a path, a PIL image or a NumPy array as the source; "
        f"got {type(source).__name__}. Convert it first, for example with numpy.asarray."
    )


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """All bytes of a regular file.

    Raises:
        ImageError: There is no such file, it is a folder, a pipe or a device (which could keep a
            reader waiting for ever), it cannot be read, or it has more than MAX_BYTES.
    """
    try:
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode) and found.st_size <= MAX_BYTES:
            return Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError(
            f"No picture at '{path}': the file does not exist. Check the path."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"'{_shortened(path)}' could not be read: {reason}.") from None
    if stat.S_ISDIR(found.st_mode):
        raise ImageError(f"Expected a picture file, got the folder '{path}'. Name one file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(
            f"Expected a picture file, got '{path}', which is a pipe, a socket or a device. "
            "Save the picture to a file first."
        )
    raise ImageError(
        f"'{path}' has {found.st_size:,} bytes; expected at most {MAX_BYTES:,}. Cut it into tiles."
    )


def decode_image(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The bytes of a picture file as uint8 RGB (H, W, 3); see `read_image`.

    Args:
        data: The whole file.
        name: What messages call it.
        max_pixels: Largest accepted H * W.
    """
    try:
        with warnings.catch_warnings():
            # Pillow's own bomb limit is replaced by max_pixels, checked before decoding.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=raster_formats()) as image:
                _check_size(image.size, max_pixels, f"'{name}'")
                deep = _has_16_bits(image)
                image.load()
                return _from_pil(image, f"'{name}'", deep=deep)
    except UnidentifiedImageError:
        raise ImageError(
            f"'{name}' is not a picture that samlab reads ({_sniff(data)}). "
            "Expected PNG, JPEG, TIFF, WebP, BMP or another raster format."
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"'{name}' was refused before decoding: {error}. "
            "Expected at most twice Pillow's MAX_IMAGE_PIXELS; make the picture smaller."
        ) from None
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ImageError(
            f"'{name}' could not be decoded: {reason}. "
            "The file is damaged, cut short or not readable; get a fresh copy."
        ) from error


@cache
def raster_formats() -> tuple[str, ...]:
    """The formats that Pillow may try: rasters of one picture, decoded in this process.

    Left out are those that start other programs (EPS), draw (WMF), or hold icons of many sizes,
    whose true size shows only after decoding (ICO, ICNS, CUR).
    """
    Image.init()
    return tuple(name for name in _RASTER if name in Image.OPEN)


def _sniff(data: bytes) -> str:
    """Say what the first bytes of a file look like."""
    head = data[:64]
    if not head:
        return "the file is empty"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "it starts like an HTML page, perhaps a saved error page"
    return f"it starts with the bytes {head[:8]!r}"


def _shortened(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"


def _check_size(size: tuple[int, int], max_pixels: int, name: str) -> None:
    width, height = size
    if width * height == 0:
        raise ImageError(f"{name} has no pixels: its size is {width} x {height}.")
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width} x {height} = {width * height:,} pixels; expected at most "
            f"{max_pixels:,}. Make it smaller, or pass a larger max_pixels to read_image."
        )


def _from_open(image: Image.Image) -> np.ndarray:
    """A picture that somebody has opened with Pillow, perhaps without decoding it yet."""
    try:
        deep = _has_16_bits(image)
        image.load()
    except (OSError, SyntaxError, ValueError, RuntimeError) as error:
        raise ImageError(
            f"the PIL image could not be decoded: {error}. Open it again from a fresh copy."
        ) from error
    return _from_pil(image, "the PIL image", deep=deep)


def _has_16_bits(image: Image.Image) -> bool:
    """Whether the file, not decoded yet, has 16 bits per channel that Pillow will cut to 8."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _from_pil(image: Image.Image, name: str, *, deep: bool = False) -> np.ndarray:
    key, kind = image.info.get("transparency"), image.format
    image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN_BIT_MODES or image.mode == "I":
        values = np.asarray(image)
        # Older Pillow opens 16-bit PNG and PGM in the 32-bit mode I.
        small = kind in {"PNG", "PPM", "TIFF"} and 0 <= values.min() <= values.max() < 2**16
        if image.mode != "I" or small:
            grey = values.astype(np.uint16)
            if isinstance(key, int):
                grey[grey == key] = 65535
            return _from_array(grey, MAX_PIXELS)
    if deep and isinstance(key, tuple) and image.mode == "RGB":
        # Pillow keeps the upper 8 bits of each channel and all 16 of the transparent colour.
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.mode not in _EIGHT_BIT_MODES:
        raise ImageError(
            f"{name} has the mode {image.mode}, whose range of values is not defined. "
            "Expected 8 or 16 bits per channel; scale it to uint8 yourself and pass the array."
        )
    if image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"), dtype=np.uint8))


def _from_array(array: np.ndarray, max_pixels: int) -> np.ndarray:
    shape, dtype = array.shape, array.dtype
    if array.ndim == 3 and shape[2] not in (1, 3, 4) and shape[0] in (1, 3, 4):
        raise ImageError(
            f"Expected a picture of shape (H, W, 3), got {shape}, which looks like channels "
            "first. Move them to the end: array.transpose(1, 2, 0)."
        )
    if not (array.ndim == 2 or (array.ndim == 3 and shape[2] in (1, 3, 4))):
        raise ImageError(
            f"Expected a picture of shape (H, W), (H, W, 3) or (H, W, 4), got {shape}. "
            "Pass one picture at a time."
        )
    if dtype not in (np.uint8, np.uint16, np.bool_):
        raise ImageError(
            f"Expected a picture of dtype uint8 (0 to 255), uint16 or bool, got {dtype}. "
            "Convert it, for example (array * 255).round().astype('uint8') for floats in 0 to 1."
        )
    _check_size((shape[1], shape[0]), max_pixels, "the array")
    if dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif dtype == np.uint16:
        array = ((array.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        return _from_pil(Image.fromarray(np.ascontiguousarray(array)), "the array")
    return np.ascontiguousarray(array)
