"""Prompts of every kind give what transformers' own forward gives."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from transformers import Sam2ImageProcessor, Sam3ImageProcessor, SamImageProcessorPil

from samlab.sam.fast.decoder import open_decoder
from samlab.sam.fast.encoder import encode
from tests.sam.families.small import FAMILIES, small

SIDE = {"sam3": 252, "sam3_three_levels": 252}


@pytest.fixture(scope="module")
def image():
    return np.ascontiguousarray(skimage.data.astronaut()[:200, 100:400])


def pixels(family, image):
    side = SIDE.get(family, 256)
    if family in ("sam", "sam_hq"):
        processor = SamImageProcessorPil(
            size={"longest_edge": side}, pad_size={"height": side, "width": side}
        )
    else:
        kind = Sam3ImageProcessor if family in SIDE else Sam2ImageProcessor
        processor = kind(size={"height": side, "width": side})
    return processor(images=image, return_tensors="pt")["pixel_values"]


class Reference:
    """transformers' embedding of the picture, and its answers in our shapes."""

    def __init__(self, family, image):
        self.model = small(family)
        with torch.inference_mode():
            found = self.model.get_image_embeddings(pixels(family, image))
        self.rest = {}
        if family == "sam_hq":
            found, self.rest["intermediate_embeddings"] = found
        self.embedding = found

    def __call__(self, multimask, points=None, labels=None, boxes=None, masks=None):
        given = {"input_points": points, "input_labels": labels, "input_boxes": boxes}
        given = {k: v[None] for k, v in given.items() if v is not None}
        fresh = self.embedding
        if isinstance(fresh, list):
            fresh = list(fresh)
        with torch.inference_mode():
            out = self.model(
                image_embeddings=fresh, multimask_output=multimask, input_masks=masks,
                **given, **self.rest,
            )  # fmt: skip
        return out.iou_scores[0], out.pred_masks[0]


@pytest.fixture(scope="module")
def pairs(loaded, image):
    known = {}

    def pair(family):
        if family not in known:
            sam = loaded(family)
            known[family] = sam, encode(image, sam), Reference(family, image)
        return known[family]

    return pair


def compare(found, iou, masks):
    assert float((found.iou - iou).abs().max()) < 1e-5
    index = torch.nonzero(torch.ones_like(found.iou))
    low = found.logits(index).view_as(masks)
    allowed = 1e-4 * float(masks.max() - masks.min())
    assert float((low - masks).abs().max()) < allowed
    assert float(((low > 0) == (masks > 0)).float().mean()) > 0.999
    assert 0.001 < float((masks > 0).float().mean()) < 0.999  # something to agree about


POINTS = torch.tensor([[40.0, 30, 200, 100, 90, 150], [10, 10, 250, 160, 128, 80]]).view(2, 3, 2)
BOXES = torch.tensor([[10.0, 20, 200, 160], [100, 0, 240, 165]])
PROMPTS = {
    "a point": {"points": POINTS[:, :1], "labels": torch.ones(2, 1, dtype=torch.int)},
    "background": {"points": POINTS, "labels": torch.tensor([[1, 0, 1], [1, 1, 0]])},
    "boxes": {"boxes": BOXES},
    "boxes and points": {
        "points": POINTS, "labels": torch.tensor([[1, 0, 1], [0, 1, 0]]), "boxes": BOXES,
    },
}  # fmt: skip


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_prompts(pairs, family, name, multimask):
    sam, embedding, reference = pairs(family)
    prompt = PROMPTS[name]
    found = open_decoder(sam, embedding).predict(
        prompt.get("points"), prompt.get("labels"), prompt.get("boxes"),
        multimask_output=multimask,
    )  # fmt: skip
    compare(found, *reference(multimask, **prompt))


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("beside", [None, "background", "boxes"])
@pytest.mark.parametrize("family", FAMILIES)
def test_mask_prompts(pairs, family, beside, multimask):
    """transformers takes one mask prompt at a time, ours several."""
    sam, embedding, reference = pairs(family)
    side = 4 * embedding.features.shape[-1]
    masks = 5 * torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(3))
    prompt = {} if beside is None else PROMPTS[beside]
    found = open_decoder(sam, embedding).predict(
        prompt.get("points"), prompt.get("labels"), prompt.get("boxes"), masks,
        multimask_output=multimask,
    )  # fmt: skip
    iou, low = zip(
        *(
            reference(
                multimask, masks=masks[i : i + 1], **{k: v[i : i + 1] for k, v in prompt.items()}
            )
            for i in range(2)
        ),
        strict=True,
    )
    compare(found, torch.cat(iou), torch.cat(low))


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings(pairs, family):
    _, embedding, reference = pairs(family)
    theirs = reference.embedding
    if isinstance(theirs, list):
        ours = [
            *embedding.details,
            embedding.features + small(family).no_memory_embedding.view(1, -1, 1, 1),
        ]
    else:
        ours, theirs = [embedding.features], [theirs]
    for mine, expected in zip(ours, theirs, strict=True):
        assert float((mine - expected).abs().max()) < 1e-5 * float(expected.abs().max())
