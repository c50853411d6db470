"""The two tables of a run, a batch of pictures at a time: rows of pictures, rows of segments.

A shard is a pair of Parquet files of the same name, `segments/NAME.parquet` (one row per segment)
and `pictures/NAME.parquet` (one row per picture). The second says in its metadata how large the
first is. The second is written last, and its appearance is what commits the pair: a file of
segments without it, or with a size other than stated, does not count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samlab.errors import FormatError
from samlab.pictures import Picture
from samlab.runs.disk.storage import Storage
from samlab.segments import Segments
from samlab.segments.tables import from_parquet_bytes, to_parquet_bytes

PICTURES, SEGMENTS = "pictures", "segments"
_KEY = b"samlab.run"
_SEGMENTS_KEY = b"samlab.segments"

PICTURE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("position", pa.int64()),
        ("path", pa.string()),
        ("status", pa.string()),  # "ok" or "error"
        ("n_segments", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("seconds", pa.float64()),
        ("error_type", pa.string()),
        ("error", pa.string()),
        ("modified_ns", pa.int64()),  # when the file was written, nanoseconds since 1970; 0 unknown
        ("threads", pa.int32()),  # that computed it; 0 unknown
    ]
)
_LATER = {"modified_ns": 0, "threads": 0}
"""Columns of pictures that older runs lack, and what stands in for them."""
_COUNTS = ("position", "n_segments", "width", "height", "bytes")


def _nothing() -> dict[str, np.ndarray]:
    return {}


@dataclass(frozen=True)
class Outcome:
    """What became of one picture: its segments, or an error.

    Attributes:
        picture: Which one.
        segments: Its segments; None where there was an error.
        columns: Further columns of the segments table, each (N,), for example `confidence`.
        error: The message; "" where it went well.
        error_type: Name of the exception's class.
        image_size: (H, W) in pixels; (0, 0) where the picture could not be read.
        bytes: Size of the file; 0 where it is not known.
        sha256: Of the file; "" where it could not be read.
        seconds: Spent on it, reading not included.
        modified_ns: When the file was written, nanoseconds since 1970; 0 where it is not known.
    """

    picture: Picture
    segments: Segments | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=_nothing)
    error: str = ""
    error_type: str = ""
    image_size: tuple[int, int] = (0, 0)
    bytes: int = 0
    sha256: str = ""
    seconds: float = 0.0
    modified_ns: int = 0

    def row(self) -> dict[str, Any]:
        """The picture's row."""
        height, width = self.image_size
        return {
            "image_id": self.picture.image_id,
            "position": self.picture.position,
            "path": self.picture.path,
            "status": "error" if self.segments is None else "ok",
            "n_segments": 0 if self.segments is None else len(self.segments),
            "width": width,
            "height": height,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "seconds": self.seconds,
            "error_type": self.error_type,
            # A file's name may be in it, which may be none that a file of text can hold.
            "error": self.error.encode("utf-8", "backslashreplace").decode(),
            "modified_ns": self.modified_ns,
            "threads": 0 if self.segments is None else _threads(self.segments),
        }

    def table(self) -> pa.Table | None:
        """The rows of its segments; None where there are none."""
        if self.segments is None or len(self.segments) == 0:
            return None
        return segment_rows(self.segments, self.picture.image_id, self.columns)


def _threads(segments: Segments) -> int:
    """How many threads computed them, as their provenance says; 0 where it does not."""
    stated = segments.provenance.get("threads", 0)
    return stated if isinstance(stated, int) else 0


def segment_rows(
    segments: Segments, image_id: str, columns: Mapping[str, np.ndarray] | None = None
) -> pa.Table:
    """`Segments.to_arrow` with the picture's name and the segment's number in the picture.

    The types are the same in every shard, whatever pandas thinks of strings.
    """
    table = segments.to_arrow()
    n = len(segments)
    arrays = {"image_id": pa.array([image_id] * n, pa.string())}
    arrays["segment"] = pa.array(np.arange(n, dtype=np.int32))
    for name in table.column_names:
        if name != "image_id":
            column = table[name]
            plain = pa.types.is_large_string(column.type) or pa.types.is_null(column.type)
            arrays[name] = column.cast(pa.string()) if plain else column
    for name, values in (columns or {}).items():
        arrays[name] = pa.array(np.asarray(values))
    return pa.table(arrays).replace_schema_metadata(table.schema.metadata)


@dataclass(frozen=True)
class Shard:
    """A committed pair of files: its name and the rows of its pictures."""

    name: str
    pictures: pa.Table

    @property
    def pictures_file(self) -> str:
        return f"{PICTURES}/{self.name}.parquet"

    @property
    def segments_file(self) -> str:
        return f"{SEGMENTS}/{self.name}.parquet"

    @property
    def has_segments(self) -> bool:
        return _stated(self.pictures) > 0


