"""Pictures for editors: segments without their background, and masks of what to paint anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.files import atomic_folder, write_atomic
from samlab.formats.gather import (
    NO_CLASS,
    ImagesLike,
    SegmentsLike,
    WriteReport,
    gather,
    pixels_of,
    report,
)  # fmt: skip
from samlab.images import ImageLike, read_image
from samlab.segments import Segments


@checked_arguments
def cut_out(
    image: ImageLike, mask: np.ndarray, *, soft: float = 0.0, crop: bool = True, margin: int = 0
) -> np.ndarray:
    """What a mask covers, with a transparent background.

    Args:
        image: The picture.
        mask: Boolean (H, W).
        soft: Width in pixels over which the edge fades, inwards, so that nothing of the background
            shows; 0 cuts hard.
        crop: Keep only the mask's box; False keeps the picture's size.
        margin: Pixels around the box, where `crop` is True.

    Returns:
        uint8 RGBA (h, w, 4); colours are the picture's own, also where they are transparent. An
        empty mask gives (0, 0, 4) when cropped.

    Example:
        >>> cut_out(np.full((4, 6), 9, np.uint8), np.eye(4, 6, dtype=bool)).shape
        (4, 4, 4)
    """
    pixels, mask = read_image(image), np.asarray(mask, bool)
    if mask.shape != pixels.shape[:2]:
        raise InputError(
            f"Expected a mask of the picture's size {pixels.shape[:2]} (H, W), got {mask.shape}."
        )
    if not 0 <= soft < np.inf or margin < 0:
        raise InputError(f"Expected soft and margin of 0 or more, got {soft} and {margin}.")
    y, x = _window(mask, margin) if crop else (slice(None), slice(None))
    return np.dstack([pixels[y, x], fade_in(mask[y, x], soft)])


def fade_in(mask: np.ndarray, soft: float) -> np.ndarray:
    """Alpha, uint8 (H, W): 0 outside, rising to 255 over `soft` pixels from the edge inwards.

    The picture's border is no edge: what it cuts off stays opaque.
    """
    if soft <= 0 or mask.all() or not mask.any():
        return mask.astype(np.uint8) * 255
    depth = ndimage.distance_transform_edt(mask)  # 1 for the outermost pixels
    return (np.clip(depth / (soft + 1), 0, 1) * 255).round().astype(np.uint8)


def write_cutouts(
    segments: SegmentsLike,
    folder: str | Path,
    images: ImagesLike,
    *,
    soft: float = 0.0,
    crop: bool = True,
    margin: int = 0,
    no_class: str | None = NO_CLASS,
    image_id: str | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Write every segment as a PNG with alpha, named PICTURE_NUMBER_CLASS.png.

    Args:
        segments: Of one or several pictures; see `samlab.export`.
        folder: Where the PNGs go.
        images: The folder of the pictures, a dict from names to pictures, or the one picture.
        soft, crop, margin: See `cut_out`.
        no_class: Class, for the name, of segments without one; None leaves them out.
        image_id: Name for a picture that has none.
        overwrite: Write into a folder that has files already, replacing those of the same name.
    """
    if image_id is None and _is_one(images):
        image_id = "picture.png"
    gathered = gather(segments, no_class=no_class, image_id=image_id, file_each=True)
    with atomic_folder(folder, overwrite) as staging:
        for picture in gathered.pictures:
            pixels = pixels_of(picture, images)
            for i, number in enumerate(picture.classes.tolist()):
                cut = cut_out(pixels, picture.segments.mask(i), soft=soft, crop=crop, margin=margin)
                label = _plain(gathered.class_names[number])
                name = picture.file_with(f"_{i:04d}_{label}.png")
                write_atomic(staging / name, _png(cut))
    return report(Path(folder), gathered)


def _png(pixels: np.ndarray) -> bytes:
    """A uint8 array (H, W), (H, W, 3) or (H, W, 4) as PNG."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return slice(0, 0), slice(0, 0)
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def _is_one(images: ImagesLike) -> bool:
    folder = isinstance(images, (str, Path)) and Path(images).is_dir()
    return not folder and not isinstance(images, Mapping)


def _plain(name: str) -> str:
    """A class name as a part of a file name on any system.

    Example:
        >>> _plain("traffic light/red")
        'traffic-light-red'
    """
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "class"


# -- masks for inpainting ------------------------------------------------------------------------


@checked_arguments
def inpainting_mask(
    segments: Segments | np.ndarray, *, grow: float = 8.0, feather: float = 0.0
) -> np.ndarray:
    """The area of segments, grown and with a soft border.

    White is what is to be painted, as Stable Diffusion, LaMa and most others take it; use
    `255 - mask` for tools that want it the other way round. A mask that ends right at the object
    leaves a rim of it for the model to continue, hence `grow`.

    Args:
        segments: Segments of one picture, taken together; or a boolean mask (H, W).
        grow: Pixels by which the area grows, in all directions alike.
        feather: Pixels over which it then falls from white to black.

    Returns:
        uint8 (H, W): 255 on the segments and up to `grow` pixels around, 0 farther than
        `grow + feather`. All 0 where there is no segment.

    Example:
        >>> mask = np.zeros((1, 6), bool)
        >>> mask[0, 0] = True
        >>> inpainting_mask(mask, grow=1, feather=3).tolist()
        [[255, 255, 191, 128, 64, 0]]
    """
    if not (0 <= grow < np.inf and 0 <= feather < np.inf):
        raise InputError(f"Expected grow and feather of 0 or more, got {grow} and {feather}.")
    covered = _union(segments)
    if not covered.any():
        return np.zeros(covered.shape, np.uint8)
    beyond = ndimage.distance_transform_edt(~covered) - grow
    if feather == 0:
        return (beyond <= 0).astype(np.uint8) * 255
    return (255 * (1 - np.clip(beyond / (feather + 1), 0, 1))).round().astype(np.uint8)


def write_inpainting_masks(
    segments: SegmentsLike,
    folder: str | Path,
    *,
    grow: float = 8.0,
    feather: float = 0.0,
    each: bool = False,
    image_id: str | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Write NAME_mask.png per picture, 8 bits of grey, all segments together.

    Args:
        segments: Of one or several pictures; see `samlab.export`.
        folder: Where the PNGs go.
        grow, feather: See `inpainting_mask`.
        each: One file per segment instead, NAME_NUMBER_mask.png.
        image_id: Name for a picture that has none.
        overwrite: Write into a folder that has files already, replacing those of the same name.
    """
    gathered = gather(segments, image_id=image_id or "picture.png", file_each=True)
    with atomic_folder(folder, overwrite) as staging:
        for picture in gathered.pictures:
            parts = list(picture.segments) if each else [picture.segments]
            for i, part in enumerate(parts):
                number = f"_{i:04d}" if each else ""
                mask = inpainting_mask(part, grow=grow, feather=feather)
                write_atomic(staging / picture.file_with(f"{number}_mask.png"), _png(mask))
    return report(Path(folder), gathered)


def _union(segments: Segments | np.ndarray) -> np.ndarray:
    if isinstance(segments, Segments):
        return segments.label_map(np.zeros(len(segments), np.int64)) == 0
    mask = np.asarray(segments)
    if mask.ndim != 2 or mask.dtype != bool:
        raise InputError(
            "Expected segments or a boolean mask (H, W), got an array of dtype "
            f"{mask.dtype} and shape {mask.shape}."
        )
    return mask
