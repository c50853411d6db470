"""The mask decoder of SAM 2, 2.1, EdgeTAM and SAM 3's tracker, factored.

Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024 (arXiv:2408.00714), appendix D.
Against SAM's there is a token more, for whether the object is there at all; the image tokens carry
a constant that stands for "no memory of earlier frames"; finer features of the picture are added
while masks are upscaled; and a box is two corners and a token that says "no point".
"""

from __future__ import annotations

import torch
from torch import Tensor

from samlab.sam.fast.answers import Chunk, Dense, Predictions, Upscale
from samlab.sam.fast.reopened import ReopenedDecoder
from samlab.sam.fast.upscaling import Upscaling


class Sam2Decoder(ReopenedDecoder):
    """Answers as SAM 2's own decoder does.

    Three masks per prompt are those of SAM. One mask per prompt is that of the first mask token,
    unless it is unstable: then it is the best of the other three by predicted IoU. The thresholds
    of this rule are the model's own.
    """

    iou_place = 1

    def _image_tokens(self) -> Tensor:
        return super()._image_tokens() + self._sam.no_memory

    def _position(self) -> Tensor:
        position: Tensor = self._sam.position(self._embedding.features.shape[-2:])
        return position

    def _output_tokens(self) -> Tensor:
        presence = self._sam.mask_decoder.obj_score_token.weight
        return torch.cat([presence, super()._output_tokens()])

    def _open_upscaling(self, grid: tuple[int, int]) -> Upscale:
        attention, layers = self._attention, self._sam.mask_decoder.output_upscaling
        coarse, fine = self._embedding.details[1], self._embedding.details[0]
        return Upscaling.open(
            layers, attention.base, attention.shift, grid, self.dtype, (coarse, fine)
        )

    def _sparse(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, count: int
    ) -> Tensor:
        """SAM's prompt encoder adds "no point" itself, but not beside boxes."""
        if points is None or boxes is not None:
            weight = self._prompts.not_a_point_embed.weight
            none = (weight.new_zeros(count, 1, 2), weight.new_full((count, 1), -1))
            if points is None:
                points = none
            else:
                pairs = zip(points, none, strict=True)
                coords, labels = (torch.cat([a, b.to(a.dtype)], dim=1) for a, b in pairs)
                points = (coords, labels)
        return super()._sparse(points, boxes, count)

    def _answers(self, tokens: Tensor, multimask_output: bool) -> Predictions:
        rule = self._sam.single_mask_rule
        if multimask_output or rule is None:
            return super()._answers(tokens, multimask_output)
        everything = list(range(self._sam.mask_decoder.num_mask_tokens))
        found = self._predict(tokens, everything)
        parts = [self._single(chunk, found.upscaling, *rule) for chunk in found.chunks]
        return Dense(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _single(
        self, chunk: Chunk, upscaling: Upscale, delta: float, threshold: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """IoU (b, 1), logits (b, 1, side, side) and token (b, 1, C) of one mask per prompt."""
        prompts = torch.arange(len(chunk.iou), device=chunk.iou.device)
        low = upscaling(chunk.image, prompts, chunk.hyper).float()
        first = low[:, 0].flatten(1)
        inside, around = (first > delta).sum(1), (first > -delta).sum(1)
        stable = torch.where(around > 0, inside / around, 1.0) >= threshold
        chosen = torch.where(stable, 0, chunk.iou[:, 1:].argmax(dim=1) + 1)
        return (
            chunk.iou[prompts, chosen][:, None],
            low[prompts, chosen][:, None],
            chunk.mask_tokens[prompts, chosen][:, None],
        )
