"""The first screen of a report: the classes as a person sees them, and what to try next."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from samlab.errors import counted, percent
from samlab.images import ImageLike, read_image
from samlab.palette import class_colors, hex_color
from samlab.segments import Segments
from samlab.view.plots import cut_square
from samlab.view.scene import jpeg
from samlab.view.tables import class_table, unassigned_share

if TYPE_CHECKING:
    from samlab.latent.cluster import Clustering, Rung, Sweep

_SIDE = 144
"""Of a crop, pixels: half as many on the page."""


def class_cards_html(
    segments: Segments,
    image: ImageLike,
    clustering: Clustering | None = None,
    others: Sweep | Sequence[Rung] | None = None,
    *,
    most: int = 12,
    crops: int = 3,
) -> str:
    """The classes of a picture as HTML cards: swatch, name, share of the picture, crops.

    Args:
        segments: N segments of this picture with `labels`.
        image: The picture.
        clustering: How they got them; with it and `others`, "try these" tells what else to ask for.
        others: The same segments at other eps: `samlab.ladder`, or `samlab.sweep`.
        most: At most this many classes get a card, by the area they cover.
        crops: At most this many segments of a class are shown, the largest.

    Returns:
        HTML without outside links; names are escaped. The last card is what is unassigned: pixels
        of no class, whether a segment is there or not.
    """
    pixels = read_image(image)
    table = class_table(segments)
    classes = [label for label in table.index.tolist() if label >= 0]
    cards = [
        _card(segments, pixels, label, float(table.area_share[label]), crops)
        for label in classes[:most]
    ]
    left = unassigned_share(segments)
    if left > 0:
        cards.append(_card(segments, pixels, -1, left, crops))
    hidden = len(classes) - most
    more = f"<p class='samlab-note'>and {hidden} smaller classes</p>" if hidden > 0 else ""
    said = f"<b>{counted(len(classes), 'class')}</b> · {percent(left)} of the picture unassigned"
    return (
        f"<p class='samlab-answer'>{said}</p><div class='samlab-cards' style='display:flex;"
        f"flex-wrap:wrap;gap:14px 22px'>{''.join(cards)}</div>{more}"
        + _tries(segments, clustering, others)
    )


def other_eps(sweep: Sweep, clustering: Clustering, areas: np.ndarray) -> list[tuple[float, str]]:
    """Radii worth trying: one with fewer classes and one with more, unlike what there is.

    Of each kind the one with the least unassigned.

    Args:
        sweep: Of the same N segments.
        clustering: What there is.
        areas: float (N,), what each segment counts for.

    Returns:
        eps, and what it gives in words. Fewer classes first.
    """
    total = max(float(areas.sum()), 1e-9)
    left = [float(areas[row < 0].sum()) / total for row in sweep.labels]
    found = []
    for kind, wanted in (
        ("fewer", (sweep.n_clusters < clustering.n_clusters) & (sweep.n_clusters > 1)),
        ("more", sweep.n_clusters > clustering.n_clusters),
    ):
        steps = np.flatnonzero(wanted)
        if len(steps):
            best = min(steps.tolist(), key=lambda step: left[step])
            number = counted(int(sweep.n_clusters[best]), "class")
            found.append((float(f"{sweep.eps[best]:.3g}"), f"{kind} classes ({number})"))
    return found


def other_rungs(rungs: Sequence[Rung], clustering: Clustering) -> list[tuple[float, str]]:
    """The same of a ladder: the next rung with fewer classes, and the next with more."""
    now = clustering.n_clusters
    fewer = [rung for rung in rungs if 1 < rung.n_clusters < now][-1:]
    more = [rung for rung in rungs if rung.n_clusters > now][:1]
    return [
        (rung.eps, f"{kind} classes ({counted(rung.n_clusters, 'class')})")
        for kind, found in (("fewer", fewer), ("more", more))
        for rung in found
    ]


def _card(segments: Segments, pixels: np.ndarray, label: int, share: float, crops: int) -> str:
    members = np.flatnonzero(segments.labels < 0 if label < 0 else segments.labels == label)
    largest = members[np.argsort(-segments.areas[members], kind="stable")][:crops]
    line = tuple(int(v) for v in class_colors(np.array(label)))
    shown = "".join(
        f"<img alt='' width='{_SIDE // 2}' height='{_SIDE // 2}' style='border-radius:5px' src='"
        f"data:image/jpeg;base64,{_encoded(cut_square(segments, int(i), pixels, _SIDE, line))}'>"
        for i in largest
    )
    name = escape(segments.class_name(label))
    swatch = (
        "display:inline-block;width:.9em;height:.9em;border-radius:3px;margin-right:.5em;"
        f"background:{hex_color(label)}"
    )
    return (
        f"<div class='samlab-card'><div><span style='{swatch}'></span><b>{name}</b> "
        f"<span style='color:#667079'>{percent(share)}</span></div>"
        f"<div style='display:flex;gap:4px;margin-top:4px'>{shown}</div></div>"
    )


def _encoded(pixels: np.ndarray) -> str:
    return b64encode(jpeg(pixels, quality=85)).decode("ascii")


def _tries(
    segments: Segments, clustering: Clustering | None, others: Sweep | Sequence[Rung] | None
) -> str:
    """What to try where this is not it."""
    tries = []
    if len(segments) == 0:
        tries.append(
            "No segment passed the thresholds: lower <code>pred_iou_thresh</code> or "
            "<code>stability_score_thresh</code>, or raise <code>points_per_side</code>."
        )
    elif not (segments.labels >= 0).any():
        tries.append(
            "No class was found: raise <code>eps</code> or lower <code>min_samples</code>."
        )
    if clustering is not None and others is not None and len(segments):
        if isinstance(others, Sequence):
            method, found = ' method="ward"', other_rungs(others, clustering)
        else:
            method, found = "", other_eps(others, clustering, segments.areas)
        for eps, gives in found:
            tries.append(f"<code>eps={eps:g}{method and ','}{method}</code> for {gives}")
    if not tries:
        return ""
    items = "".join(f"<li>{text}</li>" for text in tries)
    return f"<p class='samlab-note'>Not it? Try these:</p><ul class='samlab-note'>{items}</ul>"
