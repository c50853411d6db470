"""COCO: `instances.json` out (https://cocodataset.org/#format-data)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from samlab import masks as run_lengths
from samlab.errors import InputError
from samlab.files import free_file, write_json
from samlab.formats.gather import NO_CLASS, Picture, SegmentsLike, WriteReport, gather, report
from samlab.formats.polygons import edge_polygons, fill_edges
from samlab.masks import Rle


def write_coco(
    segments: SegmentsLike,
    path: str | Path,
    *,
    masks: Literal["rle", "polygon"] = "rle",
    tolerance: float = 0.0,
    no_class: str | None = NO_CLASS,
    image_id: str | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Write segments as COCO instance segmentation.

    Category ids count from 1, in the order of the labels; boxes are XYWH of the half-open box;
    `iscrowd` is 0. Where the model's own scores are known, they go along as `score` (the predicted
    IoU) and `stability_score`.

    Args:
        segments: Of one or several pictures; see `samlab.export`.
        path: The JSON file.
        masks: `"rle"` writes compressed run lengths, exact in every reader of COCO. `"polygon"`
            writes polygons, for tools that know nothing else: one per part, and since COCO's
            polygons have no holes, a hole hangs on its outline by a bridge of no width. pycocotools
            gives back the very same masks; other rasterisers may differ along edges and bridges.
        tolerance: For polygons: leave out points as long as the line stays this near, in pixels.
            0 keeps them all. The report says what it costs.
        no_class: Category of segments without a class; None leaves them out.
        image_id: File name for a picture that has none.
        overwrite: Replace an existing file.

    Returns:
        What was written; `.kept` is each mask's IoU with what pycocotools reads back.

    Example:
        >>> import tempfile
        >>> from samlab.segments import Segments
        >>> one = Segments([run_lengths.encode(np.eye(4, dtype=bool))], image_id="a.jpg")
        >>> write_coco(one, Path(tempfile.mkdtemp()) / "a.json").segments
        1
    """
    if masks not in ("rle", "polygon"):
        raise InputError(f"Expected masks='rle' or masks='polygon', got {masks!r}.")
    if not 0 <= tolerance < np.inf:
        raise InputError(f"Expected a tolerance of 0 pixels or more, got {tolerance}.")
    free_file(path, overwrite)
    gathered = gather(segments, no_class=no_class, image_id=image_id)
    annotations: list[dict[str, Any]] = []
    kept: list[float] = []
    for number, picture in enumerate(gathered.pictures, 1):
        for i in range(len(picture.segments)):
            shape, share = _shape(picture, i, masks, tolerance)
            entry = {"id": len(annotations) + 1, "image_id": number, **_facts(picture, i)}
            annotations.append({**entry, "segmentation": shape})
            kept.append(share)
    content = {
        "info": {"description": "Segments exported by samlab"},
        "licenses": [],
        "images": [
            {"id": number, "file_name": p.name, "height": p.size[0], "width": p.size[1]}
            for number, p in enumerate(gathered.pictures, 1)
        ],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(gathered.class_names, 1)
        ],
    }
    written = write_json(path, content, overwrite=overwrite)
    return report(written, gathered, np.array(kept))


def _facts(picture: Picture, i: int) -> dict[str, Any]:
    """Everything of an annotation but its shape."""
    segments = picture.segments
    x0, y0, x1, y1 = segments.boxes[i].tolist()
    facts = {
        "category_id": int(picture.classes[i]) + 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(segments.areas[i]),
        "iscrowd": 0,
    }
    scores = (("score", segments.predicted_iou), ("stability_score", segments.stability_score))
    for name, values in scores:
        value = float(np.asarray(values)[i])
        if np.isfinite(value):
            facts[name] = round(value, 6)
    return facts


def _shape(picture: Picture, i: int, kind: str, tolerance: float) -> tuple[Any, float]:
    """The field `segmentation`, and the IoU of the mask with what is read back."""
    rle: Rle = run_lengths.compress(picture.segments.rles[i])
    if kind == "rle":
        return rle, 1.0
    polygons = edge_polygons(run_lengths.decode(rle), tolerance)
    back = fill_edges(polygons, picture.size)
    share = float(run_lengths.iou([rle], [back])[0, 0])
    return [polygon.ravel().tolist() for polygon in polygons], share
