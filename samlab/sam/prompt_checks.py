"""What a person or a program hands in as prompts, checked and brought into one form.

Everything is refused here, in pixels of the picture and by the number of the prompt, before a model
sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from samlab import masks as rle_masks
from samlab.errors import InputError
from samlab.segments import Segments

Array: TypeAlias = np.ndarray

#: Masks as prompts: binary (H, W) or (P, H, W), COCO RLE, segments, or float logits (P, 256, 256).
MaskPrompts: TypeAlias = Array | Mapping[str, Any] | Sequence[Any] | Segments

LEAST_SHARE = 1e-3
"""A binary mask as a prompt says 'inside' with a probability of at most 1 - LEAST_SHARE: logits of
-6.9 to 6.9."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """P prompts about one picture; each part may be None.

    Attributes:
        points: float64 (P, K, 2), (x, y) in pixels of the picture.
        labels: int64 (P, K), 1 foreground, 0 background; None exactly if `points` is.
        boxes: float64 (P, 4), XYXY in pixels of the picture.
        logits: float32 (P, side, side) over the model's padded input.
    """

    points: Array | None
    labels: Array | None
    boxes: Array | None
    logits: Array | None

    def __len__(self) -> int:
        part = next(x for x in (self.points, self.boxes, self.logits) if x is not None)
        return len(part)

    @property
    def kinds(self) -> list[str]:
        """Which parts there are, by name."""
        parts = {"points": self.points, "boxes": self.boxes, "masks": self.logits}
        return [name for name, part in parts.items() if part is not None]

    def first_points(self) -> Array:
        """The first foreground point of each prompt, float64 (P, 2); NaN where there is none."""
        out = np.full((len(self), 2), np.nan)
        if self.points is not None and self.labels is not None:
            inside = self.labels == 1
            has = inside.any(axis=1)
            first = inside.argmax(axis=1)
            out[has] = self.points[has, first[has]]
        return out


def parse_prompts(
    image_size: tuple[int, int],
    input_size: tuple[int, int],
    img_size: int,
    side: int,
    points: Any = None,
    labels: Any = None,
    boxes: Any = None,
    masks: Any = None,
) -> Prompts:
    """Check the parts of P prompts; see `Prompts`.

    Args:
        image_size: (H, W) of the picture; input_size and img_size: of an `ImageEmbedding`.
        side: Side of the mask prompts that the model takes, normally 256.
        points: (P, 2) or (P, K, 2).
        labels: (P,) or (P, K); foreground throughout if None.
        boxes: (P, 4).
        masks: See `MaskPrompts`.
    """
    if points is None and labels is not None:
        raise InputError("Expected points where labels are given; labels belong to points.")
    if points is None and boxes is None and masks is None:
        raise InputError("Expected at least one of points, boxes and masks; got none of them.")
    coords = None if points is None else check_points(points, image_size)
    kinds = None if coords is None else check_labels(labels, coords)
    corners = None if boxes is None else check_boxes(boxes, image_size)
    logits = None if masks is None else check_masks(masks, image_size, input_size, img_size, side)
    prompts = Prompts(coords, kinds, corners, logits)
    parts = {"points": coords, "boxes": corners, "masks": logits}
    counts = {name: len(part) for name, part in parts.items() if part is not None}
    if len(set(counts.values())) > 1:
        raise InputError(
            "Expected as many of each kind, since the first points, the first box and the first "
            f"mask are one prompt; got {', '.join(f'{n} {name}' for name, n in counts.items())}."
        )
    return prompts


def check_points(points: Any, image_size: tuple[int, int]) -> Array:
    """(P, 2) or (P, K, 2) -> float64 (P, K, 2), finite and inside the picture."""
    array = _numbers(points, "points")
    if array.size == 0 and array.ndim < 2:
        array = array.reshape(0, 2)
    if array.ndim == 2 and array.shape[1] == 2:
        array = array[:, None]
    if array.ndim != 3 or array.shape[2] != 2 or (len(array) and array.shape[1] == 0):
        raise InputError(
            "Expected points (x, y) of shape (P, 2), one for each of P prompts, or (P, K, 2), K "
            f"for each; got {array.shape}. A single point is [[x, y]]."
        )
    height, width = image_size
    inside = ((array >= 0) & (array <= [width, height])).all(axis=-1)  # NaN is not inside
    if not inside.all():
        prompt, number = np.argwhere(~inside)[0]
        x, y = array[prompt, number]
        raise InputError(
            f"Expected points inside the picture, 0 <= x <= {width} and 0 <= y <= {height}; point "
            f"{number} of prompt {prompt} is ({x:g}, {y:g})."
        )
    return array


def check_labels(labels: Any, points: Array) -> Array:
    """Labels of points (P, K, 2) -> int64 (P, K), 0 or 1; ones for None."""
    if labels is None:
        return np.ones(points.shape[:2], np.int64)
    array = _numbers(labels, "labels")
    if points.shape[1] == 1 and array.shape == points.shape[:1]:
        array = array[:, None]
    if array.size == 0 and len(points) == 0:
        array = array.reshape(points.shape[:2])
    if array.shape != points.shape[:2]:
        raise InputError(
            f"Expected one label per point, shape {points.shape[:2]}; got {array.shape}."
        )
    wrong = ~np.isin(array, (0, 1))
    if wrong.any():
        raise InputError(
            "Expected labels 1 (foreground) or 0 (background); got "
            f"{array[wrong][0]:g} for prompt {np.argwhere(wrong)[0][0]}."
        )
    return array.astype(np.int64)


def check_boxes(boxes: Any, image_size: tuple[int, int]) -> Array:
    """Boxes -> float64 (P, 4), XYXY, not empty and inside the picture."""
    array = _numbers(boxes, "boxes")
    if array.size == 0 and array.ndim < 2:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(
            f"Expected boxes of shape (P, 4), each x0, y0, x1, y1 in pixels; got {array.shape}. "
            "A single box is [[x0, y0, x1, y1]]."
        )
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise InputError(
            f"Expected finite coordinates; box {np.argmin(finite)} is "
            f"{_text(array[np.argmin(finite)])}."
        )
    filled = (array[:, 2] > array[:, 0]) & (array[:, 3] > array[:, 1])
    if not filled.all():
        raise InputError(
            f"Expected boxes as x0, y0, x1, y1 with x1 > x0 and y1 > y0; box {np.argmin(filled)} "
            f"is {_text(array[np.argmin(filled)])}. COCO's x, y, width, height are another order."
        )
    height, width = image_size
    inside = (array >= 0).all(axis=1) & (array <= [width, height, width, height]).all(axis=1)
    if not inside.all():
        raise InputError(
            f"Expected boxes inside the picture of {width} x {height} pixels; box "
            f"{np.argmin(inside)} is {_text(array[np.argmin(inside)])}. Clip boxes first, or use "
            "samlab.segment_detections, which does."
        )
    return array


def check_masks(
    masks: Any,
    image_size: tuple[int, int],
    input_size: tuple[int, int],
    img_size: int,
    side: int,
) -> Array:
    """Mask prompts of any kind -> logits float32 (P, side, side).

    A binary mask becomes logits by the share s of it in each of the model's cells (4 x 4 pixels of
    its input): log(s / (1 - s)), with s held between `LEAST_SHARE` and 1 - `LEAST_SHARE`, so cells
    inside have 6.9, cells outside and padding -6.9, and cells on the rim something between.
    """
    if isinstance(masks, Segments):
        masks = list(masks.rles)
    if isinstance(masks, Mapping):
        masks = [masks]
    if isinstance(masks, (list, tuple)) and len(masks) and isinstance(masks[0], Mapping):
        rle_masks.check_sizes(masks, image_size)
        return _logits_of(masks, image_size, input_size, img_size, side)
    try:
        array = np.asarray(masks)
    except ValueError:
        raise InputError("Expected masks of one size; got a list of several sizes.") from None
    if array.size == 0 and array.ndim < 2:
        return np.zeros((0, side, side), np.float32)
    array = array[None] if array.ndim == 2 else array
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if np.issubdtype(array.dtype, np.floating):
        return _check_logits(array, image_size, side)
    if array.ndim != 3 or array.shape[1:] != image_size:
        raise InputError(
            f"Expected binary masks of the picture's size, {image_size} or (P, "
            f"{image_size[0]}, {image_size[1]}); got {array.shape}."
        )
    if array.dtype != bool and not np.isin(array, (0, 1, 255)).all():
        raise InputError(
            "Expected binary masks (bool, or integers 0 and 1); got other integers. Make one mask "
            "per label: label_map == i."
        )
    return _logits_of(array.astype(bool), image_size, input_size, img_size, side)


def _check_logits(array: Array, image_size: tuple[int, int], side: int) -> Array:
    if array.ndim != 3 or array.shape[1:] != (side, side):
        raise InputError(
            f"Expected float mask prompts as logits of shape (P, {side}, {side}), SAM's low "
            f"resolution; got {array.shape}. A binary mask of the picture has to be bool "
            f"{image_size}."
        )
    if not np.isfinite(array).all():
        raise InputError("Expected finite logits in masks; got NaN or infinity.")
    if array.size and np.isin(array, (0, 1)).all():
        raise InputError(
            "Expected logits (below 0 outside, above 0 inside) in float masks; got only 0 and 1. "
            "Pass a binary mask of the picture's size as bool."
        )
    return array.astype(np.float32)


def _logits_of(
    masks: Any,
    image_size: tuple[int, int],
    input_size: tuple[int, int],
    img_size: int,
    side: int,
) -> Array:
    """Binary masks or RLEs -> logits float32 (P, side, side), one dense mask at a time."""
    rows = cell_shares(image_size[0], input_size[0] * side / img_size, side)
    columns = cell_shares(image_size[1], input_size[1] * side / img_size, side)
    out = np.empty((len(masks), side, side), np.float32)
    for i, mask in enumerate(masks):
        dense = rle_masks.decode(mask) if isinstance(mask, Mapping) else mask
        if not dense.any():
            raise InputError(f"Expected masks with at least one pixel; mask {i} is empty.")
        share = np.clip(rows @ dense.astype(np.float32) @ columns.T, LEAST_SHARE, 1 - LEAST_SHARE)
        out[i] = np.log(share / (1 - share))
    return out


def cell_shares(length: int, cells: float, side: int) -> Array:
    """What each of `side` cells sees of a line of pixels; float32 (side, length), rows sum to 1.

    The pixels cover `cells` cells, of which the last may be only partly covered; cells beyond see
    nothing and have rows of zeros.

    Example:
        >>> cell_shares(3, 1.5, 2).round(2).tolist()
        [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    # Multiplied first, an edge where the pixels end is exactly `length`: no speck is left beyond.
    edges = np.minimum(np.arange(side + 1) * length / cells, length)
    pixels = np.arange(length)
    low = np.maximum(edges[:-1, None], pixels)
    high = np.minimum(edges[1:, None], pixels + 1)
    shares = np.clip(high - low, 0, None)
    total = shares.sum(axis=1, keepdims=True)
    result: Array = (shares / np.where(total > 0, total, 1)).astype(np.float32)
    return result


def _numbers(values: Any, name: str) -> Array:
    """A float64 array of what may be a list, an array or a tensor."""
    if hasattr(values, "detach"):  # a torch tensor, maybe on a GPU
        values = values.detach().cpu()
    try:
        return np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError):
        raise InputError(
            f"Expected {name} as numbers in rows of one length; got something else. Prompts with "
            "different numbers of points have to be asked separately."
        ) from None


def _text(row: Array) -> str:
    return "[" + ", ".join(f"{value:g}" for value in row) + "]"