def write_shard(
    storage: Storage, name: str, rows: Sequence[Mapping[str, Any]], tables: Sequence[pa.Table]
) -> None:
    """Commit a batch of pictures as one act."""
    segments = pa.concat_tables(_alike(tables), promote_options="default") if tables else None
    write_tables(storage, name, pa.Table.from_pylist(list(rows), PICTURE_SCHEMA), segments)


def write_tables(
    storage: Storage, name: str, pictures: pa.Table, segments: pa.Table | None
) -> None:
    """The same for tables that are put together already."""
    size = 0
    if segments is not None and len(segments):
        data = to_parquet_bytes(segments)
        size = len(data)
        storage.write(f"{SEGMENTS}/{name}.parquet", data)
    about = {_KEY: json.dumps({"segments_bytes": size}).encode()}
    storage.write(
        f"{PICTURES}/{name}.parquet", to_parquet_bytes(pictures.replace_schema_metadata(about))
    )


def read_shard(storage: Storage, pictures_file: str) -> Shard | None:
    """A committed shard; None where the pair is not complete, or is gone by now.

    Raises:
        FormatError: The file is there and damaged.
    """
    name = pictures_file.rsplit("/", 1)[-1].removesuffix(".parquet")
    try:
        data = storage.read(pictures_file)
    except FileNotFoundError:
        return None
    pictures = from_bytes(data, f"{storage.url}/{pictures_file}")
    for later, value in _LATER.items():
        if later not in pictures.column_names:
            filled = pa.array([value] * len(pictures), PICTURE_SCHEMA.field(later).type)
            pictures = pictures.append_column(later, filled)
    missing = [n for n in PICTURE_SCHEMA.names if n not in pictures.column_names]
    if missing or _KEY not in (pictures.schema.metadata or {}):
        raise FormatError(
            f"'{storage.url}/{pictures_file}' was not written by samlab.run"
            + (f"; it has no column {', '.join(missing)}." if missing else ".")
        )
    pictures = pictures.select(PICTURE_SCHEMA.names)
    _check_rows(pictures, f"{storage.url}/{pictures_file}")
    shard = Shard(name, pictures)
    stated = _stated(pictures)
    return shard if stated == 0 or storage.size(shard.segments_file) == stated else None


def _check_rows(pictures: pa.Table, where: str) -> None:
    """Raise FormatError unless the rows of pictures are what `write_shard` writes."""
    fault = ""
    for field_ in PICTURE_SCHEMA:
        column = pictures[field_.name]
        if column.type != field_.type:
            fault = f"its column '{field_.name}' is of the kind {column.type}, not {field_.type}"
        elif column.null_count:
            fault = f"its column '{field_.name}' has gaps"
    if not fault:
        ids, status = pictures["image_id"].to_pylist(), set(pictures["status"].to_pylist())
        if len(set(ids)) < len(ids):
            fault = "it names a picture twice"
        elif not status <= {"ok", "error"}:
            fault = f"its column 'status' holds {sorted(status - {'ok', 'error'})[0]!r:.40}"
        elif len(ids) and min(pc.min(pictures[n]).as_py() for n in _COUNTS) < 0:
            fault = f"one of its columns {', '.join(_COUNTS)} is below zero"
    try:
        stated = json.loads(pictures.schema.metadata[_KEY])["segments_bytes"]
    except (ValueError, KeyError, TypeError, RecursionError):
        stated = None
    if not isinstance(stated, int) or stated < 0:
        fault = "it does not say how large the file of segments is"
    if fault:
        raise FormatError(
            f"'{where}' is not as samlab.run writes it: {fault}. Move it away and call samlab.run "
            "again, which does its pictures once more."
        )


def only(table: pa.Table, image_ids: Sequence[str]) -> pa.Table:
    """The rows of some pictures, in the table's order."""
    chosen = pa.array(list(image_ids), pa.string())
    return table.filter(pc.is_in(table["image_id"], value_set=chosen))


def from_bytes(data: bytes, name: str) -> pa.Table:
    """One of the two tables of a shard; FormatError where it is damaged."""
    advice = "Move it away and call samlab.run again, which does its pictures once more."
    return from_parquet_bytes(data, name, advice)


def _stated(pictures: pa.Table) -> int:
    return int(json.loads(pictures.schema.metadata[_KEY])["segments_bytes"])


def _alike(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """The tables under one metadata: that of several pictures, as `Segments.concat` has it."""
    meta = json.loads((tables[0].schema.metadata or {})[_SEGMENTS_KEY])
    meta |= {"image_id": "", "image_size": [0, 0]}
    about = {_SEGMENTS_KEY: json.dumps(meta).encode()}
    return [table.replace_schema_metadata(about) for table in tables]
