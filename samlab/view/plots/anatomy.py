"""Figures of a model's inside: maps over the picture, matrices, costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments, did_you_mean
from samlab.errors.ranges import Count
from samlab.images import ImageLike, read_image
from samlab.view.overlay import heat_overlay
from samlab.view.plots.figure import (
    INK,
    MUTED,
    NotebookFigure,
    figure_size,
    figure_style,
    heading,
    note,
    plain,
    show_picture,
)

if TYPE_CHECKING:
    from samlab.sam.fast import ImageEmbedding


@checked_arguments
def plot_maps(
    maps: np.ndarray,
    image: ImageLike,
    features: ImageEmbedding,
    *,
    titles: Sequence[str],
    point: Sequence[float] | None = None,
    columns: Count = 4,
    cmap: str = "inferno",
    symmetric: bool = False,
    caption: str = "",
) -> Figure:
    """Maps over the padded input, cut to the picture and laid over it, each on its own scale.

    Args:
        maps: float (n, G, G) over the model's padded input, any G; NaN is left unpainted.
        image: The picture.
        features: Its embedding, which says how much of the input is padding.
        titles: n titles.
        point: (x, y) in the picture, marked.
        columns: Panels side by side.
        cmap: A matplotlib colour map.
        symmetric: Put 0 in the middle of the scale.
        caption: A quiet line below.
    """
    pixels = read_image(image)
    if maps.ndim != 3 or len(maps) != len(titles):
        raise InputError(
            f"Expected maps of shape ({len(titles)}, G, G), one per title; got {maps.shape}."
        )
    if point is not None and len(point) != 2:
        raise InputError(f"Expected point as (x, y), got {len(point)} numbers.")
    if cmap not in colormaps:
        raise InputError(
            "Expected cmap as the name of a matplotlib colour map, for example 'inferno'; got "
            f"{cmap!r:.60}.{did_you_mean(cmap, colormaps)}"
        )
    rows = max(1, -(-len(maps) // columns))
    columns = max(1, min(columns, len(maps)))
    wide, tall = figure_size(pixels.shape)
    with figure_style():
        figure = NotebookFigure(
            figsize=(10.5, rows * (10.5 / columns * tall / wide + 0.25) + (0.25 if caption else 0)),
            dpi=100,
            layout="constrained",
        )
        panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for ax in panels[len(maps) :]:
            ax.set_axis_off()
        for ax, values, title in zip(panels, maps, titles, strict=False):
            shown = valid_part(values, features)
            # Not the maximum: a few outliers would leave the rest grey.
            limit = float(np.nanpercentile(np.abs(shown), 99)) if symmetric else None
            low = None if limit is None else -limit
            show_picture(
                ax, heat_overlay(pixels, shown, low=low, high=limit, cmap=cmap, alpha=0.75)
            )
            ax.set_title(plain(title, 40), fontsize=10)
            if point is not None:
                ax.scatter(*point, s=60, c="none", edgecolors="white", linewidths=1.6)
        if len(maps) == 0:
            note(panels[0], "nothing to show")
        if caption:
            figure.supxlabel(plain(caption, 160), fontsize=9.5, color=MUTED)
    return figure


def valid_part(values: np.ndarray, features: ImageEmbedding) -> np.ndarray:
    """The cells (rows, columns) of a map (G, G) over the padded input that hold the picture."""
    rows, columns = (
        max(1, round(size / features.img_size * side))
        for size, side in zip(features.input_size, values.shape, strict=True)
    )
    return values[:rows, :columns]


@checked_arguments
def plot_matrix(
    values: np.ndarray, names: Sequence[str], *, title: str = "", others: Sequence[str] = ()
) -> Figure:
    """A small matrix with its numbers, blue below 0 and red above.

    Args:
        values: float (n, m).
        names: n names of the rows.
        title: Text above it.
        others: m names of the columns; the rows' by default.
    """
    across = list(others or names)
    if values.shape != (len(names), len(across)):
        raise InputError(
            f"Expected a matrix of shape ({len(names)}, {len(across)}), got {values.shape}."
        )
    limit = max(float(np.abs(values).max(initial=0)), 1e-9)
    with figure_style():
        figure = NotebookFigure(
            figsize=(2.2 + 0.72 * len(across), 0.8 + 0.42 * len(names)), dpi=100,
            layout="constrained",
        )  # fmt: skip
        ax = figure.subplots()
        ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            color = "white" if abs(value) > 0.6 * limit else INK
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8.5, c=color)
        ax.set_xticks(np.arange(len(across)), across, rotation=30, ha="right")
        ax.set_yticks(np.arange(len(names)), names)
        ax.tick_params(length=0)
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        heading(ax, plain(title, 80))
    return figure


@checked_arguments
def plot_costs(
    parts: Mapping[str, Mapping[str, float]], *, unit: str = "s", title: str = "Where the time goes"
) -> Figure:
    """Stacked bars, one per way to do it.

    Args:
        parts: Name of the bar -> name of the part -> its size.
        unit: Behind the totals.
        title: Text above it.
    """
    colors = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7"]
    names = list(dict.fromkeys(name for bar in parts.values() for name in bar))
    positions = np.arange(len(parts))[::-1]
    with figure_style():
        figure = NotebookFigure(figsize=(9, 1.3 + 0.5 * len(parts)), dpi=100, layout="constrained")
        ax = figure.subplots()
        left = np.zeros(len(parts))
        for name, color in zip(names, colors, strict=False):
            width = np.array([bar.get(name, 0.0) for bar in parts.values()])
            ax.barh(positions, width, left=left, height=0.6, color=color, label=name)
            left += width
        for position, total in zip(positions, left, strict=True):
            ax.text(total, position, f"  {total:,.0f} {unit}", va="center", fontweight="bold")
        ax.set_yticks(positions, list(parts))
        ax.set_xticks([])
        ax.tick_params(length=0)
        ax.set_xlim(0, left.max(initial=1e-9) * 1.15)
        ax.spines["bottom"].set_visible(False)
        handles: Any = ax.get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower left", ncols=3, fontsize=9)
        heading(ax, plain(title, 90))
    return figure
