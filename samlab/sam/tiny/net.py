"""The network of the embedded model `tiny`, and how its three answers become SAM's embedding.

A convolutional encoder (strides 4, 8, 16 and 32, attention at stride 32) with a way back up to
stride 4. It answers, for a picture normalised as SAM does it,

- where leaf regions end: a boundary logit per stride-4 cell;
- what belongs together: a 16-d unit vector per stride-8 cell, close inside a region;
- what it looks like: a 128-d unit vector per stride-16 cell, close for equal materials.

SAM's interface has room for exactly one embedding, 256 numbers per stride-16 cell. `pack` puts the
description of each cell (`descriptor`), outlines, affinities and the picture's colours into it and
`unpack` takes them out again, so that a mask decoder needs nothing but the embedding. The training
program and inference share this file.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from samlab.sam.tiny.descriptor import DESCRIPTOR_DIM

SEMANTIC_DIM = 128
AFFINITY_DIM = 16
EMBEDDING_DIM = 256
STRIDE = 32
"""Height and width of the input must be multiples of this."""

GEOMETRY_SCALE = 0.01
"""Boundary, colour and affinity are stored this small, so that the cosine of two pooled embedding
vectors is decided by the description."""

BOUNDARY_SCALE = 0.1
"""Boundary logits reach about 10; this brings them to the size of the other channels."""

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


class ConvNorm(nn.Module):
    """A convolution without bias, batch normalisation, and ReLU where asked for."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(outputs, momentum=0.03)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return F.relu(x) if self.relu else x

    @torch.no_grad()
    def fuse(self) -> None:
        """Fold the running statistics into the convolution (once; later calls do nothing)."""
        if not isinstance(self.norm, nn.BatchNorm2d):
            return
        norm, variance, mean = self.norm, self.norm.running_var, self.norm.running_mean
        if variance is None or mean is None:
            return
        gain = norm.weight / torch.sqrt(variance + norm.eps)
        self.conv.weight.mul_(gain[:, None, None, None])
        self.conv.bias = nn.Parameter(norm.bias - mean * gain)
        self.norm = nn.Identity()


