"""What a decoder answers: the predicted IoU of every mask at once, logits when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from samlab.sam.fast.attention import ImageTokens


class Predictions(Protocol):
    """Answers to P prompts with M masks each.

    Attributes:
        iou: float32 (P, M), the model's estimate of each mask's IoU.
        answer: int64 (P, M) or None; equal numbers mean equal logits.
    """

    @property
    def iou(self) -> Tensor:
        """See above."""

    answer: Tensor | None

    def logits(self, index: Tensor) -> Tensor:
        """Low-resolution logits of the masks named by index (n, 2) long, (prompt, mask) per row.

        Returns float32 (n, 256, 256), over the whole padded input.
        """

    def tokens(self, index: Tensor) -> Tensor | None:
        """The mask tokens behind these masks, float32 (n, 256), or None if there are none."""


class Upscale(Protocol):
    """Turns the image tokens of some prompts into logits; see `samlab.sam.fast.upscaling`."""

    grid: tuple[int, int]

    def __call__(self, image: ImageTokens, prompts: Tensor, hyper: Tensor) -> Tensor:
        """Logits (b, M, 4 * H, 4 * W) of the prompts int64 (b,), by hyper (b, M, 32)."""


@dataclass
class Dense:
    """Answers that hold all logits (P, M, 256, 256) and maybe the mask tokens (P, M, C)."""

    iou: Tensor
    low: Tensor
    mask_tokens: Tensor | None = None
    answer: Tensor | None = None

    def logits(self, index: Tensor) -> Tensor:
        """See `Predictions.logits`."""
        return self.low[index[:, 0], index[:, 1]].float()

    def tokens(self, index: Tensor) -> Tensor | None:
        """See `Predictions.tokens`."""
        return None if self.mask_tokens is None else self.mask_tokens[index[:, 0], index[:, 1]]


@dataclass
class Chunk:
    """Up to 8 prompts: iou (b, M), mask tokens (b, M, C), hypernetworks' answer (b, M, 32)."""

    iou: Tensor
    mask_tokens: Tensor
    hyper: Tensor
    image: ImageTokens


@dataclass
class Factored:
    """Answers whose masks are upscaled when asked for."""

    iou: Tensor
    chunks: list[Chunk]
    step: int
    upscaling: Upscale
    answer: Tensor | None = None

    @torch.inference_mode()
    def logits(self, index: Tensor) -> Tensor:
        height, width = self.upscaling.grid
        out = self.iou.new_empty((len(index), 4 * height, 4 * width))
        for chunk, places, prompts, masks in self._by_chunk(index):
            wanted, inverse = torch.unique(prompts, return_inverse=True)
            low = self.upscaling(chunk.image, wanted, chunk.hyper[wanted])
            out[places] = low[inverse, masks].to(out.dtype)
        return out

    @torch.inference_mode()
    def tokens(self, index: Tensor) -> Tensor | None:
        out = self.iou.new_empty((len(index), self.chunks[0].mask_tokens.shape[-1]))
        for chunk, places, prompts, masks in self._by_chunk(index):
            out[places] = chunk.mask_tokens[prompts, masks]
        return out

    def _by_chunk(self, index: Tensor) -> Iterator[tuple[Chunk, Tensor, Tensor, Tensor]]:
        index = index.to(self.iou.device)
        for i, chunk in enumerate(self.chunks):
            places = torch.nonzero(index[:, 0] // self.step == i)[:, 0]
            if len(places):
                yield chunk, places, index[places, 0] - i * self.step, index[places, 1]


@dataclass
class Rearranged:
    """Another's answers, the masks of each prompt in another order.

    places int64 (P, M): which mask of the other stands where.
    """

    found: Predictions
    places: Tensor
    answer: Tensor | None = None

    @property
    def iou(self) -> Tensor:
        """Predicted IoU in the new order."""
        return self.found.iou.gather(1, self.places)

    def logits(self, index: Tensor) -> Tensor:
        """See `Predictions.logits`."""
        return self.found.logits(self._there(index))

    def tokens(self, index: Tensor) -> Tensor | None:
        """See `Predictions.tokens`."""
        return self.found.tokens(self._there(index))

    def _there(self, index: Tensor) -> Tensor:
        prompts, masks = index.to(self.places.device).unbind(1)
        return torch.stack([prompts, self.places[prompts, masks]], dim=1)


class Joined:
    """The answers to prompts that were asked one at a time."""

    answer: Tensor | None = None

    def __init__(self, parts: Sequence[Predictions]) -> None:
        self._parts = parts
        self.iou = torch.cat([part.iou for part in parts])

    def logits(self, index: Tensor) -> Tensor:
        """See `Predictions.logits`."""
        return torch.cat([self._parts[i].logits(one) for i, one in _one_by_one(index)])

    def tokens(self, index: Tensor) -> Tensor | None:
        """See `Predictions.tokens`."""
        found = [self._parts[i].tokens(one) for i, one in _one_by_one(index)]
        return torch.cat([tokens for tokens in found if tokens is not None])


def _one_by_one(index: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each row's prompt, and the row as its only prompt would have it."""
    for row in index:
        yield int(row[0]), torch.stack([torch.zeros_like(row[0]), row[1]])[None]
