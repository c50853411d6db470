"""Points, boxes and masks to segments: any number of prompts about one picture in one call.

`segment_points`, `segment_boxes` and `segment_masks` are one and the same with another leading
argument, so that prompts of all kinds can be combined. `ask` is what they share; it hands out
logits and mask tokens too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from samlab.errors import InputError
from samlab.images import ImageLike, read_image
from samlab.sam.fast import (
    Decoder,
    Frame,
    ImageEmbedding,
    Predictions,
    encode,
    enlarge,
    open_decoder,
    runs_to_rle,
    to_masks,
)
from samlab.sam.load import load_sam
from samlab.sam.prompt_checks import MaskPrompts, Prompts, check_prompts
from samlab.sam.provenance import origin
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

Keep: TypeAlias = Literal["all", "best"]
Picture: TypeAlias = "ImageLike | ImageEmbedding"
Model: TypeAlias = "Sam | str | os.PathLike[str]"

# A mask prompt changes the image tokens themselves, so each such prompt has 64 x 64 of its own.
_PROMPTS_AT_ONCE = {"cpu": 64, "cuda": 256}
_MASK_PROMPTS_AT_ONCE = {"cpu": 8, "cuda": 64}
_MASKS_AT_ONCE = {"cpu": 24, "cuda": 768}  # low-resolution logits alive at a time, 0.25 MB each


def segment_points(
    image: Picture,
    points: Any,
    labels: Any = None,
    *,
    boxes: Any = None,
    masks: MaskPrompts | None = None,
    sam: Model = "tiny",
    multimask: bool = True,
    keep: Keep = "all",
    refine: int = 0,
    dtype: torch.dtype | str | None = None,
    image_id: str | None = None,
) -> Segments:
    """Segment what points lie on: P prompts of one or more points each.

    Args:
        image: The picture, or its embedding from `samlab.encode`, which saves encoding it again.
        points: (x, y) in pixels. (P, 2) is P prompts of one point each; (P, K, 2) is P prompts of K
            points each. P may be 0. A single prompt of three points is `[[p1, p2, p3]]`.
        labels: (P,) or (P, K), 1 foreground, 0 background; foreground throughout by default.
        boxes: float (P, 4) XYXY in pixels: a box with each prompt.
        masks: P masks, one with each prompt; see `segment_masks`.
        sam: A model from `load_sam`, or a name or path for it. With an embedding it has to be the
            model that made it.
        multimask: Three masks per prompt (whole, part and sub-part, as SAM answers an ambiguous
            click), or the one that SAM means for prompts that leave no doubt.
        keep: `"all"` masks of a prompt, or the `"best"` by predicted IoU.
        refine: Feed the best mask's logits back so many times, together with the prompt (the
            iterative prompting of the SAM paper, appendix A). The last answer is one mask per
            prompt.
        dtype: Precision of the large products; see `encode`.
        image_id: Name of the picture; the file's name by default.

    Returns:
        Segments in the order of the prompts, with predicted IoU, stability and, as `points`, the
        first foreground point of the prompt. With three masks each, rows 3 i, 3 i + 1 and 3 i + 2
        answer prompt i, in SAM's order, which is not always by size; with one each, row i. So
        `np.arange(len(segments)) // segments.provenance["prompts"]["masks_per_prompt"]` is the
        prompt of each row. A mask may be empty. No prompts give no segments.

        In float32 the masks are those of `SamPredictor.predict`. With SAM's own decoder, which is
        factored here, logits differ by rounding (about 1e-5 of their range), so a pixel whose logit
        is that near to the threshold may fall on the other side.

    Example:
        >>> import skimage.data
        >>> one = segment_points(skimage.data.coins(), [[220, 130]], keep="best")
        >>> len(one), bool(one.mask(0)[130, 220])
        (1, True)
    """
    return _segment(
        image, sam, dtype, image_id, multimask, keep, refine,
        points=points, labels=labels, boxes=boxes, masks=masks,
    )  # fmt: skip


def segment_boxes(
    image: Picture,
    boxes: Any,
    *,
    points: Any = None,
    labels: Any = None,
    masks: MaskPrompts | None = None,
    sam: Model = "tiny",
    multimask: bool = False,
    keep: Keep = "all",
    refine: int = 0,
    dtype: torch.dtype | str | None = None,
    image_id: str | None = None,
) -> Segments:
    """Segment what fills boxes: P prompts of one box each, one mask for each by default.

    Args:
        image: As for `segment_points`, and so are all arguments not named here.
        boxes: float (P, 4), XYXY in pixels of the picture, half-open. P may be 0.
        points: (P, K, 2) or (P, 2) with labels: points with each box, say background points on what
            the box should leave out.

    Returns:
        As `segment_points`. `samlab.segment_detections` takes what a detector gives, with scores
        and class names, and clips boxes that reach beyond the picture.

    Example:
        >>> import skimage.data
        >>> coins = segment_boxes(skimage.data.coins(), [[190, 98, 251, 160], [255, 90, 310, 145]])
        >>> len(coins)
        2
    """
    return _segment(
        image, sam, dtype, image_id, multimask, keep, refine,
        points=points, labels=labels, boxes=boxes, masks=masks,
    )  # fmt: skip


def segment_masks(
    image: Picture,
    masks: MaskPrompts,
    *,
    points: Any = None,
    labels: Any = None,
    boxes: Any = None,
    sam: Model = "tiny",
    multimask: bool = False,
    keep: Keep = "all",
    refine: int = 0,
    dtype: torch.dtype | str | None = None,
    image_id: str | None = None,
) -> Segments:
    """Segment what rough masks mean: P prompts of one mask each, one mask for each by default.

    Args:
        image: As for `segment_points`, and so are all arguments not named here.
        masks: P masks: bool (H, W) or (P, H, W), COCO RLE, or `Segments`, all of the picture's
            size; or float logits (P, 256, 256), as `SamPredictor.predict` returns them. A binary
            mask becomes logits by the share s of it in each of the model's cells, log(s / (1 - s)),
            at most 6.9 and at least -6.9. P may be 0.
        points, labels, boxes: What goes with each mask. SAM was trained on masks together with
            points or boxes; a mask alone often comes back little changed.

    Returns:
        As `segment_points`.

    Example:
        >>> import numpy as np, skimage.data
        >>> rough = np.zeros((303, 384), bool)
        >>> rough[105:155, 195:245] = True
        >>> len(segment_masks(skimage.data.coins(), rough))
        1
    """
    return _segment(
        image, sam, dtype, image_id, multimask, keep, refine,
        points=points, labels=labels, boxes=boxes, masks=masks,
    )  # fmt: skip


# ---------------------------------------------------------------- what they share


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
    return check_prompts(
        features.image_size, features.input_size, features.img_size, side,
        points, labels, boxes, masks,
    )  # fmt: skip


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
    segments = Segments(
        rles=rles,
        predicted_iou=found.iou[index[:, 0], index[:, 1]].float().cpu().numpy(),
        stability_score=np.concatenate(stability),
        image_size=features.image_size,
    )
    tokens = found.tokens(index) if want_tokens else None
    prompt, output = index.cpu().numpy().T
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
    whole: dict[str, Tensor] = {}
    if prompts.points is not None and prompts.labels is not None:
        # float64 until here, then float32, as in SamPredictor.
        whole["point_coords"] = torch.as_tensor(features.to_input(prompts.points)).float()
        whole["point_labels"] = torch.as_tensor(prompts.labels).int()
    if prompts.boxes is not None:
        corners = features.to_input(prompts.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        whole["boxes"] = torch.as_tensor(corners).float()
    if prompts.logits is not None:
        whole["mask_input"] = torch.as_tensor(prompts.logits)[:, None]
    for start in range(0, len(prompts), step):
        yield {name: part[start : start + step].to(device) for name, part in whole.items()}


def _segment(
    image: Picture,
    sam: Model,
    dtype: torch.dtype | str | None,
    image_id: str | None,
    multimask: bool,
    keep: Keep,
    refine: int,
    **parts: Any,
) -> Segments:
    model, embedding = opened(image, sam, dtype)
    prompts = prompts_for(model, embedding, **parts)
    answers = ask(
        model, embedding, prompts, multimask=multimask, keep=keep, refine=refine, dtype=dtype
    )
    each = 3 if multimask and keep == "all" and refine == 0 else 1
    options = {"kinds": prompts.kinds, "multimask": multimask, "keep": keep, "refine": refine}
    return replace(
        answers.segments.with_image_id(_name(image) if image_id is None else image_id),
        provenance={
            **origin(model),
            "prompts": {**options, "masks_per_prompt": each, "prompts": len(prompts)},
        },
    )


def opened(
    image: Picture, sam: Model, dtype: torch.dtype | str | None = None
) -> tuple[Sam, ImageEmbedding]:
    """The model, loaded if it is a name or a path, and the picture's embedding, made if need be."""
    by_name = isinstance(sam, (str, os.PathLike))
    if isinstance(image, ImageEmbedding):
        if by_name:
            raise InputError(
                f"Expected the model that made the embedding, got the name {str(sam)!r}. Pass the "
                "model itself: sam=model."
            )
        return sam, image
    pixels = read_image(image)
    model = load_sam(sam) if by_name else sam
    return model, encode(pixels, model, dtype=dtype)


def _limit(limits: dict[str, int], features: ImageEmbedding) -> int:
    return limits.get(features.features.device.type, 32)


def _joined(parts: list[np.ndarray | None]) -> np.ndarray | None:
    arrays = [part for part in parts if part is not None]
    return np.concatenate(arrays) if arrays else None


def _name(image: Picture) -> str:
    if isinstance(image, (str, os.PathLike)):
        return Path(image).name
    return Path(getattr(image, "filename", "") or "").name


def picture_logits(logits: np.ndarray, features: ImageEmbedding) -> np.ndarray:
    """Low-resolution logits (N, side, side) at the picture's size, float32 (N, H, W).

    By SAM's own two interpolations; 4 bytes for each pixel and mask.
    """
    height, width = features.image_size
    frame = Frame(features.input_size, features.img_size, (0, 0, width, height), (height, width))
    dense: np.ndarray = enlarge(torch.as_tensor(logits), frame).numpy()
    return dense
