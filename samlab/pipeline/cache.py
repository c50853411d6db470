"""Segments that were computed before: by picture, weights and settings, shared by processes.

    <cache>/segments/3f/3f0c...-9a41....parquet      key - hash of the file's own bytes

An entry is an ordinary Parquet file. Its name holds the hash of its contents, so a single flipped
bit anywhere in it shows, and it appears under that name by a rename, so that nobody sees half of
it. There are no locks: two processes that compute the same thing write two equal entries, or two
that differ in the last bits, and either is right.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from samlab.errors import FormatError, InputError, SamlabWarning
from samlab.files import write_atomic
from samlab.segments import Segments
from samlab.segments.tables import from_parquet_bytes, to_parquet_bytes

_KEY_VERSION = 2
_COMPUTATION = 1
"""To be raised whenever masks or vectors come out otherwise for the same settings."""

DEFAULT_BYTES = 5 * 2**30
"""Size from which the entries that were not used for longest are removed."""

_DAMAGED = "damaged"
_KEPT_DAMAGED = 20
_HOUR = 3600.0


@dataclass(frozen=True)
class CacheEntry:
    """One file of the cache; `used` is when it was last written or read, seconds since 1970."""

    path: Path
    bytes: int
    used: float


def cache_key(picture_sha256: str, settings: Mapping[str, Any]) -> str:
    """What identifies a result: the picture's bytes, and everything that decides about them.

    The version of samlab is part of it: another one may compute otherwise.

    Args:
        picture_sha256: Of the picture's file, or of an array's contents.
        settings: JSON-able; the weights' SHA-256 is among them.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> cache_key("ab", {"x": 1, "y": 2}) == cache_key("ab", {"y": 2, "x": 1})
        True
    """
    about = {
        "format": _KEY_VERSION, "computation": _COMPUTATION, "samlab": version("samlab"),
        "picture": picture_sha256, "settings": dict(settings),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


class SegmentCache:
    """Segments by key, on disk. Any number of processes may use one folder at once.

    Args:
        folder: Where; by default `segments` in samlab's cache folder, which SAMLAB_CACHE moves.
        max_bytes: What it may take on the disk; above, the longest unused entries go.

    Example:
        >>> import tempfile
        >>> cache = SegmentCache(tempfile.mkdtemp())
        >>> cache.put("0" * 64, Segments(image_size=(4, 6)))
        >>> cache.get("0" * 64).image_size, cache.get("1" * 64)
        ((4, 6), None)
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, *, max_bytes: int = DEFAULT_BYTES
    ) -> None:
        if max_bytes < 0:
            raise InputError(f"Expected max_bytes of 0 or more, got {max_bytes}.")
        if folder is None:
            from samlab.sam.checkpoints import cache_folder

            folder = cache_folder() / "segments"
        self.folder = Path(folder).expanduser()
        self.max_bytes = max_bytes
        self._unchecked: int | None = None  # bytes written since the size was last looked at

    def get(self, key: str) -> Segments | None:
        """The segments kept under a key, or None.

        A damaged entry is moved into `damaged/` with a warning, and does not count.
        """
        for path in self._paths(key):
            try:
                data = path.read_bytes()
            except OSError:  # evicted a moment ago, or not readable: then it is computed
                continue
            if _digest(data) != path.stem.rsplit("-", 1)[-1]:
                self._put_aside(path)
                continue
            try:
                found = Segments.from_arrow(from_parquet_bytes(data, str(path)))
            except FormatError:  # whole, but of a version that this one cannot read
                continue
            with suppress(OSError):
                os.utime(path)
            return found
        return None

    def put(self, key: str, segments: Segments) -> None:
        """Keep segments under a key.

        Raises:
            StorageError: No space or no permission; nothing was half-written.
        """
        data = to_parquet_bytes(segments.to_arrow())
        path = self.folder / key[:2] / f"{key}-{_digest(data)}.parquet"
        # Not flushed to the disk: after a power cut the name tells a torn file.
        write_atomic(path, data)
        self._evict(len(data))

    def entries(self) -> Iterator[CacheEntry]:
        """Every entry, in no order; damaged ones not included."""
        return (entry for entry in self._files() if entry.path.parent.name != _DAMAGED)

    def clear(self) -> int:
        """Remove every entry, damaged ones too; returns the bytes that this frees."""
        freed = 0
        for entry in self._files():
            freed += _remove(entry)
        return freed

    def __repr__(self) -> str:
        return f"SegmentCache('{self.folder}', max_bytes={self.max_bytes:,})"

    # -- inside -------------------------------------------------------------------------------

    def _paths(self, key: str) -> list[Path]:
        try:
            with os.scandir(self.folder / key[:2]) as found:
                return sorted(
                    Path(e.path)
                    for e in found
                    if e.name.startswith(f"{key}-") and e.name.endswith(".parquet")
                )
        except OSError:
            return []

    def _put_aside(self, path: Path) -> None:
        target = self.folder / _DAMAGED / path.name
        with suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
        warnings.warn(
            f"The cache entry '{path}' is damaged: its contents do not have the hash that its name "
            f"states. It is moved to '{target.parent}' and computed again. If this happens often, "
            "check the disk.",
            SamlabWarning,
            stacklevel=3,
        )

    def _evict(self, written: int) -> None:
        """Evict once in a while: the first time, and after each twentieth of the limit."""
        if self._unchecked is not None:
            self._unchecked += written
            if self._unchecked < self.max_bytes // 20:
                return
        self._unchecked = 0
        self._tidy()
        entries = sorted(self.entries(), key=lambda entry: entry.used)
        excess = sum(entry.bytes for entry in entries) - self.max_bytes
        if excess <= 0:
            return
        excess += self.max_bytes // 10  # so that the next one need not evict again
        for entry in entries:
            if excess <= 0:
                return
            excess -= _remove(entry)

    def _tidy(self) -> None:
        """Remove what killed writers left, and all but the latest damaged entries."""
        damaged = sorted(self._files(_DAMAGED), key=lambda entry: -entry.used)
        for entry in damaged[_KEPT_DAMAGED:]:
            _remove(entry)
        for path in self.folder.glob("*/.*.tmp"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _HOUR:
                    path.unlink()

    def _files(self, only: str | None = None) -> Iterator[CacheEntry]:
        for folder in _subfolders(self.folder):
            if only not in (None, folder.name):
                continue
            with suppress(OSError), os.scandir(folder) as found:
                for item in found:
                    if item.name.endswith(".parquet"):
                        with suppress(OSError):  # evicted by another process just now
                            stat = item.stat()
                            yield CacheEntry(Path(item.path), stat.st_size, stat.st_mtime)


def open_cache(cache: bool | str | os.PathLike[str] | SegmentCache | None) -> SegmentCache | None:
    """What the argument `cache` of a function stands for.

    True is the default folder, a path another one; None and False are no cache.
    """
    if cache is None or cache is False:
        return None
    if isinstance(cache, SegmentCache):
        return cache
    return SegmentCache(None if cache is True else cache)


def _digest(data: bytes) -> str:
    """128 bits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:32]


def _remove(entry: CacheEntry) -> int:
    """Remove one file; returns the bytes freed, 0 where it was gone or cannot be removed."""
    try:
        entry.path.unlink()
    except OSError:
        return 0
    return entry.bytes


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return [Path(item.path) for item in found if item.is_dir()]
    except OSError:
        return []
