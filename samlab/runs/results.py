"""A run's results as tables, whether it is finished, stopped or still going on."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from samlab.errors import FormatError, ImageError, InputError
from samlab.errors.arguments import checked_arguments
from samlab.pictures import inside, is_remote, read_picture, unescaped_name
from samlab.runs.disk import shards
from samlab.runs.disk.shards import Shard
from samlab.runs.disk.storage import Storage, open_storage
from samlab.runs.disk.store import deduplicate, read_about, read_shards
from samlab.segments import Segments


@checked_arguments
def open_run(
    out: str | os.PathLike[str],
    *,
    pictures: str | os.PathLike[str] | None = None,
    fetch: bool = False,
) -> Run:
    """Open the results of `samlab.run`; nothing in the folder is changed.

    Args:
        out: The folder or URL that the run wrote into.
        pictures: Where the pictures are now, if they have moved: the folder below which their
            names (`image_id`) are paths, on this machine or a URL. Names that lead out of it are
            refused.
        fetch: Whether pictures may be fetched from addresses that the folder itself names. Only
            for runs of your own: a stranger's could name any machine.

    Returns:
        The run. A run that is still going on shows what was committed by now.

    Raises:
        InputError: There is no run.
        FormatError: A file of it is damaged, or from a newer samlab.

    Example:
        >>> import samlab
        >>> run = samlab.open_run("out")  # doctest: +SKIP
        >>> run.pictures[["image_id", "status", "n_segments"]]  # doctest: +SKIP
    """
    storage = open_storage(out)
    about = read_about(storage)
    if about is None:
        raise InputError(
            f"Expected the folder of a run, with a file run.json; found none in '{storage.url}'. "
            "samlab.run(pictures, out) makes one."
        )
    chosen = deduplicate(list(read_shards(storage)))
    root = None if pictures is None else os.fspath(pictures)
    return Run(storage, about, tuple((shard, tuple(kept)) for shard, kept in chosen), root, fetch)


@dataclass(frozen=True, eq=False)
class Run:
    """Results of a run over many pictures.

    Attributes:
        storage: Where they are.
        about: run.json: settings, versions, when it began.
        shards: Each pair of files with the pictures in it that count.
        root: Where the pictures are now; None for where they were.
        fetch: Whether pictures may be fetched from where the folder says they were.
    """

    storage: Storage
    about: dict[str, Any]
    shards: tuple[tuple[Shard, tuple[str, ...]], ...]
    root: str | None = None
    fetch: bool = False

    # -- pictures -----------------------------------------------------------------------------

    @cached_property
    def pictures(self) -> pd.DataFrame:
        """One row per picture, in the order of the run.

        Columns: image_id, position, path, status ("ok" or "error"), n_segments, width, height,
        bytes, sha256, seconds, error_type, error.
        """
        parts = [shards.only(shard.pictures, kept) for shard, kept in self.shards]
        empty = shards.PICTURE_SCHEMA.empty_table()
        rows = pa.concat_tables([empty, *(part.replace_schema_metadata() for part in parts)])
        return rows.to_pandas().sort_values(["position", "image_id"], ignore_index=True)

    @property
    def errors(self) -> pd.DataFrame:
        """The rows of the pictures that failed."""
        return self.pictures[self.pictures["status"] == "error"].reset_index(drop=True)

    def __len__(self) -> int:
        """How many pictures have a result, errors included."""
        return sum(len(kept) for _, kept in self.shards)

    @property
    def n_segments(self) -> int:
        """Segments of all pictures."""
        return int(self.pictures["n_segments"].sum())

    @property
    def settings(self) -> dict[str, Any]:
        """What decided the results: model, weights' SHA-256, options."""
        return dict(self.about["settings"])

    @property
    def folder(self) -> str:
        """The folder or URL of the results."""
        return self.storage.url

    def __repr__(self) -> str:
        return (
            f"Run('{self.folder}': {len(self):,} pictures, {len(self.errors):,} with errors, "
            f"{self.n_segments:,} segments)"
        )

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>{self.pictures.head(10).to_html()}"

    def path(self, image_id: str) -> str:
        """Where a picture is: below `root`, or where it was when it was done.

        Raises:
            InputError: Its name leads out of `root`.
        """
        if self.root is None:
            return unescaped_name(str(self._row(image_id)["path"]))
        name = unescaped_name(image_id)
        if is_remote(self.root):
            below = posixpath.normpath(name)
            if "://" not in name and not below.startswith(("/", "..")):
                return f"{self.root.rstrip('/')}/{below}"
        else:
            root = Path(self.root).expanduser()
            file = inside(root.resolve(), name)
            if file is not None:
                return str(root / name)
        raise InputError(
            f"Expected a picture inside '{self.root}', but the run names '{image_id}', which leads "
            "out of it. Open the run without pictures=, or move the picture there and run again."
        )

    def image(self, image_id: str) -> np.ndarray:
        """The picture, uint8 (H, W, 3).

        Raises:
            ImageError: It is not there any more; `open_run(out, pictures=folder)` says where. Or
                it is on another machine; `open_run(out, fetch=True)` allows that.
        """
        path = self.path(image_id)
        if self.root is None and is_remote(path) and not self.fetch:
            raise ImageError(
                f"The run in '{self.folder}' says that the picture is at '{path}', and samlab "
                "connects to no address that a folder names. If you trust it, open it with "
                "samlab.open_run(out, fetch=True), or say where the pictures are with pictures=."
            )
        return read_picture(path)[0]

    # -- segments -----------------------------------------------------------------------------

    @property
    def files(self) -> list[str]:
        """The Parquet files of the segments, for pandas, DuckDB or Polars."""
        return [self.storage.path(shard.segments_file) for shard, _ in self._full]

    @property
    def dataset(self) -> ds.Dataset:
        """The same files as one `pyarrow.dataset`, for reading by columns and filters.

        If two processes did the same picture without knowing of each other, it is in there twice
        until the next `samlab.run`; `table` counts it once.
        """
        if not self.files:
            return ds.dataset(shards.segment_rows(Segments(), ""))
        schemas = [self._schema(shard) for shard, _ in self._full]
        schema = pa.unify_schemas(schemas, promote_options="default")
        return ds.dataset(
            self.files, schema=schema, format="parquet", filesystem=self.storage.filesystem
        )

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """The segments table: one row per segment, in the order of the run.

        Args:
            columns: Only these, for example `["image_id", "segment", "embedding_sam"]`, which is
                how to go through a run that is larger than memory is.
        """
        wanted = None if columns is None else list(dict.fromkeys([*columns, "image_id", "segment"]))
        parts = [self._read(shard, kept, wanted) for shard, kept in self._full]
        if not parts:
            empty = shards.segment_rows(Segments(), "")
            return empty if columns is None else empty.select(columns)
        rows = pa.concat_tables(parts, promote_options="default")
        order = dict(zip(self.pictures["image_id"], range(len(self)), strict=True))
        position = np.array([order[i] for i in rows["image_id"].to_pylist()], np.int64)
        number = rows["segment"].to_numpy()
        rows = rows.take(pa.array(np.lexsort((number, position))))
        return rows if columns is None else rows.select(columns)

    def tables(self, columns: list[str]) -> Iterator[pa.Table]:
        """The same rows file by file, in flat memory; the files' order is not the run's."""
        return (self._read(shard, kept, columns) for shard, kept in self._full)

    @property
    def embeddings(self) -> list[str]:
        """Names of the vectors that the segments have; none without segments."""
        return list(self._widths)

    def segments(self, image_id: str | None = None) -> Segments:
        """The segments of one picture, or of all of them in one table.

        Raises:
            InputError: There is no such picture in the run, or it failed.
        """
        if image_id is None:
            return _to_segments(self.table(), self)
        row = self._row(image_id)
        if row["status"] == "error":
            raise InputError(f"The picture '{image_id}' has no segments: {row['error']}")
        for shard, kept in self._full:
            if image_id in kept and row["n_segments"]:
                return self._of_one(self._read(shard, (image_id,)), image_id)
        return Segments(
            image_size=(int(row["height"]), int(row["width"])),
            image_id=image_id,
            provenance=self._provenance,
            embeddings={k: np.zeros((0, n), np.float32) for k, n in self._widths.items()},
        )

    def __iter__(self) -> Iterator[Segments]:
        """The segments of one picture after the other, file by file, in flat memory.

        Pictures that failed, and those without a segment, are left out.
        """
        for shard, kept in self._full:
            table = self._read(shard, kept)
            for image_id in pc.unique(table["image_id"]).to_pylist():
                yield self._of_one(shards.only(table, [image_id]), image_id)

    def to_pandas(self) -> pd.DataFrame:
        """One row per segment, without masks and vectors."""
        names = [n for n in self.dataset.schema.names if not _is_heavy(n)]
        frame = self.table(names).replace_schema_metadata().to_pandas()
        return frame

    # -- inside -------------------------------------------------------------------------------

    def _of_one(self, table: pa.Table, image_id: str) -> Segments:
        return replace(_to_segments(table, self), image_id=image_id)

    @property
    def _full(self) -> list[tuple[Shard, tuple[str, ...]]]:
        return [(shard, kept) for shard, kept in self.shards if shard.has_segments and kept]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return dict(zip(self.pictures["image_id"], range(len(self)), strict=True))

    def _row(self, image_id: str) -> dict[str, Any]:
        if image_id not in self._rows:
            some = ", ".join(f"'{i}'" for i in list(self._rows)[:5])
            raise InputError(
                f"There is no picture '{image_id}' in the run '{self.folder}' of {len(self):,}. "
                f"The first ones are {some or 'none'}."
            )
        row: dict[str, Any] = self.pictures.iloc[self._rows[image_id]].to_dict()
        return row

    def _schema(self, shard: Shard) -> pa.Schema:
        import pyarrow.parquet as pq

        path = self.storage.path(shard.segments_file)
        return pq.read_schema(path, filesystem=self.storage.filesystem)

    def _read(
        self, shard: Shard, kept: tuple[str, ...], columns: list[str] | None = None
    ) -> pa.Table:
        """The rows of some of a shard's pictures."""
        import pyarrow.parquet as pq

        everything = len(kept) == shard.pictures.num_rows
        path = self.storage.path(shard.segments_file)
        try:
            table = pq.read_table(
                path,
                filesystem=self.storage.filesystem,
                columns=columns,
                filters=None if everything else ds.field("image_id").isin(list(kept)),
                page_checksum_verification=True,
            )
        except FileNotFoundError:
            raise FormatError(
                f"'{path}' is gone: the run went on since it was opened. Call samlab.open_run "
                "again."
            ) from None
        except (pa.ArrowException, OSError) as error:
            raise FormatError(
                f"'{path}' cannot be read: {' '.join(str(error).split())} If it is damaged, "
                f"remove the two files {shard.pictures_file} and {shard.segments_file} and call "
                f"samlab.run again, which does their {len(kept)} pictures once more."
            ) from error
        if {"image_id", "segment"} <= set(table.column_names) and not _belong(table, shard, kept):
            raise FormatError(
                f"'{path}' does not hold the segments that '{shard.pictures_file}' states. Remove "
                f"these two files and call samlab.run again, which does their {len(kept)} pictures "
                "once more."
            )
        return table

    @cached_property
    def _widths(self) -> dict[str, int]:
        """Name -> D of the vectors."""
        if not self._full:
            return {}
        return {
            field.name.removeprefix("embedding_"): field.type.list_size
            for field in self._schema(self._full[0][0])
            if field.name.startswith("embedding_")
        }

    @property
    def _provenance(self) -> dict[str, Any]:
        return {**self.settings, "versions": self.about["versions"]}


def _is_heavy(name: str) -> bool:
    return name.startswith(("embedding_", "mask_"))


def _belong(table: pa.Table, shard: Shard, kept: tuple[str, ...]) -> bool:
    """Whether rows of segments are those of these pictures: of each as many as stated, numbered."""
    names, numbers = table["image_id"], table["segment"]
    kinds = pa.types.is_string(names.type) and pa.types.is_integer(numbers.type)
    if not kinds or names.null_count or numbers.null_count:
        return False
    listed = shards.only(shard.pictures, kept)
    pairs = zip(*(listed[c].to_pylist() for c in ("image_id", "n_segments")), strict=True)
    stated = {name: n for name, n in pairs if n}
    rows = set(zip(names.to_pylist(), numbers.to_pylist(), strict=True))
    found = Counter(name for name, number in rows if 0 <= number < stated.get(name, 0))
    return len(rows) == len(table) and found == stated


def _to_segments(table: pa.Table, run: Run) -> Segments:
    """Rows of any number of pictures, with the run's own provenance."""
    if table.num_rows == 0:
        return Segments(provenance=run._provenance)
    return replace(Segments.from_arrow(table), provenance=run._provenance)
