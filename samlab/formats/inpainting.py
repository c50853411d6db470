"""Masks for inpainting: where a painting model should paint anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from samlab.errors import InputError
from samlab.files import whole_folder, write_whole
from samlab.formats.cutouts import png
from samlab.formats.gather import SegmentsLike, WriteReport, distinct_stems, gather, report
from samlab.segments import Segments


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
    gathered = gather(segments, image_id=image_id or "picture.png")
    distinct_stems(gathered.pictures)
    with whole_folder(folder, overwrite) as staging:
        for picture in gathered.pictures:
            parts = list(picture.segments) if each else [picture.segments]
            for i, part in enumerate(parts):
                number = f"_{i:04d}" if each else ""
                mask = inpainting_mask(part, grow=grow, feather=feather)
                write_whole(staging / f"{picture.stem}{number}_mask.png", png(mask))
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
