"""The classes of a picture as a table: a data frame, and HTML for reports."""

from __future__ import annotations

from html import escape

import numpy as np
import pandas as pd

from samlab.segments import Segments
from samlab.view.palette import hex_color

_COLUMNS = ["class_name", "segments", "area_share", "median_area", "mean_predicted_iou"]


def class_table(segments: Segments) -> pd.DataFrame:
    """One row per class, by the area it covers; noise (-1) last.

    Returns:
        Indexed by `label`: `class_name`, `segments` (how many), `area_share` (0 to 1, of the
        picture, a pixel counted for the smallest segment on it), `median_area` (pixels) and
        `mean_predicted_iou`. No segments give no rows.

    Example:
        >>> from samlab import Segments, masks
        >>> one = Segments(rles=[masks.encode(np.eye(4, dtype=bool))], labels=np.array([0]))
        >>> class_table(one)[["segments", "area_share"]].values.tolist()
        [[1.0, 0.25]]
    """
    labels, areas = segments._column("labels"), segments._column("areas")
    iou = segments._column("predicted_iou")
    pixels = max(segments.image_size[0] * segments.image_size[1], 1)
    visible: dict[int, int] = {}
    if len(segments):
        top, counted = np.unique(segments.label_map(background=-2), return_counts=True)
        visible = dict(zip(top.tolist(), counted.tolist(), strict=True))
    found = sorted(
        np.unique(labels).tolist(), key=lambda label: (label < 0, -visible.get(label, 0))
    )
    rows = []
    for label in found:
        own = labels == label
        known = iou[own][np.isfinite(iou[own])]
        rows.append(
            (
                segments.class_name(label),
                int(own.sum()),
                visible.get(label, 0) / pixels,
                float(np.median(areas[own])),
                float(known.mean()) if known.size else np.nan,
            )
        )
    return pd.DataFrame(rows, columns=_COLUMNS, index=pd.Index(found, name="label", dtype="int64"))


def class_table_html(segments: Segments) -> str:
    """`class_table` as HTML with the classes' colours; names are escaped. Empty for no segments."""
    table = class_table(segments)
    if table.empty:
        return ""
    rows = []
    for label, name, number, share, area, iou in table.itertuples():
        swatch = (
            "display:inline-block;width:.85em;height:.85em;border-radius:2px;"
            f"margin-right:.6em;background:{hex_color(label)}"
        )
        cells = [
            f"<span style='{swatch}'></span>{escape(name)}",
            f"{number:,}",
            f"{100 * share:.1f} %",
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
