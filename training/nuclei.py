"""Microscope pictures of nuclei as training scenes: a background and equal things on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from training import shards
from training.labelled import Labelled

MOST = 254
"""Nuclei of a scene; leaf maps are stored in bytes."""


def square(picture: Labelled, size: int, rng: np.random.Generator) -> shards.Made:
    """A random square of a picture, `size` pixels or its shorter side, brought to `size`.

    Node 0 is the root, 1 the background, others the nuclei that are seen.
    """
    height, width = picture.leaf.shape
    side = min(size, height, width)
    y, x = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    image = picture.image[y : y + side, x : x + side]
    seen, leaf = np.unique(picture.leaf[y : y + side, x : x + side], return_inverse=True)
    leaf = leaf.reshape(side, side) + (1 if seen[0] == 0 else 2)  # none of it may be background
    leaf = np.where(leaf > MOST, 1, leaf).astype(np.uint8)
    if side < size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)
        leaf = cv2.resize(leaf, (size, size), interpolation=cv2.INTER_NEAREST)
    count = max(int(leaf.max()), 1) + 1
    materials = np.full(count, 2, np.int32)
    materials[:2] = 0, 1
    return shards.Made(np.ascontiguousarray(image), leaf, np.zeros(count, np.int32), materials)


def write(folder: Path, pictures: Iterable[Labelled], size: int = 352, seed: int = 0) -> None:
    """One shard with a square of each picture."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    shards.write(folder, 0, [square(picture, size, rng) for picture in pictures])
