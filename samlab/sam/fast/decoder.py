"""Prompts to masks: SAM's mask decoder for many prompts of one image.

`open_decoder` gives the fastest decoder that fits the model. All of them answer a batch of prompts
with `Predictions`: the predicted IoU of every mask at once, the masks' logits only when asked for,
since most candidates of an automatic run are dropped by their predicted IoU alone.
"""

from __future__ import annotations

import copy
import warnings
from typing import Protocol

import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.mask_decoder import MLP, MaskDecoder
from segment_anything.modeling.prompt_encoder import PromptEncoder
from segment_anything.modeling.transformer import TwoWayTransformer
from torch import Tensor
from torch.nn import functional as F

from samlab.errors import InputError, SamlabWarning
from samlab.sam.fast.answers import Chunk, Dense, Factored, Predictions, Upscale
from samlab.sam.fast.attention import SharedAttention, linear
from samlab.sam.fast.encoder import ImageEmbedding, resolve_dtype
from samlab.sam.fast.upscaling import Upscaling

_PROMPTS_IN_CACHE = 8  # on a CPU: about 15 MB of attention weights


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
    own = getattr(sam, "open", None)
    if own is not None:
        decoder: Decoder = own(features, dtype)
        return decoder
    opened = getattr(sam.mask_decoder, "open", None)
    if opened is not None:
        decoder = opened(features.features, features.input_size)
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
        return Dense(iou.float(), low.float())


# ---------------------------------------------------------------- factored


class PromptDecoder:
    """SAM's own mask decoder, factored: see `samlab.sam.fast.attention` and design notes below.

    The IoU head and the hypernetworks read tokens only, so the image is upscaled just for the
    prompts of which a mask is asked for; upscaling is two matrix products with the channels last.
    A mask prompt changes the image tokens themselves; such prompts go through `PlainDecoder`. Where
    half precision gives NaN, it goes on in float32 with a warning.
    """

    iou_place = 0
    """Where the IoU token stands among the output tokens; the mask tokens follow it."""

    always: tuple[int, ...] = ()
    """Mask tokens that are read besides those that answer."""

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
        image, position = self._image_tokens(), self._position()[0].flatten(1).t()
        transformer = self._sam.mask_decoder.transformer
        self._attention = SharedAttention(transformer, image, position, self.dtype)
        height, width = self._embedding.features.shape[-2:]
        self._upscaling = self._open_upscaling((int(height), int(width)))

    # What the decoders of other models do otherwise: see `samlab.sam.fast.sam2` and `hq`.

    def _image_tokens(self) -> Tensor:
        """(L, C), before any prompt is known."""
        features = self._embedding.features[0].float()
        return features.flatten(1).t() + self._prompts.no_mask_embed.weight

    def _position(self) -> Tensor:
        return self._prompts.get_dense_pe()

    def _open_upscaling(self, grid: tuple[int, int]) -> Upscale:
        attention, layers = self._attention, self._sam.mask_decoder.output_upscaling
        return Upscaling.open(layers, attention.base, attention.shift, grid, self.dtype)

    def _output_tokens(self) -> Tensor:
        decoder = self._sam.mask_decoder
        return torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])

    def _sparse(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, count: int
    ) -> Tensor:
        """The tokens (P, n, C) of P prompts."""
        return self._prompts(points=points, boxes=boxes, masks=None)[0].expand(count, -1, -1)

    def _heads(self) -> list[MLP]:
        """The hypernetworks, one for each mask token."""
        return list(self._sam.mask_decoder.output_hypernetworks_mlps)

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
            return self._predict_masked(
                point_coords, point_labels, boxes, mask_input, multimask_output
            )
        count = check_prompts(self._embedding, point_coords, point_labels, boxes, None)
        return self._answers(
            self._tokens(point_coords, point_labels, boxes, count), multimask_output
        )

    def _answers(self, tokens: Tensor, multimask_output: bool) -> Predictions:
        return self._predict(tokens, self._masks(multimask_output))

    def _predict_masked(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None,
        mask_input: Tensor,
        multimask_output: bool,
    ) -> Predictions:
        plain = PlainDecoder(self._sam, self._embedding)
        return plain.predict(point_coords, point_labels, boxes, mask_input, multimask_output)

    def _masks(self, multimask_output: bool) -> list[int]:
        """Which of the mask tokens answer."""
        count = self._sam.mask_decoder.num_mask_tokens
        return list(range(1, count)) if multimask_output else [0]

    def _tokens(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None,
        count: int,
    ) -> Tensor:
        """Output tokens and those of the prompts, float32 (P, t, C)."""
        points = None
        if point_coords is not None and point_labels is not None:
            points = (point_coords, point_labels)
        sparse = self._sparse(points, boxes, count).float()
        return torch.cat([self._output_tokens().float().expand(count, -1, -1), sparse], dim=1)

    def _predict(self, tokens: Tensor, masks: list[int]) -> Factored:
        """Answer with some of the masks."""
        count = len(tokens)
        step = _PROMPTS_IN_CACHE if tokens.device.type == "cpu" else count
        chunks = [self._answer(part, masks) for part in tokens.split(step)]
        if self.dtype != torch.float32 and any(bool(c.iou.isnan().any()) for c in chunks):
            self._leave_half_precision()
            chunks = [self._answer(part, masks) for part in tokens.split(step)]
        return Factored(
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

    def _answer(self, tokens: Tensor, masks: list[int]) -> Chunk:
        # The tokens are: IoU, one per mask, then the prompt's own.
        places = torch.tensor([-1, *masks, *self.always], device=tokens.device)
        seen, image = self._attention(tokens, places + 1 + self.iou_place)
        iou = _mlp(self._sam.mask_decoder.iou_prediction_head, seen[:, 0])[:, masks]
        mask_tokens, heads = seen[:, 1:], self._heads()
        asked = enumerate([*masks, *self.always])
        hyper = torch.stack([_mlp(heads[k], mask_tokens[:, i]) for i, k in asked], dim=1)
        return Chunk(iou, mask_tokens, hyper, image)


def _mlp(mlp: MLP, x: Tensor) -> Tensor:
    *hidden, last = mlp.layers
    for layer in hidden:
        x = F.relu(linear(layer, x))
    x = linear(last, x)
    return torch.sigmoid(x) if mlp.sigmoid_output else x
