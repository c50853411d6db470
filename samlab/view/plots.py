"""Static figures: segments, semantic classes, the cluster curves, the map of the latent space.

All return a matplotlib Figure, draw with any backend, and leave rcParams and pyplot alone. Empty
segments give a figure too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from samlab.errors import InputError
from samlab.images import ImageLike, read_image
from samlab.segments import Segments
from samlab.view.figure import (
    FAINT,
    MUTED,
    NotebookFigure,
    canvas,
    display_scale,
    heading,
    picture_size,
    plain,
    show_picture,
    style,
)
from samlab.view.overlay import class_cut_out, heat_overlay, heat_range, overlay
from samlab.view.palette import class_colors, hex_color

if TYPE_CHECKING:
    from samlab.latent.clusters import Clustering


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
    with style():
        figure, ax = canvas(ax, picture_size(pixels.shape))
        show_picture(ax, painted)
        heading(ax, plain(title, 80), _count(len(segments), "segment"))
    return figure


def plot_classes(
    segments: Segments,
    image: ImageLike,
    *,
    ax: Axes | None = None,
    title: str = "Semantic classes",
    max_legend: int = 24,
) -> Figure:
    """The semantic map over the picture, with a legend of class names and segment counts.

    Args:
        segments: N segments of this picture with `labels`; noise (-1) is grey.
        image: The picture.
        ax: Axes to draw into; a new figure by default.
        title: Text above it.
        max_legend: The legend names this many classes, those with most segments.
    """
    pixels = read_image(image)
    painted = overlay(segments, pixels, by="class", scale=display_scale(pixels.shape))
    classes, counts = _classes(segments)
    with style():
        figure, ax = canvas(ax, picture_size(pixels.shape, extra=2.4))
        show_picture(ax, painted)
        noise = int((segments._column("labels") < 0).sum())
        n = len(classes)
        heading(ax, plain(title, 80), f"{_count(n, 'class')} · {_count(len(segments), 'segment')}")
        order = np.argsort(-counts, kind="stable")
        shown = np.sort(order[:max_legend])
        names = [f"{plain(segments.class_name(int(classes[i])))}   {counts[i]}" for i in shown]
        swatches = [_swatch(hex_color(int(classes[i]))) for i in shown]
        if n > max_legend:
            rest = int(counts[order[max_legend:]].sum())
            names.append(f"{n - max_legend} more classes   {rest}")
            swatches.append(_swatch("none"))
        if noise:
            names.append(f"{plain(segments.class_name(-1))}   {noise}")
            swatches.append(_swatch(hex_color(-1)))
        if names:
            ax.legend(
                swatches, names, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0,
                handlelength=1.1, handleheight=1.1, labelspacing=0.7, fontsize=10,
            )  # fmt: skip
    return figure


def plot_class_panels(
    segments: Segments,
    image: ImageLike,
    *,
    classes: Sequence[int] | None = None,
    columns: int = 3,
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
    if columns < 1:
        raise InputError(f"Expected at least one column, got {columns}.")
    if not chosen:
        return _empty_figure("No classes: every segment is noise, or there is none.")
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    wide, tall = picture_size(pixels.shape)
    step = 10.5 / max(columns, 2)
    scale = min(800 / max(pixels.shape[:2]), 4.0)
    with style():
        figure = NotebookFigure(
            figsize=(step * columns, rows * (step * tall / wide + 0.15)),
            dpi=100,
            layout="constrained",
        )
        grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for ax, label in zip(grid, chosen, strict=False):
            show_picture(ax, class_cut_out(segments, pixels, label, scale=scale))
            share = areas.get(label, 0) / pixels[..., 0].size
            number = int((segments._column("labels") == label).sum())
            ax.set_title(f"■ {plain(segments.class_name(label), 24)}", fontsize=10.5,
                         color=_readable(label))  # fmt: skip
            ax.set_title(f"{number} · {_percent(share)}", loc="right", fontsize=9,
                         fontweight="normal", color=MUTED)  # fmt: skip
        for ax in grid[len(chosen) :]:
            ax.set_axis_off()
        hidden = len(found) - len(chosen)
        if classes is None and hidden > 0:
            figure.supxlabel(f"and {hidden} smaller classes", fontsize=9.5, color=MUTED)
    return figure


def plot_k_distances(clustering: Clustering, *, ax: Axes | None = None) -> Figure:
    """Each segment's distance to its k-th neighbour, sorted, with `eps` across it.

    Segments whose distance is below the line are core points of a class; where the curve turns
    steep, segments stop having company. After Ester et al., KDD 1996, section 4.2.

    Args:
        clustering: Result of `samlab.cluster`.
        ax: Axes to draw into; a new figure by default.
    """
    distances = np.sort(np.asarray(clustering.k_distances, dtype=np.float64).ravel())
    eps = clustering.eps
    with style():
        figure, ax = canvas(ax, (7.2, 3.6))
        heading(ax, "Distance to the k-th neighbour")
        ax.set_xlabel("segments, sorted")
        ax.set_ylabel("distance")
        if distances.size == 0:
            _note(ax, "no segments")
            return figure
        rank = np.arange(1, len(distances) + 1)
        ax.plot(rank, distances, color=hex_color(0), linewidth=2, solid_capstyle="round")
        ax.set_xlim(0.5, max(len(rank) + 0.5, 2))
        top = float(distances.max()) * 1.06
        if eps is not None and np.isfinite(eps):
            core = distances <= eps
            ax.fill_between(rank, distances, where=core.tolist(), color=hex_color(0), alpha=0.12,
                            linewidth=0)  # fmt: skip
            ax.axhline(eps, color=hex_color(3), linewidth=1.4, dashes=(5, 3))
            ax.annotate(f"eps = {eps:.3g}", (0.012, eps), xycoords=("axes fraction", "data"),
                        xytext=(0, 4), textcoords="offset points", color=hex_color(3),
                        fontweight="bold")  # fmt: skip
            heading(ax, "Distance to the k-th neighbour",
                    f"{core.sum()} of {len(core)} below eps")  # fmt: skip
            top = max(top, float(eps) * 1.25)
        ax.set_ylim(0, top or 1.0)
    return figure


def plot_sweep(results: Any, *, ax: Sequence[Axes] | None = None) -> Figure:
    """Number of classes and share of noise over `eps`, one above the other.

    Args:
        results: What `samlab.sweep` returns: one clustering per `eps`.
        ax: Two axes to draw into; a new figure by default.
    """
    runs = sorted(results.values() if isinstance(results, dict) else results, key=lambda r: r.eps)
    eps = [float(run.eps) for run in runs]
    classes = [len(set(np.asarray(run.labels).tolist()) - {-1}) for run in runs]
    noise = [100 * float(run.noise_fraction) for run in runs]
    with style():
        if ax is None:
            figure: Figure = NotebookFigure(figsize=(7.2, 4.6), dpi=100, layout="constrained")
            upper, lower = figure.subplots(2, 1, sharex=True)
        else:
            upper, lower = ax
            figure = canvas(upper, (0, 0))[0]
        heading(upper, "Classes and noise over eps")
        for axes, values, color, label in (
            (upper, classes, hex_color(0), "classes"),
            (lower, noise, MUTED, "noise, %"),
        ):
            axes.plot(eps, values, color=color, linewidth=2, marker="o", markersize=4.5,
                      markeredgecolor="white", markeredgewidth=0.8)  # fmt: skip
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
            axes.grid(axis="y", color=FAINT, linewidth=0.6)
            axes.set_axisbelow(True)
        lower.set_ylim(0, 102)
        upper.yaxis.get_major_locator().set_params(integer=True)
        lower.set_xlabel("eps")
        if not runs:
            _note(upper, "no clusterings")
    return figure


def plot_projection(
    segments: Segments, points: np.ndarray | None = None, *, ax: Axes | None = None
) -> Figure:
    """Segments in the plane of UMAP, in the colours of their classes.

    Args:
        segments: N segments with `labels`.
        points: float (N, 2) from `samlab.project`; computed here when left out.
        ax: Axes to draw into; a new figure by default.
    """
    points = projected(segments, points)
    labels = segments._column("labels")
    with style():
        figure, ax = canvas(ax, (7.2, 5.4))
        heading(ax, "Latent space", f"UMAP of {_count(len(segments), 'segment')}")
        ax.set_xticks([])
        ax.set_yticks([])
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        if len(segments) == 0:
            _note(ax, "no segments")
            return figure
        # Noise first, so that it never covers a class.
        order = np.argsort(labels >= 0, kind="stable")
        root = np.sqrt(segments._column("areas")[order].astype(np.float64))
        size = 22 + 130 * (root / max(root.max(), 1.0)) ** 1.5
        color = class_colors(labels[order]) / 255.0
        faint = np.where(labels[order] < 0, 0.45, 0.9)
        ax.scatter(points[order, 0], points[order, 1], s=size, c=np.column_stack([color, faint]),
                   edgecolors="white", linewidths=0.7)  # fmt: skip
        ax.margins(0.08)
        for label in _classes(segments)[0].tolist():
            _name_group(ax, points[labels == label], segments.class_name(label), label)
    return figure


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
    with style():
        figure, ax = canvas(ax, picture_size(pixels.shape, extra=0.9))
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


def projected(segments: Segments, points: np.ndarray | None) -> np.ndarray:
    """The given points, checked, or UMAP's; float (N, 2)."""
    if len(segments) == 0:
        return np.zeros((0, 2))
    if points is None:
        from samlab.latent.projection import project

        points = project(segments)
    points = np.asarray(points, dtype=np.float64)
    if points.shape != (len(segments), 2):
        raise InputError(
            f"Expected one point (x, y) per segment, shape ({len(segments)}, 2); "
            f"got {points.shape}. Make them with samlab.project(segments)."
        )
    return points


