"""Cosines against scikit-learn, heat maps against their patches, neighbours against a full sort."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from samlab import masks
from samlab.errors import InputError
from samlab.latent import similarity as module
from samlab.latent.similarity import heat_map, nearest, similar, similarity
from samlab.segments import Segments


def features(image_size=(96, 64), channels=6, cells=8):
    """An encoded picture whose padding is NaN: 96 x 64 becomes 128 x 85 of 128 x 128."""
    scale = 128 / max(image_size)
    input_size = tuple(int(n * scale + 0.5) for n in image_size)
    grid = np.random.default_rng(0).normal(size=(channels, cells, cells)).astype(np.float32)
    rows, columns = (int(np.ceil(n * cells / 128)) for n in input_size)
    grid[:, rows:] = np.nan
    grid[:, :, columns:] = np.nan
    return SimpleNamespace(
        grid=lambda: grid, image_size=image_size, input_size=input_size, img_size=128
    )


def table(n: int, image_id: str = "a", seed: int = 0) -> Segments:
    mask = masks.encode(np.ones((4, 4), bool))
    vectors = np.random.default_rng(seed).normal(size=(n, 6))
    return Segments(rles=[mask] * n, image_id=image_id, embeddings={"sam": vectors})


def test_similarity_equals_scikit_learn():
    a, b = np.random.default_rng(0).normal(size=(2, 7, 5)).astype(np.float32)
    np.testing.assert_allclose(similarity(a, b), cosine_similarity(a, b), atol=1e-6)
    np.testing.assert_allclose(similarity(a), cosine_similarity(a), atol=1e-6)
    assert similarity(a, b[:0]).shape == (7, 0)
    assert similarity(Segments()).shape == (0, 0)


def test_huge_and_tiny_vectors_have_a_cosine():
    a = np.array([[1e30, 1e30], [1e-30, 0]], np.float32)
    np.testing.assert_allclose(similarity(a)[0, 1], np.sqrt(0.5), atol=1e-6)


def test_heat_map_on_the_grid_is_the_cosine_of_every_patch():
    encoded = features()
    query = np.random.default_rng(1).normal(size=6)
    heat = heat_map(encoded, query, size="grid")
    assert heat.shape == (8, 6)  # 85 of 128 pixels are 5.3 of 8 patches
    cells = encoded.grid()[:, :8, :6].reshape(6, -1).T
    np.testing.assert_allclose(heat.ravel(), cosine_similarity(cells, query[None])[:, 0], atol=1e-5)


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (128, 128), (33, 7), (1, 40)])
def test_heat_map_has_the_pictures_size_and_no_padding_in_it(size):
    encoded = features(size)
    heat = heat_map(encoded, np.ones(6))
    grid = heat_map(encoded, np.ones(6), size="grid")
    assert heat.shape == size
    assert heat.dtype == np.float32
    assert np.isfinite(heat).all()
    assert heat.min() >= grid.min() - 1e-6
    assert heat.max() <= grid.max() + 1e-6


def test_heat_map_meets_the_patches_at_their_centres():
    encoded = features((120, 120))  # 15 pixels per patch: the eighth is its centre
    heat, grid = heat_map(encoded, np.ones(6)), heat_map(encoded, np.ones(6), size="grid")
    np.testing.assert_allclose(heat[7::15, 7::15], grid, atol=1e-5)


def test_heat_map_of_segments_is_that_of_their_mean_direction():
    encoded, segments = features(), table(3)
    vectors = segments.embedding()
    mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(heat_map(encoded, segments), heat_map(encoded, mean), atol=1e-5)


def test_nearest_equals_a_full_sort_across_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 17)
    rng = np.random.default_rng(0)
    query, vectors = rng.normal(size=(4, 6)), rng.normal(size=(100, 6)).astype(np.float32)
    ids, scores = nearest(query, vectors, 9)
    full = cosine_similarity(query, vectors)
    expected = np.argsort(-full, axis=1)[:, :9]
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_allclose(scores, np.take_along_axis(full, expected, 1), atol=1e-6)


def test_equal_vectors_come_in_the_order_of_their_rows():
    ids, _ = nearest(np.ones((1, 2)), np.ones((5, 2), np.float32), 3)
    assert ids.tolist() == [[0, 1, 2]]


def test_nearest_reads_a_memory_map(tmp_path):
    path = tmp_path / "vectors.npy"
    np.save(path, np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32))
    stored = np.load(path, mmap_mode="r")
    assert nearest(np.asarray(stored[:1]), stored, 1)[0].tolist() == [[0]]


def test_similar_ranks_across_pictures():
    gallery = Segments.concat([table(5, "a"), table(4, "b", seed=1)])
    frame = similar(gallery[6:8], gallery, k=3)
    assert list(frame) == ["query", "rank", "segment", "similarity", "image_id", "label"]
    assert frame[frame["rank"] == 0].segment.tolist() == [6, 7]
    assert frame[frame["rank"] == 0].image_id.tolist() == ["b", "b"]
    assert len(frame) == 6
    assert len(similar(gallery.embedding()[0], gallery, k=50)) == 9


def test_nothing_to_look_in_and_nothing_asked():
    assert len(similar(np.ones(6), Segments())) == 0
    assert list(similar(np.ones(6), Segments()))[-1] == "label"
    assert len(similar(table(0), table(3))) == 0
    assert len(similar(np.ones(6), np.zeros((0, 6)))) == 0


def test_bad_input_is_named():
    encoded = features()
    with pytest.raises(InputError, match="Expected a query of 6 numbers.*got 5"):
        heat_map(encoded, np.ones(5))
    with pytest.raises(InputError, match="Expected a query.*got none"):
        heat_map(encoded, np.ones((0, 6)))
    with pytest.raises(InputError, match="cancel out"):
        heat_map(encoded, np.array([np.ones(6), -np.ones(6)]))
    with pytest.raises(InputError, match="size to be 'image' or 'grid', got 'big'"):
        heat_map(encoded, np.ones(6), size="big")
    with pytest.raises(InputError, match="got 6 and 5 numbers"):
        similar(np.ones(6), np.ones((2, 5)))
    with pytest.raises(InputError, match="k of 1 or more, got 0"):
        similar(np.ones(6), np.ones((2, 6)), k=0)
    stored = np.ones((4, 6), np.float32)
    stored[2] = 0
    with pytest.raises(InputError, match=r"1 row\(s\) \(row ids 2\) are all zeros"):
        similar(np.ones(6), stored)
    stored[2] = np.inf
    with pytest.raises(InputError, match=r"1 row\(s\) \(row ids 2\) contain NaN or infinity"):
        similar(np.ones(6), stored)
