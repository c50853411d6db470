"""The embedded model's vectors, clustered with eps="auto", on pictures whose classes are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from skimage.filters import sobel
from skimage.segmentation import watershed

import samlab
from samlab import masks
from samlab.latent.cluster.clusters import cluster
from samlab.latent.embed.pooling import pool
from samlab.latent.scores import clustering_scores
from samlab.segments import Segments


@pytest.fixture(scope="module")
def tiny():
    return samlab.load_sam("tiny")


def painted_scene(seed: int = 0, size: int = 600) -> tuple[np.ndarray, Segments]:
    """36 discs and squares of five materials on a plain ground, lit unevenly, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size].astype(float)
    red, green, blue = np.array([[205, 60, 50], [50, 150, 70], [60, 80, 190]], float)
    white, dark = np.full(3, 230.0), np.full(3, 35.0)
    striped = (np.sin(2 * np.pi * (x + y) / 12) > 0)[..., None]
    checked = ((x // 9 + y // 9) % 2)[..., None]
    materials = [
        np.broadcast_to(red, (size, size, 3)),
        np.broadcast_to(blue, (size, size, 3)),
        np.where(striped, white, green),
        np.where(checked, white, dark),
        np.broadcast_to(np.array([225, 190, 40.0]), (size, size, 3)),
    ]
    picture = np.broadcast_to(np.full(3, 128.0), (size, size, 3)).copy()
    shapes, labels = [], []
    for i in range(36):
        kind = i % 5
        cy, cx = (np.array([i // 6, i % 6]) + 0.5) * size / 6 + rng.uniform(-6, 6, 2)
        radius = rng.uniform(25, 42)
        round_one = np.hypot(y - cy, x - cx) < radius
        square = np.maximum(abs(y - cy), abs(x - cx)) < radius * 0.9
        shape = round_one if rng.random() < 0.5 else square
        picture[shape] = materials[kind][shape] * rng.uniform(0.88, 1.12)
        shapes.append(shape)
        labels.append(kind)
    picture += rng.normal(0, 4, picture.shape)
    pixels = picture.clip(0, 255).astype(np.uint8)
    return pixels, Segments(rles=masks.encode(np.stack(shapes)), labels=labels)


@pytest.mark.parametrize("seed", [0, 1])
def test_auto_eps_finds_known_materials(tiny, seed):
    picture, segments = painted_scene(seed)
    vectors = pool(samlab.encode(picture, tiny), segments)
    found = cluster(vectors)
    scores = clustering_scores(segments.labels, found.labels)
    assert scores["ari"] >= 0.9, (scores, found.reason)


def test_all_coins_are_one_class_and_the_table_is_not(tiny):
    """Coins outlined by watershed, and as many discs of the table between them."""
    grey = data.coins()
    markers = np.select([grey < 30, grey > 150], [1, 2], 0)
    filled = ndimage.binary_fill_holes(watershed(sobel(grey), markers) == 2)
    parts, n = ndimage.label(filled)
    coins = [parts == i for i in range(1, n + 1) if (parts == i).sum() > 500]
    assert len(coins) == 24
    far = ndimage.distance_transform_edt(~filled)
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    table = []
    for _ in range(16):
        cy, cx = np.unravel_index(far.argmax(), far.shape)
        disc = np.hypot(y - cy, x - cx) < min(far[cy, cx], 12)
        table.append(disc)
        far[np.hypot(y - cy, x - cx) < 20] = 0
    segments = Segments(rles=masks.encode(np.stack(coins + table)))
    picture = np.repeat(grey[..., None], 3, axis=2)
    found = cluster(pool(samlab.encode(picture, tiny), segments))
    labels = found.labels[:24]
    counts = np.bincount(labels[labels >= 0])
    assert counts.max() >= 22, found
    assert (found.labels[24:] == counts.argmax()).sum() <= 1, found
