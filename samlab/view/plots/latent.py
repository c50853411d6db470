"""Figures of the latent space: patch features, the cluster curves, the map. See plots.py too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from samlab.errors import InputError, counted
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.latent.embed import PatchFeatures
from samlab.palette import class_colors, hex_color
from samlab.segments import Segments
from samlab.view.plots.figure import (
    FAINT,
    MUTED,
    NotebookFigure,
    canvas,
    figure_size,
    figure_style,
    heading,
    note,
    plain,
    readable,
    show_picture,
)

if TYPE_CHECKING:
    from samlab.latent.cluster import Clustering, Sweep


@checked_arguments
def plot_embedding(features: PatchFeatures, image: ImageLike) -> Figure:
    """The picture beside its patch features, whose three main directions are drawn as red, green
    and blue: patches of similar colour have similar features. Padding is left out.

    Args:
        features: Result of `samlab.encode`, or anything with `grid()` (D, rows, columns),
            `input_size` and `img_size`.
        image: The picture.
    """
    pixels = read_image(image)
    grid = features.grid()
    rows = features.input_size[0] / features.img_size * grid.shape[1]
    columns = features.input_size[1] / features.img_size * grid.shape[2]
    inside = grid[:, : int(np.ceil(rows)), : int(np.ceil(columns))]
    colors = _main_directions(inside.reshape(len(grid), -1).T).reshape(*inside.shape[1:], 3)
    wide, tall = figure_size(pixels.shape)
    with figure_style():
        figure = NotebookFigure(
            figsize=(10.5, 10.5 / 2 * tall / wide + 0.2), dpi=100, layout="constrained"
        )
        left, right = figure.subplots(1, 2)
        show_picture(left, pixels)
        heading(left, "Picture", f"{pixels.shape[1]} × {pixels.shape[0]} pixels")
        show_picture(right, colors)
        # The last row and column of patches may be half padding: cut the view, not the patches.
        right.set_xlim(-0.5, columns - 0.5)
        right.set_ylim(rows - 0.5, -0.5)
        size = f"{inside.shape[2]} × {inside.shape[1]} patches, {len(grid)} numbers each"
        heading(right, "Patch features", size)
    return figure


def _main_directions(vectors: np.ndarray) -> np.ndarray:
    """Vectors (M, D) as colours (M, 3), 0 .. 1, along their three principal axes."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    # An axis has no sign of its own: fix it, so that the same features give the same colours.
    axes = axes[:, ::-1][:, :3]
    axes = axes * np.where(axes.sum(axis=0) < 0, -1.0, 1.0)
    values = centred @ axes
    values = np.pad(values, ((0, 0), (0, 3 - values.shape[1])))
    low, high = np.percentile(values, [2, 98], axis=0)
    return np.clip((values - low) / np.maximum(high - low, 1e-9), 0, 1)


@checked_arguments
def plot_k_distances(clustering: Clustering, *, ax: Axes | None = None) -> Figure:
    """Each segment's distance to its k-th neighbour, sorted, with `eps` across it.

    Segments whose distance is below the line are cores of a class; where the curve turns steep,
    segments stop having company. After Ester et al., KDD 1996, section 4.2.

    Args:
        clustering: Result of `samlab.cluster`; k is its `min_samples`, the segment included.
        ax: Axes to draw into; a new figure by default.
    """
    distances = np.sort(np.asarray(clustering.k_distances, dtype=np.float64).ravel())
    eps = float(clustering.eps)
    title = "How far is company?"
    with figure_style():
        figure, ax = canvas(ax, (7.2, 3.6))
        heading(ax, title)
        ax.set_xlabel("segments, sorted")
        ax.set_ylabel(f"distance to the {_ordinal(clustering.min_samples - 1)} nearest other")
        if distances.size == 0:
            note(ax, "no segments")
            return figure
        rank = np.arange(1, len(distances) + 1)
        ax.plot(rank, distances, color=hex_color(0), linewidth=2, solid_capstyle="round")
        ax.set_xlim(0.5, max(len(rank) + 0.5, 2))
        finite = distances[np.isfinite(distances)]
        top = float(finite.max(initial=0.0)) * 1.06
        if np.isfinite(eps):
            core = distances <= eps
            ax.fill_between(rank, distances, where=core.tolist(), color=hex_color(0), alpha=0.12,
                            linewidth=0)  # fmt: skip
            ax.axhline(eps, color=hex_color(3), linewidth=1.4, dashes=(5, 3))
            ax.annotate(f"eps = {eps:.3g}", (0.012, eps), xycoords=("axes fraction", "data"),
                        xytext=(0, 4), textcoords="offset points", color=hex_color(3),
                        fontweight="bold")  # fmt: skip
            heading(ax, title, f"{core.sum()} of {len(core)} segments within eps")
            top = max(top, eps * 1.25)
        ax.set_ylim(0, top or 1.0)
    return figure


