"""What the anatomy shows is what the official modules compute."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from segment_anything.modeling.image_encoder import window_partition

from samlab.errors import InputError
from samlab.sam.anatomy import (
    decoder_costs,
    encoder_attention,
    official_or_random,
    recorded_attention,
    walk_decoder,
    walk_encoder,
)
from samlab.sam.fast.decoder import PlainDecoder
from samlab.sam.fast.encoder import encode
from samlab.sam.load import load_sam


@pytest.fixture(scope="module")
def photo():
    return np.asarray(skimage.data.coffee())[:, :, :3]


@pytest.fixture(scope="module")
def walk(mini_sam, photo):
    return walk_encoder(mini_sam, photo, keep=(0, 1))


def test_the_walk_ends_where_encode_ends(mini_sam, photo, walk):
    torch.testing.assert_close(
        walk.features.features, encode(photo, mini_sam).features, atol=1e-4, rtol=1e-4
    )
    shapes = {step.name: step.shape for step in walk.steps}
    assert shapes["input"] == (1, 3, 256, 256)
    assert shapes["patches"] == (1, 16, 16, 64)
    assert shapes["block 0"] == (9, 7, 7, 64)  # 16 is padded to 21: 3 x 3 windows of 7
    assert shapes["block 1"] == (1, 16, 16, 64)
    assert walk.gflop > 0.1
    with pytest.raises(InputError, match="SAM's own ViT encoder, got TinyImageEncoder"):
        walk_encoder(load_sam("tiny"), photo)


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("cell", [(0, 0), (5, 9), (15, 15)])
def test_attention_of_a_patch_mixes_what_the_official_block_mixes(mini_sam, walk, block, cell):
    """The attention times the values, projected, is the official attention's output there."""
    encoder = mini_sam.image_encoder
    layer, stream = encoder.blocks[block], walk.streams[block]
    window = layer.window_size
    with torch.no_grad():
        normed = layer.norm1(stream)
        if window:
            parts, padded = window_partition(normed, window)
            across = padded[1] // window
            place = cell[0] // window * across + cell[1] // window
            official = layer.attn(parts)[place, cell[0] % window, cell[1] % window]
            tokens, size = parts[place], window
        else:
            official = layer.attn(normed)[0, cell[0], cell[1]]
            tokens, size = normed[0], 16
        values = layer.attn.qkv(tokens.flatten(0, 1)).unflatten(-1, (3, 2, -1))[:, 2]
        maps = encoder_attention(encoder, stream, block, cell)
        top, left = (c // size * size for c in cell)
        weights = torch.zeros(2, size, size)
        inside = torch.as_tensor(maps[:, top : top + size, left : left + size])
        weights[:, : inside.shape[1], : inside.shape[2]] = inside
        missing = 1 - weights.sum((1, 2))  # on padding, whose tokens are all alike
        mixed = torch.einsum("hl,lhd->hd", weights.flatten(1), values)
        mixed = mixed + missing[:, None] * values[-1]
        got = layer.attn.proj(mixed.flatten())
    torch.testing.assert_close(got, official, atol=1e-4, rtol=1e-4)
    seen = np.isfinite(maps[0])
    assert seen.sum() == (256 if not window else inside.shape[1] * inside.shape[2])


def test_the_decoder_walk_is_the_decoders_answer(mini_sam, walk):
    embedding = walk.features
    got = walk_decoder(mini_sam, embedding, (250, 150))
    coords = torch.as_tensor(embedding.to_input(np.array([[[250, 150]]]))).float()
    expected = PlainDecoder(mini_sam, embedding).predict(coords, torch.ones(1, 1))
    np.testing.assert_allclose(got.iou[1:], expected.iou[0], atol=1e-6)
    index = torch.nonzero(torch.ones_like(expected.iou))
    np.testing.assert_allclose(got.logits[1:], expected.logits(index), atol=1e-5)
    by_hand = np.einsum("mc,chw->mhw", got.weights, got.upscaled)
    np.testing.assert_allclose(by_hand, got.logits, atol=1e-4)
    for maps in got.attention.values():
        np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-5)
    assert not mini_sam.mask_decoder.output_upscaling._forward_hooks


def test_recorded_attention_is_that_of_the_module(mini_sam):
    transformer = mini_sam.mask_decoder.transformer
    attention = transformer.layers[0].cross_attn_token_to_image
    torch.manual_seed(1)
    tokens, image = torch.randn(1, 5, 256), torch.randn(1, 40, 256)
    with torch.no_grad(), recorded_attention(transformer) as maps:
        official = attention(tokens, image, image)
    weights = torch.as_tensor(maps["layers.0.cross_attn_token_to_image"])
    with torch.no_grad():
        values = attention.v_proj(image)[0].unflatten(-1, (8, -1)).transpose(0, 1)
        mixed = (weights @ values).transpose(0, 1).flatten(1)
        torch.testing.assert_close(attention.out_proj(mixed)[None], official)
    assert not any(m._forward_pre_hooks for m in transformer.modules())


def test_costs_count_the_arithmetic(mini_sam, walk):
    rows = {row["part"]: row for row in decoder_costs(mini_sam, walk.features, prompts=4)}
    plain, masks = rows["SAM's decoder"], rows["factored: scores and masks"]
    assert rows["factored: scores only"]["gflop"] < masks["gflop"] < plain["gflop"]
    assert rows["factored: opening"]["once"] == 1
    assert all(row["seconds"] >= 0 for row in rows.values())


def test_random_weights_are_seeded_and_leave_the_generator_alone(monkeypatch):
    from samlab.sam import anatomy

    monkeypatch.setattr(anatomy.checkpoints, "find", lambda name: None)
    monkeypatch.setitem(anatomy.sam_model_registry, "vit_b", lambda: torch.nn.Linear(2, 2))
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, trained = official_or_random("vit_b", seed=3)
    assert not trained
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(first.weight, official_or_random("vit_b", seed=3)[0].weight)
