"""The factored decoder answers as SAM's own mask decoder does."""

from __future__ import annotations

import pytest
import torch

from samlab.errors import InputError
from samlab.sam.fast.decoder import PlainDecoder, PromptDecoder, open_decoder
from samlab.sam.fast.encoder import ImageEmbedding


@pytest.fixture(scope="module")
def embedding():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, 256, 16, 16, generator=generator)
    return ImageEmbedding(features, (170, 256), (340, 512), 256)


def points(count, per_prompt=1):
    generator = torch.Generator().manual_seed(2)
    return torch.rand(count, per_prompt, 2, generator=generator) * torch.tensor([256.0, 170.0])


BOXES = torch.tensor([[10.0, 20, 200, 160], [5, 5, 50, 50], [100, 0, 256, 170]])
PROMPTS = {
    "one point": {"point_coords": points(11), "point_labels": torch.ones(11, 1)},
    "several points": {
        "point_coords": points(3, 3),
        "point_labels": torch.tensor([[1, 0, 1], [1, 1, -1], [0, 1, 1]]),
    },
    "a box": {"boxes": BOXES},
    "a box and a point": {
        "point_coords": points(3),
        "point_labels": torch.ones(3, 1),
        "boxes": BOXES,
    },
    "a mask": {"mask_input": torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))},
    "a mask and points": {
        "point_coords": points(2),
        "point_labels": torch.ones(2, 1),
        "mask_input": torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)),
    },
}


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("name", PROMPTS)
def test_equal_to_the_official_decoder(mini_sam, embedding, name, multimask):
    prompt = PROMPTS[name]
    expected = PlainDecoder(mini_sam, embedding).predict(**prompt, multimask_output=multimask)
    decoder = open_decoder(mini_sam, embedding)
    assert isinstance(decoder, PromptDecoder)
    got = decoder.predict(**prompt, multimask_output=multimask)
    torch.testing.assert_close(got.iou, expected.iou, atol=1e-5, rtol=0)
    index = torch.nonzero(torch.ones_like(got.iou))
    low = expected.logits(index)
    allowed = 1e-4 * float(low.max() - low.min())
    assert float((got.logits(index) - low).abs().max()) < allowed


def test_logits_come_in_the_order_asked_for(mini_sam, embedding):
    got = open_decoder(mini_sam, embedding).predict(**PROMPTS["one point"])
    everything = got.logits(torch.nonzero(torch.ones_like(got.iou))).view(11, 3, 64, 64)
    index = torch.tensor([[9, 2], [0, 0], [9, 2], [4, 1]])
    torch.testing.assert_close(got.logits(index), everything[index[:, 0], index[:, 1]])
    assert got.logits(index[:0]).shape == (0, 64, 64)


def test_the_decoder_scores_do_not_depend_on_the_batch(mini_sam, embedding):
    decoder = open_decoder(mini_sam, embedding)
    together = decoder.predict(**PROMPTS["one point"])
    alone = decoder.predict(points(11)[4:5], torch.ones(1, 1))
    torch.testing.assert_close(together.iou[4:5], alone.iou, atol=1e-5, rtol=0)


def test_mask_tokens(mini_sam, embedding):
    got = open_decoder(mini_sam, embedding).predict(**PROMPTS["a box"])
    tokens = got.tokens(torch.tensor([[0, 0], [2, 1]]))
    assert tokens.shape == (2, 256)
    assert torch.isfinite(tokens).all()


def test_half_precision_is_close(mini_sam, embedding):
    expected = open_decoder(mini_sam, embedding).predict(**PROMPTS["one point"])
    decoder = PromptDecoder(mini_sam, embedding)
    decoder.dtype = torch.bfloat16
    decoder._open()
    got = decoder.predict(**PROMPTS["one point"])
    assert float((got.iou - expected.iou).abs().max()) < 0.02
    index = torch.nonzero(torch.ones_like(got.iou))
    agree = (got.logits(index) > 0) == (expected.logits(index) > 0)
    assert float(agree.float().mean()) > 0.98


def test_another_decoder_is_called_plainly(mini_sam, embedding, monkeypatch):
    class Changed(type(mini_sam.mask_decoder)):
        pass

    monkeypatch.setattr(mini_sam.mask_decoder, "__class__", Changed)
    assert isinstance(open_decoder(mini_sam, embedding), PlainDecoder)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({}, "Expected at least one prompt: points, boxes or a mask; got none"),
        ({"point_coords": points(2)}, "point_coords and point_labels together"),
        (
            {"point_coords": torch.zeros(0, 1, 2), "point_labels": torch.zeros(0, 1)},
            "the same number of prompts, at least one",
        ),
        (
            {"point_coords": torch.zeros(2, 0, 2), "point_labels": torch.zeros(2, 0)},
            r"shape \(P, K, 2\) with K >= 1, got \(2, 0, 2\)",
        ),
        (
            {"point_coords": points(2), "point_labels": torch.ones(2, 3)},
            r"point_labels of shape \(2, 1\)",
        ),
        (
            {"point_coords": torch.tensor([[[10.0, 171.0]]]), "point_labels": torch.ones(1, 1)},
            r"points inside the picture, which is 256 x 170 .* got \(10.0, 171.0\)",
        ),
        (
            {"boxes": torch.tensor([[5.0, 5, 5, 9]])},
            r"x1 > x0 and y1 > y0, got the empty box \[5.0, 5.0, 5.0, 9.0\]",
        ),
        ({"boxes": torch.zeros(1, 3)}, r"boxes of shape \(P, 4\) XYXY, got \(1, 3\)"),
    ],
)
def test_senseless_prompts_are_refused(mini_sam, embedding, prompt, message):
    for decoder in (open_decoder(mini_sam, embedding), PlainDecoder(mini_sam, embedding)):
        with pytest.raises(InputError, match=message):
            decoder.predict(**prompt)
