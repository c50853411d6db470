"""Prompts to masks: SAM's mask decoder for many prompts of one image.

`open_decoder` gives the fastest decoder that fits the model. All of them answer a batch of prompts
with `Predictions`: the predicted IoU of every mask at once, the masks' logits only when asked for,
since most candidates of an automatic run are dropped by their predicted IoU alone.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.mask_decoder import MLP, MaskDecoder
from segment_anything.modeling.prompt_encoder import PromptEncoder
from segment_anything.modeling.transformer import TwoWayTransformer
from torch import Tensor
from torch.nn import functional as F

from samlab.errors import InputError, SamlabWarning
from samlab.sam.fast.attention import ImageTokens, SharedAttention, linear
from samlab.sam.fast.encoder import ImageEmbedding, resolve_dtype
from samlab.sam.fast.upscaling import Upscaling

_PROMPTS_IN_CACHE = 8  # on a CPU: about 15 MB of attention weights


class Predictions(Protocol):
    """Answers to P prompts with M masks each.

    Attributes:
        iou: float32 (P, M), the model's estimate of each mask's IoU.
        answer: int64 (P, M) or None; equal numbers mean equal logits.
    """

    iou: Tensor
    answer: Tensor | None

    def logits(self, index: Tensor) -> Tensor:
        """Low-resolution logits of the masks named by index (n, 2) long, (prompt, mask) per row.

        Returns float32 (n, 256, 256), over the whole padded input.
        """

    def tokens(self, index: Tensor) -> Tensor | None:
        """The mask tokens behind these masks, float32 (n, 256), or None if there are none."""


class Decoder(Protocol):
    """Answers prompts about one image; see `open_decoder`."""

    def predict(
        self,
        point_coords: Tensor | None = None,
        point_labels: Tensor | None = None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
    ) -> Predictions:
        """Answer P prompts.

        Args:
            point_coords: (P, K, 2) points as (x, y) in pixels of the resized input, as
                `SamPredictor.predict_torch` takes them.
            point_labels: (P, K), 1 for foreground, 0 for background, -1 for padding.
            boxes: (P, 4) XYXY in pixels of the resized input.
            mask_input: (P, 1, 256, 256) logits of an earlier answer.
            multimask_output: Three masks per prompt, or one.
        """


def open_decoder(
    sam: Sam, features: ImageEmbedding, *, dtype: torch.dtype | str | None = None
) -> Decoder:
    """The decoder of one image: the model's own if it offers one, factored, or plain.

    Args:
        sam: The model that made the embedding.
        features: The encoded image.
        dtype: Precision of the large matrix products; see `encode`.
    """
    opened = getattr(sam.mask_decoder, "open", None)
    if opened is not None:
        decoder: Decoder = opened(features.features, features.input_size)
        return decoder
    official = (
        type(sam.mask_decoder) is MaskDecoder
        and type(sam.mask_decoder.transformer) is TwoWayTransformer
        and len(sam.mask_decoder.transformer.layers) > 0
        and type(sam.prompt_encoder) is PromptEncoder
    )
    if official:
        return PromptDecoder(sam, features, dtype=dtype)
    return PlainDecoder(sam, features)


def check_prompts(
    features: ImageEmbedding,
    point_coords: Tensor | None,
    point_labels: Tensor | None,
    boxes: Tensor | None,
    mask_input: Tensor | None,
) -> int:
    """Refuse prompts that cannot be meant, by name; returns their number."""
    if (point_coords is None) != (point_labels is None):
        raise InputError("Expected point_coords and point_labels together, got only one of them.")
    given = [x for x in (point_coords, boxes, mask_input) if x is not None]
    if not given:
        raise InputError("Expected at least one prompt: points, boxes or a mask; got none.")
    counts = {len(x) for x in given}
    if len(counts) > 1 or counts == {0}:
        raise InputError(
            "Expected the same number of prompts, at least one, in all of point_coords, boxes and "
            f"mask_input; got {[len(x) for x in given]}."
        )
    height, width = features.input_size
    limit = torch.tensor([width, height], dtype=torch.float64)
    if point_coords is not None and point_labels is not None:
        if point_coords.ndim != 3 or point_coords.shape[1] == 0 or point_coords.shape[2] != 2:
            raise InputError(
                "Expected point_coords of shape (P, K, 2) with K >= 1, got "
                f"{tuple(point_coords.shape)}. Leave points out where there are none."
            )
        if point_labels.shape != point_coords.shape[:2]:
            raise InputError(
                f"Expected point_labels of shape {tuple(point_coords.shape[:2])}, one label per "
                f"point; got {tuple(point_labels.shape)}."
            )
        points = point_coords.double().cpu()[point_labels.cpu() != -1]
        inside = ((points >= 0) & (points <= limit)).all(-1)
        if not bool(inside.all()):
            x, y = points[~inside][0].tolist()
            raise InputError(
                f"Expected points inside the picture, which is {width} x {height} in the model's "
                f"input; got ({x:.1f}, {y:.1f}). Scale coordinates with ImageEmbedding.to_input."
            )
    if boxes is not None:
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise InputError(f"Expected boxes of shape (P, 4) XYXY, got {tuple(boxes.shape)}.")
        corners = boxes.double().cpu()
        empty = ~((corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1]))
        if bool(empty.any()):
            raise InputError(
                "Expected boxes as XYXY with x1 > x0 and y1 > y0, got the empty box "
                f"{corners[empty][0].tolist()}."
            )
    return counts.pop()


# ---------------------------------------------------------------- plain


@dataclass
class _Dense:
    """Answers that hold all logits (P, M, 256, 256)."""

    iou: Tensor
    low: Tensor
    answer: Tensor | None = None

    def logits(self, index: Tensor) -> Tensor:
        return self.low[index[:, 0], index[:, 1]].float()

    def tokens(self, index: Tensor) -> Tensor | None:
        return None


class PlainDecoder:
    """Calls the model's own prompt encoder and mask decoder, whatever they are."""

    def __init__(self, sam: Sam, features: ImageEmbedding) -> None:
        self._sam, self._embedding = sam, features

    @torch.inference_mode()
    def predict(
        self,
        point_coords: Tensor | None = None,
        point_labels: Tensor | None = None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
    ) -> Predictions:
        """See `Decoder.predict`."""
        check_prompts(self._embedding, point_coords, point_labels, boxes, mask_input)
        points = None
        if point_coords is not None and point_labels is not None:
            points = (point_coords, point_labels)
        sparse, dense = self._sam.prompt_encoder(points=points, boxes=boxes, masks=mask_input)
        low, iou = self._sam.mask_decoder(
            image_embeddings=self._embedding.features.to(sparse.dtype),
            image_pe=self._sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
        )
        return _Dense(iou.float(), low.float())


