"""Points, boxes and masks to segments: any number of prompts about one picture in one call.

`segment_points`, `segment_boxes` and `segment_masks` are one and the same with another leading
argument, so that prompts of all kinds can be combined.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from segment_anything.modeling import Sam

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.sam.fast import ImageEmbedding, encode
from samlab.sam.load import load_sam
from samlab.sam.prompt_answers import Keep, ask, prompts_for
from samlab.sam.prompt_checks import MaskPrompts
from samlab.sam.provenance import origin
from samlab.segments import Segments

ImageOrEmbedding: TypeAlias = ImageLike | ImageEmbedding
SamLike: TypeAlias = Sam | str | os.PathLike[str]


@checked_arguments
def segment_points(
    image: ImageOrEmbedding,
    points: Any,
    labels: Any = None,
    *,
    boxes: Any = None,
    masks: MaskPrompts | None = None,
    sam: SamLike = "tiny",
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


@checked_arguments
def segment_boxes(
    image: ImageOrEmbedding,
    boxes: Any,
    *,
    points: Any = None,
    labels: Any = None,
    masks: MaskPrompts | None = None,
    sam: SamLike = "tiny",
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


@checked_arguments
def segment_masks(
    image: ImageOrEmbedding,
    masks: MaskPrompts,
    *,
    points: Any = None,
    labels: Any = None,
    boxes: Any = None,
    sam: SamLike = "tiny",
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


# -- inside -------------------------------------------------------------------------------------


def _segment(
    image: ImageOrEmbedding,
    sam: SamLike,
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
    image: ImageOrEmbedding, sam: SamLike, dtype: torch.dtype | str | None = None
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


def _name(image: ImageOrEmbedding) -> str:
    if isinstance(image, (str, os.PathLike)):
        return Path(image).name
    return Path(getattr(image, "filename", "") or "").name
