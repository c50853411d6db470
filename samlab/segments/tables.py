"""Segments in other people's tables: SAM's records, pandas, Arrow and Parquet.

The functions named `*_columns` return the keyword arguments of `Segments`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from samlab import masks
from samlab.errors import FormatError
from samlab.files import atomic_file
from samlab.masks import Rle
from samlab.segments.arrow_checks import check_columns, check_rows, read_meta

_FORMAT_VERSION = 1
_META_KEY = b"samlab.segments"
_HASH_KEY = b"samlab.sha256"  # of the contents; in files, not in tables, which others may change
_EMBEDDING, _SCORE = "embedding_", "score_"
_NUMBERS = (
    "label", "area", "x0", "y0", "x1", "y1", "predicted_iou", "stability_score", "point_x",
    "point_y",
)  # fmt: skip


class SegmentColumns(Protocol):
    """What `Segments` are here: columns of equal length and what is said of all of them."""

    @property
    def rles(self) -> Sequence[Rle]: ...
    @property
    def boxes(self) -> np.ndarray: ...
    @property
    def areas(self) -> np.ndarray: ...
    @property
    def predicted_iou(self) -> np.ndarray: ...
    @property
    def stability_score(self) -> np.ndarray: ...
    @property
    def points(self) -> np.ndarray: ...
    @property
    def labels(self) -> np.ndarray: ...
    @property
    def level(self) -> np.ndarray: ...
    @property
    def parent(self) -> np.ndarray: ...
    @property
    def image_ids(self) -> np.ndarray: ...
    @property
    def embeddings(self) -> Mapping[str, np.ndarray]: ...
    @property
    def scores(self) -> Mapping[str, np.ndarray]: ...
    @property
    def image_size(self) -> tuple[int, int]: ...
    @property
    def image_id(self) -> str: ...
    @property
    def class_names(self) -> Mapping[int, str]: ...
    @property
    def provenance(self) -> Mapping[str, Any]: ...
    def class_name(self, label: int) -> str:
        """The name of a class."""


def to_records(segments: SegmentColumns) -> list[dict[str, Any]]:
    """The records of SAM's automatic mask generator; see `Segments.to_records`."""
    height, width = segments.image_size
    columns = zip(
        segments.rles,
        segments.areas.tolist(),
        segments.boxes.tolist(),
        segments.predicted_iou.tolist(),
        segments.points.tolist(),
        segments.stability_score.tolist(),
        strict=True,
    )
    known = {
        name: values.tolist()
        for name, values in (("level", segments.level), ("parent", segments.parent))
        if (values >= 0).any()
    }
    return [
        {
            "segmentation": dict(rle),
            "area": area,
            "bbox": [x0, y0, max(x1 - x0 - 1, 0.0), max(y1 - y0 - 1, 0.0)],
            "predicted_iou": iou,
            "point_coords": [point],
            "stability_score": stability,
            "crop_box": [0, 0, width, height],
            **{name: values[i] for name, values in known.items()},
        }
        for i, (rle, area, (x0, y0, x1, y1), iou, point, stability) in enumerate(columns)
    ]


