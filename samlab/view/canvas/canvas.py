"""The canvas alone: a picture with its segments, to look at, to hover over and to select in."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import traitlets

from samlab.images import ImageLike, read_image
from samlab.segments import Segments
from samlab.view.overlay import overlay, still_scale
from samlab.view.scene import scene
from samlab.view.widget import BaseWidget, colors


class Canvas(BaseWidget):
    """A picture with its segments, coloured by class.

    Hovering tells what a segment is; a click selects it, a second click the one around it, Shift
    adds. Shift and a drag select by a box, Ctrl and the wheel zoom. With the keyboard: arrows walk,
    Enter selects, O goes one level out, + and - zoom, 0 fits.

    Attributes:
        selected: Ids of the selected segments, both ways: set it, and the page shows it.
        labels: A class per segment, repainted without sending pixels again.

    Example:
        >>> from samlab import Segments, masks
        >>> one = Segments(rles=[masks.encode(np.eye(4, dtype=bool))])
        >>> Canvas(one, np.zeros((4, 4), np.uint8)).selected
        []
    """

    labels = traitlets.List(traitlets.Int()).tag(sync=True)
    names = traitlets.Dict().tag(sync=True)
    selected = traitlets.List(traitlets.Int()).tag(sync=True)
    _written: ClassVar[tuple[str, ...]] = ("kind", "payload", "labels", "names", "selected")

    def __init__(self, segments: Segments, image: ImageLike) -> None:
        self._segments = segments
        self._pixels = read_image(image)
        super().__init__(
            kind="canvas",
            payload={
                "title": segments.image_id,
                "scene": scene(segments, self._pixels),
                **colors(),
            },
            labels=segments.labels.tolist(),
            names={str(label): name for label, name in segments.class_names.items()},
        )

    @property
    def segments(self) -> Segments:
        """The segments with the labels that the canvas shows."""
        return self._segments.with_labels(np.array(self.labels, np.int64))

    def _still(self) -> np.ndarray:
        return overlay(self.segments, self._pixels, scale=still_scale(self._pixels))

    def _height(self) -> int:
        height, width = self._pixels.shape[:2]
        return int(min(600, 20 + 940 * height / width))

    def __repr__(self) -> str:
        return f"Canvas({self._segments!r})"
