"""What an index page tells of one report: counts and a thumbnail, handed on by its notebook.

The report's notebook runs in a kernel of its own; what its index needs goes with the notebook, as
one more form of the cell's output. So a copy of the notebook that someone changed, or that ran
under plain papermill, tells the same.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import numpy as np

from samlab.errors import InputError
from samlab.images import ImageLike, read_image
from samlab.latent.cluster import ladder, sweep
from samlab.segments import Segments
from samlab.view.cards import class_cards_html
from samlab.view.overlay import overlay
from samlab.view.scene import jpeg
from samlab.view.tables import unassigned_share

if TYPE_CHECKING:
    from samlab.latent.cluster import Clustering, Rung, Sweep

#: The output form that carries the facts.
MIME = "application/vnd.samlab.summary+json"

#: Longest side of a thumbnail, pixels: 240 on a screen of double density.
THUMBNAIL = 480


class Summary:
    """The head of a report: its classes, with counts and a thumbnail for an index.

    Args:
        segments: N segments with `labels`.
        clustering: How they got them.
        image: Their picture.
        seconds: Time it all took.

    Example:
        >>> from samlab import Segments, cluster
        >>> nothing = Segments(image_size=(4, 4))
        >>> made = Summary(nothing, cluster(nothing), np.zeros((4, 4), np.uint8), 0.5)
        >>> made.facts["segments"], made.facts["classes"]
        (0, 0)
    """

    def __init__(
        self, segments: Segments, clustering: Clustering, image: ImageLike, seconds: float
    ) -> None:
        self._html = class_cards_html(segments, image, clustering, _others(segments, clustering))
        pixels = read_image(image)
        painted = overlay(segments, pixels, scale=_shrinking(pixels))
        self.facts: dict[str, Any] = {
            "segments": len(segments),
            "classes": clustering.n_clusters,
            "noise": int((clustering.labels < 0).sum()),
            "unassigned": round(unassigned_share(segments), 4),
            "eps": float(clustering.eps) if np.isfinite(clustering.eps) else None,
            "seconds": round(seconds, 2),
            "thumbnail": b64encode(jpeg(painted, quality=82)).decode("ascii"),
        }

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        plain = f"{self.facts['segments']} segments, {self.facts['classes']} classes"
        return {"text/html": self._html, MIME: self.facts, "text/plain": plain}


def _others(segments: Segments, clustering: Clustering) -> Sweep | list[Rung] | None:
    """The same segments at other eps."""
    metric: Any = clustering.metric
    if clustering.method == "ward":
        return ladder(segments, metric=metric)
    try:
        return sweep(segments, None, clustering.min_samples, metric)
    except InputError:  # more segments than distances fit: other eps stay untold
        return None


def read_summary(notebook: Any) -> dict[str, Any]:
    """The facts of the first `Summary` among the outputs of an executed notebook; {} without one.

    The thumbnail comes as bytes (a JPEG).
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            facts = output.get("data", {}).get(MIME)
            if isinstance(facts, dict):
                return {**facts, "thumbnail": b64decode(facts["thumbnail"])}
    return {}


def plain_thumbnail(image: ImageLike) -> bytes:
    """A picture without segments, as JPEG: for a notebook that has no `Summary`."""
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    scale = _shrinking(pixels)
    return jpeg(pixels, (max(1, round(width * scale)), max(1, round(height * scale))), quality=82)


def _shrinking(pixels: np.ndarray) -> float:
    return min(1.0, THUMBNAIL / max(pixels.shape[:2]))
