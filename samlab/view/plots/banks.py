"""Static figures about memory banks: how they work, labelled boxes, confusion, what doubt buys.

All return a matplotlib Figure, draw with any backend, and leave rcParams and pyplot alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from samlab.errors import InputError, counted
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Natural
from samlab.images import read_image
from samlab.view.plots.figure import INK, MUTED, NotebookFigure, figure_style, heading, plain

if TYPE_CHECKING:
    from samlab.formats.labelled import LabelledImage
    from samlab.latent.evaluation import Evaluation
    from samlab.segments import Segments

_DATA, _FROZEN, _LEARNS = "#dbe9f6", "#ececec", "#fbe3c8"
_START = [("labelled\nboxes", _DATA), ("SAM: box\nto mask", _FROZEN), ("pooled\nvector", _DATA)]
_WAYS = {
    "Training-free": [
        *_START,
        ("KMeans\nper class", _FROZEN),
        ("bank", _DATA),
        ("nearest prototype\nby cosine", _FROZEN),
    ],
    "With a trained head (orange: what learns; SAM never does)": [
        *_START,
        ("projection,\nmargin loss", _LEARNS),
        ("bank, or\ntrained bank", _LEARNS),
        ("nearest prototype\nby cosine", _FROZEN),
    ],
}


@checked_arguments
def plot_bank_ways() -> Figure:
    """The two ways from labelled boxes to classes, as flow charts."""
    with figure_style():
        figure = NotebookFigure(figsize=(10, 3.2), layout="constrained")
        for axes, (title, steps) in zip(figure.subplots(2, 1), _WAYS.items(), strict=True):
            for i, (text, colour) in enumerate(steps):
                box = {"boxstyle": "round,pad=0.5", "facecolor": colour, "edgecolor": MUTED}
                axes.text(i, 0, text, ha="center", va="center", fontsize=8.5, color=INK, bbox=box)
                if i:
                    arrow = {"arrowstyle": "-|>", "color": MUTED}
                    axes.annotate("", (i - 0.36, 0), (i - 0.64, 0), arrowprops=arrow)
            axes.set(xlim=(-0.5, len(steps) - 0.5), ylim=(-0.5, 0.5))
            axes.axis("off")
            heading(axes, title)
    return figure


@checked_arguments
def plot_boxes(images: Iterable[LabelledImage], limit: Natural = 3) -> Figure:
    """The first labelled pictures with their boxes and class names."""
    shown = list(islice(images, limit))
    with figure_style():
        figure, grid = _row(len(shown), 3.0)
        for axes, image in zip(grid, shown, strict=False):
            axes.imshow(read_image(image.path))
            for (x0, y0, x1, y1), name in zip(image.boxes, image.class_names, strict=True):
                frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="white")
                axes.add_patch(frame)
                axes.text(x0, max(y0 - 2, 10), plain(name, 20), color="white", fontsize=8)
    return figure


@checked_arguments
def plot_confusion(evaluation: Evaluation) -> Figure:
    """How often each class was answered as which; each row, a true class, adds up to one.

    Classes that were neither asked about nor answered are left out.
    """
    table = evaluation.confusion_table().loc[list(evaluation.class_names)]
    table = table.loc[table.sum(axis=1) > 0, table.sum() > 0]
    share = table.div(table.sum(axis=1).clip(lower=1), axis=0).to_numpy()
    with figure_style():
        figure = NotebookFigure(
            figsize=(1.8 + 0.6 * table.shape[1], 1.4 + 0.45 * len(table)), layout="constrained"
        )
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        names = [plain(str(name), 20) for name in table.columns]
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(table)), [plain(str(name), 20) for name in table.index])
        for (i, j), n in np.ndenumerate(table.to_numpy()):
            if n:
                colour = "white" if share[i, j] > 0.5 else INK
                axes.text(j, i, str(n), ha="center", va="center", color=colour)
        axes.set(xlabel="answer", ylabel="truth")
        heading(axes, "Confusion", f"accuracy {evaluation.accuracy:.3f}")
    return figure


@checked_arguments
def plot_doubtful(
    evaluation: Evaluation, segments: Segments, images: Iterable[LabelledImage], limit: Natural = 5
) -> Figure:
    """The least certain wrong answers; where none was wrong, the least certain of all.

    Args:
        evaluation: Of these segments.
        segments: N segments of several pictures.
        images: The pictures, by name.
        limit: At most so many.
    """
    paths = {image.name: image.path for image in images}
    missing = sorted(set(segments.image_ids.tolist()) - set(paths))
    if missing:
        raise InputError(
            f"Expected images to have every picture of the segments; "
            f"{counted(len(missing), 'picture')} not there, the first is '{missing[0]}'."
        )
    answer = evaluation.answer
    wrong = answer.labels != evaluation.truth
    order = [i for i in np.argsort(answer.confidence) if wrong[i] or not wrong.any()][:limit]
    ids, boxes = segments.image_ids, segments.boxes
    with figure_style():
        figure, grid = _row(len(order), 2.4)
        for axes, i in zip(grid, order, strict=False):
            x0, y0, x1, y1 = boxes[i].astype(int)
            axes.imshow(read_image(paths[ids[i]])[y0:y1, x0:x1])
            truth, given = evaluation.class_names[evaluation.truth[i]], answer.names()[i]
            words = plain(f"{truth} → {given}", 40)
            axes.set_title(f"{words}\n{answer.confidence[i]:.2f}", fontsize=8.5)
    return figure


@checked_arguments
def plot_coverage(evaluation: Evaluation) -> Figure:
    """Errors among the answers against the share that is answered, as `unknown_below` moves."""
    curve = evaluation.coverage
    with figure_style():
        figure = NotebookFigure(figsize=(4.5, 2.8), layout="constrained")
        axes = figure.subplots()
        axes.plot(curve["coverage"], curve["error"], drawstyle="steps-post")
        axes.set(xlabel="share that is answered", ylabel="errors among them", xlim=(0, 1))
        axes.set_ylim(0, max(0.1, float(curve["error"].max()) * 1.1))
        heading(axes, "What doubt buys")
    return figure


def _row(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A row of axes for pictures."""
    figure = NotebookFigure(figsize=(10, height), layout="constrained")
    grid = list(np.ravel(figure.subplots(1, max(count, 1), squeeze=False)))
    for axes in grid:
        axes.axis("off")
    return figure, grid