def record_columns(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of SAM's records, whose masks may be binary, uncompressed or COCO RLE."""
    rles = []
    for i, record in enumerate(records):
        if "segmentation" not in record:
            raise FormatError(
                f"Expected records of SAM's mask generator; record {i} has no field "
                f"'segmentation', only {sorted(record)}."
            )
        value = record["segmentation"]
        rles.append(
            masks.compress(dict(value))
            if isinstance(value, Mapping)
            else masks.encode(np.asarray(value))
        )
    nowhere = [[np.nan, np.nan]]
    return {
        "rles": rles,
        "predicted_iou": np.array([r.get("predicted_iou", np.nan) for r in records]),
        "stability_score": np.array([r.get("stability_score", np.nan) for r in records]),
        "points": np.array([r.get("point_coords", nowhere)[0] for r in records]),
        "level": np.array([r.get("level", -1) for r in records]),
        "parent": np.array([r.get("parent", -1) for r in records]),
    }


def to_pandas(segments: SegmentColumns) -> pd.DataFrame:
    """One row per segment: numbers, class and name; without masks, vectors and scores (N, K)."""
    boxes, points = segments.boxes, segments.points
    labels = segments.labels
    return pd.DataFrame(
        {
            "image_id": segments.image_ids.astype(str),
            "label": labels,
            "class_name": [segments.class_name(label) for label in labels.tolist()],
            "area": segments.areas,
            "x0": boxes[:, 0],
            "y0": boxes[:, 1],
            "x1": boxes[:, 2],
            "y1": boxes[:, 3],
            "predicted_iou": segments.predicted_iou,
            "stability_score": segments.stability_score,
            "point_x": points[:, 0],
            "point_y": points[:, 1],
            "level": segments.level,
            "parent": segments.parent,
            **{f"{_SCORE}{k}": v for k, v in segments.scores.items() if v.ndim == 1},
        }
    )


def to_arrow(segments: SegmentColumns) -> pa.Table:
    """The whole table, masks and vectors included, as Arrow columns.

    `parent` counts from the first row of its picture there, so that tables of pictures can be put
    one below the other.
    """
    frame = to_pandas(segments).assign(parent=_within_pictures(segments))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for column, values in (
        ("mask_height", [rle["size"][0] for rle in segments.rles]),
        ("mask_width", [rle["size"][1] for rle in segments.rles]),
    ):
        table = table.append_column(column, pa.array(values, pa.int32()))
    counts = [rle["counts"] for rle in segments.rles]
    table = table.append_column("mask_counts", pa.array(counts, pa.string()))
    wide = {f"{_EMBEDDING}{name}": vectors for name, vectors in segments.embeddings.items()}
    wide |= {f"{_SCORE}{name}": rows for name, rows in segments.scores.items() if rows.ndim == 2}
    for name, rows in wide.items():
        flat = pa.array(rows.ravel(), pa.float32())
        table = table.append_column(name, pa.FixedSizeListArray.from_arrays(flat, rows.shape[1]))
    meta = {
        "version": _FORMAT_VERSION,
        "image_size": list(segments.image_size),
        "image_id": segments.image_id,
        "class_names": {str(k): v for k, v in segments.class_names.items()},
        "provenance": dict(segments.provenance),
    }
    return table.replace_schema_metadata({_META_KEY: json.dumps(meta).encode()})


def arrow_columns(table: pa.Table) -> dict[str, Any]:
    """Columns of a table that `to_arrow` made."""
    metadata = table.schema.metadata or {}
    if _META_KEY not in metadata:
        raise FormatError(
            "Expected a table written by Segments.to_arrow or to_parquet; it has no "
            "'samlab.segments' metadata. Columns: " + ", ".join(table.column_names)
        )
    meta = read_meta(metadata[_META_KEY], _FORMAT_VERSION)
    check_columns(table)
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in _NUMBERS}
    sizes = zip(table["mask_height"].to_pylist(), table["mask_width"].to_pylist(), strict=True)
    pairs = zip(sizes, table["mask_counts"].to_pylist(), strict=True)
    rles = masks.checked({"size": list(size), "counts": counts} for size, counts in pairs)
    boxes = np.stack([columns[c] for c in ("x0", "y0", "x1", "y1")], axis=1)
    check_rows(rles, boxes, columns["area"])
    return {
        "rles": rles,
        "boxes": boxes,
        "areas": columns["area"],
        "predicted_iou": columns["predicted_iou"],
        "stability_score": columns["stability_score"],
        "points": np.stack([columns["point_x"], columns["point_y"]], axis=1),
        "labels": columns["label"],
        **_nesting(table),
        "embeddings": _numbers(table, _EMBEDDING),
        "scores": _numbers(table, _SCORE),
        "image_size": (meta["image_size"][0], meta["image_size"][1]),
        "image_id": meta["image_id"],
        "image_ids": np.array(table["image_id"].to_pylist(), object),
        "class_names": {int(k): v for k, v in meta["class_names"].items()},
        "provenance": meta["provenance"],
    }


