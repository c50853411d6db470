"""The probe: what is similar to a segment, in this picture and in others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pandas as pd
import traitlets
from PIL import Image

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.latent.embed import PatchFeatures
from samlab.latent.similarity import nearest, similar, similarity
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments
from samlab.view.overlay import heat_overlay, overlay, still_scale
from samlab.view.scene import scene
from samlab.view.widget import BaseWidget, colors

PicturesByName: TypeAlias = Mapping[str, ImageLike] | Callable[[str], ImageLike]

#: Side of a thumbnail, pixels, and how many fit on the sheet that is sent.
THUMB = 64
MOST_THUMBS = 1600


class Probe(BaseWidget):
    """See `probe`.

    Attributes:
        query: Id of the segment that was clicked; -1 for none. Both ways.
        threshold: Segments at least so similar are selected; None for no selection.
    """

    query = traitlets.Int(-1).tag(sync=True)
    threshold = traitlets.Float(None, allow_none=True).tag(sync=True)
    _written: ClassVar[tuple[str, ...]] = ("kind", "payload", "query", "threshold")

    def __init__(
        self,
        segments: Segments,
        image: ImageLike,
        embedding: str | None,
        features: PatchFeatures | None,
        others: Segments | None,
        pictures: PicturesByName | None,
    ) -> None:
        self._segments = segments
        self._name = embedding
        self._pixels = read_image(image)
        self._others = others
        self._rows = vectors_of(segments, embedding)
        super().__init__(
            kind="probe",
            payload={
                "title": segments.image_id,
                "scene": scene(segments, self._pixels),
                "labels": segments.labels.tolist(),
                "names": {str(k): v for k, v in segments.class_names.items()},
                "width": int(self._rows.shape[1]),
                "vectors": unit(self._rows).astype("<f4").tobytes(),
                "patches": None if features is None else _patches(features, self._rows),
                "others": None if others is None else self._matches(others, pictures),
                "ramp": _ramp(),
                **colors(),
            },
        )

    @traitlets.validate("query")
    def _checked_query(self, proposal: Any) -> int:
        query = int(proposal["value"])
        self._check(query)
        return query

    @property
    def similarities(self) -> np.ndarray:
        """Cosine of every segment with the query, float32 (N,); NaN without a query."""
        self._check(self.query)
        if self.query < 0:
            return np.full(len(self._segments), np.nan, np.float32)
        row = self._rows[self.query : self.query + 1]
        return np.asarray(similarity(row, self._rows)[0], np.float32)

    @property
    def selected(self) -> np.ndarray:
        """Ids of the segments at or above the threshold, the most similar first, int64 (n,)."""
        if self.query < 0 or self.threshold is None:
            return np.zeros(0, np.int64)
        scores = self.similarities
        order = np.argsort(-scores, kind="stable")
        return np.asarray(order[scores[order] >= self.threshold], np.int64)

    @property
    def segments(self) -> Segments:
        """The selected segments."""
        return self._segments[self.selected]

    def similar_in_others(self, k: int = 10) -> pd.DataFrame:
        """The k most similar segments of the other pictures, as `samlab.similar` gives them."""
        if self._others is None or self.query < 0:
            raise InputError(
                "Expected other pictures and a query; pass others=... to samlab.probe and click a "
                "segment, or set probe.query."
            )
        return similar(self._segments[[self.query]], self._others, k, embedding=self._name)

    def _check(self, query: int) -> None:
        if query >= len(self._segments):
            raise InputError(
                f"Expected a segment id below {len(self._segments)}, or -1 for none; got {query}."
            )

    def _matches(
        self, others: Segments, pictures: PicturesByName | None, k: int = 8
    ) -> dict[str, Any]:
        """The nearest segments of other pictures for every segment, and a sheet of thumbnails."""
        if len(self._segments) == 0 or len(others) == 0:
            return {"k": 0, "ids": [], "scores": [], "thumbs": {}, "names": {}, "sheet": None}
        ids, scores = nearest(self._rows, vectors_of(others, self._name), k)
        wanted = list(dict.fromkeys(ids.T.ravel().tolist()))  # the best matches first
        sheet, cells = _sheet(others, wanted[:MOST_THUMBS], pictures)
        image_ids = others.image_ids
        return {
            "k": int(ids.shape[1]),
            "ids": ids.ravel().tolist(),
            "scores": np.round(scores.astype(float), 4).ravel().tolist(),
            "names": {str(i): str(image_ids[i]) for i in wanted},
            "thumbs": {str(i): cell for i, cell in cells.items()},
            "sheet": sheet,
            "side": THUMB,
        }

    def _still(self) -> np.ndarray:
        scale = still_scale(self._pixels)
        if self.query < 0:
            return overlay(self._segments, self._pixels, scale=scale)
        heat = np.full(self._pixels.shape[:2], np.nan, np.float32)
        index = self._segments.label_map(np.arange(len(self._segments)))
        heat[index >= 0] = self.similarities[index[index >= 0]]
        return heat_overlay(self._pixels, heat, scale=scale)

    def _height(self) -> int:
        height, width = self._pixels.shape[:2]
        return 120 + int(min(560, 620 * height / width))

    def __repr__(self) -> str:
        return f"Probe({self._segments!r}, query={self.query}, threshold={self.threshold})"


@checked_arguments
def probe(
    segments: Segments,
    image: ImageLike,
    *,
    embedding: str | None = None,
    features: PatchFeatures | None = None,
    others: Segments | None = None,
    pictures: PicturesByName | None = None,
) -> Probe:
    """Click a segment and see what is similar: in the picture as heat, and as a ranked list.

    A threshold slider selects everything at least so similar; `probe.segments` is that selection.

    Args:
        segments: N segments of this picture, with vectors.
        image: The picture.
        embedding: Which vectors; the first ones by default.
        features: The encoded picture; with it the heat map shows every patch, not only segments.
        others: Segments of other pictures (`Segments.concat`), with the same vectors, to look for
            similar ones there.
        pictures: Where the other pictures are, for thumbnails: `{image_id: picture}` or a function
            from image_id to picture. Without it only their names are shown.

    Returns:
        The widget; `.write_html(path)` makes a file of it that works without kernel and network.

    Example:
        >>> from samlab import Segments, masks
        >>> rles = masks.encode(np.eye(4, dtype=bool)[[[0], [1], [2]]])
        >>> three = Segments(rles=rles, embeddings={"sam": [[1, 0], [0.8, 0.6], [0, 1]]})
        >>> found = probe(three, np.zeros((1, 4), np.uint8))
        >>> found.query, found.threshold = 0, 0.7
        >>> found.selected.tolist()
        [0, 1]
    """
    return Probe(segments, image, embedding, features, others, pictures)


def _patches(features: PatchFeatures, rows: np.ndarray) -> dict[str, Any] | None:
    """Patch features as unit vectors in int8, 1 MB for 64 x 64 x 256.

    Rounding to 1/127 of the largest value of each patch moves a cosine by about 0.002.
    """
    grid = features.grid()
    if rows.size and rows.shape[1] != len(grid):
        raise InputError(
            f"Expected vectors of {len(grid)} numbers, as many as the picture's features have; got "
            f"{rows.shape[1]}. Leave out embedding=..., or choose the vectors pooled from it."
        )
    extent = [
        cells * pixels / features.img_size
        for cells, pixels in zip(grid.shape[1:], features.input_size, strict=True)
    ]
    part = grid[:, : int(np.ceil(extent[0])), : int(np.ceil(extent[1]))]
    flat = part.reshape(len(grid), -1).T
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    units = flat / np.where(norms > 0, norms, 1)
    top = np.maximum(np.abs(units).max(axis=1, keepdims=True), 1e-12)
    values = np.round(units / top * 127).astype(np.int8)
    # What the rounded vector is to be multiplied by so that its length is one again.
    lengths = np.linalg.norm(values.astype(np.float32), axis=1)
    scales = np.where(lengths > 0, 1 / np.maximum(lengths, 1), 0).astype("<f4")
    return {
        "rows": int(part.shape[1]),
        "columns": int(part.shape[2]),
        "extent": extent,
        "values": values.tobytes(),
        "scales": scales.tobytes(),
    }


def _ramp() -> list[str]:
    """Colours from low to high, 256 of them, matplotlib's inferno."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(color) for color in colormaps["inferno"](np.linspace(0, 1, 256))]


