"""Boxes of one picture to segments with vectors: one encoder pass, all boxes in one go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from samlab import masks
from samlab.errors import InputError
from samlab.images import ImageLike, read_image
from samlab.latent.embed import How, pool
from samlab.sam.automatic import MaskGenerator
from samlab.sam.fast import ImageEmbedding, encode, open_decoder
from samlab.sam.prompt_answers import Answers, ask, prompts_for
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


@dataclass(frozen=True, eq=False)
class BoxMasks:
    """Masks of one picture's boxes, with the box each answers.

    Attributes:
        segments: N masks, with `embeddings["sam"]` where they were asked for.
        box: int64 (N,), the index of the box.
        empty: int64, indices of boxes for which the model gave no mask; the box itself stands in.
    """

    segments: Segments
    box: np.ndarray
    empty: np.ndarray


def segment_with_boxes(
    image: ImageLike,
    boxes: np.ndarray,
    sam: Sam,
    *,
    how: How = "coverage",
    parts: bool = False,
    features: ImageEmbedding | None = None,
) -> BoxMasks:
    """Prompt SAM with all boxes of a picture, and pool a vector for each mask.

    Args:
        image: Anything `read_image` takes.
        boxes: (P, 4), XYXY half-open pixels inside the picture; P may be 0.
        sam: The model.
        how: Pooling, see `samlab.pool`. `"token"` takes the decoder's mask tokens, `"crop"`
            encodes a crop around each mask and its mirror image: one encoder pass more for each.
        parts: Give, besides the one mask that SAM means for a box, its three masks of whole, part
            and sub-part as well; those that repeat the first are left out.
        features: `encode(image, sam)`, if it is there already.

    Returns:
        One mask per box in the order of the boxes, then the further ones.
    """
    pixels = read_image(image)
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    size = (pixels.shape[0], pixels.shape[1])
    if not len(corners):
        return BoxMasks(Segments(image_size=size), np.zeros(0, np.int64), np.zeros(0, np.int64))
    encoded = encode(pixels, sam) if features is None else features
    # Labels are drawn with rounding: what lies a little over the edge is meant to be on it.
    prompts = prompts_for(sam, encoded, boxes=corners.clip(0, [*size[::-1], *size[::-1]]))
    decoder = open_decoder(sam, encoded)
    answers = [
        ask(sam, encoded, prompts, multimask=multimask, decoder=decoder, tokens=how == "token")
        for multimask in ((False, True) if parts else (False,))
    ]
    table = Segments.concat([answer.segments for answer in answers])
    box = np.concatenate([answer.prompt for answer in answers])
    tokens = _tokens(answers) if how == "token" else None
    table, empty = _fill_empty(table, corners[box], size)
    keep = _unrepeated(table, box, len(corners)) & ~(empty & (np.arange(len(box)) >= len(corners)))
    kept = table[keep]
    vectors = pool(
        encoded,
        kept,
        how,
        image=pixels,
        encode=lambda crop: encode(crop, sam),
        tokens=None if tokens is None else tokens[keep],
    )
    lost = np.flatnonzero(empty[: len(corners)])
    return BoxMasks(kept.with_embedding("sam", vectors), box[keep], lost)


def masks_with_vectors(
    image: ImageLike,
    rles: list[masks.Rle],
    sam: Sam,
    *,
    how: How = "coverage",
    features: ImageEmbedding | None = None,
) -> Segments:
    """Pool vectors for masks that are there already, such as those of a label map."""
    if how == "token":
        raise InputError(
            "Pooling with how='token' needs masks that SAM's decoder made; these come from the "
            "labels. Use how='coverage', or masks='prompt'."
        )
    pixels = read_image(image)
    segments = Segments(rles=rles, image_size=(pixels.shape[0], pixels.shape[1]))
    encoded = encode(pixels, sam) if features is None else features
    vectors = pool(encoded, segments, how, image=pixels, encode=lambda crop: encode(crop, sam))
    return segments.with_embedding("sam", vectors)


def background_segments(
    image: ImageLike,
    boxes: np.ndarray,
    sam: Sam,
    count: int,
    *,
    how: How = "coverage",
    features: ImageEmbedding | None = None,
    seed: int = 0,
    **options: Any,
) -> Segments:
    """Up to `count` segments of the picture that hardly touch any box, chosen at random.

    A segment counts as background where less than a tenth of its pixels lie in boxes, and less
    than half of any box in it.
    """
    pixels = read_image(image)
    encoded = encode(pixels, sam) if features is None else features
    found = MaskGenerator(sam, **options).segments(pixels, features=encoded, tokens=how == "token")
    found = found[found.areas > 0]
    outside = np.ones(len(found), bool)
    frames = _box_rles(np.asarray(boxes, np.float32).reshape(-1, 4), found.image_size)
    if frames and len(found):
        union = np.any([masks.decode(rle) for rle in frames], axis=0)
        inside = np.array([found.mask(i)[union].sum() for i in range(len(found))])
        overlap = masks.iou(found.rles, frames)
        area, box_area = found.areas[:, None], masks.area(frames)[None, :]
        swallowed = overlap / (1 + overlap) * (area + box_area) / box_area
        outside = (inside < 0.1 * found.areas) & (swallowed < 0.5).all(axis=1)
    ids = np.flatnonzero(outside)
    chosen = np.sort(np.random.default_rng(seed).permutation(ids)[:count])
    picked = found[chosen]
    vectors = pool(
        encoded,
        picked,
        how,
        image=pixels,
        encode=lambda crop: encode(crop, sam),
        tokens=picked.embeddings.get("token"),
    )
    return replace(picked, embeddings={"sam": vectors})


def _tokens(answers: list[Answers]) -> np.ndarray:
    """The mask tokens of all answers, float32 (N, 256)."""
    arrays = [answer.tokens for answer in answers if answer.tokens is not None]
    if not arrays:
        raise InputError(
            "Pooling with how='token' needs a model whose decoder has mask tokens; this one has "
            "none. Use how='coverage'."
        )
    return np.concatenate(arrays)


def _box_rles(boxes: np.ndarray, size: tuple[int, int]) -> list[masks.Rle]:
    """Filled boxes, each at least one pixel."""
    dense = np.zeros((len(boxes), *size), bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        left, top = min(int(x0), size[1] - 1), min(int(y0), size[0] - 1)
        mask[top : max(int(np.ceil(y1)), top + 1), left : max(int(np.ceil(x1)), left + 1)] = True
    encoded = masks.encode(dense)
    return encoded if isinstance(encoded, list) else [encoded]


def _fill_empty(
    table: Segments, boxes: np.ndarray, size: tuple[int, int]
) -> tuple[Segments, np.ndarray]:
    """Put the box where the model gave no pixel; returns also which, boolean (N,)."""
    empty = table.areas == 0
    if not empty.any():
        return table, empty
    rles = list(table.rles)
    for i, rle in zip(np.flatnonzero(empty), _box_rles(boxes[empty], size), strict=True):
        rles[i] = rle
    return table.with_masks(rles), empty


def _unrepeated(table: Segments, box: np.ndarray, first: int) -> np.ndarray:
    """Which masks to keep, (N,): all first ones, others unlike any earlier one of their box."""
    keep = np.ones(len(table), bool)
    for i in range(first):
        ids = np.flatnonzero(box == i)
        if len(ids) < 2:
            continue
        rles = [table.rles[int(j)] for j in ids]
        alike = masks.iou(rles, rles) > 0.9
        for row in range(1, len(ids)):
            keep[ids[row]] = not (alike[row, :row] & keep[ids[:row]]).any()
    return keep
