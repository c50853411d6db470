"""Static figures: segments, semantic classes, the cluster curves, the map of the latent space.

All return a matplotlib Figure, draw with any backend, and leave rcParams and pyplot alone. Empty
segments give a figure too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from samlab.errors import counted, percent
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Count
from samlab.images import ImageLike, read_image
from samlab.palette import hex_color
from samlab.segments import Segments
from samlab.view.overlay import class_cut_out, heat_overlay, heat_range, overlay
from samlab.view.plots.figure import (
    MUTED,
    canvas,
    display_scale,
    figure_size,
    figure_style,
    heading,
    note,
    picture_grid,
    plain,
    readable,
    show_picture,
)


@checked_arguments
def plot_segments(
    segments: Segments, image: ImageLike, *, ax: Axes | None = None, title: str = "Segments"
) -> Figure:
    """The picture with every segment in a colour of its own, the smallest on top.

    Args:
        segments: N segments of this picture.
        image: The picture.
        ax: Axes to draw into; a new figure by default.
        title: Text above it.
    """
    pixels = read_image(image)
    painted = overlay(segments, pixels, by="segment", alpha=0.5, scale=display_scale(pixels.shape))
    with figure_style():
        figure, ax = canvas(ax, figure_size(pixels.shape))
        show_picture(ax, painted)
        heading(ax, plain(title, 80), counted(len(segments), "segment"))
    return figure


@checked_arguments
def plot_classes(
    segments: Segments,
    image: ImageLike,
    *,
    ax: Axes | None = None,
    title: str = "Semantic classes",
    max_legend: int = 24,
) -> Figure:
    """The semantic map over the picture, with a legend of class names and their shares of it.

    Args:
        segments: N segments of this picture with `labels`; noise (-1) is grey.
        image: The picture.
        ax: Axes to draw into; a new figure by default.
        title: Text above it.
        max_legend: The legend names this many classes, by the area they cover.
    """
    pixels = read_image(image)
    painted = overlay(segments, pixels, by="class", scale=display_scale(pixels.shape))
    classes, _ = _classes(segments)
    with figure_style():
        figure, ax = canvas(ax, figure_size(pixels.shape, extra=2.4))
        show_picture(ax, painted)
        noise = int((segments.labels < 0).sum())
        n = len(classes)
        heading(
            ax, plain(title, 80), f"{counted(n, 'class')} · {counted(len(segments), 'segment')}"
        )
        areas = _class_areas(segments)
        size = pixels.shape[0] * pixels.shape[1]
        shares = np.array([areas.get(label, 0) / size for label in classes.tolist()])
        order = np.argsort(-shares, kind="stable")
        shown = order[:max_legend]
        names = [
            f"{plain(segments.class_name(int(classes[i])))}   {percent(shares[i])}" for i in shown
        ]
        swatches = [_swatch(hex_color(int(classes[i]))) for i in shown]
        if n > max_legend:
            rest = float(shares[order[max_legend:]].sum())
            names.append(f"{n - max_legend} more classes   {percent(rest)}")
            swatches.append(_swatch("none"))
        if noise:
            left = percent(max(0.0, 1 - float(shares.sum())))
            names.append(f"{plain(segments.class_name(-1))}   {left}")
            swatches.append(_swatch(hex_color(-1)))
        if names:
            ax.legend(
                swatches, names, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0,
                handlelength=1.1, handleheight=1.1, labelspacing=0.7, fontsize=10,
            )  # fmt: skip
    return figure


@checked_arguments
def plot_class_panels(
    segments: Segments,
    image: ImageLike,
    *,
    classes: Sequence[int] | None = None,
    columns: Count = 3,
    max_classes: int = 12,
) -> Figure:
    """One panel per class: its segments in full colour on a pale shadow of the picture.

    Args:
        segments: N segments of this picture with `labels`.
        image: The picture.
        classes: Labels to show, in this order; by default those that cover most of the picture,
            at most `max_classes` of them, without noise.
        columns: Panels side by side.
        max_classes: See `classes`.
    """
    pixels = read_image(image)
    found, _ = _classes(segments)
    areas = _class_areas(segments)
    if classes is None:
        ranked = sorted(found.tolist(), key=lambda label: -areas.get(label, 0))
        chosen = ranked[:max_classes]
    else:
        chosen = [int(label) for label in classes]
    if not chosen:
        return _empty_figure("No classes: every segment is unassigned, or there is none.")
    scale = min(800 / max(pixels.shape[:2]), 4.0)
    with figure_style():
        figure, panels = picture_grid(len(chosen), columns, pixels.shape)
        for ax, label in zip(panels, chosen, strict=True):
            show_picture(ax, class_cut_out(segments, pixels, label, scale=scale))
            share = areas.get(label, 0) / pixels[..., 0].size
            number = int((segments.labels == label).sum())
            ax.set_title(f"■ {plain(segments.class_name(label), 24)}", fontsize=10.5,
                         color=readable(label))  # fmt: skip
            ax.set_title(f"{number} · {percent(share)}", loc="right", fontsize=9,
                         fontweight="normal", color=MUTED)  # fmt: skip
        hidden = len(found) - len(chosen)
        if classes is None and hidden > 0:
            figure.supxlabel(f"and {hidden} smaller classes", fontsize=9.5, color=MUTED)
    return figure


@checked_arguments
def plot_heat_map(
    image: ImageLike,
    heat: np.ndarray,
    *,
    query: Segments | None = None,
    ax: Axes | None = None,
    title: str = "Cosine similarity",
    low: float | None = None,
    high: float | None = None,
) -> Figure:
    """A similarity heat map over the picture, with its scale and the query's outline.

    Args:
        image: The picture.
        heat: float (h, w), of the picture's size or coarser, covering the whole picture.
        query: Segments of this picture to outline, for example the one that was asked about.
        ax: Axes to draw into; a new figure by default.
        title: Text above it.
        low: Value at the dark end of the scale; the smallest by default.
        high: Value at the bright end; the largest by default.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    pixels = read_image(image)
    low, high = heat_range(np.asarray(heat), low, high)
    painted = heat_overlay(pixels, heat, low=low, high=high, scale=display_scale(pixels.shape))
    with figure_style():
        figure, ax = canvas(ax, figure_size(pixels.shape, extra=0.9))
        show_picture(ax, painted)
        heading(ax, plain(title, 80))
        if query is not None:
            step = painted.shape[1] / pixels.shape[1], painted.shape[0] / pixels.shape[0]
            for i in range(len(query)):
                mask = np.pad(query.mask(i).astype(np.float32), 1)
                x = (np.arange(mask.shape[1]) - 0.5) * step[0] - 0.5
                y = (np.arange(mask.shape[0]) - 0.5) * step[1] - 0.5
                ax.contour(x, y, mask, levels=[0.5], colors="white", linewidths=1.8)
        bar = figure.colorbar(
            ScalarMappable(Normalize(low, high), "inferno"), ax=ax, fraction=0.035, pad=0.02
        )
        bar.outline.set_visible(False)
    return figure


# -- small things the figures share -------------------------------------------------------------


def _classes(segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    """Labels that occur, without noise, ascending, and how many segments each has."""
    labels = segments.labels
    return np.unique(labels[labels >= 0], return_counts=True)


def _class_areas(segments: Segments) -> dict[int, int]:
    """Pixels per label, each pixel counted once, for the smallest segment on it."""
    if len(segments) == 0:
        return {}
    found, pixels = np.unique(segments.label_map(background=-2), return_counts=True)
    return dict(zip(found.tolist(), pixels.tolist(), strict=True))


def _swatch(color: str) -> Rectangle:
    return Rectangle((0, 0), 1, 1, facecolor=color, edgecolor="none")


def _empty_figure(text: str) -> Figure:
    with figure_style():
        figure, ax = canvas(None, (7.2, 1.2))
        ax.set_axis_off()
        note(ax, text)
    return figure
