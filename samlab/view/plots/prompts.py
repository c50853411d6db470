"""Figures about prompts: what was asked, what came back, and how mask generation filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Count
from samlab.images import ImageLike, read_image
from samlab.segments import Segments
from samlab.view.plots.figure import (
    FAINT,
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
    from samlab.sam.automatic import Proposals

_PAINT = np.array([0, 114, 178], np.float32)  # the first colour of the palette
_FOREGROUND, _BACKGROUND, _BOX = "#30e89c", "#fc3c6c", "#f0e442"


@checked_arguments
def plot_prompt(
    segments: Segments,
    image: ImageLike,
    *,
    points: Any = None,
    labels: Any = None,
    boxes: Any = None,
    titles: Sequence[str] | None = None,
    columns: Count = 3,
) -> Figure:
    """One panel per mask, with the prompt drawn in: points (green, red for background) and boxes.

    Args:
        segments: N masks of this picture, at most some dozens.
        image: The picture.
        points: (K, 2), the same in all panels, or (N, K, 2), each panel's own.
        labels: (K,) or (N, K), 1 foreground and 0 background; foreground by default.
        boxes: (4,) XYXY, the same in all panels, or (N, 4).
        titles: N titles; "mask 0" and so on by default.
        columns: Panels side by side.
    """
    pixels = read_image(image)
    count = len(segments)
    if titles is not None and len(titles) != count:
        raise InputError(f"Expected {count} titles, one per mask; got {len(titles)}.")
    rows, columns = max(1, -(-count // columns)), max(1, min(columns, count))
    wide, tall = figure_size(pixels.shape)
    width = min(10.5, 4.5 * columns)
    with figure_style():
        figure = NotebookFigure(
            figsize=(width, rows * (width / columns * tall / wide + 0.25)),
            dpi=100,
            layout="constrained",
        )
        axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for i, ax in enumerate(axes):
            if i >= count:
                ax.set_axis_off()
                continue
            show_picture(ax, _painted(pixels, segments.mask(i)))
            ax.set_title(plain(titles[i], 40) if titles else f"mask {i}", fontsize=10.5)
            ax.set_title(_scores(segments, i), loc="right", fontsize=8.5, fontweight="normal",
                         color=MUTED)  # fmt: skip
            _draw_prompt(ax, _own(points, i, 2), _own(labels, i, 1), _own(boxes, i, 1))
        if count == 0:
            note(axes[0], "no masks")
    return figure


@checked_arguments
def plot_stability(
    logits: np.ndarray, image: ImageLike, *, offset: float = 1.0, title: str = "Stability"
) -> Figure:
    """One mask at three thresholds: what a higher one leaves and a lower one adds.

    Args:
        logits: float (H, W) at the picture's size.
        image: The picture.
        offset: Distance of the two other thresholds from 0.
        title: Text above it.
    """
    pixels = read_image(image)
    if logits.shape != pixels.shape[:2]:
        raise InputError(f"Expected logits of shape {pixels.shape[:2]}, got {logits.shape}.")
    sure, possible = logits > offset, logits > -offset
    grey = 0.6 * np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2) + 95
    between = possible & ~sure
    grey[between] = 0.35 * grey[between] + 0.65 * np.array([230, 159, 0])
    grey[sure] = 0.35 * grey[sure] + 0.65 * _PAINT
    share = sure.sum() / max(int(possible.sum()), 1)
    with figure_style():
        figure = NotebookFigure(figsize=figure_size(pixels.shape), dpi=100, layout="constrained")
        ax = figure.subplots()
        show_picture(ax, grey.round().astype(np.uint8))
        _zoom(ax, possible)
        heading(ax, plain(title, 60),
                f"{sure.sum():,} of {possible.sum():,} pixels: {share:.3f}")  # fmt: skip
        marks = [Rectangle((0, 0), 1, 1, color="#0072b2"), Rectangle((0, 0), 1, 1, color="#e69f00")]
        names = [f"logit above {offset:g}", f"between {-offset:g} and {offset:g}"]
        ax.legend(marks, names, loc="lower right", frameon=True, framealpha=0.9, fontsize=9)
    return figure


@checked_arguments
def plot_funnel(
    proposals: Proposals,
    *,
    pred_iou_thresh: float | None = None,
    stability_score_thresh: float | None = None,
    box_nms_thresh: float | None = None,
) -> Figure:
    """How many candidates every filter of mask generation leaves, and where they lie.

    Left: every candidate by its two scores, with the thresholds; right: how many are left after
    each filter.

    Args:
        proposals: From `MaskGenerator.propose`, best with floors of 0.
        pred_iou_thresh, stability_score_thresh, box_nms_thresh: As for `Proposals.select`.
    """
    from samlab.sam.automatic import filter_funnel

    funnel = filter_funnel(proposals, pred_iou_thresh, stability_score_thresh, box_nms_thresh)
    iou, stability = proposals.candidates.iou, proposals.candidates.stability
    kept = np.isin(proposals.candidates.ids, funnel.ids[-1])
    passed = np.isin(proposals.candidates.ids, funnel.ids[-2]) & ~kept
    lost = ~kept & ~passed
    with figure_style():
        figure = NotebookFigure(figsize=(10.5, 4.4), dpi=100, layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        for chosen, color, name, size in (
            (lost, "#b5bcc3", "dropped for a score", 9),
            (passed, "#e69f00", "passed, but a duplicate", 12),
            (kept, "#0072b2", "kept", 16),
        ):
            left.scatter(iou[chosen], stability[chosen], s=size, c=color, linewidths=0,
                         alpha=0.8, label=f"{name} ({int(chosen.sum()):,})")  # fmt: skip
        left.axvline(funnel.thresholds[0], color=INK, lw=0.9, ls="--")
        left.axhline(funnel.thresholds[1], color=INK, lw=0.9, ls="--")
        left.set(xlabel="predicted IoU", ylabel="stability score")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3,
                      fontsize=9, markerscale=1.6)  # fmt: skip
        heading(left, "Every candidate", f"{len(proposals):,} masks")
        _bars(right, funnel.counts, funnel.thresholds)
    return figure


@checked_arguments
def plot_suppression(
    proposals: Proposals,
    image: ImageLike,
    *,
    pred_iou_thresh: float | None = None,
    stability_score_thresh: float | None = None,
    box_nms_thresh: float | None = None,
) -> Figure:
    """Boxes before and after non-maximum suppression, and the mask with most duplicates.

    Args:
        proposals: From `MaskGenerator.propose`.
        image: Their picture.
        pred_iou_thresh, stability_score_thresh, box_nms_thresh: As for `Proposals.select`.
    """
    from samlab.sam.automatic import filter_funnel, suppressed_by

    pixels = read_image(image)
    funnel = filter_funnel(proposals, pred_iou_thresh, stability_score_thresh, box_nms_thresh)
    pairs = suppressed_by(proposals, funnel)
    boxes = dict(zip(proposals.candidates.ids.tolist(), proposals.candidates.boxes, strict=True))
    wide, tall = figure_size(pixels.shape)
    with figure_style():
        figure = NotebookFigure(
            figsize=(10.5, 10.5 / 3 * tall / wide + 0.3), dpi=100, layout="constrained"
        )
        busiest, group = _busiest(pairs, boxes, pixels.shape[0] * pixels.shape[1] // 2)
        panels = [
            ("Before", pairs[:, 0].tolist(), "#d55e00", 0.3),
            ("After", funnel.ids[-1].tolist(), "#0072b2", 0.6),
            ("One and its duplicates", group, "#d55e00", 0.9),
        ]
        for ax, (title, ids, color, alpha) in zip(figure.subplots(1, 3), panels, strict=True):
            show_picture(ax, (0.45 * pixels + 140).astype(np.uint8))
            ax.set_title(title, fontsize=10.5)
            ax.set_title(f"{len(ids):,} boxes", loc="right", fontsize=8.5, fontweight="normal",
                         color=MUTED)  # fmt: skip
            for x0, y0, x1, y1 in np.unique([boxes[i] for i in ids], axis=0) if ids else ():
                ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=color,
                                       lw=0.8, alpha=alpha))  # fmt: skip
        if busiest is not None:
            x0, y0, x1, y1 = boxes[busiest]
            ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="#0072b2", lw=2.2))
    return figure


# -- small things ---------------------------------------------------------------------------------


def _zoom(ax: Axes, mask: np.ndarray) -> None:
    """Show the surroundings of a mask, in the proportions of the picture."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return
    height, width = mask.shape
    size = max((rows[-1] - rows[0] + 1) / height, (columns[-1] - columns[0] + 1) / width) * 1.5
    if size >= 1:
        return
    y = np.clip((rows[0] + rows[-1]) / 2, size * height / 2, height * (1 - size / 2))
    x = np.clip((columns[0] + columns[-1]) / 2, size * width / 2, width * (1 - size / 2))
    ax.set_xlim(x - size * width / 2, x + size * width / 2)
    ax.set_ylim(y + size * height / 2, y - size * height / 2)