# ---------------------------------------------------------------- factored


class PromptDecoder:
    """SAM's own mask decoder, factored: see `samlab.sam.fast.attention` and design notes below.

    The IoU head and the hypernetworks read tokens only, so the image is upscaled just for the
    prompts of which a mask is asked for; upscaling is two matrix products with the channels last.
    A mask prompt changes the image tokens themselves; such prompts go through `PlainDecoder`. Where
    half precision gives NaN, it goes on in float32 with a warning.
    """

    def __init__(
        self, sam: Sam, features: ImageEmbedding, *, dtype: torch.dtype | str | None = None
    ) -> None:
        self._sam, self._embedding = sam, features
        self.dtype = resolve_dtype(dtype, sam)
        self._prompts: PromptEncoder = sam.prompt_encoder
        if self._prompts.no_mask_embed.weight.dtype != torch.float32:
            self._prompts = copy.deepcopy(sam.prompt_encoder).float()
        self._open()

    @torch.inference_mode()
    def _open(self) -> None:
        decoder = self._sam.mask_decoder
        features = self._embedding.features.float()
        image = features[0].flatten(1).t() + self._prompts.no_mask_embed.weight
        position = self._prompts.get_dense_pe()[0].flatten(1).t()
        self._attention = SharedAttention(decoder.transformer, image, position, self.dtype)
        grid = (int(features.shape[-2]), int(features.shape[-1]))
        self._upscaling = Upscaling.open(
            decoder.output_upscaling, self._attention.base, self._attention.shift, grid, self.dtype
        )

    @torch.inference_mode()
    def predict(
        self,
        point_coords: Tensor | None = None,
        point_labels: Tensor | None = None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
    ) -> Predictions:
        """See `Decoder.predict`."""
        if mask_input is not None:
            plain = PlainDecoder(self._sam, self._embedding)
            return plain.predict(point_coords, point_labels, boxes, mask_input, multimask_output)
        count = check_prompts(self._embedding, point_coords, point_labels, boxes, None)
        points = None
        if point_coords is not None and point_labels is not None:
            points = (point_coords, point_labels)
        sparse, _ = self._prompts(points=points, boxes=boxes, masks=None)
        decoder = self._sam.mask_decoder
        output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).float()
        tokens = torch.cat([output.expand(count, -1, -1), sparse.float()], dim=1)
        masks = slice(1, None) if multimask_output else slice(0, 1)
        step = _PROMPTS_IN_CACHE if tokens.device.type == "cpu" else count
        chunks = [self._answer(part, masks) for part in tokens.split(step)]
        if self.dtype != torch.float32 and any(bool(c.iou.isnan().any()) for c in chunks):
            self._leave_half_precision()
            chunks = [self._answer(part, masks) for part in tokens.split(step)]
        return _Factored(
            iou=torch.cat([chunk.iou for chunk in chunks]),
            chunks=chunks,
            step=step,
            upscaling=self._upscaling,
        )

    def _leave_half_precision(self) -> None:
        warnings.warn(
            f"The mask decoder gave NaN in {self.dtype}; going on in float32. "
            "Pass dtype='float32' to do so from the start.",
            SamlabWarning,
            stacklevel=4,
        )
        self.dtype = torch.float32
        self._open()

    def _answer(self, tokens: Tensor, masks: slice) -> _Chunk:
        decoder = self._sam.mask_decoder
        # The tokens are: IoU, one per mask, then the prompt's own.
        places = torch.arange(decoder.num_mask_tokens, device=tokens.device)[masks] + 1
        seen, image = self._attention(tokens, F.pad(places, (1, 0)))
        iou = _mlp(decoder.iou_prediction_head, seen[:, 0])[:, masks]
        mask_tokens = seen[:, 1:]
        heads = list(decoder.output_hypernetworks_mlps)[masks]
        hyper = torch.stack([_mlp(head, mask_tokens[:, i]) for i, head in enumerate(heads)], dim=1)
        return _Chunk(iou, mask_tokens, hyper, image)


def _mlp(mlp: MLP, x: Tensor) -> Tensor:
    *hidden, last = mlp.layers
    for layer in hidden:
        x = F.relu(linear(layer, x))
    x = linear(last, x)
    return torch.sigmoid(x) if mlp.sigmoid_output else x


@dataclass
class _Chunk:
    """Up to 8 prompts: iou (b, M), mask tokens (b, M, C), hypernetworks' answer (b, M, 32)."""

    iou: Tensor
    mask_tokens: Tensor
    hyper: Tensor
    image: ImageTokens


@dataclass
class _Factored:
    """Answers whose masks are upscaled when asked for."""

    iou: Tensor
    chunks: list[_Chunk]
    step: int
    upscaling: Upscaling
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

    def _by_chunk(self, index: Tensor) -> Iterator[tuple[_Chunk, Tensor, Tensor, Tensor]]:
        index = index.to(self.iou.device)
        for i, chunk in enumerate(self.chunks):
            places = torch.nonzero(index[:, 0] // self.step == i)[:, 0]
            if len(places):
                yield chunk, places, index[places, 0] - i * self.step, index[places, 1]
