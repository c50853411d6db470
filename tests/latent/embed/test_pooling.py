"""Pooling against naive loops, on square and non-square pictures, down to one pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samlab import masks
from samlab.errors import InputError
from samlab.latent.embed.pooling import patch_weights, pool
from samlab.segments import Segments


@dataclass
class Features:
    """Patch features as SAM lays them out: longest side to `img_size`, padded to a square."""

    image_size: tuple[int, int]
    cells: int = 64
    img_size: int = 1024
    channels: int = 5

    def __post_init__(self) -> None:
        scale = self.img_size / max(self.image_size)
        self.input_size = tuple(max(int(n * scale + 0.5), 1) for n in self.image_size)
        grid = np.random.default_rng(0).normal(size=(self.channels, self.cells, self.cells))
        stride = self.img_size / self.cells
        rows, columns = (int(np.ceil(n / stride)) for n in self.input_size)
        grid[:, rows:] = np.nan  # padding: one leak and everything is NaN
        grid[:, :, columns:] = np.nan
        self.values = np.nan_to_num(grid, nan=1e9).astype(np.float32)

    def grid(self) -> np.ndarray:
        return self.values


def axis(length: int, resized: int, features: Features) -> np.ndarray:
    """float64 (cells, length): the part of each patch that each pixel fills, by a plain loop."""
    stride, out = features.img_size / features.cells, np.zeros((features.cells, length))
    for k in range(features.cells):
        for i in range(length):
            low, high = i * resized / length, (i + 1) * resized / length
            out[k, i] = max(0.0, min(high, (k + 1) * stride) - max(low, k * stride)) / stride
    return out


def naive_coverage(features: Features, mask: np.ndarray) -> np.ndarray:
    rows = axis(mask.shape[0], features.input_size[0], features)
    columns = axis(mask.shape[1], features.input_size[1], features)
    weight = rows @ mask.astype(np.float64) @ columns.T
    return np.einsum("dyx,yx->d", features.grid().astype(np.float64), weight / weight.sum())


def naive_any(features: Features, mask: np.ndarray, more_than: int) -> np.ndarray:
    """The notebook's method: the plain mean of all patches with more than so many mask pixels.

    Where no patch has so many, which the notebook left empty, the coverage is taken.
    """
    stride, vectors = features.img_size / features.cells, []
    y, x = np.nonzero(mask)
    row = ((y + 0.5) * features.input_size[0] / mask.shape[0] // stride).astype(int)
    column = ((x + 0.5) * features.input_size[1] / mask.shape[1] // stride).astype(int)
    for i in range(features.cells):
        for j in range(features.cells):
            if ((row == i) & (column == j)).sum() > more_than:
                vectors.append(features.grid()[:, i, j].astype(np.float64))
    return np.mean(vectors, axis=0) if vectors else naive_coverage(features, mask)


def blobs(size: tuple[int, int], n: int, seed: int = 0) -> np.ndarray:
    """n ragged masks (n, H, W): ellipses with holes, none empty."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width]
    out = []
    for _ in range(n):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        ry, rx = rng.uniform(1, height / 3 + 1), rng.uniform(1, width / 3 + 1)
        mask = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        mask &= rng.random(size) < 0.9
        mask[min(int(cy), height - 1), min(int(cx), width - 1)] = True
        out.append(mask)
    return np.stack(out)


def segments_of(dense: np.ndarray) -> Segments:
    return Segments(rles=masks.encode(dense))


SIZES = [(64, 64), (128, 128), (120, 80), (50, 213), (300, 303), (7, 5), (3, 200)]


