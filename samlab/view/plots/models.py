"""What several models find in the same pictures, as rows of overlays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Count
from samlab.images import ImageLike
from samlab.pictures import read_pictures
from samlab.segments import Segments
from samlab.view.overlay import overlay
from samlab.view.plots.figure import NotebookFigure, display_scale, figure_style, show_picture


@checked_arguments
def plot_models(
    images: ImageLike | Sequence[ImageLike],
    found: Mapping[str, Sequence[Segments]],
    pictures: Count = 4,
) -> Figure:
    """A row of overlays per model, a column per picture, the picture itself above.

    Args:
        images: A picture, a list of them, or a folder.
        found: Model -> its segments of each picture, in the same order.
        pictures: Show so many at most.
    """
    every = read_pictures(images)
    counts = {name: len(segments) for name, segments in found.items()}
    if not every or set(counts.values()) - {len(every)}:
        raise InputError(
            f"Expected pictures and, of every model, segments of each; got {len(every)} pictures "
            f"and segments of {counts}."
        )
    shown = every[:pictures]
    rows: list[tuple[str, Sequence[np.ndarray]]] = [("picture", shown)]
    for name, segments in found.items():
        painted = [
            overlay(one, image, by="segment", scale=display_scale(image.shape))
            for one, image in zip(segments, shown, strict=False)
        ]
        masks = np.mean([len(one) for one in segments])
        rows.append((f"{name}, {masks:.0f} masks", painted))
    height = 3.2 * max(image.shape[0] / image.shape[1] for image in shown) + 0.3
    with figure_style():
        figure = NotebookFigure(figsize=(3.2 * len(shown), height * len(rows)))
        grid = figure.subplots(len(rows), len(shown), squeeze=False)
        for line, (title, row) in zip(grid, rows, strict=True):
            for axes, pixels in zip(line, row, strict=True):
                show_picture(axes, pixels)
            line[0].set_title(title, loc="left")
        figure.tight_layout()
    return figure
