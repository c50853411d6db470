"""Square crops around segments, with what lies outside the mask greyed or blurred."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image, ImageFilter

from samlab.errors import InputError
from samlab.segments import Segments

Outside: TypeAlias = Literal["blur", "grey", "keep"]

BLUR = 1 / 16
"""Standard deviation of the blur in sides of the crop."""


def square_crops(
    image: np.ndarray,
    segments: Segments,
    *,
    enlarge: float = 1.0,
    size: int = 224,
    outside: Outside = "blur",
    fill: tuple[int, int, int] = (128, 128, 128),
) -> Iterator[np.ndarray]:
    """One square crop per segment, scaled to one size.

    Args:
        image: uint8 RGB (H, W, 3).
        segments: N segments of it.
        enlarge: Side of the square in longer sides of the segment's box; 1 is the box itself, more
            shows what is around it.
        size: Side of the result in pixels.
        outside: What becomes of pixels outside the mask: `"blur"` keeps a hint of the surroundings
            (Yang et al. 2023, arXiv:2306.04356, found that best for CLIP on SAM's masks), `"grey"`
            paints them with `fill`, `"keep"` leaves them.
        fill: Colour of what lies outside the picture, and of `"grey"`.

    Yields:
        N arrays uint8 (size, size, 3).
    """
    if outside not in ("blur", "grey", "keep"):
        raise InputError(f"Expected outside='blur', 'grey' or 'keep', got {outside!r}.")
    if not enlarge > 0:
        raise InputError(f"Expected crops as factors above 0, got {enlarge}.")
    for i, box in enumerate(np.asarray(segments.boxes, np.float64)):
        side = max(1, round(max(box[2] - box[0], box[3] - box[1]) * enlarge))
        corner = np.round((box[:2] + box[2:] - side) / 2).astype(int)
        crop = _resized(_window(image, corner, side, fill), size, Image.Resampling.BICUBIC)
        if outside == "keep":
            yield np.asarray(crop)
            continue
        inside = _window(segments.mask(i).astype(np.uint8) * 255, corner, side, 0)
        mask = _resized(inside, size, Image.Resampling.BOX)
        if outside == "grey":
            around = Image.new("RGB", (size, size), fill)
        else:
            around = crop.filter(ImageFilter.GaussianBlur(BLUR * size))
        yield np.asarray(Image.composite(crop, around, mask))


def _window(
    image: np.ndarray, corner: np.ndarray, side: int, fill: int | tuple[int, int, int]
) -> np.ndarray:
    """The square with this (x, y) corner; `fill` where it reaches beyond the picture."""
    out = np.empty((side, side, *image.shape[2:]), np.uint8)
    out[:] = fill
    left, top = (max(0, -int(v)) for v in corner)
    x0, y0 = (max(0, int(v)) for v in corner)
    part = image[y0 : int(corner[1]) + side, x0 : int(corner[0]) + side]
    out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def _resized(pixels: np.ndarray, size: int, how: Image.Resampling) -> Image.Image:
    return Image.fromarray(pixels).resize((size, size), how)
