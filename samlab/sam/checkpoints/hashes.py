"""SHA-256 of weight files, remembered, and the folder where samlab keeps what it downloads."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from samlab.files import write_atomic


def cache_folder() -> Path:
    """SAMLAB_CACHE, or samlab's folder in the user's cache; it need not exist."""
    import pooch

    chosen = os.environ.get("SAMLAB_CACHE")
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("samlab"))


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file as 64 hexadecimal digits.

    The result is remembered in the cache folder by path, size and time of change, so that a
    2.5 GB file is read once and not at every start.
    """
    known = remembered_sha256(path)
    if known is not None:
        return known
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    remember_sha256(path, digest)
    return digest


def remembered_sha256(path: str | os.PathLike[str]) -> str | None:
    """The hash of a file that was hashed before and has not changed since, else None."""
    path = Path(path).resolve()
    entry = _read().get(str(path))
    if isinstance(entry, list) and len(entry) == 3 and entry[:2] == _version(path):
        return str(entry[2])
    return None


def remember_sha256(path: str | os.PathLike[str], digest: str) -> None:
    """Note a hash for next time. Forgetting costs only time, so a failure to write is let be."""
    path = Path(path).resolve()
    target = _memory()
    try:
        entry = [*_version(path), digest]
        write_atomic(target, json.dumps({**_read(), str(path): entry}, indent=0))
    except OSError:
        return


def _version(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _memory() -> Path:
    return cache_folder() / "hashes.json"


def _read() -> dict[str, object]:
    """Path -> [size, time of change in ns, SHA-256]; empty when there is none or it is damaged."""
    try:
        known = json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