@pytest.mark.parametrize("size", SIZES)
def test_coverage_equals_a_float64_loop(size):
    features, dense = Features(size), blobs(size, 6)
    got = pool(features, segments_of(dense))
    assert got.dtype == np.float32
    expected = np.stack([naive_coverage(features, mask) for mask in dense])
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("min_pixels", [1, 2])
def test_any_equals_the_notebooks_loop(size, min_pixels):
    features, dense = Features(size), blobs(size, 4, seed=1)
    got = pool(features, segments_of(dense), "any", min_pixels=min_pixels)
    expected = np.stack([naive_any(features, mask, min_pixels - 1) for mask in dense])
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_weights_sum_to_one_and_stay_inside_the_picture():
    features = Features((40, 100))
    weights = patch_weights(features, segments_of(blobs((40, 100), 20)))
    np.testing.assert_allclose(np.asarray(weights.sum(axis=1)).ravel(), 1, atol=1e-5)
    rows = int(np.ceil(features.input_size[0] / 16))
    assert weights.indices.max() // 64 < rows


def test_a_whole_picture_is_the_mean_of_its_patches_by_their_valid_part():
    features = Features((1024, 520))  # 32.5 patches wide
    whole = segments_of(np.ones((1, 1024, 520), bool))
    weights = patch_weights(features, whole).toarray().reshape(64, 64)
    np.testing.assert_allclose(weights[:, :32], 1 / (64 * 32.5), rtol=1e-5)
    np.testing.assert_allclose(weights[:, 32], 0.5 / (64 * 32.5), rtol=1e-5)
    assert not weights[:, 33:].any()


@settings(max_examples=300, deadline=None)
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), data=st.data(),
    how=st.sampled_from(["coverage", "any", "more than one"]),
)  # fmt: skip
def test_no_segment_is_ever_empty(height, width, data, how):
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    pixel = np.zeros((1, height, width), bool)
    pixel[0, y, x] = True
    features = Features((height, width))
    rule = {"how": "any", "min_pixels": 2} if how == "more than one" else {"how": how}
    vector = pool(features, segments_of(pixel), **rule)
    assert np.isfinite(vector).all()
    assert np.abs(vector).max() < 100  # the padding holds 1e9
    if how != "any":
        np.testing.assert_allclose(vector[0], naive_coverage(features, pixel[0]), atol=1e-5)


def test_masks_in_any_rle_form_give_the_same_vectors():
    dense = blobs((30, 40), 3)
    flat = [m.T.ravel() for m in dense]
    lists = []
    for bits in flat:
        change = np.flatnonzero(np.diff(np.concatenate([[0], bits, [1 - bits[-1]]])))
        lists.append({"size": [30, 40], "counts": np.diff([0, *change]).tolist()})
    features = Features((30, 40))
    np.testing.assert_array_equal(
        pool(features, Segments(rles=lists)), pool(features, segments_of(dense))
    )


def test_each_mask_alone_gives_the_same_as_all_together():
    features, segments = Features((50, 70)), segments_of(blobs((50, 70), 11))
    alone = np.concatenate([pool(features, segments[i : i + 1]) for i in range(11)])
    np.testing.assert_array_equal(pool(features, segments), alone)


def test_no_segments_give_an_empty_array_of_the_right_width():
    assert pool(Features((10, 20)), Segments(image_size=(10, 20))).shape == (0, 5)
    assert pool(Features((10, 20)), Segments(image_size=(10, 20)), "any").shape == (0, 5)


def test_bad_input_is_named():
    features, dense = Features((20, 30)), blobs((20, 30), 3)
    with pytest.raises(InputError, match=r"encoded picture, size \(20, 30\).*size \(30, 20\)"):
        pool(features, segments_of(dense.transpose(0, 2, 1)))
    dense[1] = False
    with pytest.raises(InputError, match=r"1 segment\(s\) are empty \(segment ids 1\)"):
        pool(features, segments_of(dense))
    with pytest.raises(InputError, match="'coverage', 'any', 'crop' or 'token', got 'mean'"):
        pool(features, segments_of(dense[:1]), "mean")
    with pytest.raises(InputError, match="min_pixels of 1 or more, got 0"):
        pool(features, segments_of(dense[:1]), "any", min_pixels=0)
    with pytest.raises(InputError, match="needs an encoded picture"):
        pool(None, segments_of(dense[:1]))
