"""The picture beside the map of the latent space as one plotly figure, with hover on every segment.

A static file keeps it alive: `figure_html` gives HTML that needs no network.
"""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from samlab import masks
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.palette import hex_color
from samlab.segments import Segments
from samlab.view.overlay import overlay
from samlab.view.plots.latent import projected

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Scatter

_HOVER = (
    "<b>%{customdata[1]}</b><br>segment %{customdata[0]}<br>"
    "%{customdata[2]} px · IoU %{customdata[3]} · stability %{customdata[4]}<extra></extra>"
)
_MAX_SIDE = 1400


@checked_arguments
def interactive_projection(
    segments: Segments, image: ImageLike | None = None, points: np.ndarray | None = None
) -> Figure:
    """Segments in the plane of UMAP as a plotly figure, beside their picture if it is given.

    Hovering tells a segment's number, class, area, predicted IoU and stability; the legend hides
    and shows classes in both halves. Names of classes appear as text, whatever they contain.

    Args:
        segments: N segments with `labels`; none give an empty figure.
        image: Their picture; the semantic map over it is shown at the left.
        points: float (N, 2) from `samlab.project`; computed here when left out.
    """
    from plotly.graph_objects import Figure
    from plotly.subplots import make_subplots

    points = projected(segments, points)
    pixels = None if image is None else read_image(image)
    figure: Figure = Figure() if pixels is None else make_subplots(
        rows=1, cols=2, column_widths=[0.56, 0.44], horizontal_spacing=0.03
    )  # fmt: skip
    labels = segments.labels
    anchors = _anchors(segments) if pixels is not None else np.zeros((0, 2))
    for label in np.unique(labels).tolist():
        ids = np.flatnonzero(labels == label)
        figure.add_trace(_dots(segments, ids, points, label), **_cell(pixels, 2))
        if pixels is not None:
            picture_dots = _dots(segments, ids, anchors, label, in_picture=True)
            figure.add_trace(picture_dots, **_cell(pixels, 1))
    _layout(figure)
    if pixels is not None:
        _lay_picture(figure, segments, pixels)
    return figure


def figure_html(figure: Figure) -> str:
    """A plotly figure as HTML to paste into a page, plotly's script included; needs no network."""
    html: str = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        include_mathjax=False,
        config={"displaylogo": False, "responsive": True, "scrollZoom": True},
    )
    return html


def _dots(
    segments: Segments, ids: np.ndarray, at: np.ndarray, label: int, *, in_picture: bool = False
) -> Scatter:
    from plotly.graph_objects import Scatter

    root = np.sqrt(segments.areas.astype(np.float64))
    size = 7 + 13 * (root[ids] / max(float(root.max()), 1.0)) ** 1.5
    name = _safe(segments.class_name(label))
    return Scatter(
        x=at[ids, 0].tolist(),
        y=at[ids, 1].tolist(),
        mode="markers",
        name=f"{name} ({len(ids)})",
        legendgroup=str(label),
        showlegend=not in_picture,
        marker={
            "color": hex_color(label),
            "size": [6] * len(ids) if in_picture else size.tolist(),
            "opacity": 0.55 if label < 0 else 0.95,
            "line": {"color": "white", "width": 1},
        },
        customdata=_facts(segments, ids, name),
        hovertemplate=_HOVER,
        hoverlabel={"bgcolor": "white", "bordercolor": hex_color(label)},
    )


def _facts(segments: Segments, ids: np.ndarray, name: str) -> list[list[Any]]:
    columns = (
        segments.areas,
        segments.predicted_iou,
        segments.stability_score,
    )
    return [
        [int(i), name, f"{int(columns[0][i]):,}", _number(columns[1][i]), _number(columns[2][i])]
        for i in ids
    ]


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "unknown"


def _safe(text: str) -> str:
    """Text that plotly shows as it is: it reads a little HTML in names, so tags are escaped."""
    return escape(" ".join(text.split()))


def _anchors(segments: Segments) -> np.ndarray:
    """A point (x, y) well inside each mask: the middle of the run nearest to its centroid."""
    out = np.zeros((len(segments), 2))
    for i, rle in enumerate(segments.rles):
        ys, xs = np.nonzero(masks.decode(rle))
        if len(xs):
            nearest = np.argmin((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2)
            out[i] = xs[nearest], ys[nearest]
    return out


def _cell(pixels: np.ndarray | None, column: int) -> dict[str, int]:
    return {} if pixels is None else {"row": 1, "col": column}


def _layout(figure: Figure) -> None:
    figure.update_layout(
        template="plotly_white",
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        height=540,
        dragmode="pan",
        hovermode="closest",
        legend={
            "itemsizing": "constant",
            "groupclick": "togglegroup",
            "orientation": "h",
            "x": 0,
            "y": -0.02,
            "yanchor": "top",
        },
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    bare: dict[str, Any] = {"showticklabels": False, "showgrid": False, "zeroline": False}
    figure.update_xaxes(**bare)
    figure.update_yaxes(**bare)


def _lay_picture(figure: Figure, segments: Segments, pixels: np.ndarray) -> None:
    height, width = pixels.shape[:2]
    painted = overlay(segments, pixels, scale=min(_MAX_SIDE / max(height, width), 2.0))
    buffer = BytesIO()
    Image.fromarray(painted).save(buffer, "JPEG", quality=88)
    source = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    figure.add_layout_image(
        source=source, xref="x", yref="y", x=-0.5, y=-0.5, sizex=width, sizey=height,
        sizing="stretch", layer="below",
    )  # fmt: skip
    figure.update_xaxes(range=[-0.5, width - 0.5], constrain="domain", row=1, col=1)
    figure.update_yaxes(
        range=[height - 0.5, -0.5], scaleanchor="x", constrain="domain", row=1, col=1
    )