def _busiest(
    pairs: np.ndarray, boxes: dict[int, np.ndarray], limit: int
) -> tuple[int | None, list[int]]:
    """A kept candidate that stands for many, if possible for different boxes; and all of those.

    One smaller than `limit` pixels if possible: the whole picture shows nothing.
    """
    groups = [pairs[pairs[:, 1] == kept, 0].tolist() for kept in np.unique(pairs[:, 1])]
    if not groups:
        return None, []

    def worth(ids: list[int]) -> tuple[int, int]:
        different = np.unique([boxes[i] for i in ids], axis=0)
        x0, y0, x1, y1 = different[0]
        area = int((x1 - x0) * (y1 - y0))
        return min(len(different), 3), len(ids) if area < limit else 0

    group = max(groups, key=worth)
    return int(pairs[pairs[:, 0] == group[0], 1][0]), group


def _bars(ax: Axes, counts: dict[str, int], thresholds: tuple[float, float, float]) -> None:
    rules = ["", f"above {thresholds[0]:g}", f"at least {thresholds[1]:g}",
             f"box IoU up to {thresholds[2]:g}"]  # fmt: skip
    names = [f"{name}\n{rule}" if rule else name for name, rule in zip(counts, rules, strict=True)]
    values = list(counts.values())
    positions = np.arange(len(values))[::-1]
    ax.barh(positions, values, color=[FAINT, "#b5bcc3", "#e69f00", "#0072b2"], height=0.62)
    for position, value in zip(positions, values, strict=True):
        ax.text(value, position, f"  {value:,}", va="center", fontweight="bold", color=INK)
    ax.set_yticks(positions, names)
    ax.tick_params(length=0)
    ax.set_xticks([])
    ax.set_xlim(0, max([*values, 1]) * 1.18)
    ax.spines["bottom"].set_visible(False)
    heading(ax, "Left after each filter")


