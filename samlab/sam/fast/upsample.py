"""Low-resolution logits to full-resolution masks, only where needed.

SAM enlarges each mask's logits from 256 to 1024 on the padded input, cuts the padding off and
enlarges them once more to the picture. Dense, that is 48 MB per mask of a 12-megapixel picture.
Nothing can be set outside the cells whose logits exceed the lowest threshold (a bilinear value is
a mean of its neighbours), and counts, box and run lengths can be taken column by column: on a CPU
no more than a column is ever there. On other devices a slice of masks is dense for a moment, and
the changes of all of them come over in one transfer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
import torch
from pycocotools import mask as coco
from torch import Tensor
from torch.nn import functional as F

from samlab.masks import Rle, trusted

_DENSE_PIXELS = {"cuda": 1 << 27, "cpu": 1 << 22}  # dense pixels alive at a time

#: (low index, high index, their weights) for every pixel of the larger axis.
Table: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def bilinear_table(inputs: int, outputs: int, kept: int | None = None) -> Table:
    """How torch's `interpolate(mode="bilinear", align_corners=False)` mixes one axis.

    Args:
        inputs, outputs: Length of the axis before and after.
        kept: Pixels of the result that are wanted, from the start; all by default.

    Returns:
        uint32 low and high index, float32 weights, each (kept,), rounded as torch rounds.

    Example:
        >>> low, high, weight, _ = bilinear_table(2, 4)
        >>> low.tolist(), high.tolist(), weight.tolist()
        ([0, 0, 0, 1], [1, 1, 1, 1], [1.0, 0.75, 0.25, 0.75])
    """
    half = np.float32(0.5)
    scale = np.float32(inputs) / np.float32(outputs)
    at = scale * (np.arange(outputs if kept is None else kept, dtype=np.float32) + half) - half
    at = np.maximum(at, np.float32(0))
    low = np.minimum(np.floor(at).astype(np.int64), inputs - 1)
    weight = np.clip(at - low.astype(np.float32), np.float32(0), np.float32(1))
    high = np.minimum(low + 1, inputs - 1)
    return (
        low.astype(np.uint32),
        high.astype(np.uint32),
        np.float32(1) - weight,
        weight,
    )


@dataclass(frozen=True)
class Frame:
    """Where a crop of a picture lies, and how it was put into the model's input.

    Attributes:
        input_size: (h, w) of the resized crop in the padded input; img_size: the input's side.
        crop_box: (x0, y0, x1, y1) of the crop in the picture, half-open.
        image_size: (H, W) of the picture.
        padded: True as in SAM, whose logits are enlarged to the input, freed of its padding and
            resized to the crop. False as in SAM 2 and later, where the crop was squashed to a
            square without padding: logits are resized to the crop at once.
    """

    input_size: tuple[int, int]
    img_size: int
    crop_box: tuple[int, int, int, int]
    image_size: tuple[int, int]
    padded: bool = True

    @property
    def crop_size(self) -> tuple[int, int]:
        """(H, W) of the crop."""
        x0, y0, x1, y1 = self.crop_box
        return y1 - y0, x1 - x0

    @property
    def canvas(self) -> tuple[int, int]:
        """(H, W) to which all logits are enlarged first, padding included."""
        return (self.img_size, self.img_size) if self.padded else self.crop_size

    @property
    def content(self) -> tuple[int, int]:
        """(h, w) of the canvas that the crop covers, from its upper left corner."""
        return self.input_size if self.padded else self.crop_size

    @cached_property
    def out_tables(self) -> tuple[Table, Table]:
        """From the content of the canvas to the crop: (columns, rows)."""
        (h, w), (height, width) = self.content, self.crop_size
        return bilinear_table(w, width), bilinear_table(h, height)

    def tables(self, side: int) -> tuple[Table, Table]:
        """From logits of this side to the content of the canvas: (columns, rows)."""
        (h, w), (height, width) = self.content, self.canvas
        return bilinear_table(side, width, w), bilinear_table(side, height, h)


@dataclass(frozen=True)
class Masks:
    """n masks at the picture's resolution.

    Attributes:
        stability: float32 (n,), pixels above threshold + offset by those above threshold - offset;
            NaN where there are none of the latter.
        areas: int64 (n,), pixels.
        boxes: int64 (n, 4), XYXY in the crop, inclusive as SAM's own boxes: a one-pixel mask at
            (3, 5) has (3, 5, 3, 5), an empty one zeros.
        runs: n arrays uint32 of run lengths over the whole picture, COCO's order, zeros first.
    """

    stability: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    runs: Sequence[np.ndarray]


def to_masks(
    logits: Tensor,
    frame: Frame,
    *,
    threshold: float = 0.0,
    offset: float = 1.0,
) -> Masks:
    """Masks, boxes, areas and stability of logits (n, side, side) over the padded input.

    Equal to `Sam.postprocess_masks`, `calculate_stability_score` and `batched_mask_to_box` of
    segment-anything on the dense masks; where crops have at most 128 rows and columns together,
    torch itself rounds otherwise, and a logit within 1e-6 of a threshold may fall on its other
    side. On a CPU masks are spread over as many threads as torch uses.
    """
    if logits.device.type == "cpu" and find_spec("numba") is not None:
        return _trace_all(logits, frame, threshold, offset)
    return _dense(logits, frame, threshold, offset)


@lru_cache(maxsize=1)
def _threads(count: int, process: int) -> ThreadPoolExecutor:
    """Threads that stay; after a fork the new process starts its own."""
    return ThreadPoolExecutor(count, thread_name_prefix="samlab-trace")


def _trace_all(logits: Tensor, frame: Frame, threshold: float, offset: float) -> Masks:
    from samlab.sam.fast.tracing import trace

    side = logits.shape[-1]
    xs, ys = frame.tables(side)
    out_xs, out_ys = frame.out_tables
    levels = np.array([threshold - offset, threshold, threshold + offset]).astype(np.float32)
    x0, y0, _, _ = frame.crop_box
    # The tables hold more than the edge pixels only if the input is at least so long.
    fourfold = frame.canvas[0] == 4 * side and frame.content[0] >= 6
    resized = frame.crop_size != frame.content

    def one(i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        low = logits[i].float().t().contiguous().numpy()  # not of all: a batch has 50 MB of logits
        result: tuple[np.ndarray, np.ndarray, np.ndarray] = trace(
            low,
            xs,
            ys,
            out_xs,
            out_ys,
            fourfold,
            resized,
            (x0, y0),
            frame.image_size,
            tuple(levels),
        )
        return result

    threads = torch.get_num_threads()
    spread = threads > 1 and len(logits) > 1
    places = range(len(logits))
    results = list(_threads(threads, os.getpid()).map(one, places) if spread else map(one, places))
    counts = np.array([r[0] for r in results], np.int64).reshape(-1, 3)
    return Masks(
        stability=_stability(counts[:, 2], counts[:, 0]),
        areas=counts[:, 1],
        boxes=np.array([r[1] for r in results], np.int64).reshape(-1, 4),
        runs=[_runs(r[2], frame.image_size) for r in results],
    )


def _dense(logits: Tensor, frame: Frame, threshold: float, offset: float) -> Masks:
    if len(logits) == 0:
        none = np.zeros(0, np.int64)
        return Masks(none.astype(np.float32), none, none.reshape(0, 4), [])
    height, width = frame.crop_size
    device = logits.device
    pixels = max(height * width, frame.canvas[0] * frame.canvas[1])
    step = max(1, _DENSE_PIXELS.get(device.type, 1 << 24) // pixels)
    columns: list[list[np.ndarray]] = [[], [], [], []]
    runs: list[np.ndarray] = []
    for part in logits.split(step):
        dense = enlarge(part, frame)
        mask = dense > threshold
        counts = [(m.flatten(1)).sum(1) for m in (dense > threshold + offset, mask)]
        counts.append((dense > threshold - offset).flatten(1).sum(1))
        for column, value in zip(columns, [*counts, _boxes(mask)], strict=True):
            column.append(value.cpu().numpy())
        runs.extend(_dense_runs(mask, frame))
    above, areas, below, boxes = (np.concatenate(c) for c in columns)
    return Masks(_stability(above, below), areas, boxes, runs)


def enlarge(logits: Tensor, frame: Frame) -> Tensor:
    """Dense logits (n, side, side) -> (n, H, W) of the crop, by SAM's two interpolations or one."""
    h, w = frame.content
    x = F.interpolate(logits[:, None].float(), frame.canvas, mode="bilinear", align_corners=False)
    if frame.padded:
        x = F.interpolate(x[..., :h, :w], frame.crop_size, mode="bilinear", align_corners=False)
    return x[:, 0]


