"""Scenes on disk: shards of pictures, leaf maps and trees, read as memory maps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Made:
    """image uint8 (S, S, 3), leaf (S, S), parents and materials (K,) of one scene."""

    image: NDArray[np.uint8]
    leaf: NDArray[np.integer]
    parents: NDArray[np.int32]
    materials: NDArray[np.int32]


@dataclass(frozen=True)
class Tables:
    """Tree of one scene; see `scenes.Scene`."""

    parents: NDArray[np.int32]
    materials: NDArray[np.int32]


@dataclass(frozen=True)
class Shard:
    """image uint8 (n, S, S, 3), leaf uint8 (n, S, S), one `Tables` per scene."""

    image: NDArray[np.uint8]
    leaf: NDArray[np.uint8]
    tables: list[Tables]


def _names(folder: Path, number: int) -> tuple[Path, Path, Path]:
    stem = f"shard_{number:05d}"
    return folder / f"{stem}_image.npy", folder / f"{stem}_leaf.npy", folder / f"{stem}.npz"


def is_complete(folder: Path, number: int) -> bool:
    return _names(folder, number)[2].exists()


def write(folder: Path, number: int, made: Sequence[Made]) -> None:
    """One shard of scenes of equal size. The tables come last: with them it is complete."""
    images, leaves, tables = _names(folder, number)
    np.save(images, np.stack([s.image for s in made]))
    np.save(leaves, np.stack([s.leaf for s in made]).astype(np.uint8))
    temporary = tables.with_suffix(".part.npz")
    np.savez(
        temporary,
        counts=np.array([len(s.parents) for s in made]),
        parents=np.concatenate([s.parents for s in made]),
        materials=np.concatenate([s.materials for s in made]),
    )
    os.replace(temporary, tables)


def read(folder: Path, number: int) -> Shard:
    """A complete shard; its pictures stay on disk until they are looked at."""
    images, leaves, tables = _names(folder, number)
    with np.load(tables) as data:
        ends = np.cumsum(data["counts"])[:-1]
        trees = zip(np.split(data["parents"], ends), np.split(data["materials"], ends), strict=True)
        parsed = [Tables(p, m) for p, m in trees]
    return Shard(np.load(images, mmap_mode="r"), np.load(leaves, mmap_mode="r"), parsed)


def complete(folder: Path) -> list[int]:
    """Numbers of the complete shards in a folder, ascending."""
    return sorted(int(p.stem[6:]) for p in folder.glob("shard_?????.npz"))