@checked_arguments
def plot_sweep(
    sweep: Sweep, *, eps: float | None = None, ax: Sequence[Axes] | None = None
) -> Figure:
    """Number of classes and share of unassigned segments over `eps`, one above the other.

    Args:
        sweep: Result of `samlab.sweep`.
        eps: A radius to mark, for example the chosen one.
        ax: Two axes to draw into; a new figure by default.
    """
    order = np.argsort(sweep.eps)
    radii = np.asarray(sweep.eps, np.float64)[order]
    with figure_style():
        if ax is None:
            figure: Figure = NotebookFigure(figsize=(7.2, 4.6), dpi=100, layout="constrained")
            upper, lower = figure.subplots(2, 1, sharex=True)
        else:
            if len(ax) != 2:
                raise InputError(f"Expected ax as two axes to draw into, got {len(ax)}.")
            upper, lower = ax
            figure = canvas(upper, (0, 0))[0]
        heading(upper, "Classes and unassigned segments over eps")
        for axes, values, color, label in (
            (upper, sweep.n_clusters[order], hex_color(0), "classes"),
            (lower, 100 * sweep.noise_fraction[order], MUTED, "unassigned, % of segments"),
        ):
            axes.plot(radii, values, color=color, linewidth=2, marker="o", markersize=4.5,
                      markeredgecolor="white", markeredgewidth=0.8)  # fmt: skip
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
            axes.grid(axis="y", color=FAINT, linewidth=0.6)
            axes.set_axisbelow(True)
            if eps is not None and np.isfinite(eps):
                axes.axvline(eps, color=hex_color(3), linewidth=1.4, dashes=(5, 3))
        if eps is not None and np.isfinite(eps):
            heading(upper, "Classes and unassigned segments over eps", f"eps = {eps:.3g}")
        lower.set_ylim(0, 102)
        upper.yaxis.get_major_locator().set_params(integer=True)
        lower.set_xlabel("eps")
        if len(radii) == 0:
            note(upper, "no radii")
        elif radii.min() > 0 and radii.max() > 8 * radii.min():
            # Radii are usually spaced geometrically; few ticks, written as plain numbers.
            lower.set_xscale("log")
            ticks = np.geomspace(radii.min(), radii.max(), 6)
            lower.set_xticks(ticks, [f"{t:.2g}" for t in ticks])
            lower.minorticks_off()
    return figure


@checked_arguments
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
    labels = segments.labels
    with figure_style():
        figure, ax = canvas(ax, (7.2, 5.4))
        heading(ax, "Latent space", f"UMAP of {counted(len(segments), 'segment')}")
        ax.set_xticks([])
        ax.set_yticks([])
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        if len(segments) == 0:
            note(ax, "no segments")
            return figure
        # Noise first, so that it never covers a class.
        order = np.argsort(labels >= 0, kind="stable")
        root = np.sqrt(segments.areas[order].astype(np.float64))
        size = 22 + 130 * (root / max(root.max(), 1.0)) ** 1.5
        color = class_colors(labels[order]) / 255.0
        faint = np.where(labels[order] < 0, 0.45, 0.9)
        ax.scatter(points[order, 0], points[order, 1], s=size, c=np.column_stack([color, faint]),
                   edgecolors="white", linewidths=0.7)  # fmt: skip
        ax.margins(0.08)
        for label in np.unique(labels[labels >= 0]).tolist():
            _name_group(ax, points[labels == label], segments.class_name(label), label)
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


def _name_group(ax: Axes, points: np.ndarray, name: str, label: int) -> None:
    from matplotlib.patheffects import withStroke

    centre = np.median(points, axis=0)
    x, y = points[np.argmin(((points - centre) ** 2).sum(axis=1))]
    ax.annotate(plain(name, 24), (x, y), xytext=(0, 9), textcoords="offset points", ha="center",
                fontsize=9, fontweight="bold", color=readable(label),
                path_effects=[withStroke(linewidth=2.6, foreground="white")])  # fmt: skip


def _ordinal(n: int) -> str:
    suffix = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"
