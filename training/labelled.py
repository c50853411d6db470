"""Pictures with a true hierarchy to fit the region tree: flat scenes, path-traced ones, nuclei."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training import camera, shards
from training.scenes import render


@dataclass(frozen=True)
class Labelled:
    """image uint8 (H, W, 3); leaf (H, W): deepest node of each pixel; parents (K,), as in
    `training.scenes.Scene`; kind: where it comes from."""

    image: NDArray[np.uint8]
    leaf: NDArray[np.integer]
    parents: NDArray[np.integer]
    kind: str


def cut(
    image: NDArray[np.uint8], leaf: NDArray[np.integer], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """Picture and leaf map of a random cut of a square scene, with the aspect of a photo."""
    size = leaf.shape[0]
    side = int(size * rng.uniform(0.6, 1))
    rows, columns = (side, size) if rng.random() < 0.5 else (size, side)
    y, x = rng.integers(0, size - rows + 1), rng.integers(0, size - columns + 1)
    part = np.s_[y : y + rows, x : x + columns]
    return np.ascontiguousarray(image[part]), leaf[part]


def flat(first: int, count: int) -> Iterator[Labelled]:
    """Busy flat scenes from seed `first` on, of several sizes."""
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        scene = render(seed, int(rng.choice([384, 512, 640])), busy=True)
        yield Labelled(*cut(scene.image, scene.leaf, rng), scene.parents, "flat")


def traced(folder: Path) -> Iterator[Labelled]:
    """All path-traced scenes of a folder of shards, recorded by a camera."""
    for number in shards.complete(folder):
        shard = shards.read(folder, number)
        for k, tables in enumerate(shard.tables):
            rng = np.random.default_rng([number, k])
            image = camera.recorded(rng, shard.image[k].astype(np.float32))
            yield Labelled(*cut(image, shard.leaf[k], rng), tables.parents, "traced")


NETWORK, TREE = slice(0, None, 2), slice(1, None, 2)
"""Which pictures of nuclei the network learns from, and which the region tree."""


def nuclei(folder: Path, chosen: slice = slice(None)) -> Iterator[Labelled]:
    """Microscope pictures: `images/*` and `labels/*.png`, where 0 is background, which is nothing
    that a person would outline, and any other value a nucleus."""
    for path in sorted((folder / "images").iterdir())[chosen]:
        image = np.asarray(Image.open(path).convert("RGB"))
        raw = np.asarray(Image.open(folder / "labels" / f"{path.stem}.png"))
        values = np.union1d([0], np.unique(raw))
        yield Labelled(image, np.searchsorted(values, raw), np.zeros(len(values), int), "nuclei")
