"""SA-1B's own JSON, one file per picture, in and out.

The records are those of SAM's automatic mask generator
(https://github.com/facebookresearch/segment-anything, README, section "Dataset"):
`image` with image_id, width, height and file_name, and `annotations` with segmentation (COCO RLE),
bbox (XYWH, from pixel centre to pixel centre), area, predicted_iou, stability_score, crop_box,
point_coords and id. The masks have no classes there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samlab.errors import FormatError
from samlab.errors.arguments import checked_arguments
from samlab.files import atomic_folder, write_json
from samlab.formats.coco import read_mask
from samlab.formats.gather import GatheredPicture, SegmentsLike, WriteReport, gather, report
from samlab.formats.untrusted import field_of, list_of, named_content
from samlab.segments import Segments

_KIND = "SA-1B"


def write_sa1b(
    segments: SegmentsLike,
    folder: str | Path,
    *,
    image_id: str | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Write segments as SA-1B's JSON files: masks, boxes, scores and prompts; no classes.

    Scores and prompts that are not known are left out of a record. `image_id` in the file is the
    number in the picture's name (`sa_223750.jpg`), else 1, 2, 3.

    Args:
        segments: Of one or several pictures; see `samlab.export`.
        folder: Gets one NAME.json per picture.
        image_id: File name for a picture that has none.
        overwrite: Write into a folder that has files already, replacing those of the same name.
    """
    gathered = gather(segments, image_id=image_id, file_each=True)
    with atomic_folder(folder, overwrite) as staging:
        for number, picture in enumerate(gathered.pictures, 1):
            write_json(staging / picture.file_with(".json"), _content(picture, number))
    return report(Path(folder), gathered)


@checked_arguments
def read_sa1b(path: str | Path | Mapping[str, Any]) -> Segments:
    """Read one of SA-1B's JSON files, or its content as a dict.

    Returns:
        Segments named after the picture's file; boxes and areas are computed from the masks.

    Raises:
        FormatError: A field is missing, or a mask is broken or of another size.

    Example:
        >>> image = {"image_id": 1, "width": 4, "height": 3, "file_name": "sa_1.jpg"}
        >>> read_sa1b({"image": image, "annotations": []})
        Segments(0 of 'sa_1.jpg', 4 x 3 px, embeddings: none, classes: 0)
    """
    where, content = named_content(path, _KIND, "the dict")
    image = field_of(content, "image", where, _KIND)
    sides = [field_of(image, side, f"{where}, image", _KIND) for side in ("height", "width")]
    if not all(isinstance(side, int) and side > 0 for side in sides):
        raise FormatError(
            f"{where} is not {_KIND}: expected height and width as whole numbers above 0, "
            f"got {sides[0]!r} and {sides[1]!r}."
        )
    size = (sides[0], sides[1])
    rles, points = [], []
    scores: dict[str, list[float]] = {"predicted_iou": [], "stability_score": []}
    for i, entry in enumerate(list_of(content, "annotations", where, _KIND)):
        place = f"{where}, annotations[{i}]"
        try:
            rles.append(read_mask(field_of(entry, "segmentation", place, _KIND), size))
        except FormatError as error:
            text = str(error)
            raise error if text.startswith(place) else FormatError(f"{place}: {text}.") from None
        points.append(_point(entry.get("point_coords"), place))
        for name, column in scores.items():
            column.append(_number(entry.get(name), f"{place}, {name}"))
    return Segments(
        rles=rles,
        points=np.array(points, np.float32).reshape(-1, 2),
        predicted_iou=np.array(scores["predicted_iou"], np.float32),
        stability_score=np.array(scores["stability_score"], np.float32),
        image_size=size,
        image_id=str(image.get("file_name") or image.get("image_id") or ""),
    )


def _content(picture: GatheredPicture, number: int) -> dict[str, Any]:
    digits = re.search(r"\d+", picture.name.rsplit("/", 1)[-1])
    height, width = picture.size
    image = {
        "image_id": int(digits.group()) if digits else number,
        "width": width,
        "height": height,
        "file_name": picture.name,
    }
    annotations = []
    for i, record in enumerate(picture.segments.to_records(), 1):
        entry = {key: value for key, value in record.items() if _known(value)}
        annotations.append({"id": i, **entry})
    return {"image": image, "annotations": annotations}


def _known(value: Any) -> bool:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return _known(value[0])
    if isinstance(value, list):
        return all(_known(one) for one in value)
    return not isinstance(value, float) or math.isfinite(value)


def _number(value: Any, place: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FormatError(f"{place} is not {_KIND}: expected a number, got {value!r}.")
    try:
        return float(value)
    except OverflowError:
        raise FormatError(f"{place} is not {_KIND}: the number is too large.") from None


def _point(value: Any, place: str) -> list[float]:
    if not value:
        return [math.nan, math.nan]
    first = value[0] if isinstance(value, list) else value
    if not isinstance(first, list) or len(first) != 2:
        raise FormatError(f"{place} is not {_KIND}: expected point_coords as [[x, y]].")
    return [_number(v, f"{place}, point_coords") for v in first]
