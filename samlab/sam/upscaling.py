"""Image tokens of a prompt to the low-resolution logits of its masks, for chosen prompts only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor
from torch.nn import functional as F

from samlab.sam.attention import ImageTokens

_TOKENS_IN_CACHE = 1024  # image tokens upscaled at a time on a CPU


@dataclass
class Upscaling:
    """`MaskDecoder.output_upscaling` and the product with the hypernetworks, channels last.

    base (L, 256) and bias: the shared part of the first product, channels by (2, 2, 64).
    """

    base: Tensor
    weight: Tensor
    bias: Tensor
    norm: LayerNorm2d
    act1: torch.nn.Module
    weight2: Tensor
    bias2: Tensor
    act2: torch.nn.Module
    grid: tuple[int, int]

    @classmethod
    def open(
        cls,
        layers: Iterable[Any],
        base: Tensor,
        shift: Tensor,
        grid: tuple[int, int],
        dtype: torch.dtype,
    ) -> Upscaling:
        """From the official layers and the image tokens' `base` (L, C) and `shift` (C,)."""
        first, norm, act1, second, act2 = layers
        weight = _as_matrix(first)
        return cls(
            base=(base @ weight).to(dtype),
            weight=weight,
            bias=(shift @ weight + _bias(first)).to(dtype),
            norm=norm,
            act1=act1,
            weight2=_as_matrix(second).to(dtype),
            bias2=_bias(second).to(dtype),
            act2=act2,
            grid=grid,
        )

    def __call__(self, image: ImageTokens, hyper: Tensor) -> Tensor:
        """Tokens of b prompts and hyper (b, M, 32) -> logits (b, M, 4 * H, 4 * W) in `dtype`."""
        batch, masks, _ = hyper.shape
        dtype = self.base.dtype
        mixed = (image.mix @ self.weight).to(dtype)
        hyper = hyper.to(dtype).transpose(1, 2)
        length = len(self.base)
        out = torch.empty((batch, length, 4, 4, masks), dtype=dtype, device=self.base.device)
        step = _TOKENS_IN_CACHE if self.base.device.type == "cpu" else length
        prompts = 1 if self.base.device.type == "cpu" else batch
        for b in range(0, batch, prompts):
            some = slice(b, b + prompts)
            for start in range(0, length, step):
                part = slice(start, start + step)
                x = self.base[part] + 0
                if image.scale is not None:
                    x = x * image.scale[some, 0, part, None]
                x = torch.baddbmm(x, image.rows[some, :, part].transpose(1, 2), mixed[some])
                x = self._finish(x + self.bias, hyper[some])
                out[some, part] = x
        height, width = self.grid
        out = out.view(batch, height, width, 2, 2, 2, 2, masks)
        return out.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(batch, masks, 4 * height, 4 * width)

    def _finish(self, x: Tensor, hyper: Tensor) -> Tensor:
        """(b, l, 256) and hyper (b, 32, M) -> (b, l, 4, 4, M)."""
        batch, length, _ = x.shape
        weight = self.norm.weight.to(x.dtype)
        x = x.view(batch, length * 4, len(weight))
        x = F.layer_norm(x, weight.shape, weight, self.norm.bias.to(x.dtype), self.norm.eps)
        x = self.act1(x)
        x = self.act2(torch.matmul(x, self.weight2) + self.bias2)
        x = torch.bmm(x.view(batch, length * 16, -1), hyper)
        return x.view(batch, length, 4, 4, -1)


def _as_matrix(layer: torch.nn.ConvTranspose2d) -> Tensor:
    """A transposed convolution of kernel and stride 2 is a product with (in, 2 * 2 * out)."""
    return layer.weight.float().permute(0, 2, 3, 1).flatten(1)


def _bias(layer: torch.nn.ConvTranspose2d) -> Tensor:
    """The bias once for each of the 2 x 2 places."""
    if layer.bias is None:
        return layer.weight.new_zeros(4 * layer.out_channels, dtype=torch.float32)
    return layer.bias.float().repeat(4)