class Block(nn.Module):
    """Depthwise convolutions, then two pointwise ones, added to the input.

    Two depthwise convolutions of 3 x 3 in a row (`reach` 2) rather than one of 5 x 5: what they see
    is the same, and training them on a CPU is ten times faster.
    """

    def __init__(self, channels: int, reach: int = 1, expand: int = 2) -> None:
        super().__init__()
        self.spread = nn.Sequential(
            *(ConvNorm(channels, channels, 3, groups=channels, relu=False) for _ in range(reach))
        )
        self.widen = ConvNorm(channels, channels * expand, 1)
        self.narrow = ConvNorm(channels * expand, channels, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.narrow(self.widen(self.spread(x)))
        return y


class Attention(nn.Module):
    """Self-attention over all cells and a two-layer perceptron, both added to the input.

    Position comes from a depthwise convolution. Logits grow with the logarithm of the number of
    cells, so that attention stays as peaked on large pictures as on the small ones it learnt from.
    """

    reference_cells = 64

    def __init__(self, channels: int, heads: int = 8, expand: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.norm_attention = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.norm_mlp = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, expand * channels),
            nn.GELU(),
            nn.Linear(expand * channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.position(x)
        batch, channels, height, width = x.shape
        cells = height * width
        tokens = x.flatten(2).transpose(1, 2)
        qkv = self.qkv(self.norm_attention(tokens))
        q, k, v = qkv.view(batch, cells, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        growth = max(1.0, math.log(cells) / math.log(self.reference_cells))
        mixed = F.scaled_dot_product_attention(q, k, v, scale=growth / math.sqrt(q.shape[-1]))
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(batch, cells, channels))
        tokens = tokens + self.mlp(self.norm_mlp(tokens))
        return tokens.transpose(1, 2).reshape(batch, channels, height, width)


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class TinyNet(nn.Module):
    """Picture to (semantic, boundary, affinity); see the module's docstring.

    widths: channels at strides 4, 8, 16 and 32; depths: blocks at each of them.

    >>> net = TinyNet().eval()
    >>> semantic, boundary, affinity = net(torch.zeros(1, 3, 64, 96))
    >>> tuple(semantic.shape), tuple(boundary.shape), tuple(affinity.shape)
    ((1, 128, 4, 6), (1, 1, 16, 24), (1, 16, 8, 12))
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (48, 96, 192, 256),
        depths: tuple[int, int, int, int] = (2, 4, 6, 2),
        attentions: int = 2,
    ) -> None:
        super().__init__()
        a, b, c, d = widths
        self.stem = nn.Sequential(ConvNorm(3, a // 2, 3, 2), ConvNorm(a // 2, a, 3, 2))
        self.stage4 = nn.Sequential(*(Block(a) for _ in range(depths[0])))
        self.down8 = ConvNorm(a, b, 3, 2)
        self.stage8 = nn.Sequential(*(Block(b, reach=2) for _ in range(depths[1])))
        self.down16 = ConvNorm(b, c, 3, 2)
        self.stage16 = nn.Sequential(*(Block(c, reach=2) for _ in range(depths[2])))
        self.down32 = ConvNorm(c, d, 3, 2)
        self.stage32 = nn.Sequential(
            *(Block(d, reach=2) for _ in range(depths[3])),
            *(Attention(d) for _ in range(attentions)),
        )
        self.from32 = ConvNorm(d, c, 1, relu=False)
        self.up16 = Block(c, reach=2)
        self.from16 = ConvNorm(c, b, 1, relu=False)
        self.up8 = Block(b, reach=2)
        self.from8 = ConvNorm(b, a, 1, relu=False)
        self.up4 = nn.Sequential(Block(a), Block(a), Block(a))
        self.semantic = nn.Sequential(ConvNorm(c, c, 1), nn.Conv2d(c, SEMANTIC_DIM, 1))
        self.affinity = nn.Sequential(ConvNorm(b, b, 1), nn.Conv2d(b, AFFINITY_DIM, 1))
        self.boundary = nn.Sequential(ConvNorm(a, a // 2, 3), nn.Conv2d(a // 2, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`x` (B, 3, H, W) float, normalised as SAM does it, H and W multiples of 32.

        Returns semantic (B, 128, H/16, W/16) of unit length per cell, boundary (B, 1, H/4, W/4)
        as logits, affinity (B, 16, H/8, W/8) of unit length per cell; all float32.
        """
        x4 = self.stage4(self.stem(x))
        x8 = self.stage8(self.down8(x4))
        x16 = self.stage16(self.down16(x8))
        x32 = self.stage32(self.down32(x16))
        x16 = self.up16(x16 + _upsample(self.from32(x32)))
        x8 = self.up8(x8 + _upsample(self.from16(x16)))
        x4 = self.up4(x4 + _upsample(self.from8(x8)))
        semantic = F.normalize(self.semantic(x16).float(), dim=1)
        affinity = F.normalize(self.affinity(x8).float(), dim=1)
        return semantic, self.boundary(x4).float(), affinity

    def fuse(self) -> TinyNet:
        """Fold every batch normalisation into its convolution: same answers, faster. In place."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fuse()
        return self


def pack(described: Tensor, boundary: Tensor, affinity: Tensor, lab: Tensor) -> Tensor:
    """The one embedding that SAM's interface carries.

    `described` (B, 128, h, w) from `descriptor`, `boundary` (B, 1, 4h, 4w) logits, `affinity`
    (B, 16, 2h, 2w), `lab` (B, 3, 4h, 4w) CIE Lab with L in 0..100. Returns (B, 256, h, w) float32:
    channels 0:128 description, 128:144 boundary, 144:192 Lab, 192:256 affinity, the last three
    groups small (`GEOMETRY_SCALE`) so that they do not disturb cosines of pooled vectors.

    >>> parts = torch.rand(1, 128, 2, 3), torch.rand(1, 1, 8, 12), torch.rand(1, 16, 4, 6)
    >>> pack(*parts, lab=torch.rand(1, 3, 8, 12)).shape
    torch.Size([1, 256, 2, 3])
    """
    geometry = torch.cat(
        [
            F.pixel_unshuffle(boundary.float() * BOUNDARY_SCALE, 4),
            F.pixel_unshuffle(lab.float() / 100.0, 4),
            F.pixel_unshuffle(affinity.float(), 2),
        ],
        dim=1,
    )
    return torch.cat([described.float(), geometry * GEOMETRY_SCALE], dim=1)


def unpack(embedding: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The inverse of `pack`: (described, boundary, affinity, lab) from (B, 256, h, w).

    Shapes and units as `pack` takes them.
    """
    described, boundary, lab, affinity = embedding.split([DESCRIPTOR_DIM, 16, 48, 64], dim=1)
    return (
        described,
        F.pixel_shuffle(boundary, 4) / (GEOMETRY_SCALE * BOUNDARY_SCALE),
        F.pixel_shuffle(affinity, 2) / GEOMETRY_SCALE,
        F.pixel_shuffle(lab, 4) * (100.0 / GEOMETRY_SCALE),
    )
