"""The classes of a picture as a table: a data frame, and HTML for reports."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from samlab.errors import percent
from samlab.errors.arguments import checked_arguments
from samlab.latent.cluster import class_sizes
from samlab.palette import hex_color
from samlab.segments import Segments

if TYPE_CHECKING:
    from samlab.latent.cluster import Clustering


@checked_arguments
def class_table(segments: Segments) -> pd.DataFrame:
    """One row per class, by the area it covers; noise (-1) last.

    Returns:
        Indexed by `label`: `name`, `segments` and `pictures` (how many), `area_share` (0 to 1, of
        the picture, or of all pictures; a pixel counts for the smallest segment on it),
        `predicted_iou` (mean, NaN where unknown) and `median_area` (pixels). No segments give no
        rows.

    Example:
        >>> from samlab import Segments, masks
        >>> one = Segments(rles=[masks.encode(np.eye(4, dtype=bool))], labels=np.array([0]))
        >>> class_table(one)[["segments", "area_share"]].values.tolist()
        [[1.0, 0.25]]
    """
    table = class_sizes(segments)
    areas = [float(np.median(segments.areas[segments.labels == label])) for label in table.index]
    return table.assign(median_area=np.array(areas, np.float64))


def unassigned_share(segments: Segments) -> float:
    """Share of the picture, 0 to 1, that no class has, whether a segment is there or not."""
    sizes = class_sizes(segments)
    return float(np.clip(1 - sizes.area_share[sizes.index >= 0].sum(), 0, 1))


@checked_arguments
def class_table_html(segments: Segments) -> str:
    """`class_table` as HTML with the classes' colours; names are escaped. Empty for no segments.

    The share of what is unassigned is `unassigned_share`.
    """
    table = class_table(segments)
    if table.empty:
        return ""
    rows = []
    left = unassigned_share(segments)
    columns = ["name", "segments", "area_share", "median_area", "predicted_iou"]
    for label, name, number, share, area, iou in table[columns].itertuples():
        swatch = (
            "display:inline-block;width:.85em;height:.85em;border-radius:2px;"
            f"margin-right:.6em;background:{hex_color(label)}"
        )
        cells = [
            f"<span style='{swatch}'></span>{escape(name)}",
            f"{number:,}",
            percent(left if label < 0 else share),
            f"{area:,.0f} px",
            f"{iou:.2f}" if np.isfinite(iou) else "–",
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    heads = ("class", "segments", "share of picture", "median area", "mean predicted IoU")
    head = "".join(f"<th>{text}</th>" for text in heads)
    return (
        f"<table class='samlab-table'><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def summary_html(segments: Segments, clustering: Clustering, seconds: float | None = None) -> str:
    """How the classes were found, in a few numbers, as a row of tiles.

    Args:
        segments: N segments with `labels`.
        clustering: How they got them.
        seconds: Time it all took.
    """
    height, width = segments.image_size
    tiles = [
        ("segments", f"{len(segments):,}"),
        ("classes", f"{clustering.n_clusters:,}"),
        ("of the picture unassigned", percent(unassigned_share(segments))),
        *_before_filling(segments, clustering),
        ("eps", f"{clustering.eps:.3g}" if np.isfinite(clustering.eps) else "–"),
    ]
    if np.isfinite(clustering.silhouette):
        tiles.append(("silhouette", f"{clustering.silhouette:.2f}"))
    tiles.append(("pixels", f"{width} × {height}"))
    if seconds is not None:
        tiles.append(("seconds", f"{seconds:.1f}"))
    cells = "".join(
        f"<div class='samlab-tile'><b style='font-size:1.5em'>{escape(value)}</b>"
        f"<br><span style='color:#667079'>{escape(name)}</span></div>"
        for name, value in tiles
    )
    note = ""
    if len(segments) == 0:
        note = (
            "<p class='samlab-note'>No segment passed the thresholds. Lower pred_iou_thresh or "
            "stability_score_thresh, or raise points_per_side.</p>"
        )
    elif clustering.n_clusters == 0:
        note = (
            "<p class='samlab-note'>No class was found: no segment has enough others near it. "
            "Raise eps or lower min_samples.</p>"
        )
    elif clustering.reason != "given":
        about = "eps: " if clustering.method == "dbscan" else ""
        note = f"<p class='samlab-note'>{about}{escape(clustering.reason)}.</p>"
    return (
        "<div class='samlab-tiles' style='display:flex;flex-wrap:wrap;gap:.6em 2.2em'>"
        f"{cells}</div>{note}"
    )


def _before_filling(segments: Segments, clustering: Clustering) -> list[tuple[str, str]]:
    """What would be unassigned without `fill`, where that has made a difference."""
    if not clustering.filled.any():
        return []
    bare = segments.with_labels(np.where(clustering.filled, -1, segments.labels))
    return [("unassigned before filling", percent(unassigned_share(bare)))]


@checked_arguments
def facts_html(facts: Mapping[str, Any]) -> str:
    """Names and values as a two-column HTML table; mappings inside are laid out flat, escaped."""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in _flat(facts)
    )
    return f"<table class='samlab-table samlab-facts'><tbody>{rows}</tbody></table>" if rows else ""


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            out += _flat(value, f"{prefix}{name} · ")
        else:
            out.append((f"{prefix}{name}", str(value)))
    return out
