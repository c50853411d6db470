"""BDD100K: the frame list with `box2d`, also Scalabel's form of it.

https://doc.bdd100k.com/format.html; https://doc.scalabel.ai/format.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from samlab.errors import FormatError
from samlab.errors.arguments import checked_arguments
from samlab.formats.coco import read_mask
from samlab.formats.labelled import LabelledImages, RawObject, Reading
from samlab.formats.untrusted import field_of, list_of, named_content

_KIND = "BDD100K"
_CORNERS = ("x1", "y1", "x2", "y2")


@checked_arguments
def read_bdd100k(frames: str | Path | list[Any], images: str | Path) -> LabelledImages:
    """Read BDD100K detection labels.

    `box2d` is taken as it stands, in continuous coordinates: x2 and y2 are where the object ends.
    Labels without a `box2d` (lanes, drivable areas) are left out and counted; an `rle`, as in the
    instance segmentation labels, becomes a mask.

    Args:
        frames: The JSON file, a list of frames or an object with the field `frames`; or its
            content.
        images: The folder that a frame's `name` is relative to.

    Returns:
        The pictures, in the order of the file; `.report` counts what was left out.

    Raises:
        FormatError: A field is missing or of the wrong kind; no picture could be used.
    """
    where, content = named_content(frames, _KIND, "the list")
    if isinstance(content, Mapping):
        if "frames" not in content and "annotations" in content:
            raise FormatError(
                f"{where} is not BDD100K: the field 'frames' is missing and it has 'annotations', "
                "as COCO files do. Read it with samlab.read.coco."
            )
        content = list_of(content, "frames", where, _KIND)
    if not isinstance(content, list):
        raise FormatError(
            f"{where} is not BDD100K: expected a list of frames, got {type(content).__name__}."
        )
    reading = Reading(where.strip("'"), images)
    for i, frame in enumerate(content):
        place = f"{where}, frame {i}"
        name = field_of(frame, "name", place, _KIND)
        labels = frame.get("labels") or []
        if not isinstance(labels, list):
            raise FormatError(
                f"{place} is not BDD100K: expected a list in the field 'labels', "
                f"got {type(labels).__name__}."
            )
        reading.add(name, list(_objects(labels, place)))
    return reading.done()


def _objects(labels: list[Any], place: str) -> Iterator[RawObject]:
    for i, label in enumerate(labels):
        category = field_of(label, "category", f"{place}, label {i}", _KIND)
        box, rle = label.get("box2d"), label.get("rle")
        if isinstance(box, Mapping):
            box = [box.get(corner) for corner in _CORNERS]
        mask = partial(read_mask, rle) if rle else None
        yield RawObject(f"label {label.get('id', i)}", str(category), box, mask)
