"""Scenes: the same for the same seed, and trees that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import shapes, textures
from training.scenes import MAX_NODES, render


def test_same_seed_same_scene() -> None:
    first, again, other = render(5, 96), render(5, 96), render(6, 96)
    for name in ("image", "leaf", "parents", "materials"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.image != other.image).mean() > 0.5


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([64, 96, 128]))
def test_tree_of_a_scene(seed: int, size: int) -> None:
    scene = render(seed, size)
    count = len(scene.parents)
    assert scene.image.shape == (size, size, 3)
    assert scene.image.dtype == np.uint8
    assert scene.leaf.shape == (size, size)
    assert 1 < count <= MAX_NODES
    assert scene.materials.shape == (count,)
    assert scene.parents[0] == 0
    assert scene.materials[0] == 0
    assert (scene.materials[1:] > 0).all()
    # Parents come before their children, so every way up ends at the root.
    assert (scene.parents[1:] < np.arange(1, count)).all()
    # The background covers everything, so no pixel is left to the root.
    assert scene.leaf.min() >= 1
    assert scene.leaf.max() < count
    # Every node can be seen, itself or through what lies under it.
    area = np.bincount(scene.leaf.ravel(), minlength=count)
    for node in range(count - 1, 0, -1):
        assert area[node] > 0
        area[scene.parents[node]] += area[node]
    assert area[0] == size * size


def test_some_scenes_have_parts_and_repeated_things() -> None:
    made = [render(seed, 128) for seed in range(8)]
    assert any((s.parents[1:] > 0).any() for s in made)
    twins = [np.bincount(s.materials).max() for s in made]
    assert max(twins) >= 5


@pytest.mark.parametrize("kind", [k.__name__ for k, _ in shapes.KINDS])
def test_every_kind_of_shape_fills_some_of_its_canvas(kind: str) -> None:
    draw = {k.__name__: k for k, _ in shapes.KINDS}[kind]
    for seed in range(4):
        mask = np.zeros((shapes.CANVAS, shapes.CANVAS), np.uint8)
        draw(np.random.default_rng(seed), mask)
        assert 0.01 < (mask > 127).mean() < 0.95


def test_placed_shape_has_the_wanted_size() -> None:
    mask = np.zeros((shapes.CANVAS, shapes.CANVAS), np.uint8)
    shapes._ellipse(np.random.default_rng(0), mask)
    for size in (20, 100, 300):
        placed = shapes.place(mask, size, 1.0, 0.7, 1000) > 127
        assert np.count_nonzero(placed) == pytest.approx(np.pi / 4 * size**2, rel=0.05)


def test_tiles_repeat_without_a_seam() -> None:
    """The step across a tile's border is like the steps inside it."""
    for family, bank in textures.tiles().items():
        if family == "photo":  # photos do not repeat; they are mirrored by nature of grain
            continue
        for tile in bank:
            wide = tile.astype(float)
            inside = np.abs(np.diff(wide, axis=1)).mean(0)
            seam = np.abs(wide[:, 0] - wide[:, -1]).mean()
            assert seam <= inside.max() * 1.5 + 1, family


def test_floor_texture_shrinks_with_distance() -> None:
    stripes = (np.indices((256, 256)).sum(0) // 16 % 2 * 255).astype(np.uint8)
    flat = textures.warp(stripes, 200, 200, 1.0, 0.0, (0, 0)).astype(float)
    floor = textures.warp(stripes, 200, 200, 1.0, 0.0, (0, 0), tilt=3.0).astype(float)
    changes = np.abs(np.diff(floor, axis=1)).mean(1)
    assert changes[:20].mean() > 2 * changes[-20:].mean()
    assert changes[-20:].mean() == pytest.approx(np.abs(np.diff(flat, axis=1)).mean(), rel=0.3)
