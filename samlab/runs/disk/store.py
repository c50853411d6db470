"""The folder of a run: what is done, what is not, and how a batch more gets in.

    out/run.json                     settings, weights' SHA-256, versions, format version
    out/pictures/part-*.parquet      one row per picture
    out/segments/part-*.parquet      one row per segment

No lock is trusted. Every shard has a name of its own, a picture done twice by two processes that
did not know of each other counts once, and the next run removes the second. Where the file system
has working locks, a second process on the same folder is refused politely instead.
"""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, NamedTuple

import pyarrow as pa

from samlab.errors import FormatError, InputError, SamlabWarning, StorageError
from samlab.runs.disk import shards
from samlab.runs.disk.lock import WriterLock
from samlab.runs.disk.shards import Shard
from samlab.runs.disk.storage import LocalFolder, Storage, open_storage
from samlab.segments.tables import to_parquet_bytes

FORMAT, FORMAT_VERSION = "samlab run", 1
ABOUT = "run.json"
_DAMAGED = "damaged"
_HOUR = 3600.0


class Done(NamedTuple):
    """What is remembered of a picture that is done: enough to see that its file has changed."""

    status: str
    bytes: int
    modified_ns: int


class RunStore:
    """The results of a run, for writing. Open one with `RunStore.open`, close it at the end.

    Attributes:
        storage: Where it is.
        done: image_id -> `Done`, for every picture that counts as done.
    """

    def __init__(self, storage: Storage, lock: WriterLock | None) -> None:
        self.storage = storage
        self.done: dict[str, Done] = {}
        self._lock = lock
        self._count = 0
        self._about = storage.read(ABOUT)

    @classmethod
    def open(cls, out: Any, settings: Mapping[str, Any], *, retry_errors: bool = False) -> RunStore:
        """Begin a run in a folder, or go on with the one that is there.

        What a killed writer left behind is removed, and pictures that two writers did are kept
        once.

        Args:
            out: Folder or URL.
            settings: What decides the results, as JSON-able values; must equal those of the run
                that is there.
            retry_errors: Forget the pictures that failed, so that they are done again.

        Raises:
            InputError: The folder holds a run with other settings, or something else; or another
                process is writing there.
        """
        storage = open_storage(out)
        lock = None
        if isinstance(storage, LocalFolder):
            lock = WriterLock.take(storage.root)
        try:
            _check_settings(storage, settings)
            store = cls(storage, lock)
            store._tidy(retry_errors)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return store

    def close(self) -> None:
        """Let another process write here."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing ------------------------------------------------------------------------------

    def commit(self, rows: list[dict[str, Any]], tables: list[pa.Table], name: str) -> None:
        """Write a batch of pictures as one act; after a crash it is there or not.

        Args:
            rows: `Outcome.row()` of each picture.
            tables: `Outcome.table()` of those that have segments.
            name: From `new_name`.

        Raises:
            StorageError: The folder is no longer this run's; or there is no room.
        """
        check_still_there(self.storage, self._about)
        shards.write_shard(self.storage, name, rows, tables)
        for row in rows:
            self.done[row["image_id"]] = Done(row["status"], row["bytes"], row["modified_ns"])

    def new_name(self) -> str:
        """A name for a shard that no other has."""
        self._count += 1
        return f"part-{self._count:06d}-{secrets.token_hex(4)}"

    def hashes(self, image_ids: Collection[str]) -> dict[str, str]:
        """SHA-256 of the files of some pictures as they were when they were done."""
        found: dict[str, str] = {}
        for shard in read_shards(self.storage) if image_ids else ():
            rows = shards.only(shard.pictures, list(image_ids))
            found.update(zip(*(rows[c].to_pylist() for c in ("image_id", "sha256")), strict=True))
        return found

    def forget(self, image_ids: Collection[str]) -> None:
        """Take pictures out of the results, so that they are done again."""
        wanted = set(image_ids) & self.done.keys()
        if not wanted:
            return
        for shard in read_shards(self.storage):
            names = shard.pictures["image_id"].to_pylist()
            kept = [name for name in names if name not in wanted]
            if len(kept) < len(names):
                self._rewrite(shard, kept)
        for name in wanted:
            del self.done[name]

    # -- inside -------------------------------------------------------------------------------

    def _tidy(self, retry_errors: bool) -> None:
        """Read what is done and remove what does not count."""
        if isinstance(self.storage, LocalFolder):
            alone = self._lock is not None and self._lock.held
            self.storage.sweep(0.0 if alone else _HOUR)
        found = list(read_shards(self.storage, on_damage=self._put_aside))
        self._count = len(found)
        committed = {shard.pictures_file for shard in found}
        committed |= {shard.segments_file for shard in found}
        # First the pictures' files: without them, their segments count no longer.
        for folder in (shards.PICTURES, shards.SEGMENTS):
            for name in self.storage.names(folder):
                if name.endswith(".parquet") and name not in committed:
                    self.storage.remove(name)
        for shard, kept in deduplicate(found):
            columns = [shard.pictures[c].to_pylist() for c in ("image_id", *Done._fields)]
            rows = {i: Done(*values) for i, *values in zip(*columns, strict=True)}
            if retry_errors:
                kept = [i for i in kept if rows[i].status == "ok"]
            if len(kept) < len(columns[0]):
                self._rewrite(shard, kept)
            self.done.update((i, rows[i]) for i in kept)

    def _rewrite(self, shard: Shard, kept: list[str]) -> None:
        """Leave only some of a shard's pictures.

        Failed pictures have no segments, so only the file of pictures is replaced, in one step.
        Otherwise the rest goes into a new pair before the old one is removed: a crash in between
        leaves both, and a picture in both counts once.
        """
        pictures = shards.only(shard.pictures, kept)
        if kept and _segments_in(pictures) == _segments_in(shard.pictures):
            self.storage.write(shard.pictures_file, to_parquet_bytes(pictures))
            return
        if kept:
            segments = None
            if _segments_in(pictures):
                name = shard.segments_file
                segments = shards.from_bytes(self.storage.read(name), f"{self.storage.url}/{name}")
                segments = shards.only(segments, kept)
            shards.write_tables(self.storage, self.new_name(), pictures, segments)
        self.storage.remove(shard.pictures_file)
        self.storage.remove(shard.segments_file)

    def _put_aside(self, name: str) -> None:
        """Keep a damaged file for whoever wants to look, where it no longer counts."""
        aside = f"{_DAMAGED}/{name.rsplit('/', 1)[-1]}"
        warnings.warn(
            f"'{self.storage.url}/{name}' is damaged. It is moved to '{aside}', and its pictures "
            "are done again.",
            SamlabWarning,
            stacklevel=5,
        )
        self.storage.write(aside, self.storage.read(name))
        self.storage.remove(name)


def read_shards(
    storage: Storage, *, on_damage: Callable[[str], None] | None = None
) -> Iterator[Shard]:
    """Every committed shard, by name.

    Args:
        storage: The run's folder.
        on_damage: Called with the name of a file that is damaged, which then does not count;
            without it, a FormatError is raised.
    """
    names = [name for name in storage.names(shards.PICTURES) if name.endswith(".parquet")]

    def read(name: str) -> Shard | FormatError | None:
        try:
            return shards.read_shard(storage, name)
        except FormatError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        for name, found in zip(names, pool.map(read, names), strict=True):
            if isinstance(found, FormatError):
                if on_damage is None:
                    raise found
                on_damage(name)
            elif found is not None:
                yield found


def deduplicate(found: Collection[Shard]) -> list[tuple[Shard, list[str]]]:
    """Which pictures of each shard count: every picture once, a result before an error.

    Of several equal ones the first by name counts.
    """
    best: dict[str, tuple[bool, str]] = {}
    for shard in found:
        columns = (shard.pictures[c].to_pylist() for c in ("image_id", "status"))
        for image_id, status in zip(*columns, strict=True):
            rank = (status != "ok", shard.name)
            if image_id not in best or rank < best[image_id]:
                best[image_id] = rank
    return [
        (shard, [i for i in shard.pictures["image_id"].to_pylist() if best[i][1] == shard.name])
        for shard in found
    ]


def _segments_in(pictures: pa.Table) -> int:
    return sum(pictures["n_segments"].to_pylist())


def check_still_there(storage: Storage, about: bytes) -> None:
    """Raise StorageError unless the folder still has the run.json of this run.

    Writing on into a folder that was removed would make it anew, with results that nobody can open.
    """
    try:
        now = storage.read(ABOUT)
    except OSError:
        now = b""
    if now != about:
        what = "is another run's now" if now else "is gone"
        raise StorageError(
            f"The run stopped: '{storage.url}/{ABOUT}' {what}, so the folder of the results was "
            "removed, moved or used for something else while the run was going on. Put it back and "
            "call samlab.run again, which goes on where it was; or choose another folder."
        )


def read_about(storage: Storage) -> dict[str, Any] | None:
    """`run.json`, checked; None where there is none."""
    try:
        about = json.loads(storage.read(ABOUT))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise FormatError(
            f"'{storage.url}/{ABOUT}' is not the description of a samlab run. Choose another "
            "folder."
        )
    version_of, kinds = about.get("version"), {"settings": dict, "versions": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(about.get(name), kind)]
    if wrong or not isinstance(version_of, int):
        raise FormatError(
            f"'{storage.url}/{ABOUT}' is damaged: its field '{(wrong or ['version'])[0]}' is "
            "missing or of another kind. Choose another folder."
        )
    if version_of > FORMAT_VERSION:
        raise FormatError(
            f"Expected a run of format version {FORMAT_VERSION} or lower in '{storage.url}', got "
            f"{version_of}. It was written by a newer samlab: upgrade samlab."
        )
    return about


def _check_settings(storage: Storage, settings: Mapping[str, Any]) -> None:
    """Compare with the run that is there, or describe a new one."""
    wanted = json.loads(json.dumps(settings))
    about = read_about(storage)
    if about is None:
        if storage.names(shards.PICTURES) or storage.names(shards.SEGMENTS):
            raise InputError(
                f"Expected an empty folder or an earlier run, but '{storage.url}' has results and "
                f"no {ABOUT}. Choose another folder."
            )
        _begin(storage, wanted)
        return
    differences = list(_differences(about["settings"], wanted))
    if differences and not storage.names(shards.PICTURES):
        # An earlier call ended before its first result, perhaps for a setting put right now.
        _begin(storage, wanted)
    elif differences:
        raise InputError(
            f"'{storage.url}' holds a run with other settings: {'; '.join(differences)}. Use the "
            "same settings to go on with it, or choose another folder."
        )


def _begin(storage: Storage, settings: Any) -> None:
    """Describe a new run."""
    about = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "settings": settings,
        "versions": {name: version(name) for name in ("samlab", "numpy", "pyarrow")},
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    storage.write(ABOUT, json.dumps(about, indent=2).encode())


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            inner = f"{name}.{key}" if name else key
            if old.get(key) != new.get(key):
                yield from _differences(old.get(key), new.get(key), inner)
    else:
        yield f"{name} was {_short(old)} and is now {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
