"""The mask decoder of SAM-HQ, factored.

Ke et al., "Segment Anything in High Quality", 2023 (arXiv:2306.01567): a token more, whose mask is
read from the upscaled image after two convolutions and the sum with early and late features of the
image encoder. Its logits are added to those of SAM's own masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor
from torch.nn import functional as F

from samlab.sam.fast.answers import Predictions, Rearranged, Upscale
from samlab.sam.fast.attention import ImageTokens
from samlab.sam.fast.reopened import ReopenedDecoder
from samlab.sam.fast.upscaling import Upscaling


class HqDecoder(ReopenedDecoder):
    """Answers as SAM-HQ does in transformers: three masks by falling predicted IoU, or one."""

    @property
    def always(self) -> tuple[int, ...]:  # type: ignore[override]
        """The token of high quality, behind SAM's own."""
        return (self._sam.mask_decoder.num_mask_tokens,)

    def _output_tokens(self) -> Tensor:
        return torch.cat([super()._output_tokens(), self._sam.mask_decoder.hf_token.weight])

    def _heads(self) -> list[MLP]:
        return [*super()._heads(), self._sam.mask_decoder.hf_mlp]

    def _open_upscaling(self, grid: tuple[int, int]) -> Upscale:
        attention, decoder = self._attention, self._sam.mask_decoder
        layers = decoder.output_upscaling
        upscaling = Upscaling.open(layers, attention.base, attention.shift, grid, self.dtype)
        details = self._embedding.details[0].to(self.dtype)
        return _HqUpscaling(upscaling, decoder.embedding_maskfeature, details, grid)

    def _answers(self, tokens: Tensor, multimask_output: bool) -> Predictions:
        found = super()._answers(tokens, multimask_output)
        return Rearranged(found, found.iou.sort(dim=1, descending=True).indices)


@dataclass
class _HqUpscaling:
    """SAM's upscaling, and what SAM-HQ adds to every mask.

    details (1, 32, 4 * H, 4 * W): early and late features of the image encoder.
    """

    plain: Upscaling
    refine: Any  # nn.Sequential of a convolution, a norm, an activation, a convolution
    details: Tensor
    grid: tuple[int, int]

    def __call__(self, image: ImageTokens, prompts: Tensor, hyper: Tensor) -> Tensor:
        """As `Upscaling`; the last of hyper (b, M + 1, 32) is that of high quality, for all M."""
        first, norm, act, second = self.refine
        hyper = hyper.to(self.details.dtype)
        out = []
        for i, prompt in enumerate(prompts.tolist()):
            x = self.plain.embedding(image, prompt)
            own = x @ hyper[i, :-1].t()
            y = _conv(first, x.permute(2, 0, 1)[None]).permute(0, 2, 3, 1)
            weight, bias = norm.weight.to(y.dtype), norm.bias.to(y.dtype)
            y = act(F.layer_norm(y, weight.shape, weight, bias, norm.eps)).permute(0, 3, 1, 2)
            fine = (_conv(second, y) + self.details)[0].permute(1, 2, 0)
            out.append((own + fine @ hyper[i, -1:].t()).permute(2, 0, 1))
        return torch.stack(out)


def _conv(layer: Any, x: Tensor) -> Tensor:
    return F.conv2d(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype), padding=layer.padding)
