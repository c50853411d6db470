"""What a piece of a picture looks like: 128 numbers per stride-16 cell, put together from parts.

Colour and texture are counted by hand, the material is what the network has learnt. Each part is a
histogram or a vector whose mean over a mask describes the mask, wherever it lies: the mean of soft
histograms is the histogram of the whole. Every part is scaled so that all
of them vary equally much between the segments of scenes (`training/fit_vectors.py`), and the
counted ones are centred: the cosine of two pooled vectors weighs them alike.

Parts: lightness (12 bins), the two colour axes of CIE Lab (10 each), strength of the gradient at
two scales (8 each) and its direction (6), uniform local binary patterns (10; Ojala et al., 2002),
and the network's vectors (64 principal directions of 128).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LIGHTNESS = tuple(np.linspace(4, 96, 12).tolist())
COLOUR = (-40.0, -20.0, -10.0, -5.0, 0.0, 5.0, 10.0, 20.0, 40.0, 60.0)
GRADIENT = tuple(np.linspace(0, 6, 8).tolist())  # log2 of 1 + twice the change of L per cell
DIRECTIONS, PATTERNS = 6, 10
PARTS = (len(LIGHTNESS), len(COLOUR), len(COLOUR), len(GRADIENT), DIRECTIONS, PATTERNS,
         len(GRADIENT))  # fmt: skip
"""Channels of each counted part, in order."""

COUNTED = sum(PARTS)
LEARNT = 64
DESCRIPTOR_DIM = COUNTED + LEARNT

AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def statistics(lab: Tensor) -> Tensor:
    """(B, 64, h/8, w/8) means of soft histograms from CIE Lab (B, 3, h, w), L in 0..100; h and w
    multiples of 8."""
    lightness = lab[:, :1]
    dy, dx = _gradient(lightness)
    strength = torch.hypot(dy, dx)
    half = F.avg_pool2d(lightness, 4)
    coarse = torch.hypot(*_gradient(half))
    fine = [
        _soft(lightness, LIGHTNESS),
        _soft(lab[:, 1:2], COLOUR),
        _soft(lab[:, 2:3], COLOUR),
        _soft(torch.log2(1 + 2 * strength), GRADIENT),
        _directions(dy, dx, strength),
        _patterns(lightness),
    ]
    parts = [F.avg_pool2d(part, 8) for part in fine]
    parts.append(F.avg_pool2d(_soft(torch.log2(1 + 2 * coarse), GRADIENT), 2))
    return torch.cat(parts, dim=1)


def _soft(x: Tensor, centres: tuple[float, ...]) -> Tensor:
    """(B, K, h, w): each value's share in the two nearest of K bins, by distance; sums to 1."""
    edges = torch.tensor(centres, dtype=x.dtype, device=x.device)
    x = x.clamp(centres[0], centres[-1])
    upper = torch.bucketize(x, edges[1:-1])  # the interval that holds x
    low, high = edges[upper], edges[upper + 1]
    share = (x - low) / (high - low)
    out = torch.zeros(len(x), len(centres), *x.shape[2:], dtype=x.dtype, device=x.device)
    return out.scatter(1, upper, 1 - share).scatter(1, upper + 1, share)


def _gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    dy = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
    return dy, (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2


def _directions(dy: Tensor, dx: Tensor, strength: Tensor) -> Tensor:
    """(B, 6, h, w): log of the gradient's strength, shared among directions 30 degrees apart; the
    eighth power of the cosine is about that wide."""
    angles = [math.pi * k / DIRECTIONS for k in range(DIRECTIONS)]
    safe = strength.clamp(min=1e-6)
    cosine = torch.cat([(dx * math.cos(a) + dy * math.sin(a)) / safe for a in angles], dim=1)
    square = cosine * cosine
    fourth = square * square
    return fourth * fourth * torch.log1p(strength)


def _patterns(x: Tensor) -> Tensor:
    """(B, 10, h, w) one-hot: how many of eight neighbours are at least as light, if these lie in
    one arc, else the last."""
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    height, width = x.shape[2:]
    ring = [wide[:, :, 1 + i : 1 + i + height, 1 + j : 1 + j + width] >= x for i, j in AROUND]
    bits = torch.cat(ring, dim=1)
    changes = (bits != bits.roll(1, 1)).sum(1, keepdim=True)
    code = torch.where(changes <= 2, bits.sum(1, keepdim=True), PATTERNS - 1)
    out = torch.zeros(len(x), PATTERNS, height, width, dtype=x.dtype, device=x.device)
    return out.scatter_(1, code, 1.0)


class Descriptor(nn.Module):
    """Puts counted and learnt parts together.

    centre (64,): mean of the counted channels; scale (128,) of all; basis (64, 128): orthonormal
    directions that hold nearly all of the network's vectors.
    """

    centre: Tensor
    scale: Tensor
    basis: Tensor

    def __init__(self, semantic_dim: int = 128) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(COUNTED))
        self.register_buffer("scale", torch.ones(DESCRIPTOR_DIM))
        self.register_buffer("basis", torch.eye(LEARNT, semantic_dim))

    def forward(self, lab: Tensor, semantic: Tensor) -> Tensor:
        """lab (B, 3, 8h, 8w), semantic (B, 128, h, w) -> (B, 128, h, w)."""
        counted = statistics(lab) - self.centre.view(1, -1, 1, 1)
        learnt = torch.einsum("ds,bshw->bdhw", self.basis, semantic)
        return torch.cat([counted, learnt], dim=1) * self.scale.view(1, -1, 1, 1)


def learnt_part(described: Tensor) -> Tensor:
    """The network's vectors (B, 64, h, w), of unit length, from a description (B, 128, h, w): their
    cosines are those of the vectors before the change of basis."""
    return F.normalize(described[:, COUNTED:], dim=1)
