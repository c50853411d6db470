"""A picture and its segments as the browser gets them: once, compressed, and nothing computed."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from samlab import masks
from samlab.errors import InputError
from samlab.images import ImageLike, read_image
from samlab.segments import Segments

#: Longest side, in pixels, at which a picture is shown; masks keep their full resolution.
LONGEST_SIDE = 2048


def scene(segments: Segments, image: ImageLike, *, longest: int = LONGEST_SIDE) -> dict[str, Any]:
    """Pack a picture and its segments for the widgets' JavaScript (`openScene` in raster.js).

    Args:
        segments: N segments of this picture.
        image: The picture, (H, W).
        longest: Longest side of the picture that is sent; a larger one is shrunk.

    Returns:
        A dict of JSON values and one bytes value: `width`, `height`; `raster`, the size (w, h) of
        the picture sent; `picture`, a JPEG; `mime`; and per segment `counts` (COCO's compressed run
        lengths), `areas`, `iou` and `stability` (None where unknown).

    Example:
        >>> one = Segments(rles=[masks.encode(np.eye(4, dtype=bool))])
        >>> scene(one, np.zeros((4, 4), np.uint8))["areas"]
        [4]
    """
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    if len(segments) and tuple(segments.image_size) != (height, width):
        raise InputError(
            f"Expected the picture that the segments were made from, {segments.image_size} "
            f"(H, W); got a picture of {(height, width)}. Pass the same picture to both."
        )
    scale = min(1.0, longest / max(height, width))
    raster = (max(1, round(width * scale)), max(1, round(height * scale)))
    return {
        "width": width,
        "height": height,
        "raster": list(raster),
        "picture": jpeg(pixels, raster),
        "mime": "image/jpeg",
        "counts": [masks.compress(rle)["counts"] for rle in segments.rles],
        "areas": segments.areas.tolist(),
        "iou": known(segments.predicted_iou),
        "stability": known(segments.stability_score),
    }


def jpeg(pixels: np.ndarray, size: tuple[int, int] | None = None, quality: int = 90) -> bytes:
    """A uint8 RGB picture (H, W, 3) as JPEG bytes, resized to `size` (w, h) where one is given."""
    picture = Image.fromarray(pixels)
    if size is not None and size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def known(values: np.ndarray | None) -> list[float | None]:
    """Numbers for JSON, which has no NaN: rounded to four places, None where unknown."""
    array = np.zeros(0) if values is None else np.asarray(values, np.float64)
    return [round(float(v), 4) if np.isfinite(v) else None for v in array]
