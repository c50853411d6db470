"""What all matplotlib figures of samlab share: size, letters, and how a notebook shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from samlab.palette import class_colors

#: Longest side, in pixels, at which pictures are composed for a figure.
PICTURE_PIXELS = 1600
INK, MUTED, FAINT = "#1b1f24", "#667079", "#d7dce1"
_FONTS = ("Inter", "Helvetica Neue", "Source Sans 3", "Open Sans", "Arial", "DejaVu Sans")


class NotebookFigure(Figure):
    """A matplotlib Figure that notebooks show sharply by itself, without pyplot or a backend.

    It never joins pyplot's list of open figures, so nothing has to be closed and nothing shows
    twice.
    """

    def _ipython_display_(self) -> None:
        from IPython.display import display

        photo = any(axes.images for axes in self.axes)
        mime = "image/jpeg" if photo else "image/png"
        data, size = self._rendered("jpeg" if photo else "png")
        words = ". ".join(axes.get_title(loc="left") for axes in self.axes)
        display(
            {mime: data, "text/plain": repr(self)},
            metadata={mime: {**size, "alt": words.replace("\\$", "$")}},
            raw=True,
        )

    def _rendered(self, kind: str) -> tuple[str, dict[str, int]]:
        """Base64 of the figure at twice its size, and the size at which it is to be shown."""
        from base64 import b64encode

        from PIL import Image

        quality: dict[str, Any] = {"pil_kwargs": {"quality": 82}} if kind == "jpeg" else {}
        buffer = BytesIO()
        self.savefig(buffer, format=kind, dpi=200, bbox_inches="tight", pad_inches=0.06, **quality)
        with Image.open(buffer) as picture:
            width, height = picture.size
        data = b64encode(buffer.getvalue()).decode("ascii")
        return data, {"width": round(width / 2), "height": round(height / 2)}


@contextmanager
def figure_style() -> Iterator[None]:
    """samlab's letters and lines inside the block; the user's rcParams outside stay as they are."""
    have = set(font_manager.get_font_names())
    family = [name for name in _FONTS if name in have] or ["sans-serif"]
    rc: Any = {
        "font.family": family,
        "font.size": 10.0,
        "text.color": INK,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": MUTED,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 12.0,
        "axes.titleweight": "bold",
        "axes.titlepad": 9.0,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "figure.facecolor": "white",
        "axes.facecolor": "white",
        "savefig.facecolor": "white",
        "legend.frameon": False,
    }
    with matplotlib.rc_context(rc):
        yield


def canvas(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The user's axes and its figure, or a new figure of this (width, height) in inches."""
    if ax is not None:
        figure = ax.get_figure(root=True)
        if figure is None:
            raise ValueError("Expected axes that belong to a figure.")
        return figure, ax
    figure = NotebookFigure(figsize=size, dpi=100, layout="constrained")
    return figure, figure.add_subplot()


def figure_size(shape: tuple[int, ...], extra: float = 0.0) -> tuple[float, float]:
    """Figure size in inches for a picture of shape (H, W, ...), kept between slim and tall."""
    height, width = shape[:2]
    wide = 8.0 if width >= height else max(8.0 * width / height, 3.0)
    return wide + extra, min(max(wide * height / width, 0.6), 9.0) + 0.4


def picture_grid(count: int, columns: int, shape: tuple[int, ...]) -> tuple[Figure, list[Axes]]:
    """A figure with so many bare panels for pictures of shape (H, W, ...), row by row."""
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    wide, tall = figure_size(shape)
    step = 10.5 / max(columns, 2)
    size = (step * columns, rows * (step * tall / wide + 0.15))
    figure = NotebookFigure(figsize=size, dpi=100, layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel().tolist()
    for ax in panels:
        ax.set_axis_off()
    return figure, panels[:count]


def show_picture(ax: Axes, pixels: np.ndarray) -> None:
    """One picture in bare axes, however long or flat."""
    ax.imshow(pixels, interpolation="antialiased", aspect="equal")
    ax.set_axis_off()


def display_scale(shape: tuple[int, ...]) -> float:
    """How much to enlarge or shrink a picture so that outlines are fine but visible."""
    return min(PICTURE_PIXELS / max(shape[0], shape[1]), 4.0)


def plain(text: str, limit: int = 32) -> str:
    """A name as matplotlib must see it: one line, not too long, dollars not taken for formulas."""
    text = " ".join(text.split())
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text.replace("$", r"\$")


def heading(ax: Axes, title: str, note: str = "") -> None:
    """A bold title at the left and a quiet note at the right of it, above the axes."""
    ax.set_title(title)
    if note:
        ax.set_title(note, loc="right", fontsize=9.5, fontweight="normal", color=MUTED)


def readable(label: int) -> tuple[float, ...]:
    """A class colour dark enough for letters on white."""
    color = class_colors(np.array(label)) / 255.0
    bright = float(color @ [0.299, 0.587, 0.114])
    return tuple((color * min(1.0, 0.5 / max(bright, 1e-6))).tolist())


def note(ax: Axes, text: str) -> None:
    """A quiet sentence in the middle of empty axes."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=MUTED)
