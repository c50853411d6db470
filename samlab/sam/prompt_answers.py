"""What the model says to prompts: `ask` answers checked ones, with logits and mask tokens too.

`samlab.segment_points`, `segment_boxes` and `segment_masks` are made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.sam.fast import (
    Decoder,
    Frame,
    ImageEmbedding,
    Predictions,
    enlarge,
    open_decoder,
    runs_to_rle,
    to_masks,
)
from samlab.sam.prompt_checks import MaskPrompts, Prompts, parse_prompts
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

Keep: TypeAlias = Literal["all", "best"]

# A mask prompt changes the image tokens themselves, so each such prompt has 64 x 64 of its own.
_PROMPTS_AT_ONCE = {"cpu": 64, "cuda": 256}
_MASK_PROMPTS_AT_ONCE = {"cpu": 8, "cuda": 64}
_MASKS_AT_ONCE = {"cpu": 24, "cuda": 768}  # low-resolution logits alive at a time, 0.25 MB each


@dataclass(frozen=True, eq=False)
class Answers:
    """What the model says to P prompts, row by row in the order of the prompts.

    Attributes:
        segments: N masks; N is P, or three times P.
        prompt: int64 (N,), the number of the prompt that each answers.
        output: int64 (N,), which of the prompt's masks it is, in SAM's order.
        logits: float32 (N, side, side) on the CPU, over the padded input, or None if not asked for.
        tokens: float32 (N, 256) mask tokens, or None if not asked for or the model has none.
    """

    segments: Segments
    prompt: np.ndarray
    output: np.ndarray
    logits: np.ndarray | None = None
    tokens: np.ndarray | None = None


@checked_arguments
def prompts_for(
    sam: Sam,
    features: ImageEmbedding,
    points: Any = None,
    labels: Any = None,
    boxes: Any = None,
    masks: MaskPrompts | None = None,
) -> Prompts:
    """The parts of P prompts, checked against the picture of the embedding; see `segment_points`.

    Raises:
        InputError: Something lies outside, is not finite, is empty, or does not fit the rest.
    """
    side = int(sam.prompt_encoder.mask_input_size[0])
    return parse_prompts(
        features.image_size, features.input_size, features.img_size, side,
        points, labels, boxes, masks,
    )  # fmt: skip


@checked_arguments
def ask(
    sam: Sam,
    features: ImageEmbedding,
    prompts: Prompts,
    *,
    multimask: bool = True,
    keep: Keep = "all",
    refine: int = 0,
    dtype: torch.dtype | str | None = None,
    decoder: Decoder | None = None,
    logits: bool = False,
    tokens: bool = False,
) -> Answers:
    """Answer checked prompts.

    Args:
        sam: The model that made the embedding.
        features: The encoded picture.
        prompts: From `prompts_for`.
        multimask, keep, refine, dtype: See `segment_points`.
        decoder: From `open_decoder`, where one is open already.
        logits: Hand out low-resolution logits, 0.25 MB for each mask.
        tokens: Hand out mask tokens.
    """
    if keep not in ("all", "best"):
        raise InputError(f"Expected keep='all' or keep='best', got {keep!r}.")
    if isinstance(refine, bool) or not isinstance(refine, int) or refine < 0:
        raise InputError(f"Expected refine as the number of rounds, 0 or more; got {refine!r}.")
    nothing = Segments(image_size=features.image_size)
    none = np.zeros(0, np.int64)
    if len(prompts) == 0:
        return Answers(nothing, none, none)
    opened = decoder or open_decoder(sam, features, dtype=dtype)
    parts = [
        _answer(sam, features, opened, inputs, multimask, keep, refine, logits, tokens)
        for inputs in _batches(prompts, features, masked=prompts.logits is not None or refine > 0)
    ]
    starts = np.cumsum([0, *(int(part.prompt.max()) + 1 for part in parts[:-1])])
    prompt = np.concatenate([p.prompt + s for p, s in zip(parts, starts, strict=True)])
    points = prompts.first_points()[prompt].astype(np.float32)
    table = Segments.concat([part.segments for part in parts])
    return Answers(
        segments=replace(table, points=points),
        prompt=prompt,
        output=np.concatenate([part.output for part in parts]),
        logits=_joined([part.logits for part in parts]),
        tokens=_joined([part.tokens for part in parts]),
    )


@checked_arguments
def picture_logits(logits: np.ndarray, features: ImageEmbedding) -> np.ndarray:
    """Low-resolution logits (N, side, side) at the picture's size, float32 (N, H, W).

    By SAM's own two interpolations; 4 bytes for each pixel and mask.
    """
    if logits.ndim != 3:
        raise InputError(f"Expected logits of shape (N, side, side), got {logits.shape}.")
    height, width = features.image_size
    frame = Frame(features.input_size, features.img_size, (0, 0, width, height), (height, width))
    dense: np.ndarray = enlarge(torch.as_tensor(logits), frame).numpy()
    return dense


# -- inside -------------------------------------------------------------------------------------


def _answer(
    sam: Sam,
    features: ImageEmbedding,
    decoder: Decoder,
    inputs: dict[str, Tensor],
    multimask: bool,
    keep: Keep,
    refine: int,
    want_logits: bool,
    want_tokens: bool,
) -> Answers:
    """Answer one batch of prompts."""
    found = decoder.predict(**inputs, multimask_output=multimask)
    for _ in range(refine):
        best = found.logits(_best(found))[:, None]
        found = decoder.predict(**{**inputs, "mask_input": best}, multimask_output=False)
    index = _best(found) if keep == "best" else torch.nonzero(torch.ones_like(found.iou))
    height, width = features.image_size
    frame = Frame(features.input_size, features.img_size, (0, 0, width, height), (height, width))
    rles, stability, kept = [], [], []
    for rows in index.split(_limit(_MASKS_AT_ONCE, features)):
        low = found.logits(rows)
        masks = to_masks(low, frame, threshold=sam.mask_threshold)
        rles += [runs_to_rle(runs, frame.image_size) for runs in masks.runs]
        stability.append(masks.stability)
        if want_logits:
            kept.append(low.float().cpu().numpy())
    prompt, output = index.cpu().numpy().T
    segments = Segments(
        rles=rles,
        predicted_iou=found.iou[index[:, 0], index[:, 1]].float().cpu().numpy(),
        stability_score=np.concatenate(stability),
        level=2 - output if found.iou.shape[1] == 3 else np.full(len(output), -1),
        image_size=features.image_size,
    )
    tokens = found.tokens(index) if want_tokens else None
    return Answers(
        segments,
        prompt,
        output,
        np.concatenate(kept) if want_logits else None,
        None if tokens is None else tokens.float().cpu().numpy(),
    )


def _best(found: Predictions) -> Tensor:
    """(P, 2): each prompt with its mask of the highest predicted IoU, the first of equals."""
    best = found.iou.argmax(dim=1)
    return torch.stack([torch.arange(len(best), device=best.device), best], dim=1)


def _batches(
    prompts: Prompts, features: ImageEmbedding, *, masked: bool
) -> Iterator[dict[str, Tensor]]:
    """The prompts as the decoder takes them, in pixels of its input, a number of them at a time."""
    device = features.features.device
    step = _limit(_MASK_PROMPTS_AT_ONCE if masked else _PROMPTS_AT_ONCE, features)
    inputs: dict[str, Tensor] = {}
    if prompts.points is not None and prompts.labels is not None:
        # float64 until here, then float32, as in SamPredictor.
        inputs["point_coords"] = torch.as_tensor(features.to_input(prompts.points)).float()
        inputs["point_labels"] = torch.as_tensor(prompts.labels).int()
    if prompts.boxes is not None:
        corners = features.to_input(prompts.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        inputs["boxes"] = torch.as_tensor(corners).float()
    if prompts.logits is not None:
        inputs["mask_input"] = torch.as_tensor(prompts.logits)[:, None]
    for start in range(0, len(prompts), step):
        yield {name: part[start : start + step].to(device) for name, part in inputs.items()}


def _limit(limits: dict[str, int], features: ImageEmbedding) -> int:
    return limits.get(features.features.device.type, 32)


def _joined(parts: list[np.ndarray | None]) -> np.ndarray | None:
    arrays = [part for part in parts if part is not None]
    return np.concatenate(arrays) if arrays else None
