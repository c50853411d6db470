"""Path-traced scenes: ids to trees everywhere, a whole scene where Blender is installed."""

from __future__ import annotations

import numpy as np
import pytest

from training import shards
from training.traced import meshes
from training.traced.tree import tree_of


def test_wholes_objects_and_materials_become_a_tree():
    """A thing of two objects, one of them in two materials, before the sky."""
    objects = np.zeros((40, 40), int)
    objects[10:30, 10:20], objects[10:30, 20:30] = 1, 2
    materials = objects * 3
    materials[20:30, 20:30] = 9
    leaf, tree = tree_of(objects, materials, owner=[0, 1, 1], kind=[1, 5])
    sky, first, second, other = leaf[0, 0], leaf[15, 12], leaf[12, 25], leaf[28, 25]
    assert tree.parents[sky] == 0
    assert tree.parents[first] == tree.parents[tree.parents[second]]
    assert tree.parents[second] == tree.parents[other] != tree.parents[first]
    assert tree.parents[tree.parents[first]] == 0
    assert (tree.parents[1:] < np.arange(1, len(tree.parents))).all()
    assert tree.materials[0] == 0
    assert (tree.materials[1:] > 0).all()


def test_specks_go_to_what_is_near_and_scattered_ids_are_calmed():
    rng = np.random.default_rng(0)
    objects = (np.arange(60)[None] >= 30).astype(int).repeat(60, 0)
    noisy = np.where(rng.random((60, 60)) < 0.15, 1 - objects, objects)
    noisy[5, 5] = 2
    leaf, tree = tree_of(noisy, noisy, owner=[0, 1, 2], kind=[1, 2, 3])
    assert len(tree.parents) == 3
    assert np.mean(leaf[:, 35:] == leaf[30, 50]) > 0.98
    assert np.mean(leaf[:, :25] == leaf[30, 10]) > 0.98


@pytest.mark.parametrize("make", [meshes.lathe, meshes.blob, meshes.prism, meshes.cloth])
def test_meshes_are_sound(make):
    vertices, faces = make(np.random.default_rng(3))
    assert np.isfinite(vertices).all()
    used = np.concatenate([np.array(face) for face in faces])
    assert used.min() == 0
    assert used.max() == len(vertices) - 1
    assert all(len(set(face)) == len(face) >= 3 for face in faces)


@pytest.mark.slow
def test_a_scene_is_the_same_for_the_same_seed(tmp_path):
    pytest.importorskip("bpy", reason="needs Blender as a module: pip install samlab[render]")
    pytest.importorskip("OpenEXR", reason="needs OpenEXR: pip install samlab[render]")
    from training.traced.__main__ import one

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, again = (one(11, tmp_path / name, 64, 1, 1) for name in "ab")
    np.testing.assert_array_equal(first.leaf, again.leaf)
    assert np.abs(first.image.astype(int) - again.image).mean() < 1
    shards.write(tmp_path, 0, [first, again])
    assert shards.complete(tmp_path) == [0]
