"""Mask prompts of models whose own decoder is not here: each is an image of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from samlab.sam.fast.answers import Joined, Predictions
from samlab.sam.fast.decoder import PromptDecoder, check_prompts
from samlab.sam.fast.encoder import ImageEmbedding


class ReopenedDecoder(PromptDecoder):
    """A factored decoder that is opened anew for every mask prompt.

    A mask prompt is added to the image tokens, so nothing of them can be shared with another
    prompt; opening costs as much as one prompt does without sharing.

    Args:
        dense: What the mask prompt adds to the image tokens, (C, H, W); None for no mask.
    """

    def __init__(
        self,
        sam: Any,
        features: ImageEmbedding,
        *,
        dtype: torch.dtype | str | None = None,
        dense: Tensor | None = None,
    ) -> None:
        self._dense = dense
        super().__init__(sam, features, dtype=dtype)

    def _image_tokens(self) -> Tensor:
        features = self._embedding.features[0].float().flatten(1).t()
        if self._dense is None:
            return features + self._prompts.no_mask_embed.weight
        return features + self._dense.flatten(1).t()

    def _predict_masked(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None,
        mask_input: Tensor,
        multimask_output: bool,
    ) -> Predictions:
        check_prompts(self._embedding, point_coords, point_labels, boxes, mask_input)
        dense = self._prompts.mask_downscaling(mask_input.float())
        parts = []
        for i, own in enumerate(dense):
            points, labels, box = (
                None if given is None else given[i : i + 1]
                for given in (point_coords, point_labels, boxes)
            )
            opened = type(self)(self._sam, self._embedding, dtype=self.dtype, dense=own)
            parts.append(opened._answers(self._tokens(points, labels, box, 1), multimask_output))
        return Joined(parts)
