"""What a table of segments from outside must be before anything is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from samlab import masks
from samlab.errors import FormatError

_SIDES = ("x0", "y0", "x1", "y1")
_WHOLE = ("label", "area", "mask_height", "mask_width")
_REAL = (*_SIDES, "predicted_iou", "stability_score", "point_x", "point_y")
_TEXT = ("image_id", "mask_counts")


def check_columns(table: pa.Table) -> None:
    """Raise FormatError unless the columns of segments are there, of their kinds, without gaps."""
    have = table.column_names
    twice = sorted({name for name in have if have.count(name) > 1})
    missing = [name for name in (*_TEXT, *_WHOLE, *_REAL) if name not in have]
    if missing or twice:
        fault = f"misses {', '.join(missing)}" if missing else f"has {', '.join(twice)} twice"
        raise FormatError(f"Expected the columns of segments; the table {fault}.")
    for name in have:
        kind = table.schema.field(name).type
        if name in _TEXT:
            fits, wanted = pa.types.is_string(kind) or pa.types.is_large_string(kind), "text"
        elif name in _WHOLE:
            fits, wanted = pa.types.is_integer(kind), "whole numbers"
        elif name in _REAL:
            fits, wanted = pa.types.is_floating(kind), "numbers"
        elif name.startswith(("embedding_", "score_")):
            list_of = kind.value_type if pa.types.is_fixed_size_list(kind) else None
            single = name.startswith("score_") and pa.types.is_floating(kind)
            fits = single or (list_of is not None and pa.types.is_floating(list_of))
            wanted = "rows of equally many numbers"
        else:
            continue  # of somebody else
        # In files without a segment, some writers know no type.
        if not fits and not (len(table) == 0 and pa.types.is_null(kind)):
            raise FormatError(f"Expected {wanted} in the column '{name}', got {kind}.")
        if name in (*_TEXT, *_WHOLE) and table[name].null_count:
            raise FormatError(
                f"Expected {wanted} in every row of the column '{name}'; some are not."
            )


def check_rows(rles: Sequence[masks.Rle], boxes: np.ndarray, areas: np.ndarray) -> None:
    """Raise FormatError unless boxes are boxes, and areas those of the masks, which are checked."""
    sound = np.isfinite(boxes).all(axis=1) & (boxes[:, :2] <= boxes[:, 2:]).all(axis=1)
    if not sound.all():
        row = int(np.flatnonzero(~sound)[0])
        raise FormatError(
            f"Expected boxes (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1; row {row} has "
            f"{boxes[row].tolist()}."
        )
    wrong = np.flatnonzero(masks.area(rles) != areas)
    if len(wrong):
        row = int(wrong[0])
        raise FormatError(
            f"Expected the areas of the masks; row {row} states {areas[row]:,}, and its mask has "
            f"{masks.area(rles[row : row + 1])[0]:,} pixels."
        )


def read_meta(text: bytes, newest: int) -> dict[str, Any]:
    """The JSON beside a table of segments; FormatError unless its fields are of their kinds."""
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"The description of the segments is not JSON: {error}.") from None
    if not isinstance(meta, Mapping):
        raise FormatError("Expected the description of the segments as an object in JSON.")
    version = meta.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise FormatError(f"Expected the format version as a number, got {version!r:.60}.")
    if version > newest:
        raise FormatError(
            f"Expected format version {newest} or lower, got {version}. "
            "The file was written by a newer samlab: upgrade samlab."
        )
    size, names = meta.get("image_size"), meta.get("class_names")
    if not (isinstance(size, list) and len(size) == 2 and all(_is_whole(v) for v in size)):
        raise FormatError(f"Expected image_size as two whole numbers, got {size!r:.60}.")
    if min(size) < 0:
        raise FormatError(f"Expected image_size as two whole numbers, got {size!r:.60}.")
    if not isinstance(meta.get("image_id"), str):
        raise FormatError(f"Expected image_id as text, got {meta.get('image_id')!r:.60}.")
    if not (isinstance(names, Mapping) and all(map(_is_class, names.items()))):
        raise FormatError(f"Expected class_names from numbers to text, got {names!r:.60}.")
    if not isinstance(meta.get("provenance"), Mapping):
        raise FormatError(f"Expected provenance as an object, got {meta.get('provenance')!r:.60}.")
    return dict(meta)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_class(item: tuple[str, Any]) -> bool:
    digits = item[0].removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 19 and isinstance(item[1], str)
