"""Segments painted onto pictures, as plain uint8 arrays: one composite, however many masks."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from samlab import masks
from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Positive
from samlab.images import ImageLike, read_image
from samlab.palette import class_colors, segment_colors
from samlab.segments import Segments


@checked_arguments
def overlay(
    segments: Segments,
    image: ImageLike,
    *,
    by: Literal["class", "segment"] = "class",
    alpha: float = 0.55,
    outline: bool | Literal["class", "segment"] = True,
    scale: Positive = 1.0,
) -> np.ndarray:
    """Paint segments over their picture; where they overlap, the smallest is on top.

    Args:
        segments: N segments of this picture; none give the picture itself, unpainted.
        image: The picture, (H, W).
        by: Colour by class (`labels`; noise is grey and faint) or every segment on its own.
        alpha: Opacity of the fill, 0 to 1. The picture below is grey (its luma), so that every fill
            has the hue of its legend, whatever lies under it.
        outline: Draw a one-pixel line along the inside of the edge of each `"class"` or of each
            `"segment"`; by default of what has a colour of its own; False draws none.
        scale: Size of the result relative to the picture. Enlarged masks get smooth edges.

    Returns:
        uint8 RGB (round(H * scale), round(W * scale), 3).

    Example:
        >>> from samlab import Segments, masks
        >>> one = Segments(rles=[masks.encode(np.eye(4, dtype=bool))], labels=np.array([0]))
        >>> overlay(one, np.zeros((4, 4), np.uint8)).shape
        (4, 4, 3)
    """
    if by not in ("class", "segment"):
        raise InputError(f"Expected by='class' or by='segment', got {by!r}.")
    if not 0 <= alpha <= 1:
        raise InputError(f"Expected an opacity alpha from 0 to 1, got {alpha}.")
    if outline not in (True, False, "class", "segment"):
        raise InputError(f"Expected outline='class', 'segment', True or False; got {outline!r}.")
    pixels = _matching(segments, image)
    base = _resized(pixels, scale).astype(np.float32)
    if len(segments) == 0:
        return base.round().astype(np.uint8)
    index = index_map(segments, scale)
    labels = segments.labels
    colors = class_colors(labels) if by == "class" else segment_colors(len(segments))
    opacity = np.full(len(segments), alpha, np.float32)
    if by == "class":
        opacity[labels < 0] *= 0.45
    # One extra row stands for "no segment" (index -1): nothing is painted there.
    color = np.concatenate([colors, [[0, 0, 0]]]).astype(np.float32)[index]
    strength = np.append(opacity, np.float32(0))[index]
    if outline is not False:
        parted = by if outline is True else outline
        # What no segment is on has label -2, so that it is parted from noise.
        edge = _inner_edges(index if parted == "segment" else np.append(labels, -2)[index])
        edge &= index >= 0
        strength[edge] = np.append(np.where(opacity < alpha, 0.6, 1.0), 0)[index[edge]]
    grey = base @ _LUMA[:, None]
    out = grey + strength[..., None] * (color - grey)
    return out.round().astype(np.uint8)


def class_cut_out(
    segments: Segments, image: ImageLike, label: int, *, scale: Positive = 1.0
) -> np.ndarray:
    """The picture where the semantic map has this label, and a pale grey shadow of it elsewhere.

    A smaller segment of another class is cut out of the larger one that it lies on.

    Returns:
        uint8 RGB (round(H * scale), round(W * scale), 3). A label nobody has gives the shadow.
    """
    base = _resized(_matching(segments, image), scale).astype(np.float32)
    shadow = 255 - 0.22 * (255 - base @ _LUMA[:, None])
    out = np.repeat(shadow, 3, axis=2)
    if len(segments):
        # The last entry stands for "no segment" (index -1).
        own = np.append(segments.labels == label, False)[index_map(segments, scale)]
        out[own] = base[own]
        out[_inner_edges(own) & own] = class_colors(np.array(label))
    return out.round().astype(np.uint8)


def heat_overlay(
    image: ImageLike,
    heat: np.ndarray,
    *,
    low: float | None = None,
    high: float | None = None,
    cmap: str = "inferno",
    alpha: float = 0.65,
    scale: Positive = 1.0,
) -> np.ndarray:
    """A heat map, stretched over the picture and laid on its grey version.

    Args:
        image: The picture, (H, W).
        heat: float (h, w), of the picture's size or coarser (64 x 64 patches, for example),
            covering the whole picture. NaN is left unpainted.
        low: Value of the colour map's dark end; the smallest finite value by default.
        high: Value of its bright end; the largest finite value by default.
        cmap: Name of a matplotlib colour map.
        alpha: Opacity, 0 to 1.
        scale: Size of the result relative to the picture.

    Returns:
        uint8 RGB (round(H * scale), round(W * scale), 3).
    """
    from matplotlib import colormaps

    base = _resized(read_image(image), scale).astype(np.float32)
    heat = np.asarray(heat, dtype=np.float32)
    if heat.ndim != 2:
        raise InputError(f"Expected a heat map of shape (h, w), got {heat.shape}.")
    low, high = heat_range(heat, low, high)
    size = (base.shape[1], base.shape[0])
    seen = Image.fromarray(np.isfinite(heat).astype(np.float32)).resize(size, Image.Resampling.BOX)
    filled = Image.fromarray(np.nan_to_num(heat, nan=low))
    values = np.asarray(filled.resize(size, Image.Resampling.BILINEAR))
    colors = colormaps[cmap]((values - low) / (high - low))[..., :3] * 255
    grey = np.repeat(base @ _LUMA[:, None], 3, axis=2)
    strength = alpha * (np.asarray(seen) > 0.5)[..., None]
    return (grey + strength * (colors - grey)).round().astype(np.uint8)


def heat_range(heat: np.ndarray, low: float | None, high: float | None) -> tuple[float, float]:
    """The ends of the colour scale: as asked for, else from the finite values; never equal."""
    finite = heat[np.isfinite(heat)]
    low = (float(finite.min()) if finite.size else 0.0) if low is None else low
    high = (float(finite.max()) if finite.size else 1.0) if high is None else high
    return low, (high if high > low else low + 1e-6)


def index_map(segments: Segments, scale: Positive = 1.0) -> np.ndarray:
    """Which segment is on top at each pixel, int32; -1 where there is none.

    With a scale other than 1, masks are resampled with smooth edges (inside where half covered);
    each keeps at least one pixel before smaller ones are laid over it.
    """
    if scale == 1.0:
        return segments.label_map(np.arange(len(segments)))
    height, width = segments.image_size
    out_h, out_w = _scaled(height, scale), _scaled(width, scale)
    step_x, step_y = width / out_w, height / out_h
    out = np.full((out_h, out_w), -1, np.int32)
    boxes = segments.boxes
    for i in np.argsort(-segments.areas, kind="stable"):
        x0, y0, x1, y1 = boxes[i]
        if x1 <= x0 or y1 <= y0:
            continue
        left, right = max(int(x0 / step_x) - 1, 0), min(int(np.ceil(x1 / step_x)) + 1, out_w)
        top, bottom = max(int(y0 / step_y) - 1, 0), min(int(np.ceil(y1 / step_y)) + 1, out_h)
        source = (left * step_x, top * step_y, min(right * step_x, width),
                  min(bottom * step_y, height))  # fmt: skip
        mask, moved = _cut_mask(segments.rles[i], source, np.ceil([step_x, step_y]) + 1)
        size = (right - left, bottom - top)
        cover = np.asarray(mask.resize(size, Image.Resampling.BILINEAR, box=moved))
        inside = cover >= min(128, int(cover.max()))
        out[top:bottom, left:right][inside] = i
    return out


def _cut_mask(
    rle: masks.Rle, box: tuple[float, float, float, float], margin: np.ndarray
) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """The mask around a box (XYXY), 0 and 255, with a margin (x, y); and the box in it."""
    height, width = rle["size"]
    x0, y0 = (max(0, int(np.floor(v - m))) for v, m in zip(box[:2], margin, strict=True))
    x1, y1 = (int(np.ceil(v + m)) for v, m in zip(box[2:], margin, strict=True))
    out = np.zeros((min(y1, height) - y0, min(x1, width) - x0), np.uint8)
    rows, columns = masks.coordinates(rle)
    out[rows - y0, columns - x0] = 255
    return Image.fromarray(out), (box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0)


#: ITU-R BT.601, as `greyOf` in canvas/picture.js.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _matching(segments: Segments, image: ImageLike) -> np.ndarray:
    pixels = read_image(image)
    segments._require_one_size("A picture of segments")
    if len(segments) and segments.image_size != pixels.shape[:2]:
        height, width = segments.image_size
        raise InputError(
            f"Expected the picture the segments come from, {width} x {height} pixels; got one of "
            f"{pixels.shape[1]} x {pixels.shape[0]}. Pass the same picture as to samlab.segment."
        )
    return pixels


def _scaled(length: int, scale: float) -> int:
    return max(1, round(length * scale))


def _resized(pixels: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1.0:
        return pixels
    size = (_scaled(pixels.shape[1], scale), _scaled(pixels.shape[0], scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _inner_edges(index: np.ndarray) -> np.ndarray:
    """Pixels that touch, up, down, left or right, a pixel with another value."""
    edge = np.zeros(index.shape, bool)
    down, right = index[1:] != index[:-1], index[:, 1:] != index[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def still_scale(pixels: np.ndarray, longest: int = 1000) -> float:
    """How much to shrink a picture so that its longer side is at most `longest`."""
    return min(1.0, longest / max(pixels.shape[:2]))
