"""The main job on real photos, and on pictures that are hardly pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import skimage.data

import samlab
from samlab import masks
from samlab.errors import ImageError, InputError
from tests.references import coin_masks


@pytest.fixture(scope="module")
def coins() -> samlab.Segments:
    return samlab.segment(skimage.data.coins())


@pytest.fixture(scope="module")
def coin_iou(coins) -> np.ndarray:
    return masks.iou(masks.encode(coin_masks()), coins.rles)


def test_the_reference_has_24_coins() -> None:
    assert coin_masks().shape == (24, 303, 384)


def test_coins_are_separate_segments(coin_iou) -> None:
    assert len(set(coin_iou.argmax(1))) == 24
    assert (coin_iou.max(1) >= 0.7).sum() >= 23


def test_coins_are_one_class(coins, coin_iou) -> None:
    labels = samlab.cluster(coins).labels[coin_iou.argmax(1)]
    found = labels[labels >= 0]
    assert len(found)
    coin_class = np.bincount(found).argmax()
    assert (labels == coin_class).sum() == 24
    whole = np.flatnonzero(samlab.cluster(coins).labels == coin_class)
    # A segment is about coins when most of it lies on them: wholes, rims, parts, pairs.
    on_coins = masks.encode(coin_masks().any(0))
    strangers = [
        i for i in whole if (masks.decode(on_coins) & coins.mask(i)).sum() < 0.5 * coins.areas[i]
    ]
    assert len(strangers) <= 3


def test_every_segment_has_a_vector_and_a_source(coins) -> None:
    assert coins.embeddings["sam"].shape == (len(coins), 256)
    assert np.isfinite(coins.embeddings["sam"]).all()
    assert coins.image_size == (303, 384)
    assert coins.provenance["model"] == "tiny"
    assert len(coins.provenance["weights_sha256"]) == 64
    assert coins.provenance["pooling"] == "coverage"
    json.dumps(coins.provenance)


def test_result_survives_the_disk(coins, tmp_path) -> None:
    back = samlab.Segments.from_parquet(coins.to_parquet(tmp_path / "coins.parquet"))
    assert np.array_equal(back.embeddings["sam"], coins.embeddings["sam"])
    assert back.provenance == coins.provenance


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 64)])
def test_pictures_that_are_hardly_pictures(shape) -> None:
    segments = samlab.segment(np.full(shape, 128, np.uint8), points_per_side=4)
    assert segments.image_size == shape
    assert segments.embeddings["sam"].shape == (len(segments), 256)
    clustering = samlab.cluster(segments)
    assert clustering.labels.shape == (len(segments),)
    assert samlab.project(segments).shape == (len(segments), 2)


def test_name_comes_from_the_file(tmp_path) -> None:
    from PIL import Image

    path = tmp_path / "dots.png"
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(path)
    assert samlab.segment(path, points_per_side=2).image_id == "dots.png"
    assert samlab.segment(path, points_per_side=2, image_id="x").image_id == "x"


def test_bad_input_is_one_sentence(tmp_path) -> None:
    with pytest.raises(ImageError, match="the file does not exist"):
        samlab.segment(tmp_path / "none.png")
    with pytest.raises(InputError, match="how='coverage' or how='any', got 'mean'"):
        samlab.segment(np.zeros((8, 8), np.uint8), how="mean")
