"""Rendered scenes on disk: shards of a hundred, made by worker processes, read as memory maps."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training import scenes

SHARD = 100
FIRST_SEED = 1_000_000
"""Seeds from here on are for training; smaller ones are free for held-out scenes."""

BUSY_FROM = 22
"""The shards from this number on hold busy scenes: first learn to see outlines, then to see
through texture."""


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


def write_shard(folder: Path, number: int, size: int, count: int = SHARD) -> None:
    """Render the scenes of one shard. The table file comes last: with it the shard is complete."""
    images, leaves, tables = _names(folder, number)
    if tables.exists():
        return
    first, busy = FIRST_SEED + number * SHARD, number >= BUSY_FROM
    made = [scenes.render(first + i, size, busy=busy) for i in range(count)]
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


def read_shard(folder: Path, number: int) -> Shard:
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


def fill(folder: Path, shards: int, size: int = 512, workers: int | None = None) -> Iterator[int]:
    """Render what is missing of the first `shards` shards; yields the number of each as it is done.

    A run that was stopped goes on where it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(shards) if not _names(folder, n)[2].exists()]
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        jobs = {pool.submit(write_shard, folder, n, size): n for n in missing}
        for job in as_completed(jobs):
            job.result()
            yield jobs[job]


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description="Render training scenes into shards.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=40)
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()
    start = time.monotonic()
    for number in fill(options.out, options.shards, options.size):
        print(f"shard {number} after {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
