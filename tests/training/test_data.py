"""Targets: where boundaries are and how strong, what a cell is covered by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from training import cache, data, shards

# root - whole 1 - parts 2, 3; whole 4
PARENTS = np.array([0, 0, 1, 1, 0], np.int32)
TREE = data.grow(shards.Tables(PARENTS, np.array([0, 7, 8, 8, 9], np.int32)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    cache.write_shard(folder, 0, 96, count=4)
    cache.write_shard(folder, 1, 96, count=3)
    return folder


def test_tree_relations() -> None:
    np.testing.assert_array_equal(np.flatnonzero(TREE.ancestors[1]), [1, 2, 3])
    assert TREE.ancestors[0].all()
    assert TREE.shared[2, 3] == 1  # their whole
    assert TREE.shared[2, 4] == 0  # nothing but the root
    assert TREE.shared[2, 2] == 2


def test_boundary_strength_follows_the_hierarchy() -> None:
    leaf = np.full((16, 16), 4)
    leaf[:, :6] = 2
    leaf[8:, :6] = 3
    leaf[:, 14:] = -1  # padding draws no line
    target = data.boundary_target(leaf, TREE.shared)
    assert target.shape == (4, 4)
    np.testing.assert_allclose(target[:, 1], 1.0)  # wholes meet between columns 5 and 6
    np.testing.assert_allclose(target[:, 0], [0, data.STRENGTH[1], 0, 0])  # parts below row 7
    np.testing.assert_allclose(target[:, 2:], 0)


def test_cover_counts_pixels_under_a_node() -> None:
    labels = np.full((32, 32), 4)
    labels[:8, :16] = 2
    labels[16:, :16] = 3
    labels[:, 24:] = -1
    cover = data._cover(labels, TREE.ancestors[[1, 4, 2]])
    np.testing.assert_allclose(cover[0], [[0.5, 0], [1, 0]])
    np.testing.assert_allclose(cover[1], [[0.5, 0.5], [0, 0.5]])
    np.testing.assert_allclose(cover[2], [[0.5, 0], [0, 0]])


def test_batches_are_a_function_of_seed_and_number(folder: Path) -> None:
    crops = data.Crops(folder, ((64, 4), (96, 2)), seed=3)
    for number in range(4):
        first, again = crops.batch(number), crops.batch(number)
        size = first.image.shape[-1]
        assert tuple(first.image.shape) in {(4, 3, 64, 64), (2, 3, 96, 96)}
        quarter = (len(first.image), 1, size // 4, size // 4)
        assert first.boundary.shape == first.valid.shape == quarter
        assert first.leaf.shape[1:] == (size // 8, size // 8)
        assert first.cover.shape[2:] == (size // 16, size // 16)
        for name, value in vars(first).items():
            assert torch.equal(value, getattr(again, name)), name
        assert first.leaf.max() < first.kinship.shape[1]
        assert (first.cover.flatten(2).sum(-1) > 0).equal(first.kind >= 0)


def test_two_crops_of_a_scene_share_their_kinds(folder: Path) -> None:
    batch = data.Crops(folder, ((96, 4),), seed=1).batch(0)
    kinds = [set(row[row >= 0].tolist()) for row in batch.kind]
    assert not (kinds[0] | kinds[1]) & (kinds[2] | kinds[3])


def test_missing_scenes_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no rendered scenes in .*; run training.cache"):
        data.Crops(tmp_path, ((64, 4),), seed=0)


def test_shards_survive_the_disk_and_are_not_made_twice(folder: Path) -> None:
    from training.scenes import render

    shard = shards.read(folder, 1)
    scene = render(cache.FIRST_SEED + cache.SHARD + 2, 96)
    np.testing.assert_array_equal(shard.image[2], scene.image)
    np.testing.assert_array_equal(shard.leaf[2], scene.leaf)
    np.testing.assert_array_equal(shard.tables[2].parents, scene.parents)
    assert shards.complete(folder) == [0, 1]
    assert list(cache.fill(folder, 2, 96, workers=1)) == []