def _sheet(
    segments: Segments, ids: Sequence[int], pictures: PicturesByName | None
) -> tuple[bytes | None, dict[int, int]]:
    """Thumbnails of segments on one JPEG sheet, 40 in a row; and the cell of each on it."""
    if pictures is None or len(ids) == 0:
        return None, {}
    find = pictures if callable(pictures) else pictures.__getitem__
    columns = min(40, len(ids))
    rows = -(-len(ids) // columns)
    sheet = Image.new("RGB", (columns * THUMB, rows * THUMB), (128, 128, 128))
    image_ids = segments.image_ids
    boxes = segments.boxes
    cells = {segment: cell for cell, segment in enumerate(ids)}
    for name in dict.fromkeys(image_ids[list(ids)].tolist()):
        try:
            picture = Image.fromarray(read_image(find(name)))
        except KeyError:
            raise InputError(
                f"Expected the picture '{name}' among pictures=..., which has {len(pictures)} "  # type: ignore[arg-type]
                "others. Add it, or leave pictures out: then names are shown."
            ) from None
        for segment in (i for i in ids if image_ids[i] == name):
            cell = cells[segment]
            at = ((cell % columns) * THUMB, (cell // columns) * THUMB)
            sheet.paste(thumbnail(picture, boxes[segment]), at)
    buffer = BytesIO()
    sheet.save(buffer, "JPEG", quality=82)
    return buffer.getvalue(), cells


def thumbnail(picture: Image.Image, box: np.ndarray, side: int = THUMB) -> Image.Image:
    """A square cut from the picture around a box (XYXY), with some of what is around it.

    Near the edge of the picture it is moved inwards; where it is wider than the picture, the rest
    is black.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    reach = 0.6 * max(x1 - x0, y1 - y0, 8.0)
    cx = _inside((x0 + x1) / 2, reach, picture.width)
    cy = _inside((y0 + y1) / 2, reach, picture.height)
    window = tuple(round(v) for v in (cx - reach, cy - reach, cx + reach, cy + reach))
    return picture.crop(window).resize((side, side), Image.Resampling.BILINEAR)  # type: ignore[arg-type]


def _inside(centre: float, reach: float, length: int) -> float:
    """The nearest centre at which a window of this reach lies inside; the middle if none does."""
    return length / 2 if 2 * reach >= length else min(max(centre, reach), length - reach)
