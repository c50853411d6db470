"""Rendered scenes on disk: shards of a hundred, made by worker processes, read as memory maps."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from training import scenes, shards

SHARD = 100
FIRST_SEED = 1_000_000
"""Seeds from here on are for training; smaller ones are free for held-out scenes."""

BUSY_FROM = 22
"""The shards from this number on hold busy scenes: first learn to see outlines, then to see
through texture."""


def write_shard(folder: Path, number: int, size: int, count: int = SHARD) -> None:
    """Render the scenes of one shard."""
    if shards.is_complete(folder, number):
        return
    first, busy = FIRST_SEED + number * SHARD, number >= BUSY_FROM
    made = [scenes.render(first + i, size, busy=busy) for i in range(count)]
    parts = [shards.Made(s.image, s.leaf, s.parents, s.materials) for s in made]
    shards.write(folder, number, parts)


def fill(
    folder: Path, shard_count: int, size: int = 512, workers: int | None = None, count: int = SHARD
) -> Iterator[int]:
    """Render what is missing of the first shards of `count` scenes each; yields the number of each
    as it is done.

    A run that was stopped goes on where it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(shard_count) if not shards.is_complete(folder, n)]
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        jobs = {pool.submit(write_shard, folder, n, size, count): n for n in missing}
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
