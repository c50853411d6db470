"""The class ladder as a figure: the clusterings that last, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from samlab.errors import counted, percent
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.latent.cluster import Rung
from samlab.segments import Segments
from samlab.view.overlay import overlay
from samlab.view.plots.figure import (
    MUTED,
    canvas,
    figure_style,
    note,
    picture_grid,
    show_picture,
)

_SIDE = 480
"""Longest side of a small picture, in pixels."""


@checked_arguments
def plot_ladder(
    segments: Segments, image: ImageLike, rungs: Sequence[Rung], *, columns: int = 3
) -> Figure:
    """The picture once for each rung of `samlab.ladder`, in its classes.

    Args:
        segments: N segments of this picture.
        image: The picture.
        rungs: What `samlab.ladder` gave for these segments.
        columns: Pictures side by side.

    Returns:
        A figure; above each picture how many classes, what is unassigned (share of the picture),
        and the eps that gives it; the one that `samlab.cluster` takes by itself is marked.
    """
    pixels = read_image(image)
    if not rungs:
        with figure_style():
            figure, ax = canvas(None, (7.2, 1.2))
            ax.set_axis_off()
            note(ax, "No ladder: there are too few segments, or all are alike.")
        return figure
    scale = min(_SIDE / max(pixels.shape[:2]), 4.0)
    with figure_style():
        figure, panels = picture_grid(len(rungs), columns, pixels.shape)
        for ax, rung in zip(panels, rungs, strict=True):
            labelled = segments.with_labels(rung.labels)
            show_picture(ax, overlay(labelled, pixels, scale=scale))
            left = 1 - float((labelled.label_map() >= 0).mean())
            chosen = ", chosen" if rung.chosen else ""
            ax.set_title(counted(rung.n_clusters, "class") + chosen, fontsize=10.5)
            ax.set_title(f"{percent(left)} unassigned · eps {rung.eps:.3g}", loc="right",
                         fontsize=9, fontweight="normal", color=MUTED)  # fmt: skip
    return figure
