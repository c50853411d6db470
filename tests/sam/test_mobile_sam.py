"""MobileSAM's encoder against timm's TinyViT, which others wrote from the same publication."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from samlab.sam.checkpoints import catalogue as checkpoints
from samlab.sam.load import load_sam
from samlab.sam.mobile_sam import DEPTHS, HEADS, WIDTHS, WINDOWS, TinyViT, build_mobile_sam


@pytest.fixture(scope="module")
def encoder():
    """Random weights everywhere, statistics of the batch normalisations and biases included."""
    torch.manual_seed(0)
    model = TinyViT(256).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith(("running_var", "bn.weight", "norm.weight")):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", "bias", "attention_biases")):
                value.normal_(0, 0.3)
    return model


def timm_name(name: str) -> str:
    """Our (MobileSAM's) name of a part -> timm's: stages begin with their merging there."""
    parts = name.split(".")
    if parts[0] == "layers":
        stage = int(parts[1]) + (parts[2] == "downsample")
        parts = ["stages", str(stage), *parts[2:]]
    if parts[0] == "patch_embed":
        parts = ["patch_embed", {"0": "conv1", "2": "conv2"}[parts[2]], *parts[3:]]
    return ".".join("conv" if part == "c" else part for part in parts)


@pytest.fixture(scope="module")
def timm_encoder(encoder):
    tiny_vit = pytest.importorskip("timm.models.tiny_vit")
    model = tiny_vit.TinyVit(
        embed_dims=WIDTHS, depths=DEPTHS, num_heads=HEADS, window_sizes=WINDOWS, num_classes=0
    )
    # What MobileSAM changed: no halving before the last stage.
    model.stages[3].downsample.conv2.conv.stride = (1, 1)
    state = {
        timm_name(k): v
        for k, v in encoder.state_dict().items()
        if not k.startswith(("head", "norm_head", "neck"))
    }
    expected = {k for k in model.state_dict() if not k.startswith("head")}
    assert state.keys() == expected
    model.load_state_dict(state, strict=False)
    return model.eval()


@pytest.mark.parametrize("size", [(256, 256), (112, 112), (192, 320)])
def test_features_equal_those_of_timm(encoder, timm_encoder, size):
    """256 and 320 need padded windows, 112 fills them exactly in the first stages."""
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = timm_encoder.forward_features(pixels)
        ours = encoder.patch_embed(pixels)
        for stage in encoder.layers:
            ours = stage(ours)
        out = encoder(pixels)
    assert ours.shape == (2, 320, size[0] // 16, size[1] // 16)
    assert float(theirs.std()) > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert out.shape == (2, 256, size[0] // 16, size[1] // 16)


def test_the_neck_is_sams_neck(encoder):
    """Two convolutions, each followed by a LayerNorm over channels with SAM's epsilon, 1e-6."""
    x = torch.randn(1, 320, 8, 8, generator=torch.Generator().manual_seed(2))

    def norm(y, layer):
        y = y - y.mean(1, keepdim=True)
        y = y / torch.sqrt(y.pow(2).mean(1, keepdim=True) + 1e-6)
        return layer.weight.view(-1, 1, 1) * y + layer.bias.view(-1, 1, 1)

    neck = encoder.neck
    with torch.no_grad():
        y = norm(torch.nn.functional.conv2d(x, neck[0].weight), neck[1])
        y = norm(torch.nn.functional.conv2d(y, neck[2].weight, padding=1), neck[3])
        torch.testing.assert_close(neck(x), y, rtol=1e-4, atol=1e-4)


def test_attention_biases_are_numbered_as_in_the_published_code():
    """There, a dictionary numbers the distances in the order of a double loop over the cells."""
    block = TinyViT(64).layers[1].blocks[0].attn
    cells = [(y, x) for y in range(7) for x in range(7)]
    numbers: dict[tuple[int, int], int] = {}
    index = [
        [numbers.setdefault((abs(a - c), abs(b - d)), len(numbers)) for c, d in cells]
        for a, b in cells
    ]
    assert block.attention_bias_idxs.tolist() == index


def test_a_file_of_these_tensors_has_the_size_of_the_published_one():
    """Names and shapes agree with the published file as far as its size can tell: 40,728,226
    bytes, within what versions of torch.save differ by (a few bytes for each of 439 tensors)."""
    state = build_mobile_sam().state_dict()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    assert len(state) == 439
    assert abs(buffer.tell() - checkpoints.OFFICIAL["mobile_sam"].size) < 16 * len(state)


def test_it_loads_and_answers_prompts(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMLAB_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(3)
    seeded = build_mobile_sam()
    torch.save({"model": seeded.state_dict()}, tmp_path / "mine.pt")
    sam = load_sam(tmp_path / "mine.pt", device="cpu")
    assert sam.samlab_architecture == "mobile_sam"
    assert sam.samlab_name == "mine.pt"
    assert all(
        torch.equal(a, b) for a, b in zip(sam.parameters(), seeded.parameters(), strict=True)
    )
    predictor = SamPredictor(sam)
    predictor.set_image(np.full((30, 40, 3), 120, np.uint8))
    assert predictor.features.shape == (1, 256, 64, 64)
    masks, scores, _ = predictor.predict(np.array([[10.0, 10.0]]), np.array([1]))
    assert masks.shape == (3, 30, 40)
    assert np.isfinite(scores).all()
