"""Weights found, the cache and its size, room on the disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from samlab.doctor.findings import Finding
from samlab.errors import CheckpointError


def check_weights() -> Iterator[Finding]:
    """Each model: where its file is, and whether it is the official one as far as is known."""
    from samlab.sam.checkpoints import WEIGHTS, status

    for row in status():
        name = f"Weights {row.name}"
        if row.name == "tiny":
            if row.path is None:
                yield Finding(name, "fail", "not in the package", "Install samlab again.")
            else:
                yield Finding(name, "ok", f"in the package, {row.size / 1e6:.0f} MB")
        elif row.path is None and row.filename == WEIGHTS:
            continue  # one of many on the hub: `samlab models` lists them
        elif row.path is None:
            yield Finding(name, "info", f"not here; {row.size / 1e6:,.0f} MB at first use")
        elif row.verified is False or row.path.stat().st_size != row.size:
            yield Finding(
                name,
                "warn",
                f"{row.path} ({row.source}) is not the official file: "
                f"{row.path.stat().st_size:,} bytes instead of {row.size:,}, or another SHA-256",
                "Delete it, or give its path instead of the name if the weights are your own.",
            )
        else:
            checked = "SHA-256 verified" if row.verified else "verified when loaded"
            yield Finding(name, "ok", f"{row.path} ({row.source}, {checked})")


def check_given_weights(sam: str) -> Iterator[Finding]:
    """The weights that `sam` names by a path: whether they are there, and of a known model."""
    from samlab.sam import checkpoints
    from samlab.sam.families import architecture_of

    if sam in checkpoints.names():
        return
    try:
        path = checkpoints.find(sam).path  # type: ignore[union-attr]  # a path is found or refused
        kind = architecture_of(path)
    except CheckpointError as error:
        yield Finding("Model", "fail", str(error), "Name weights that samlab can load with --sam.")
    else:
        yield Finding("Model", "ok", f"{path}: weights of {kind}")


def check_cache() -> Finding:
    """Where downloads and kept results are, how large they are, and whether it can be written."""
    from samlab.sam.checkpoints import cache_folder

    folder = cache_folder()
    advice = "Set SAMLAB_CACHE to a folder that can be written."
    nearest = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if not nearest.is_dir():
        return Finding("Cache", "warn", f"{nearest} is a file, not a folder", advice)
    try:
        with tempfile.NamedTemporaryFile(dir=nearest):
            pass
        sizes = _sizes(folder)
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror or error}"
        return Finding("Cache", "warn", text, advice)
    parts = ", ".join(f"{name} {_megabytes(size)}" for name, size in sizes.items() if size)
    total = _megabytes(sum(sizes.values()))
    text = f"{folder}, {total}{f' ({parts})' if parts else ''}, can be written"
    return Finding("Cache", "ok", text)


def check_compiled() -> Finding:
    """Whether numba can keep what it compiles."""
    from samlab.files import cache_folder
    from samlab.latent.embed import pool
    from samlab.sam.fast import encode

    folders = [cache_folder(one) for one in (encode, pool)]  # the loops lie in files beside these
    if None in folders:
        return Finding(
            "Compiled loops",
            "warn",
            "numba finds no folder that it can write, so each process compiles them anew, which "
            "takes some seconds",
            "Set NUMBA_CACHE_DIR to a folder that can be written.",
        )
    return Finding("Compiled loops", "ok", f"kept in {folders[0]}")


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes below each sub-folder, by its name."""
    if not folder.is_dir():
        return {}
    return {
        part.name: sum(_bytes(p) for p in (part, *part.rglob("*")) if p.is_file())
        for part in sorted(folder.iterdir())
    }


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # removed a moment ago by another process
        return 0


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def check_disk(sam: str = "tiny") -> Finding:
    """Room for the weights that are missing, and in the current folder."""
    from samlab.sam.checkpoints import OFFICIAL, cache_folder, find

    folder = cache_folder().absolute()
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(nearest).free
    here = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1e9:.1f} GB free for the cache, {here / 1e9:.1f} GB in the current folder"
    wanted = OFFICIAL.get(sam) or max(OFFICIAL.values(), key=lambda c: c.size)
    if free < wanted.size and find(wanted.name) is None:
        advice = f"{wanted.name} needs {wanted.size / 1e9:.1f} GB. Make room, or set SAMLAB_CACHE."
        return Finding("Disk", "warn", text, advice)
    return Finding("Disk", "ok", text)