def _boxes(mask: Tensor) -> Tensor:
    """Inclusive XYXY of boolean masks (n, H, W), int64 (n, 4)."""
    edges = []
    for line in (mask.any(1), mask.any(2)):
        line = line.to(torch.uint8)
        first = line.argmax(1)
        last = line.shape[1] - 1 - line.flip(1).argmax(1)
        edges.append((first, last))
    (x0, x1), (y0, y1) = edges
    return torch.stack([x0, y0, x1, y1], 1) * mask.flatten(1).any(1)[:, None]


def _dense_runs(mask: Tensor, frame: Frame) -> list[np.ndarray]:
    (height, width), (x0, y0, x1, y1) = frame.image_size, frame.crop_box
    mask = F.pad(mask, (x0, width - x1, y0, height - y1))
    flat = F.pad(mask.transpose(1, 2).flatten(1), (1, 0))
    change = torch.nonzero(flat[:, 1:] != flat[:, :-1]).cpu().numpy()
    cuts = np.searchsorted(change[:, 0], np.arange(1, len(mask)))
    return [_runs(part, frame.image_size) for part in np.split(change[:, 1], cuts)]


def _stability(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return above.astype(np.float32) / below.astype(np.float32)


def _runs(positions: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Run lengths from the positions where a mask changes."""
    height, width = image_size
    ends = np.empty(len(positions) + 1, np.int64)
    ends[:-1], ends[-1] = positions, height * width
    return np.diff(ends, prepend=0).astype(np.uint32)


# ---------------------------------------------------------------- run lengths


def runs_to_rle(runs: np.ndarray, image_size: tuple[int, int]) -> Rle:
    """Run lengths to COCO's compressed RLE with its counts as text."""
    size = [int(image_size[0]), int(image_size[1])]
    if find_spec("numba") is None:
        rle = coco.frPyObjects({"size": size, "counts": runs.tolist()}, *size)
        return trusted(size, rle["counts"].decode("ascii"))
    from samlab.sam.fast.tracing import compress

    return trusted(size, compress(runs).tobytes().decode("ascii"))


def runs_to_mask(runs: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Run lengths to a boolean mask (H, W), laid out by columns as SAM's."""
    height, width = image_size
    values = np.zeros(len(runs), bool)
    values[1::2] = True
    return np.repeat(values, runs).reshape(width, height).transpose()


def mask_to_runs(mask: np.ndarray) -> np.ndarray:
    """A boolean mask (H, W) to run lengths, uint32, zeros first."""
    flat = np.asarray(mask, bool).transpose().reshape(-1)
    change = np.flatnonzero(np.diff(flat, prepend=False))
    return _runs(change, (mask.shape[0], mask.shape[1]))
