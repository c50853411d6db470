"""One loader for every picture: any file, PIL image or array becomes uint8 RGB (H, W, 3)."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from samlab.errors import ImageError

ImageLike: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray"

#: Pictures with more pixels than this are refused before they are decoded.
MAX_PIXELS = 150_000_000

_EIGHT_BIT_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK"}
_EIGHT_BIT_MODES |= {"YCbCr", "LAB", "HSV"}
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
            array's dtype or shape is not one of those above.

    Example:
        >>> read_image(np.zeros((4, 6), np.uint8)).shape
        (4, 6, 3)
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        _check_size(source.size, max_pixels, "the PIL image")
        return _from_pil(source, "the PIL image")
    if isinstance(source, (str, os.PathLike)):
        return _from_path(Path(source), max_pixels)
    raise ImageError(
        "Expected a picture as a path, a PIL image or a NumPy array; "
        f"got {type(source).__name__}. Convert it first, for example with numpy.asarray."
    )


def _from_path(path: Path, max_pixels: int) -> np.ndarray:
    if path.is_dir():
        raise ImageError(f"Expected a picture file, got the folder '{path}'. Name one file in it.")
    if not path.exists():
        raise ImageError(f"No picture at '{path}': the file does not exist. Check the path.")
    try:
        with warnings.catch_warnings():
            # Pillow's own bomb limit is replaced by max_pixels, checked before decoding.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_size(image.size, max_pixels, f"'{path}'")
                image.load()
                return _from_pil(image, f"'{path}'")
    except UnidentifiedImageError:
        raise ImageError(
            f"'{path}' is not a picture that Pillow can read ({_sniff(path)}). "
            "Expected PNG, JPEG, TIFF, WebP, BMP or another raster format."
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"'{path}' was refused before decoding: {error}. "
            "Expected at most twice Pillow's MAX_IMAGE_PIXELS; make the picture smaller."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            f"'{path}' could not be decoded: {error}. "
            "The file is damaged, cut short or not readable; get a fresh copy."
        ) from error


def _sniff(path: Path) -> str:
    """Say what the first bytes of a file look like."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "the file is empty"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "it starts like an HTML page, perhaps a saved error page"
    return f"it starts with the bytes {head[:8]!r}"


def _check_size(size: tuple[int, int], max_pixels: int, name: str) -> None:
    width, height = size
    if width * height == 0:
        raise ImageError(f"{name} has no pixels: its size is {width} x {height}.")
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width} x {height} = {width * height:,} pixels; expected at most "
            f"{max_pixels:,}. Make it smaller, or pass a larger max_pixels to read_image."
        )


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN_BIT_MODES:
        return _from_array(np.asarray(image).astype(np.uint16), MAX_PIXELS)
    if image.mode == "I" and image.format in {"PNG", "PPM", "TIFF"}:
        # Older Pillow opens 16-bit PNG and PGM in this 32-bit mode.
        values = np.asarray(image)
        if values.min() >= 0 and values.max() <= 65535:
            return _from_array(values.astype(np.uint16), MAX_PIXELS)
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
