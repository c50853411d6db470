"""Run-length masks: COCO's compressed RLE through pycocotools.

A mask is a dict `{"size": [H, W], "counts": str}`, column-major, as in COCO's JSON files
(https://github.com/cocodataset/cocoapi). Boxes are XYXY in pixels, half-open: a one-pixel mask at
x=3, y=5 has the box (3, 5, 4, 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from pycocotools import mask as coco

from samlab.errors import InputError

Rle: TypeAlias = dict[str, Any]


def encode(mask: np.ndarray) -> Rle | list[Rle]:
    """Encode dense masks.

    Args:
        mask: Boolean or 0/1 array (H, W), or (N, H, W) for a list of N.

    Returns:
        One RLE for (H, W), a list of N for (N, H, W).

    Example:
        >>> encode(np.eye(3, dtype=bool))["size"]
        [3, 3]
    """
    mask = np.asarray(mask)
    if mask.ndim not in (2, 3):
        raise InputError(
            f"Expected a mask of shape (H, W) or masks of shape (N, H, W), got {mask.shape}."
        )
    if mask.ndim == 2:
        return _to_text(coco.encode(np.asfortranarray(mask, dtype=np.uint8)))
    return [_to_text(coco.encode(np.asfortranarray(one, dtype=np.uint8))) for one in mask]


def decode(rle: Rle) -> np.ndarray:
    """Decode one RLE, compressed or not, to a boolean array (H, W)."""
    return coco.decode(_to_bytes(rle)).astype(bool)


def decode_all(rles: Sequence[Rle], image_size: tuple[int, int]) -> np.ndarray:
    """Decode N RLEs to a boolean array (N, H, W). Zero RLEs give (0, H, W)."""
    out = np.zeros((len(rles), *image_size), dtype=bool)
    for i, rle in enumerate(rles):
        out[i] = decode(rle)
    return out


def coordinates(rle: Rle) -> tuple[np.ndarray, np.ndarray]:
    """Where a mask is set: rows and columns, int64 (A,) each, column by column.

    Costs what the mask has, not what the picture has: for small masks of large pictures.

    Example:
        >>> [found.tolist() for found in coordinates(encode(np.eye(2, dtype=bool)))]
        [[0, 1], [0, 1]]
    """
    ends = np.cumsum(_run_lengths(_to_bytes(rle)["counts"]))
    starts, stops = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
    lengths = stops - starts
    # Each run counts on from its start.
    at = np.arange(lengths.sum()) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
    columns, rows = np.divmod(at, rle["size"][0])
    return rows, columns


def _run_lengths(counts: bytes) -> np.ndarray:
    """COCO's compressed counts as run lengths, int64 (K,), beginning with background.

    Groups of five bits, low ones first, a sixth bit where more follow; signed; from the fourth run
    on the difference to the run two before (rleFrString in cocoapi's maskApi.c).
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if len(codes) == 0:
        return np.zeros(0, np.int64)
    last = (codes & 32) == 0
    first = np.append(0, np.flatnonzero(last)[:-1] + 1)
    place = np.arange(len(codes)) - np.repeat(first, np.diff(np.append(first, len(codes))))
    values = np.add.reduceat((codes & 31) << (5 * place), first)
    negative = (codes[last] & 16) != 0
    values[negative] -= np.int64(1) << (5 * (place[last][negative] + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def area(rles: Sequence[Rle]) -> np.ndarray:
    """Areas in pixels, int64 (N,)."""
    if len(rles) == 0:
        return np.zeros(0, np.int64)
    # In groups: pycocotools 2.0.11 writes the number of masks into a uint8 (_mask.pyx, area), which
    # NumPy 2 refuses from 256 on.
    groups = (rles[i : i + 255] for i in range(0, len(rles), 255))
    parts = [coco.area([_to_bytes(r) for r in group]) for group in groups]
    return np.concatenate(parts).astype(np.int64)


def boxes(rles: Sequence[Rle]) -> np.ndarray:
    """Bounding boxes, XYXY half-open, float32 (N, 4); an empty mask has the box (0, 0, 0, 0)."""
    if len(rles) == 0:
        return np.zeros((0, 4), np.float32)
    xywh = np.asarray(coco.toBbox([_to_bytes(r) for r in rles]), dtype=np.float32).reshape(-1, 4)
    xywh[(xywh[:, 2] == 0) | (xywh[:, 3] == 0)] = 0
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def iou(a: Sequence[Rle], b: Sequence[Rle]) -> np.ndarray:
    """Intersection over union of every mask of `a` with every mask of `b`, float64 (N, M).

    Two empty masks have an IoU of 0.
    """
    if len(a) == 0 or len(b) == 0:
        return np.zeros((len(a), len(b)))
    result = coco.iou([_to_bytes(r) for r in a], [_to_bytes(r) for r in b], [0] * len(b))
    return np.nan_to_num(np.asarray(result, dtype=np.float64).reshape(len(a), len(b)))


def check_sizes(rles: Iterable[Rle], image_size: tuple[int, int]) -> None:
    """Raise InputError unless every mask has the given (H, W)."""
    for i, rle in enumerate(rles):
        if tuple(rle["size"]) != tuple(image_size):
            raise InputError(
                f"Expected masks of size {tuple(image_size)} (H, W), got {tuple(rle['size'])} for "
                f"mask {i}. Masks and picture must belong together."
            )


def _to_text(rle: Rle) -> Rle:
    counts = rle["counts"]
    return {
        "size": [int(n) for n in rle["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }


def _to_bytes(rle: Rle) -> Rle:
    """Give pycocotools what it takes, from compressed text or bytes or from plain run lengths."""
    counts = rle["counts"]
    if isinstance(counts, str):
        return {"size": rle["size"], "counts": counts.encode("ascii")}
    if isinstance(counts, (list, np.ndarray)):
        height, width = rle["size"]
        return coco.frPyObjects({"size": rle["size"], "counts": list(counts)}, height, width)
    return rle


def compress(rle: Rle) -> Rle:
    """Turn any RLE (text, bytes, or SAM's uncompressed list of runs) into compressed text."""
    return _to_text(_to_bytes(rle))
