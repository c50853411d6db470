"""The network of the embedded model: shapes, folding, and the packing of its answers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from samlab.sam.tiny.net import EMBEDDING_DIM, TinyNet, pack, unpack


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 2),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_unpack_gives_back_what_was_packed(batch: int, height: int, width: int, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    semantic = F.normalize(torch.randn(batch, 128, height, width, generator=g), dim=1)
    boundary = 8 * torch.randn(batch, 1, 4 * height, 4 * width, generator=g)
    affinity = F.normalize(torch.randn(batch, 16, 2 * height, 2 * width, generator=g), dim=1)
    lab = 50 * torch.randn(batch, 3, 4 * height, 4 * width, generator=g)
    embedding = pack(semantic, boundary, affinity, lab)
    assert embedding.shape == (batch, EMBEDDING_DIM, height, width)
    for got, sent in zip(unpack(embedding), (semantic, boundary, affinity, lab), strict=True):
        torch.testing.assert_close(got, sent, rtol=1e-4, atol=1e-4)


def test_cosine_of_pooled_embeddings_is_that_of_the_description() -> None:
    torch.manual_seed(0)
    semantic = F.normalize(torch.randn(2, 128, 4, 4), dim=1)
    geometry = 5 * torch.randn(2, 1, 16, 16), F.normalize(torch.randn(2, 16, 8, 8), dim=1)
    embedding = pack(semantic, *geometry, lab=60 * torch.randn(2, 3, 16, 16))
    whole = F.normalize(embedding.mean((2, 3)), dim=1)
    part = F.normalize(semantic.mean((2, 3)), dim=1)
    assert torch.abs(whole[0] @ whole[1] - part[0] @ part[1]) < 0.01


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_folded_network_answers_the_same(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = TinyNet(widths=(8, 16, 24, 32), depths=(1, 1, 1, 1), attentions=1).train()
    for _ in range(3):  # give the normalisations something to fold
        net(torch.randn(2, 3, 64, 64))
    net.eval()
    x = torch.randn(1, 3, *size)
    with torch.no_grad():
        before = net(x)
        after = net.fuse()(x)
        again = net.fuse()(x)
    for a, b, c in zip(before, after, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(b, c, rtol=0, atol=0)
    assert before[0].norm(dim=1).sub(1).abs().max() < 1e-4
    assert before[2].norm(dim=1).sub(1).abs().max() < 1e-4


def test_shipped_size() -> None:
    """Eight megabytes as float16, with a little left for what the mask decoder learns."""
    count = sum(value.numel() for value in TinyNet().state_dict().values())
    assert 2 * count < 7_700_000
