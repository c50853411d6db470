"""Sheets of small cut-outs: classes with examples of each, matches of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from scipy.ndimage import binary_erosion

from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Count
from samlab.images import ImageLike, read_image
from samlab.segments import Segments
from samlab.view.plots.figure import MUTED, NotebookFigure, figure_style, plain

_LINE: tuple[int, ...] = (0, 114, 178)
"""Colour of the outline."""


@dataclass(frozen=True)
class Strip:
    """A row of a sheet.

    Attributes:
        title: What the row shows.
        note: A second line, quieter.
        color: CSS colour of the swatch before the title; "" for none.
        pictures: uint8 RGB squares (S, S, 3).
        captions: One line below each picture, or none at all.
    """

    title: str
    note: str
    color: str
    pictures: Sequence[np.ndarray]
    captions: Sequence[str] = ()


def cut_square(
    segments: Segments,
    i: int,
    image: ImageLike,
    side: int = 128,
    line: tuple[int, ...] = _LINE,
) -> np.ndarray:
    """A segment in a square of its picture: outlined and as it is, what is around it paler.

    Args:
        segments: Segments of this picture.
        i: Which.
        image: The picture.
        side: Of the square, pixels.
        line: Colour of the outline, RGB.

    Returns:
        uint8 RGB (side, side, 3). The square is a fifth larger than the segment, moved inwards at
        the edge of the picture, and white where it is wider than the picture.

    Example:
        >>> from samlab import masks
        >>> one = Segments(rles=[masks.encode(np.eye(4, dtype=bool))])
        >>> cut_square(one, 0, np.zeros((4, 4), np.uint8), side=8).shape
        (8, 8, 3)
    """
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = (float(v) for v in segments.boxes[i])
    length = max(1, round(1.2 * max(x1 - x0, y1 - y0, 8.0)))
    left, top = _start((x0 + x1) / 2, length, width), _start((y0 + y1) / 2, length, height)
    inside = (slice(max(top, 0), top + length), slice(max(left, 0), left + length))
    part, mask = pixels[inside].astype(np.float32), segments.mask(i)[inside]
    pale = 255 - 0.38 * (255 - part.mean(axis=2, keepdims=True))
    shown = np.where(mask[..., None], part, pale)
    square = np.full((length, length, 3), 255, np.uint8)
    at_y, at_x = max(-top, 0), max(-left, 0)
    window = (slice(at_y, at_y + shown.shape[0]), slice(at_x, at_x + shown.shape[1]))
    square[window] = shown.round()
    full = np.zeros((length, length), np.uint8)
    full[window] = mask * 255
    result = np.array(Image.fromarray(square).resize((side, side), Image.Resampling.LANCZOS))
    inner = np.asarray(Image.fromarray(full).resize((side, side))) >= 128
    result[inner & ~binary_erosion(inner, border_value=1)] = line
    return result


@checked_arguments
def plot_sheet(strips: Sequence[Strip], *, columns: Count = 8, title: str = "") -> Figure:
    """Rows of small pictures, each with a title on the left.

    Args:
        strips: The rows, from the top; none give a figure that says so.
        columns: Pictures in a row at most.
        title: Of the figure.
    """
    widest = max((min(columns, len(strip.pictures)) for strip in strips), default=1)
    row = _CELL + (0.16 if any(strip.captions for strip in strips) else 0)
    head = 0.45 if title else 0.1
    size = (_LABEL + _CELL * max(widest, 1), row * max(len(strips), 1) + head)
    with figure_style():
        figure = NotebookFigure(figsize=size, dpi=100)
        if title:
            top = 1 - 0.05 / size[1]
            figure.text(0, top, plain(title, 80), va="top", fontsize=13, weight="bold")
        if not strips:
            figure.text(0, 0.3, "nothing to show", color=MUTED)
        for number, strip in enumerate(strips):
            bottom = size[1] - head - row * (number + 1)
            _draw(figure, strip, columns, bottom, row)
    return figure


#: Inches: a square with its gap, the gap, and the titles on the left.
_CELL, _GAP, _LABEL = 0.95, 0.07, 2.1


def _draw(figure: Figure, strip: Strip, columns: int, bottom: float, row: float) -> None:
    """One row of a sheet; `bottom` and `row`, its height, in inches."""
    width, height = figure.get_size_inches()
    middle = (bottom + row / 2) / height
    start = 0.0
    if strip.color:
        size = (0.14 / width, 0.14 / height)
        swatch = Rectangle((0, middle), *size, color=strip.color, transform=figure.transFigure)
        figure.add_artist(swatch)
        start = 0.22 / width
    figure.text(start, middle, plain(strip.title, 24), va="bottom", fontsize=10.5)
    below = middle - 0.04 / height
    figure.text(start, below, plain(strip.note, 34), va="top", fontsize=8.5, color=MUTED)
    for column, picture in enumerate(strip.pictures[:columns]):
        x = (_LABEL + _CELL * column) / width
        y = (bottom + row - _CELL + _GAP / 2) / height
        side = _CELL - _GAP
        ax = figure.add_axes((x, y, side / width, side / height))
        ax.imshow(picture)
        ax.axis("off")
        if column < len(strip.captions):
            under = y - 0.02 / height
            text = plain(strip.captions[column], 15)
            figure.text(x, under, text, va="top", fontsize=7.5, color=MUTED)


def _start(centre: float, length: int, available: int) -> int:
    """Where a window around a centre starts, moved inside; centred if it is wider than all."""
    if length >= available:
        return (available - length) // 2
    return round(min(max(centre - length / 2, 0), available - length))
