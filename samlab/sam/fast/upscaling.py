"""Image tokens of a prompt to the low-resolution logits of its masks, for chosen prompts only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor
from torch.nn import functional as F

from samlab.errors import InputError
from samlab.sam.fast.attention import ImageTokens

_TOKENS_IN_CACHE = 1024  # image tokens upscaled at a time on a CPU
_PROMPTS_AT_ONCE = 16  # elsewhere


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

    def __call__(self, image: ImageTokens, prompts: Tensor, hyper: Tensor) -> Tensor:
        """Logits of all masks of some prompts.

        Args:
            image: Image tokens of B prompts, after at least one layer.
            prompts: int64 (b,), which of them.
            hyper: (b, M, 32), the hypernetworks' answers for these.

        Returns:
            (b, M, 4 * H, 4 * W) in the precision of `base`.
        """
        batch, masks, _ = hyper.shape
        dtype, device = self.base.dtype, self.base.device
        mixed, hyper = (image.mix[prompts] @ self.weight).to(dtype), hyper.to(dtype)
        length = len(self.base)
        out = torch.empty((batch, masks, length, 16), dtype=dtype, device=device)
        if device.type == "cpu":
            for i, prompt in enumerate(prompts.tolist()):
                for start in range(0, length, _TOKENS_IN_CACHE):
                    part = slice(start, start + _TOKENS_IN_CACHE)
                    x = self._enter(image, prompt, part).addmm_(
                        image.rows[prompt, :, part].t(), mixed[i]
                    )
                    out[i, :, part] = self._finish(x, hyper[i])
        else:
            for some in torch.arange(batch, device=device).split(_PROMPTS_AT_ONCE):
                chosen = prompts[some]
                rows = image.rows[chosen].transpose(1, 2)
                x = self._enter(image, chosen, slice(None)).baddbmm_(rows, mixed[some])
                out[some] = self._finish(x, hyper[some])
        height, width = self.grid
        out = out.view(batch, masks, height, width, 2, 2, 2, 2)
        return out.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(batch, masks, 4 * height, 4 * width)

    def _enter(self, image: ImageTokens, prompt: Tensor | int, part: slice) -> Tensor:
        """What does not need the rows: (l, 256), or (b, l, 256) for several prompts."""
        if image.scale is None:
            raise InputError("Expected image tokens after at least one layer, got those before.")
        return torch.addcmul(self.bias, self.base[part], image.scale[prompt, 0, part, None])

    def _finish(self, x: Tensor, hyper: Tensor) -> Tensor:
        """(..., l, 256) and hyper (..., M, 32) -> (..., M, l, 16)."""
        lead = x.shape[:-1]
        weight = self.norm.weight.to(x.dtype)
        x = x.view(-1, len(weight))
        x = F.layer_norm(x, weight.shape, weight, self.norm.bias.to(x.dtype), self.norm.eps)
        x = torch.addmm(self.bias2, self.act1(x), self.weight2)
        x = self.act2(x).view(*lead[:-1], lead[-1] * 16, -1)
        return (hyper @ x.transpose(-1, -2)).unflatten(-1, (-1, 16))


def _as_matrix(layer: torch.nn.ConvTranspose2d) -> Tensor:
    """A transposed convolution of kernel and stride 2 is a product with (in, 2 * 2 * out)."""
    return layer.weight.float().permute(0, 2, 3, 1).flatten(1)


def _bias(layer: torch.nn.ConvTranspose2d) -> Tensor:
    """The bias once for each of the 2 x 2 places."""
    if layer.bias is None:
        return layer.weight.new_zeros(4 * layer.out_channels, dtype=torch.float32)
    return layer.bias.float().repeat(4)