def _classes(segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    """Labels that occur, without noise, ascending, and how many segments each has."""
    labels = segments._column("labels")
    return np.unique(labels[labels >= 0], return_counts=True)


def _class_areas(segments: Segments) -> dict[int, int]:
    """Pixels per label, each pixel counted once, for the smallest segment on it."""
    if len(segments) == 0:
        return {}
    found, pixels = np.unique(segments.label_map(background=-2), return_counts=True)
    return dict(zip(found.tolist(), pixels.tolist(), strict=True))


def _name_group(ax: Axes, points: np.ndarray, name: str, label: int) -> None:
    from matplotlib.patheffects import withStroke

    centre = np.median(points, axis=0)
    x, y = points[np.argmin(((points - centre) ** 2).sum(axis=1))]
    ax.annotate(plain(name, 24), (x, y), xytext=(0, 9), textcoords="offset points", ha="center",
                fontsize=9, fontweight="bold", color=_readable(label),
                path_effects=[withStroke(linewidth=2.6, foreground="white")])  # fmt: skip


def _readable(label: int) -> tuple[float, ...]:
    """A class colour dark enough for letters on white."""
    color = class_colors(np.array(label)) / 255.0
    bright = float(color @ [0.299, 0.587, 0.114])
    return tuple((color * min(1.0, 0.5 / max(bright, 1e-6))).tolist())


def _swatch(color: str) -> Rectangle:
    return Rectangle((0, 0), 1, 1, facecolor=color, edgecolor="none")


def _note(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=MUTED)


def _empty_figure(text: str) -> Figure:
    with style():
        figure, ax = canvas(None, (7.2, 1.2))
        ax.set_axis_off()
        _note(ax, text)
    return figure


def _count(n: int, noun: str) -> str:
    plural = {"class": "classes"}.get(noun, noun + "s")
    return f"{n:,} {noun if n == 1 else plural}"


def _percent(share: float) -> str:
    return "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
