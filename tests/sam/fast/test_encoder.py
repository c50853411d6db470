"""The encoder gives the features of SamPredictor, and says where the picture lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from samlab.errors import InputError, SamlabWarning
from samlab.sam.fast.encoder import encode, encode_batch


def reference(sam, image):
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    return predictor


def picture(rng, height, width):
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(90, 150), (300, 200), (64, 64)])
def test_features_equal_the_predictors(mini_sam, rng, size):
    image = picture(rng, *size)
    expected = reference(mini_sam, image)
    got = encode(image, mini_sam)
    torch.testing.assert_close(got.features, expected.features, atol=2e-5, rtol=1e-5)
    assert got.input_size == expected.input_size
    assert got.image_size == size


def test_sliced_global_attention_equals_the_predictors(make_mini_sam, rng):
    sam = make_mini_sam(512)  # 1024 cells: more than one slice of queries
    image = picture(rng, 70, 100)
    expected = reference(sam, image).features
    torch.testing.assert_close(encode(image, sam).features, expected, atol=2e-5, rtol=1e-5)


def test_half_precision_is_close(mini_sam, rng):
    image = picture(rng, 90, 150)
    expected = encode(image, mini_sam).features
    with torch.inference_mode():
        from samlab.sam.fast.encoder import prepare, vit_features

        got = vit_features(mini_sam.image_encoder, prepare(image, mini_sam)[0], torch.bfloat16)
    cosine = torch.nn.functional.cosine_similarity(got, expected)
    assert got.dtype == torch.float32
    assert float(cosine.min()) > 0.99


def test_a_batch_of_different_sizes(mini_sam, rng):
    images = [picture(rng, 90, 150), picture(rng, 50, 40), picture(rng, 256, 256)]
    together = encode_batch(images, mini_sam, batch_size=2)
    assert [e.image_size for e in together] == [(90, 150), (50, 40), (256, 256)]
    for image, embedding in zip(images, together, strict=True):
        alone = encode(image, mini_sam).features
        torch.testing.assert_close(embedding.features, alone, atol=1e-5, rtol=1e-5)


def test_weights_and_classes_stay_as_they_are(mini_sam, rng):
    before = {k: v.clone() for k, v in mini_sam.state_dict().items()}
    encode(picture(rng, 30, 30), mini_sam)
    after = mini_sam.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_where_the_picture_lies(mini_sam, rng):
    embedding = encode(picture(rng, 100, 200), mini_sam)
    assert embedding.input_size == (128, 256)
    assert embedding.stride == 16
    assert embedding.valid_size == (8.0, 16.0)
    assert embedding.scale == (1.28, 1.28)
    np.testing.assert_allclose(embedding.to_input(np.array([[10, 20]])), [[12.8, 25.6]])
    grid = embedding.grid()
    assert grid.shape == (256, 16, 16)
    assert grid.dtype == np.float32


def test_a_very_thin_picture_keeps_one_row(mini_sam):
    embedding = encode(np.zeros((1, 3000, 3), np.uint8), mini_sam)
    assert embedding.input_size == (1, 256)


def test_an_unknown_dtype_is_refused(mini_sam):
    with pytest.raises(InputError, match="Expected dtype None, 'auto'"):
        encode(np.zeros((9, 9, 3), np.uint8), mini_sam, dtype="int8")


def test_overflow_of_half_precision_is_redone_in_float32(make_mini_sam, rng, monkeypatch):
    from samlab.sam.fast import encoder

    sam = make_mini_sam()
    image = picture(rng, 60, 60)
    expected = encode(image, sam).features
    honest = encoder.vit_features

    def overflowing(vit, x, dtype, step=None):
        features = honest(vit, x, torch.float32)
        return features if dtype == torch.float32 else features * float("nan")

    monkeypatch.setattr(encoder, "vit_features", overflowing)
    monkeypatch.setattr(encoder, "resolve_dtype", lambda dtype, sam: torch.float16)
    with pytest.warns(SamlabWarning, match="gave NaN or infinity in torch.float16"):
        got = encode(image, sam).features
    torch.testing.assert_close(got, expected)


@pytest.mark.slow
def test_vit_b_equals_the_predictors(vit_b, rng):
    image = picture(rng, 60, 90)
    expected = reference(vit_b, image).features
    torch.testing.assert_close(encode(image, vit_b).features, expected, atol=1e-4, rtol=1e-4)
