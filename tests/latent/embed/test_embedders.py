"""Embedders: the baseline, any encoder, and transformers models of tiny random configurations."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from samlab import masks
from samlab.errors import InputError, MissingExtraError
from samlab.latent.embed.embedders import ColourTexture, PatchEmbedder, TransformersEmbedder, embed
from samlab.latent.embed.pooling import pool
from samlab.latent.similarity import heat_map, similarity
from samlab.segments import Segments


@pytest.fixture
def scene():
    """A 48 x 80 picture: red left, green right, two segments in each half, one in both."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 30, (48, 80, 3))
    picture[:, :40, 0] += 180
    picture[:, 40:, 1] += 180
    dense = np.zeros((5, 48, 80), bool)
    dense[0, 2:20, 4:30] = True
    dense[1, 25:45, 8:35] = True
    dense[2, 2:20, 45:70] = True
    dense[3, 25:45, 48:78] = True
    dense[4, 40:48, :] = True
    return picture.astype(np.uint8), Segments(rles=masks.encode(dense))


def test_colours_that_are_alike_are_alike(scene):
    image, segments = scene
    segments = embed(image, segments, ColourTexture())
    vectors = segments.embedding("colour_texture")
    assert vectors.shape == (5, 74)
    cosine = similarity(vectors)
    assert min(cosine[0, 1], cosine[2, 3]) > 0.95
    assert cosine[:2, 2:4].max() < 0.8
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1) ** 2, 6, atol=1e-4)
    assert embed(image, segments[:0], ColourTexture()).embedding("colour_texture").shape == (0, 74)


def test_one_pixel_has_a_colour(scene):
    image, _ = scene
    dense = np.zeros((1, 48, 80), bool)
    dense[0, 47, 79] = True
    vector = ColourTexture()(image, Segments(rles=masks.encode(dense)))
    assert np.isfinite(vector).all()


def test_an_embedder_of_ones_own(scene):
    image, segments = scene

    class Brightness:
        name = "brightness"

        def __call__(self, image, segments):
            return np.array([[image[segments.mask(i)].mean(), 1.0] for i in range(len(segments))])

    assert embed(image, segments, Brightness()).embedding("brightness").shape == (5, 2)
    with pytest.raises(InputError, match=r"picture of the segments, size \(48, 80\)"):
        embed(image[:10], segments, Brightness())


def fake_encoder(image):
    grid = np.random.default_rng(int(image.sum()) % 1000).normal(size=(3, 8, 8)).astype(np.float32)
    scale = 64 / max(image.shape[:2])
    size = tuple(max(round(n * scale), 1) for n in image.shape[:2])
    return SimpleNamespace(
        grid=lambda: grid, image_size=image.shape[:2], input_size=size, img_size=64
    )


def test_any_encoder_is_pooled(scene):
    image, segments = scene
    vectors = embed(image, segments, PatchEmbedder(fake_encoder, "mine")).embedding("mine")
    np.testing.assert_array_equal(vectors, pool(fake_encoder(image), segments))


def test_crops_are_encoded_with_their_mirror_image_and_averaged(scene):
    image, segments = scene
    seen = []

    def encode(crop):
        seen.append(crop)
        return fake_encoder(crop)

    vectors = pool(None, segments, "crop", image=image, encode=encode, margin=0)
    assert vectors.shape == (5, 3)
    assert len(seen) == 10
    np.testing.assert_array_equal(seen[0], image[2:20, 4:30])
    np.testing.assert_array_equal(seen[1], image[2:20, 4:30][:, ::-1])
    full = Segments(rles=[masks.encode(np.ones((18, 26), bool))])
    halves = [pool(fake_encoder(crop), full)[0] for crop in seen[:2]]
    np.testing.assert_allclose(vectors[0], np.mean(halves, axis=0), atol=1e-6)


def test_crops_in_batches_give_the_same(scene):
    image, segments = scene
    sizes = []

    def encode_many(crops):
        sizes.append(len(crops))
        return [fake_encoder(crop) for crop in crops]

    one = pool(None, segments, "crop", image=image, encode=fake_encoder)
    many = pool(None, segments, "crop", image=image, encode=encode_many, batch=4)
    np.testing.assert_array_equal(one, many)
    assert sizes == [4, 4, 2]


def test_tokens_are_taken_as_they_are_and_checked(scene):
    image, segments = scene
    tokens = np.random.default_rng(0).normal(size=(5, 4))
    assert pool(None, segments, "token", tokens=tokens).shape == (5, 4)
    with pytest.raises(InputError, match="one token per segment, 5; got 4"):
        pool(None, segments, "token", tokens=tokens[:4])
    with pytest.raises(InputError, match="needs the decoder's mask tokens"):
        pool(None, segments, "token")
    with pytest.raises(InputError, match="needs the picture and an encoder"):
        pool(None, segments, "crop", image=image)
    with pytest.raises(InputError, match=r"picture of the segments, size \(48, 80\)"):
        pool(None, segments, "crop", image=image[:5], encode=fake_encoder)


def tiny_models():
    transformers = pytest.importorskip("transformers", reason="needs samlab[hf]")
    small = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32, "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    return {
        "dinov2": transformers.Dinov2Model(transformers.Dinov2Config(**small)),
        "registers": transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(**small)
        ),
        "clip": transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**small)),
        "siglip": transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**small)),
    }


@pytest.mark.parametrize("kind", ["dinov2", "registers", "clip", "siglip"])
def test_transformers_models_give_a_vector_per_segment(scene, kind):
    image, segments = scene
    embedder = TransformersEmbedder(tiny_models()[kind], size=40, name=kind)
    features = embedder.encode(image)
    assert features.grid().shape == (16, 3, 5)  # 48 x 80 becomes 24 x 40: 3 x 5 patches
    vectors = embed(image, segments, embedder).embedding(kind)
    assert vectors.shape == (5, 16)
    assert np.isfinite(vectors).all()
    assert heat_map(features, vectors[0]).shape == (48, 80)


def test_transformers_patches_lie_where_the_picture_says():
    """The last tokens are the patches, row by row: checked by what changes with one patch."""
    embedder = TransformersEmbedder(tiny_models()["registers"], size=40)
    for layer in embedder.model.encoder.layer:
        layer.layer_scale1.lambda1.data.zero_()  # no patch sees another
    plain = np.zeros((24, 40, 3), np.uint8)
    spot = plain.copy()
    spot[8:16, 24:32] = 255  # row 1, column 3
    change = np.abs(embedder.encode(spot).grid() - embedder.encode(plain).grid()).sum(axis=0)
    assert np.argwhere(change > 1e-6).tolist() == [[1, 3]]


def test_a_model_without_patches_is_refused():
    transformers = pytest.importorskip("transformers", reason="needs samlab[hf]")
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        vocab_size=10,
    )  # fmt: skip
    with pytest.raises(InputError, match="vision model with square patches.*BertModel"):
        TransformersEmbedder(transformers.BertModel(config))


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("samlab.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "samlab\[hf\]"'):
        TransformersEmbedder("facebook/dinov2-small")


def test_the_room_does_not_import_torch():
    import subprocess

    code = (
        "import samlab.latent.compare, samlab.latent.similarity, sys; "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