def _painted(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask in blue with a light rim, the rest of the picture pale."""
    grey = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)[:, None]
    out = 0.35 * pixels + 0.25 * grey + 95
    out[mask] = 0.4 * grey[mask] + 0.6 * _PAINT
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    out[mask & ~inner] = 255
    return out.round().astype(np.uint8)


def _scores(segments: Segments, i: int) -> str:
    iou, stability = segments.predicted_iou[i], segments.stability_score[i]
    parts = [f"IoU {iou:.2f}"] if np.isfinite(iou) else []
    parts += [f"stability {stability:.2f}"] if np.isfinite(stability) else []
    return ", ".join(parts)


def _own(values: Any, i: int, shared: int) -> np.ndarray | None:
    """The part of prompt i of an array that has `shared` dimensions when all share it."""
    if values is None:
        return None
    array = np.asarray(values, np.float64)
    return array if array.ndim == shared else array[i]


def _draw_prompt(
    ax: Axes, points: np.ndarray | None, labels: np.ndarray | None, box: np.ndarray | None
) -> None:
    if box is not None:
        x0, y0, x1, y1 = box
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=INK, lw=3.4))
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=_BOX, lw=1.8))
    if points is None:
        return
    kinds = np.ones(len(points)) if labels is None else labels
    for kind, color, marker in ((1, _FOREGROUND, "*"), (0, _BACKGROUND, "X")):
        at = points[kinds == kind]
        ax.scatter(at[:, 0], at[:, 1], s=170 if kind else 95, c=color, marker=marker,
                   edgecolors=INK, linewidths=1.0, zorder=3)  # fmt: skip
