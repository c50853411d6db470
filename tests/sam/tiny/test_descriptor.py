"""The description of a cell: histograms that are histograms, wherever a thing lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.feature import local_binary_pattern
from torch.nn import functional as F

from samlab.sam.tiny.descriptor import (
    COLOUR,
    COUNTED,
    LEARNT,
    LIGHTNESS,
    PARTS,
    Descriptor,
    _patterns,
    _soft,
    learnt_part,
    statistics,
)


def lab(seed: int, height: int = 32, width: int = 48) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    scale = torch.tensor([100.0, 80.0, 80.0]).view(1, 3, 1, 1)
    return (torch.rand(1, 3, height, width, generator=g) - 0.5) * scale + scale / 2 * torch.tensor(
        [1.0, 0.0, 0.0]
    ).view(1, 3, 1, 1)


def test_sizes_of_the_parts_add_up():
    assert sum(PARTS) == COUNTED
    assert COUNTED + LEARNT == 128
    assert statistics(lab(0)).shape == (1, COUNTED, 4, 6)


@given(st.integers(0, 1000))
def test_every_histogram_sums_to_one(seed):
    found = statistics(lab(seed))
    start = 0
    for k, size in enumerate(PARTS):
        total = found[:, start : start + size].sum(1)
        if k != 4:  # directions weigh by strength
            torch.testing.assert_close(total, torch.ones_like(total))
        start += size
    assert (found >= 0).all()


@pytest.mark.parametrize("centres", [LIGHTNESS, COLOUR])
def test_soft_bins_share_a_value_between_its_neighbours(centres):
    values = torch.linspace(centres[0], centres[-1], 99).view(1, 1, 9, 11)
    found = _soft(values, centres)
    back = (found * torch.tensor(centres).view(1, -1, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(back, values, rtol=0, atol=1e-3)
    assert ((found > 0).sum(1) <= 2).all()


def test_patterns_equal_scikit_images():
    grey = np.random.default_rng(0).integers(0, 255, (12, 14)).astype(np.uint8)
    found = _patterns(torch.from_numpy(grey).float()[None, None])[0].argmax(0).numpy()
    # Radius 1 with four straight neighbours only needs no interpolation at multiples of 90 degrees;
    # on a picture enlarged by whole blocks the diagonal ones need none either.
    wanted = local_binary_pattern(np.kron(grey, np.ones((5, 5), np.uint8)), 8, 5, "uniform")
    np.testing.assert_array_equal(found[1:-1, 1:-1], wanted[2::5, 2::5][1:-1, 1:-1])


def test_a_mirrored_or_shifted_patch_has_the_same_colours_and_patterns():
    patch = lab(3, 16, 16)
    wide = patch.repeat(1, 1, 3, 3)
    here, there = statistics(wide)[0, :32], statistics(wide.flip(3))[0, :32]
    torch.testing.assert_close(here.mean((1, 2)), there.mean((1, 2)))


def test_learnt_part_keeps_cosines():
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(128, LEARNT))[0].T
    semantic = torch.einsum("ds,bdhw->bshw", basis, torch.randn(1, LEARNT, 4, 6))
    semantic = F.normalize(semantic, dim=1)
    descriptor = Descriptor()
    descriptor.basis.copy_(basis)
    descriptor.scale.fill_(1.7)
    found = learnt_part(descriptor(lab(1), semantic)).flatten(2)[0]
    flat = semantic.flatten(2)[0]
    torch.testing.assert_close(found.T @ found, flat.T @ flat, rtol=1e-4, atol=1e-4)