def _within_pictures(segments: SegmentColumns) -> np.ndarray:
    """The column `parent`, each counted from the first row of its picture."""
    place = pd.Series(segments.image_ids).groupby(segments.image_ids).cumcount().to_numpy()
    parent = segments.parent
    return np.where(parent >= 0, np.append(place, -1)[parent], -1)


def _nesting(table: pa.Table) -> dict[str, np.ndarray]:
    """`level` and `parent`; unknown where the file is older than they are."""
    found = {
        name: table[name].fill_null(-1).to_numpy(zero_copy_only=False)
        for name in ("level", "parent")
        if name in table.column_names
    }
    if "parent" in found:
        pictures = pd.Series(table["image_id"].to_pylist(), dtype=object)
        rows = pd.Series(
            np.arange(len(pictures)),
            pd.MultiIndex.from_arrays([pictures, pictures.groupby(pictures).cumcount()]),
        )
        wanted = pd.MultiIndex.from_arrays([pictures, found["parent"]])
        found["parent"] = rows.reindex(wanted).fillna(-1).to_numpy(np.int64)
    return found


def _numbers(table: pa.Table, prefix: str) -> dict[str, np.ndarray]:
    """The columns whose names begin so, (N,) or (N, K), without that part of the name."""
    found = {}
    for name in table.column_names:
        if not name.startswith(prefix):
            continue
        column, kind = table[name], table.schema.field(name).type
        if pa.types.is_fixed_size_list(kind):
            flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
            found[name.removeprefix(prefix)] = flat.reshape(-1, kind.list_size)
        else:
            found[name.removeprefix(prefix)] = column.to_numpy(zero_copy_only=False)
    return found


def write_table(table: pa.Table, path: Path) -> None:
    """Write one file, whole or not at all, with a hash of its contents in it."""
    about = {**(table.schema.metadata or {}), _HASH_KEY: _contents(table).encode()}
    with atomic_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata(about), temporary, write_page_checksum=True)


def to_parquet_bytes(table: pa.Table) -> bytes:
    """A Parquet file in memory, its pages with checksums."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def from_parquet_bytes(data: bytes, name: str, advice: str = "") -> pa.Table:
    """Read a Parquet file in memory and check its pages.

    Raises:
        FormatError: It is damaged; says so of the file `name`, and then `advice`.
    """
    try:
        return pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        said = f"'{name}' is damaged: {' '.join(str(error).split())} {advice}"
        raise FormatError(said.rstrip()) from error


def read_parquet(path: str | Path) -> pa.Table:
    """Read one file; FormatError where it is missing, no Parquet file, or not as it was written."""
    try:
        # One open file: by its path Arrow would open it twice, and it may be replaced between.
        with open(path, "rb") as file:
            table = pq.read_table(file, page_checksum_verification=True)
    except FileNotFoundError:
        raise FormatError(f"No segments at '{path}': the file does not exist.") from None
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise FormatError(
            f"'{path}' is not a Parquet file, or is damaged: {' '.join(str(error).split())}. "
            "Write it again with Segments.to_parquet."
        ) from None
    about = dict(table.schema.metadata or {})
    stated = about.pop(_HASH_KEY, None)
    table = table.replace_schema_metadata(about)
    if stated is not None and stated.decode("ascii", "replace") != _contents(table):
        raise FormatError(
            f"'{path}' is damaged, or another program changed it: its contents do not have the "
            "hash that it states. Write it again with Segments.to_parquet; if the change is meant, "
            "read it with Segments.from_arrow(pyarrow.parquet.read_table(path))."
        )
    return table


def _contents(table: pa.Table) -> str:
    """SHA-256 of the names, the values and the description, whatever their layout in memory."""
    total = hashlib.sha256((table.schema.metadata or {}).get(_META_KEY, b""))
    for name in table.column_names:
        column = table[name]
        total.update(f"\0{name}\0{len(column)}\0".encode())
        if pa.types.is_fixed_size_list(column.type):
            column = column.combine_chunks().flatten()
        values = column.to_numpy(zero_copy_only=False)
        if values.dtype == object:
            total.update(json.dumps(column.to_pylist(), default=str).encode())
        else:
            total.update(np.ascontiguousarray(values).tobytes())
    return total.hexdigest()
