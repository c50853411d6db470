"""A folder for results, on this machine or in object storage; a file appears whole or not at all.

On this machine a file is written under a temporary name, flushed to the disk and renamed, which
POSIX and Windows do in one step. Object stores (S3, GCS, Azure, through fsspec) show an object
only when its upload has ended, which is the same promise.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from samlab.errors import InputError, StorageError, require_extra
from samlab.files import write_atomic

_ALMOST_URL = re.compile(r"[a-z][a-z0-9+]+:/(?!/)")  # s3:/bucket; a drive has one letter


class Storage(Protocol):
    """A folder with files named by relative POSIX paths, such as `"pictures/part-1.parquet"`."""

    @property
    def url(self) -> str: ...

    @property
    def filesystem(self) -> Any:
        """What pyarrow takes beside `path(name)` to read a file; None for this machine."""
        ...

    def path(self, name: str) -> str: ...

    def names(self, folder: str) -> list[str]:
        """Names of the finished files in a sub-folder, sorted; none where it does not exist."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes, or None where there is no such file."""
        ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, data: bytes) -> None: ...

    def remove(self, name: str) -> None: ...


def open_storage(out: str | os.PathLike[str]) -> Storage:
    """The folder that a path or a URL (`s3://bucket/run`) names; it need not exist."""
    text = os.fspath(out)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    if not text:
        raise InputError("Expected a folder for the results, got an empty path. Name one.")
    if _ALMOST_URL.match(text):
        raise InputError(
            f"Expected a folder or a URL for the results, got '{text}'. Did you mean "
            f"'{text.replace(':/', '://', 1)}'?"
        )
    return RemoteFolder(text) if "://" in text else LocalFolder(Path(text).expanduser())


def absolute(out: str) -> str:
    """The same folder as seen from another working directory; a URL stays as it is."""
    return out if "://" in out else os.path.abspath(out)


class LocalFolder:
    """A folder on this machine."""

    filesystem = None

    def __init__(self, root: Path) -> None:
        self.root = root
        if root.exists() and not root.is_dir():
            raise InputError(f"Expected a folder for the results, got the file '{root}'.")

    @property
    def url(self) -> str:
        return str(self.root)

    def path(self, name: str) -> str:
        return str(self.root / name)

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(f"{folder}/{e.name}" for e in entries if not e.name.startswith("."))
        except FileNotFoundError:
            return []

    def size(self, name: str) -> int | None:
        try:
            return (self.root / name).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        write_atomic(self.root / name, data, durable=True)

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def sweep(self, older_than: float = 0.0) -> None:
        """Remove temporary files of writers that were killed, if as old as this in seconds."""
        for path in (*self.root.glob(".*.tmp"), *self.root.glob("*/.*.tmp")):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime >= older_than:
                    path.unlink()


class RemoteFolder:
    """A folder in object storage or on another machine, through fsspec."""

    def __init__(self, url: str) -> None:
        require_extra("fsspec", "ray", f"'{url}'")
        from fsspec.core import url_to_fs

        self.url = url.rstrip("/")
        try:
            self.filesystem, root = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise InputError(
                f"'{url}' cannot be opened: {error}. Install the fsspec package of that storage "
                "(s3fs, gcsfs, adlfs, ...), or name a folder on this machine."
            ) from error
        self.root = root.rstrip("/")

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def names(self, folder: str) -> list[str]:
        self.filesystem.invalidate_cache()
        try:
            found = self.filesystem.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        last = [str(path).rstrip("/").rsplit("/", 1)[-1] for path in found]
        return sorted(f"{folder}/{name}" for name in last if not name.startswith("."))

    def size(self, name: str) -> int | None:
        try:
            return int(self.filesystem.info(self.path(name))["size"])
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        data: bytes = self.filesystem.cat_file(self.path(name))
        return data

    def write(self, name: str, data: bytes) -> None:
        path = self.path(name)
        try:
            self.filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            self.filesystem.pipe_file(path, data)
        except OSError as error:
            raise StorageError(
                f"Could not write '{self.url}/{name}' ({error}): {len(data):,} bytes. Check the "
                "address, the credentials and the room there."
            ) from error

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self.filesystem.rm_file(self.path(name))
