"""COCO: `instances_*.json`, in and out (https://cocodataset.org/#format-data)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from samlab import masks as rle_masks
from samlab.errors import FormatError, InputError
from samlab.errors.arguments import checked_arguments
from samlab.files import free_file, write_json
from samlab.formats.gather import (
    NO_CLASS,
    GatheredPicture,
    SegmentsLike,
    WriteReport,
    gather,
    report,
)
from samlab.formats.labelled import LabelledImages, RawObject, Reading
from samlab.formats.polygons import check_tolerance, edge_polygons, fill_edges
from samlab.formats.untrusted import field_of, list_of, named_content
from samlab.masks import Rle

_KIND = "COCO"


@checked_arguments
def read_coco(
    annotations: str | Path | Mapping[str, Any], images: str | Path, *, crowds: bool = False
) -> LabelledImages:
    """Read COCO object detection or instance segmentation labels.

    Boxes become XYXY half-open (`x, y, x + width, y + height`). Polygons and run lengths become
    masks; where an annotation has no `bbox`, its mask's box is taken.

    Args:
        annotations: The JSON file, or its content as a dict.
        images: The folder that `file_name` is relative to.
        crowds: Also take annotations with `iscrowd = 1`, which mark groups, not objects.

    Returns:
        The pictures, in the order of the file; `.report` counts what was left out.

    Raises:
        FormatError: A field is missing or of the wrong kind; no picture could be used.
    """
    where, content = named_content(annotations, _KIND, "the dict")
    if isinstance(content, list):
        raise FormatError(
            f"{where} is not COCO: expected an object with 'images', 'annotations' and "
            "'categories', got a list. For a BDD100K frame list use samlab.read.bdd100k; COCO "
            "results (a list of detections) carry no file names."
        )
    names = _categories(list_of(content, "categories", where, _KIND), where)
    pictures = _pictures(list_of(content, "images", where, _KIND), where)
    reading = Reading(where.strip("'"), images)
    _note_duplicates(names, reading)
    objects: dict[Any, list[RawObject]] = {key: [] for key in pictures}
    for i, entry in enumerate(list_of(content, "annotations", where, _KIND)):
        place = f"{where}, annotations[{i}]"
        image_id = field_of(entry, "image_id", place, _KIND)
        category = field_of(entry, "category_id", place, _KIND)
        label = f"annotation {entry.get('id', i)}"
        if not _known(image_id, pictures):
            reading.report.leave_out("object", "its image_id is not among the images", label)
        elif not _known(category, names):
            reading.report.leave_out("object", "its category_id is not a category", label)
        elif entry.get("iscrowd") and not crowds:
            reading.report.leave_out("object", "it is a crowd (iscrowd = 1)", label)
        else:
            objects[image_id].append(_object(entry, label, names[category]))
    for key, entry in pictures.items():
        try:
            size = _size(entry)
        except (ValueError, OverflowError):
            name = str(entry["file_name"])
            reading.report.leave_out("picture", "its width or height is no number of pixels", name)
        else:
            reading.add(entry["file_name"], objects[key], size)
    return reading.done(names.values())


def _categories(entries: Any, where: str) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for i, entry in enumerate(entries):
        place = f"{where}, categories[{i}]"
        key = field_of(entry, "id", place, _KIND)
        if not isinstance(key, (int, str)) or key in names:
            raise FormatError(f"{place} is not COCO: the id {key!r} is not a number of its own.")
        names[key] = str(field_of(entry, "name", place, _KIND))
    return names


def _pictures(entries: Any, where: str) -> dict[Any, Mapping[str, Any]]:
    pictures: dict[Any, Mapping[str, Any]] = {}
    for i, entry in enumerate(entries):
        place = f"{where}, images[{i}]"
        key = field_of(entry, "id", place, _KIND)
        field_of(entry, "file_name", place, _KIND)
        if not isinstance(key, (int, str)) or key in pictures:
            raise FormatError(f"{place} is not COCO: the id {key!r} is not a number of its own.")
        pictures[key] = entry
    return pictures


def _known(key: Any, table: Mapping[Any, Any]) -> bool:
    return isinstance(key, (int, str)) and key in table


def _note_duplicates(names: Mapping[Any, str], reading: Reading) -> None:
    for name in dict.fromkeys(names.values()):
        keys = [str(key) for key, other in names.items() if other == name]
        if len(keys) > 1:
            reading.report.notes.append(
                f"The categories {', '.join(keys)} have the same name '{name}': taken as one class."
            )


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = entry.get("height"), entry.get("width")
    if isinstance(height, (int, float)) and isinstance(width, (int, float)) and height and width:
        return round(height), round(width)
    return None


def _object(entry: Mapping[str, Any], label: str, name: str) -> RawObject:
    box = entry.get("bbox")
    if isinstance(box, list) and len(box) == 4:
        try:
            x, y, width, height = (float(v) for v in box)
            box = [x, y, x + width, y + height]
        except (TypeError, ValueError, OverflowError):
            pass  # counted as broken by the reading
    value = entry.get("segmentation")
    if not value:
        return RawObject(label, name, box or None)
    return RawObject(label, name, box or None, partial(read_mask, value))


def read_mask(value: Any, size: tuple[int, int]) -> Rle:
    """A COCO `segmentation` (polygons, run lengths plain or compressed) as RLE of (H, W).

    Raises:
        FormatError: It is none of these, or belongs to a picture of another size.
    """
    if isinstance(value, Mapping):
        return _run_lengths(value, size)
    if not isinstance(value, list):
        raise FormatError("its mask is neither polygons nor run lengths")
    if not value:
        raise FormatError("its mask has no polygon")
    polygons = []
    for polygon in value:
        try:
            corners = np.asarray(polygon, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise FormatError("its polygon is not a list of numbers") from None
        if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2:
            raise FormatError("its polygon is not a list of at least three x, y pairs")
        if not np.isfinite(corners).all() or np.abs(corners).max() > 1e6:
            raise FormatError("its polygon lies nowhere near the picture")
        polygons.append(corners)
    rle = fill_edges(polygons, size)
    if rle_masks.area([rle])[0] == 0:
        raise FormatError("its polygon covers no pixel")
    return rle


def _run_lengths(value: Mapping[str, Any], size: tuple[int, int]) -> Rle:
    if value.get("size") != [*size]:
        raise FormatError(f"its run lengths have another size than the picture's {[*size]}")
    rle = rle_masks.sound(value)
    if rle_masks.area([rle])[0] == 0:
        raise FormatError("its run lengths cover no pixel")
    return rle


# -- out ------------------------------------------------------------------------------------------


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
    IoU) and `stability_score`; so do `level` (0 whole, 1 part, 2 sub-part) and `parent`, the id of
    the annotation that holds this one.

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
        >>> one = Segments([rle_masks.encode(np.eye(4, dtype=bool))], image_id="a.jpg")
        >>> write_coco(one, Path(tempfile.mkdtemp()) / "a.json").segments
        1
    """
    if masks not in ("rle", "polygon"):
        raise InputError(f"Expected masks='rle' or masks='polygon', got {masks!r}.")
    check_tolerance(tolerance)
    free_file(path, overwrite)
    gathered = gather(segments, no_class=no_class, image_id=image_id)
    annotations: list[dict[str, Any]] = []
    kept: list[float] = []
    for number, picture in enumerate(gathered.pictures, 1):
        first = len(annotations) + 1
        for i in range(len(picture.segments)):
            shape, share = _shape(picture, i, masks, tolerance)
            entry = {"id": first + i, "image_id": number, **_facts(picture, i, first)}
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


def _facts(picture: GatheredPicture, i: int, first: int) -> dict[str, Any]:
    """Everything of an annotation but its shape; `first` is the id of its picture's first one."""
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
    for name, number in (("level", segments.level[i]), ("parent", segments.parent[i])):
        if number >= 0:
            facts[name] = int(number) + (first if name == "parent" else 0)
    return facts


def _shape(picture: GatheredPicture, i: int, kind: str, tolerance: float) -> tuple[Any, float]:
    """The field `segmentation`, and the IoU of the mask with what is read back."""
    rle: Rle = rle_masks.compress(picture.segments.rles[i])
    if kind == "rle":
        return rle, 1.0
    polygons = edge_polygons(rle_masks.decode(rle), tolerance)
    back = fill_edges(polygons, picture.size)
    share = float(rle_masks.iou([rle], [back])[0, 0])
    return [polygon.ravel().tolist() for polygon in polygons], share
