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

    base (L, 256) and bias (1 or L, 256): the shared part of the first product, channels by
    (2, 2, 64). bias2 (128,) or (L, 4, 128). A row per token holds what SAM 2 adds of the picture's
    finer features after each step.
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
        fine: tuple[Tensor, Tensor] | None = None,
    ) -> Upscaling:
        """From the official layers and the image tokens' `base` (L, C) and `shift` (C,).

        Args:
            fine: SAM 2's high-resolution features, (1, 64, 2 H, 2 W) to add after the first step
                and (1, 32, 4 H, 4 W) after the second.
        """
        first, norm, act1, second, act2 = layers
        weight = _as_matrix(first)
        bias = (shift @ weight + _bias(first))[None]
        bias2 = _bias(second)
        if fine is not None:
            length = grid[0] * grid[1]
            bias = bias + _by_token(fine[0], grid).view(length, -1)
            bias2 = bias2 + _by_token(fine[1], grid).view(length, 4, -1)
        return cls(
            base=(base @ weight).to(dtype),
            weight=weight,
            bias=bias.to(dtype),
            norm=norm,
            act1=act1,
            weight2=_as_matrix(second).to(dtype),
            bias2=bias2.to(dtype),
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
                    out[i, :, part] = _product(hyper[i], self._pixels(x, part))
        else:
            for some in torch.arange(batch, device=device).split(_PROMPTS_AT_ONCE):
                chosen = prompts[some]
                rows = image.rows[chosen].transpose(1, 2)
                x = self._enter(image, chosen, slice(None)).baddbmm_(rows, mixed[some])
                out[some] = _product(hyper[some], self._pixels(x, slice(None)))
        height, width = self.grid
        out = out.view(batch, masks, height, width, 2, 2, 2, 2)
        return out.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(batch, masks, 4 * height, 4 * width)

    def embedding(self, image: ImageTokens, prompt: int) -> Tensor:
        """What the hypernetworks' product is taken of, for one prompt: (4 * H, 4 * W, 32)."""
        length, (height, width) = len(self.base), self.grid
        mixed = (image.mix[prompt] @ self.weight).to(self.base.dtype)
        step = _TOKENS_IN_CACHE if self.base.device.type == "cpu" else length
        rows = []
        for start in range(0, length, step):
            part = slice(start, start + step)
            x = self._enter(image, prompt, part).addmm_(image.rows[prompt, :, part].t(), mixed)
            rows.append(self._pixels(x, part))
        pixels = torch.cat(rows).view(height, width, 2, 2, 2, 2, -1)
        return pixels.permute(0, 2, 4, 1, 3, 5, 6).reshape(4 * height, 4 * width, -1)

    def _enter(self, image: ImageTokens, prompt: Tensor | int, part: slice) -> Tensor:
        """What does not need the rows: (l, 256), or (b, l, 256) for several prompts."""
        if image.scale is None:
            raise InputError("Expected image tokens after at least one layer, got those before.")
        bias = self.bias if len(self.bias) == 1 else self.bias[part]
        return torch.addcmul(bias, self.base[part], image.scale[prompt, 0, part, None])

    def _pixels(self, x: Tensor, part: slice) -> Tensor:
        """(..., l, 256), the tokens of `part` -> (..., l * 16, 32): rows by (l, 2, 2, 2, 2)."""
        lead = x.shape[:-1]
        weight = self.norm.weight.to(x.dtype)
        x = x.view(-1, len(weight))
        x = F.layer_norm(x, weight.shape, weight, self.norm.bias.to(x.dtype), self.norm.eps)
        x = self.act1(x)
        if self.bias2.ndim == 1:
            x = torch.addmm(self.bias2, x, self.weight2)
        elif len(lead) == 1:
            x = torch.addmm(self.bias2[part].flatten(0, 1), x, self.weight2)
        else:
            x = (x @ self.weight2).view(*lead, 4, -1).add_(self.bias2[part])
        return self.act2(x).view(*lead[:-1], lead[-1] * 16, -1)


def _product(hyper: Tensor, pixels: Tensor) -> Tensor:
    """hyper (..., M, 32) and pixels (..., l * 16, 32) -> (..., M, l, 16)."""
    return (hyper @ pixels.transpose(-1, -2)).unflatten(-1, (-1, 16))


def _by_token(fine: Tensor, grid: tuple[int, int]) -> Tensor:
    """(1, c, n H, n W) -> (H * W, n * n * c): the n x n places of a token one after the other.

    For n = 4 they go by (2, 2) of the first step and (2, 2) of the second.
    """
    (height, width), channels = grid, fine.shape[1]
    steps = (fine.shape[2] // height).bit_length() - 1
    x = fine[0].float().reshape(channels, height, *[2] * steps, width, *[2] * steps)
    rows = [1 + i for i in range(steps + 1)]
    columns = [2 + steps + i for i in range(steps + 1)]
    pairs = [axis for pair in zip(rows[1:], columns[1:], strict=True) for axis in pair]
    return x.permute(rows[0], columns[0], *pairs, 0).reshape(height * width, -1)


def _as_matrix(layer: torch.nn.ConvTranspose2d) -> Tensor:
    """A transposed convolution of kernel and stride 2 is a product with (in, 2 * 2 * out)."""
    return layer.weight.float().permute(0, 2, 3, 1).flatten(1)


def _bias(layer: torch.nn.ConvTranspose2d) -> Tensor:
    """The bias once for each of the 2 x 2 places."""
    if layer.bias is None:
        return layer.weight.new_zeros(4 * layer.out_channels, dtype=torch.float32)
    return layer.bias.float().repeat(4)
