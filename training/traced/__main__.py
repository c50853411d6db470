"""Render path-traced scenes into shards, until stopped or done; goes on where it was.

python -m training.traced --out scenes-traced --shards 50 --size 384 --threads 2
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from training import shards
from training.traced.build import render

FIRST_SEED = 2_000_000


def one(seed: int, folder: Path, size: int, samples: int, threads: int) -> shards.Made:
    """A scene from its file, or rendered now."""
    path = folder / f"{seed}.npz"
    if not path.exists():
        image, leaf, tree = render(seed, folder, size, samples, threads)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(
            part, image=image, leaf=leaf, parents=tree.parents, materials=tree.materials
        )
        os.replace(part, path)
    with np.load(path) as data:
        return shards.Made(*(data[name] for name in ("image", "leaf", "parents", "materials")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=50)
    parser.add_argument("--per-shard", type=int, default=20)
    parser.add_argument("--size", type=int, default=352)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="seed of the first scene")
    options = parser.parse_args()
    single = options.out / "single"
    single.mkdir(parents=True, exist_ok=True)
    for number in range(options.shards):
        if shards.is_complete(options.out, number):
            continue
        made = []
        for k in range(options.per_shard):
            start = time.monotonic()
            seed = options.first + number * options.per_shard + k
            made.append(one(seed, single, options.size, options.samples, options.threads))
            nodes = len(made[-1].parents)
            print(f"scene {seed}: {nodes} nodes, {time.monotonic() - start:.1f} s", flush=True)
        shards.write(options.out, number, made)


if __name__ == "__main__":
    main()
