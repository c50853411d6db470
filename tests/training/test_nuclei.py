"""Nuclei as training scenes: the squares hold what the picture holds there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training import data, nuclei, shards
from training.labelled import Labelled


def picture(height: int, width: int) -> Labelled:
    """Four by three nuclei, each of the colour of its number."""
    leaf = np.zeros((height, width), np.int64)
    for k in range(12):
        y, x = height * (k // 4) // 3 + 4, width * (k % 4) // 4 + 4
        leaf[y : y + 12, x : x + 12] = k + 1
    return Labelled(np.repeat(leaf[..., None] * 20, 3, 2).astype(np.uint8), leaf, leaf[0], "nuclei")


@pytest.mark.parametrize("shape", [(64, 90), (200, 160)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_square_keeps_nuclei_and_their_pixels_together(shape, seed):
    made = nuclei.square(picture(*shape), 96, np.random.default_rng(seed))
    assert made.image.shape == (96, 96, 3)
    assert made.leaf.shape == (96, 96)
    assert (made.parents == 0).all()
    assert made.materials.tolist() == [0, 1] + [2] * (len(made.parents) - 2)
    if min(shape) > 96:  # not enlarged: one colour per node, and black is the background
        pairs = np.unique(np.stack([made.leaf.ravel(), made.image[..., 0].ravel()]), axis=1)
        assert pairs.shape[1] == len(np.unique(made.leaf))
        assert (made.leaf[made.image[..., 0] == 0] == 1).all()
    assert made.leaf.min() >= 1


def test_a_square_without_background_has_nuclei_alone():
    leaf = np.ones((40, 40), np.int64)
    leaf[:, 20:] = 5
    full = Labelled(np.zeros((40, 40, 3), np.uint8), leaf, leaf[0], "nuclei")
    made = nuclei.square(full, 40, np.random.default_rng(0))
    assert set(np.unique(made.leaf)) == {2, 3}
    assert made.materials.tolist() == [0, 1, 2, 2]


def test_the_shard_gives_batches(tmp_path: Path):
    nuclei.write(tmp_path, [picture(100, 120), picture(64, 64)], size=64)
    assert shards.complete(tmp_path) == [0]
    batch = data.Crops(tmp_path, ((64, 4),), seed=0).batch(0)
    assert batch.boundary.max() == 1
