"""Files and folders that are written whole or not at all, and never over something by accident."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from samlab.errors import InputError


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


def write_bytes(path: str | Path, data: bytes, *, overwrite: bool = False) -> Path:
    """Write one file through a temporary one beside it, which then takes its name."""
    path = free_file(path, overwrite)
    temporary = _beside(path)
    with _told(path):
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def write_json(path: str | Path, content: Any, *, overwrite: bool = False) -> Path:
    """Write JSON without NaN, which other readers refuse."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return write_bytes(path, text.encode("utf-8"), overwrite=overwrite)


@contextmanager
def whole_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
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
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")


def _exists(path: Path) -> str:
    return (
        f"'{path}' exists already and was left as it is. Choose another name, or pass "
        "overwrite=True (--overwrite) to replace it."
    )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the operating system says into a sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        where = os.fspath(error.filename) if error.filename else str(path)
        raise InputError(
            f"'{path}' could not be written: {reason} ('{where}'). Choose another place."
        ) from error
