"""Files and folders, written whole or not at all (atomically), and over nothing by accident.

At the end: loops that numba compiles, kept compiled where there is a folder for that. numba keeps
them beside the source, or in the user's cache folder, and refuses to compile at all where neither
can be written, as in a container with a read-only installation and no home. Here such a loop is
compiled anew in each process instead, which takes seconds, once.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from samlab.errors import InputError, StorageError

if TYPE_CHECKING:
    from filelock import FileLock

F = TypeVar("F", bound=Callable[..., Any])


def make_folder(path: str | Path) -> Path:
    """Make a folder and those above it, where they are missing.

    Raises:
        StorageError: It cannot be made.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise StorageError(f"Expected the name of a folder, got the file '{path}'. Name another.")
    with _told(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def free_file(path: str | Path, overwrite: bool) -> Path:
    """The path of a file that may be written; its folder is made where it is missing.

    Raises:
        InputError: There is something already and `overwrite` is False, or it is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Expected the name of a file to write, got the folder '{path}'.")
    if path.exists() and not overwrite:
        raise InputError(_exists(path))
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def scratch_folder(kind: str) -> Iterator[Path]:
    """A temporary folder that goes with the block, or after a kill when the next one is made.

    Whoever works in one holds a lock in it, which ends with the process, however it ends. So what
    a killed process left can be told from what is in use.
    """
    prefix = f"samlab-{kind}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        _remove_if_left(left)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder,
        _lock_in(Path(folder)),
    ):
        yield Path(folder)


_LOCK, _AGE = ".in-use", 60  # seconds within which a folder may be on its way to its lock


def _lock_in(folder: Path) -> FileLock:
    from filelock import FileLock

    return FileLock(folder / _LOCK, timeout=0, thread_local=False)


def _remove_if_left(folder: Path) -> None:
    """Remove a scratch folder of a process that is gone; leave what is not surely that."""
    from filelock import Timeout

    with suppress(OSError, Timeout):  # another user's, in use, or gone meanwhile
        if (folder / _LOCK).is_file() and time.time() - folder.lstat().st_mtime > _AGE:
            with _lock_in(folder):
                shutil.rmtree(folder)


@contextmanager
def atomic_file(path: str | Path, *, durable: bool = False, size: int = 0) -> Iterator[Path]:
    """A file to write beside `path`, which takes its name when the block ends without an error.

    Each writer has a file of its own: of several that write one path at once, the last to end
    wins, and nobody ever reads a mixture or half of one. The rename is one step on POSIX and on
    Windows.

    Args:
        path: The file; its folder is made. One that is there already is replaced.
        durable: Wait until the disk has it, so that not even a power cut leaves half of it.
        size: Bytes that are needed, for the message; 0 where nobody knows.

    Yields:
        The path to write to.

    Raises:
        StorageError: Names the path, the reason and the bytes needed; nothing is left behind.
    """
    path = Path(path)
    temporary = _beside(path)
    with _told(path, size):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if durable:
                _sync(temporary, os.O_RDWR)
            os.replace(temporary, path)
            if durable and os.name == "posix":  # Windows has no such call and needs none
                with suppress(OSError):  # some network file systems refuse to sync a folder
                    _sync(path.parent, os.O_RDONLY)
        finally:  # after Ctrl-C too
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_atomic(path: str | Path, data: bytes | str, *, durable: bool = False) -> Path:
    """Write a file as `atomic_file` does, text as UTF-8. Returns the path."""
    content = data.encode("utf-8") if isinstance(data, str) else data
    with atomic_file(path, durable=durable, size=len(content)) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_json(path: str | Path, content: Any, *, overwrite: bool = False) -> Path:
    """Write JSON without NaN, which other readers refuse."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return write_atomic(free_file(path, overwrite), text)


@contextmanager
def atomic_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill, which takes the name `path` when the block ends without an error.

    Where `path` exists and `overwrite` is True, the new files replace those of the same name, each
    whole; other files stay.

    Yields:
        An empty folder beside `path`.

    Raises:
        InputError: `path` is a file, or a folder with something in it and `overwrite` is False.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"Expected the name of a folder to write, got the file '{path}'.")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise InputError(_exists(path))
    staging = _beside(path)
    with _told(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            staging.mkdir()
            yield staging
            _move(staging, path)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _move(staging: Path, path: Path) -> None:
    if not path.exists():
        staging.rename(path)
        return
    for file in sorted(staging.rglob("*")):
        target = path / file.relative_to(staging)
        if file.is_dir():
            target.mkdir(exist_ok=True)
        else:
            file.replace(target)


def _beside(path: Path) -> Path:
    """A name that no other writer has, of at most 255 bytes whatever the letters."""
    return path.with_name(f".{path.name[:50]}.{uuid4().hex[:16]}.tmp")


def _sync(path: Path, mode: int) -> None:
    handle = os.open(path, mode)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exists(path: Path) -> str:
    return (
        f"'{path}' exists already and was left as it is. Choose another name, or pass "
        "overwrite=True (--overwrite) to replace it."
    )


@contextmanager
def _told(path: Path, size: int = 0) -> Iterator[None]:
    """Turn what the operating system says into a sentence."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        where = os.fsdecode(error.filename or path)
        if where != str(path) and ".tmp" not in where:  # our own names say nothing to anybody
            reason += f" ('{where}')"
        room = f" {size:,} bytes are needed{_free(path.parent)};" if size else ""
        raise StorageError(
            f"Could not write '{path}': {reason}.{room} nothing was half-written. Make room there, "
            "or choose a folder that can be written."
        ) from error


def _free(folder: Path) -> str:
    try:
        return f", {shutil.disk_usage(folder).free:,} are free"
    except OSError:
        return ""


# -- compiled loops -------------------------------------------------------------------------------


def compiled(**options: Any) -> Callable[[F], F]:
    """`numba.njit(cache=True, nogil=True)` that does without the cache where there is none.

    Args:
        **options: Further ones of `numba.njit`.

    Example:
        >>> @compiled()
        ... def double(x):
        ...     return 2 * x
        >>> double(21)
        42
    """
    from numba import njit

    def decorate(function: F) -> F:
        if cache_folder(function) is None:
            return njit(nogil=True, **options)(function)
        return njit(nogil=True, cache=True, **options)(function)

    return decorate


def cache_folder(function: Callable[..., Any]) -> str | None:
    """Where numba keeps what it compiled of a function; None where it finds no such folder."""
    from numba.core.caching import FunctionCache

    try:
        return str(FunctionCache(function).cache_path)
    except (RuntimeError, OSError):  # "no locator available", or a disk that refuses the folder
        return None


def import_compiling(name: str) -> ModuleType:
    """Import a package whose own loops insist on a cache, also where there is no folder for it.

    There they get a temporary one, which goes with the process.
    """
    try:
        return import_module(name)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
    from numba import config

    folder = tempfile.mkdtemp(prefix="samlab-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, folder
    try:
        return import_module(name)
    finally:
        settings.CACHE_DIR = before
