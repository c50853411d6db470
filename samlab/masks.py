"""Run-length masks: COCO's compressed RLE through pycocotools.

A mask is a dict `{"size": [H, W], "counts": str}`, column-major, as in COCO's JSON files
(https://github.com/cocodataset/cocoapi). Boxes are XYXY in pixels, half-open: a one-pixel mask at
x=3, y=5 has the box (3, 5, 4, 6).

pycocotools believes every RLE: counts that do not fit the size make it read and write outside its
own memory, or run for ever. So nothing reaches it unchecked. What was encoded or checked here is
marked by its type, and is not looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from pycocotools import mask as coco

from samlab.errors import FormatError, InputError
from samlab.errors.arguments import checked_arguments

Rle: TypeAlias = dict[str, Any]

_MOST_PIXELS = 2**31 - 1  # COCO's counts are numbers of 32 bits
_CODES = bytes(range(48, 112))  # the characters of compressed counts, six bits each
_LAST_CODE = 80  # the first character after which a number goes on
_MOST_CODES = 7  # of one number: 35 bits, enough for the difference of two counts
_GROUP = 256  # RLEs that are decoded together, for speed
_NO_SUM = "its run lengths do not add up to its size"


class _Sound(dict[str, Any]):
    """An RLE of compressed text that is known to fit its size."""


@checked_arguments
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
    if mask.dtype != bool and mask.size:
        _check_binary(mask)
    if mask.ndim not in (2, 3):
        raise InputError(
            f"Expected a mask of shape (H, W) or masks of shape (N, H, W), got {mask.shape}."
        )
    if mask.ndim == 2:
        return _encoded(mask)
    return [_encoded(one) for one in mask]


def _check_binary(mask: np.ndarray) -> None:
    """A label map or probabilities would pass for a mask and give another one."""
    if mask.dtype.kind not in "biuf" or not bool(((mask == 0) | (mask == 1)).all()):
        top = f" up to {mask.max()}" if mask.dtype.kind in "biuf" else ""
        raise InputError(
            f"Expected a mask of True and False, or 0 and 1; got values of the dtype {mask.dtype}"
            f"{top}. Choose what belongs to it first, for example mask > 0."
        )


def _encoded(mask: np.ndarray) -> Rle:
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return trusted(rle["size"], rle["counts"].decode("ascii"))


@checked_arguments
def decode(rle: Mapping[str, Any]) -> np.ndarray:
    """Decode one RLE, compressed or not, to a boolean array (H, W)."""
    return coco.decode(_to_bytes([rle])[0]).astype(bool)


@checked_arguments
def coordinates(rle: Rle) -> tuple[np.ndarray, np.ndarray]:
    """Where a mask is set: rows and columns, int64 (A,) each, column by column.

    Costs what the mask has, not what the picture has: for small masks of large pictures.

    Example:
        >>> [found.tolist() for found in coordinates(encode(np.eye(2, dtype=bool)))]
        [[0, 1], [0, 1]]
    """
    found = turns([rle])[0]
    starts, stops = found[::2], found[1::2]
    lengths = stops - starts
    # Each run counts on from its start.
    at = np.arange(lengths.sum()) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
    columns, rows = np.divmod(at, rle["size"][0])
    return rows, columns


@checked_arguments
def turns(rles: Sequence[Rle]) -> list[np.ndarray]:
    """Where each of N masks turns on, off, on, off ... column by column; N of int64 (2 K,).

    Example:
        >>> turns([encode(np.eye(2, dtype=bool))])[0].tolist()
        [0, 1, 3, 4]
    """
    found = []
    texts = [rle["counts"] for rle in _to_bytes(rles)]
    for start in range(0, len(texts), _GROUP):
        runs, starts = _run_lengths(texts[start : start + _GROUP])
        ends = np.cumsum(runs)
        before = ends[starts] - runs[starts]
        stops = np.append(starts[1:], len(runs)).tolist()
        for first, stop, shift in zip(starts.tolist(), stops, before.tolist(), strict=True):
            found.append(ends[first : stop - (stop - first) % 2] - shift)
    return found


@checked_arguments
def from_stretches(image_size: tuple[int, int], starts: np.ndarray, ends: np.ndarray) -> Rle:
    """The mask of K stretches of pixels, column by column, half-open, ascending and disjoint.

    The inverse of `turns`, whose even and odd values are starts and ends.

    Example:
        >>> from_stretches((2, 2), np.array([1]), np.array([4]))
        {'size': [2, 2], 'counts': '13'}
    """
    if np.ndim(starts) != 1 or np.shape(starts) != np.shape(ends):
        raise InputError(
            "Expected starts and ends of one length (K,), got the shapes "
            f"{np.shape(starts)} and {np.shape(ends)}."
        )
    pixels = image_size[0] * image_size[1]
    places = np.stack([starts, ends], axis=1).ravel().astype(np.int64)
    return _of_runs(image_size, np.diff(places, prepend=0, append=pixels))


@checked_arguments
def area(rles: Sequence[Rle]) -> np.ndarray:
    """Areas in pixels, int64 (N,)."""
    if len(rles) == 0:
        return np.zeros(0, np.int64)
    # In groups: pycocotools 2.0.11 writes the number of masks into a uint8 (_mask.pyx, area), which
    # NumPy 2 refuses from 256 on.
    sound = _to_bytes(rles)
    parts = [coco.area(sound[i : i + 255]) for i in range(0, len(sound), 255)]
    return np.concatenate(parts).astype(np.int64)


@checked_arguments
def boxes(rles: Sequence[Rle]) -> np.ndarray:
    """Bounding boxes, XYXY half-open, float32 (N, 4); an empty mask has the box (0, 0, 0, 0)."""
    if len(rles) == 0:
        return np.zeros((0, 4), np.float32)
    xywh = np.asarray(coco.toBbox(_to_bytes(rles)), dtype=np.float32).reshape(-1, 4)
    xywh[(xywh[:, 2] == 0) | (xywh[:, 3] == 0)] = 0
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


@checked_arguments
def iou(a: Sequence[Rle], b: Sequence[Rle]) -> np.ndarray:
    """Intersection over union of every mask of `a` with every mask of `b`, float64 (N, M).

    Two empty masks have an IoU of 0.
    """
    if len(a) == 0 or len(b) == 0:
        return np.zeros((len(a), len(b)))
    result = coco.iou(_to_bytes(a), _to_bytes(b), [0] * len(b))
    return np.nan_to_num(np.asarray(result, dtype=np.float64).reshape(len(a), len(b)))


@checked_arguments
def check_sizes(rles: Iterable[Rle], image_size: tuple[int, int]) -> None:
    """Raise InputError unless every mask has the given (H, W)."""
    for i, rle in enumerate(rles):
        if tuple(rle["size"]) != tuple(image_size):
            raise InputError(
                f"Expected masks of size {tuple(image_size)} (H, W), got {tuple(rle['size'])} for "
                f"mask {i}. Masks and picture must belong together."
            )


@checked_arguments
def checked(rles: Iterable[Any]) -> tuple[Rle, ...]:
    """RLEs from outside, as compressed text that fits its size.

    Args:
        rles: With counts as text, as bytes, or as plain run lengths that begin with background.

    Returns:
        As many. Those that samlab made or has checked before are the same objects, at no cost.

    Raises:
        FormatError: Names the first that is no RLE, or whose counts do not fit its size.

    Example:
        >>> checked([{"size": [2, 2], "counts": [1, 3]}])
        ({'size': [2, 2], 'counts': '13'},)
    """
    found: list[Any] = list(rles)
    fresh = [i for i, rle in enumerate(found) if type(rle) is not _Sound]
    for i, rle in zip(fresh, _examined([found[i] for i in fresh]), strict=True):
        if isinstance(rle, FormatError):
            raise FormatError(
                f"Expected masks as COCO's run lengths; mask {i} cannot be used: {rle}. Make it "
                "again, for example with samlab.masks.encode."
            )
        found[i] = rle
    return tuple(found)


@checked_arguments
def compress(rle: Mapping[str, Any]) -> Rle:
    """Turn any RLE (text, bytes, or SAM's uncompressed list of runs) into compressed text.

    Raises:
        FormatError: As `checked`.
    """
    return checked([rle])[0]


def trusted(size: Sequence[int], counts: str) -> Rle:
    """An RLE that our own encoders made, which nobody need check; `counts` as compressed text."""
    return _Sound(size=[int(size[0]), int(size[1])], counts=counts)


def sound(rle: Any) -> Rle:
    """One RLE from outside as `checked` gives it; what is wrong comes as a mere clause.

    For readers that count what they leave out.

    Raises:
        FormatError: For example "its run lengths do not add up to its size".
    """
    found = _examined([rle])[0]
    if isinstance(found, FormatError):
        raise found
    return found


def _examined(rles: Sequence[Any]) -> list[Rle | FormatError]:
    """The sound RLE, or what is wrong with it, for each."""
    found: list[Any] = []
    for rle in rles:
        try:
            found.append(_opened(rle))
        except FormatError as error:
            found.append(error)
    texts = [i for i, one in enumerate(found) if type(one) is tuple]
    for group in (texts[i : i + _GROUP] for i in range(0, len(texts), _GROUP)):
        runs, starts = _run_lengths([found[i][1] for i in group])
        pixels = np.array([height * width for (height, width), _ in (found[i] for i in group)])
        fits = _add_up(runs, starts, pixels)
        gaps = runs == 0  # inside a mask: legal, but pycocotools stumbles over them
        gaps[starts] = False
        gapped = np.logical_or.reduceat(gaps, starts)
        stops = np.append(starts[1:], len(runs))
        for k, i in enumerate(group):
            size, text = found[i]
            if not fits[k]:
                found[i] = FormatError(_NO_SUM)
            elif gapped[k]:
                found[i] = _of_runs(size, runs[starts[k] : stops[k]])
            else:
                found[i] = trusted(size, text.decode("ascii"))
    return found


def _opened(rle: Any) -> Rle | tuple[tuple[int, int], bytes]:
    """The size and the text, whose run lengths are still to be checked."""
    if type(rle) is _Sound:
        return rle
    if not isinstance(rle, Mapping):
        raise FormatError("it is no object with 'size' and 'counts'")
    size, counts = rle.get("size"), rle.get("counts")
    try:
        height, width = (int(side) if side == int(side) else 0 for side in size)  # type: ignore[union-attr]
    except (TypeError, ValueError, OverflowError):
        raise FormatError("its 'size' is not two numbers, height and width") from None
    if height < 1 or width < 1 or height * width > _MOST_PIXELS:
        raise FormatError(f"its 'size' is not one of 1 to {_MOST_PIXELS:,} pixels")
    text = counts.encode("utf-8", "surrogatepass") if isinstance(counts, str) else counts
    if isinstance(text, bytes):
        if text.translate(None, _CODES) or (text and text[-1] >= _LAST_CODE):
            raise FormatError("its 'counts' are not COCO's compressed text, or are cut short")
        if not text:
            raise FormatError(_NO_SUM)
        return (height, width), text
    try:
        runs = np.asarray(counts)
    except ValueError:  # lists of several lengths
        runs = np.zeros((0, 0))
    if runs.ndim != 1 or (len(runs) and runs.dtype.kind not in "iu"):
        raise FormatError("its 'counts' are neither COCO's compressed text nor whole numbers")
    runs = runs.astype(np.int64)
    if not len(runs) or not _add_up(runs, np.zeros(1, np.intp), np.array([height * width])):
        raise FormatError(_NO_SUM)
    return _of_runs((height, width), runs)


def _add_up(runs: np.ndarray, starts: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Whether the runs from each start on, none below zero, are that many pixels; boolean (N,)."""
    fits: np.ndarray = np.minimum.reduceat(runs, starts) >= 0
    fits &= np.maximum.reduceat(runs, starts) <= pixels  # so that no sum overflows
    return fits & (np.add.reduceat(runs, starts) == pixels)


def _run_lengths(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """COCO's compressed texts, none empty, as run lengths, each beginning with background.

    Groups of five bits, low ones first, a sixth bit where more follow; signed; from the fourth run
    on the difference to the run two before (rleFrString in cocoapi's maskApi.c).

    Returns:
        int64 (K,), the runs of all one after the other, and where those of each text begin (N,). A
        number that is too long for a picture comes as one below zero, or above every picture.
    """
    codes = np.frombuffer(b"".join(texts), np.uint8) - 48
    last = np.flatnonzero(codes < 32)
    first = np.concatenate([[0], last[:-1] + 1])
    length = last - first + 1
    values = (codes[first] & 31).astype(np.int64)
    for place in range(1, min(int(length.max()), _MOST_CODES)):
        longer = np.flatnonzero(length > place)
        values[longer] |= (codes[first[longer] + place] & 31).astype(np.int64) << 5 * place
    values[length > _MOST_CODES] = -(2**40)
    negative = ((codes[last] & 16) != 0) & (length <= _MOST_CODES)
    values[negative] -= np.int64(1) << (5 * length[negative])
    counts = np.searchsorted(last, np.cumsum([len(text) for text in texts]))
    starts = np.concatenate([[0], counts[:-1]])
    number = np.arange(len(values)) - np.repeat(starts, np.diff(counts, prepend=0))
    for parity in (1, 0):
        own = (number & 1 == parity) & (number > 0)
        sums = np.cumsum(np.where(own, values, 0))
        values = np.where(own, sums - np.repeat(sums[starts], np.diff(counts, prepend=0)), values)
    return values, starts


def _of_runs(size: tuple[int, int], runs: np.ndarray) -> Rle:
    """The RLE of run lengths that add up to the size."""
    counts = {"size": list(size), "counts": _merged(runs).tolist()}
    return trusted(size, coco.frPyObjects(counts, *size)["counts"].decode("ascii"))


def _merged(runs: np.ndarray) -> np.ndarray:
    """The same mask without runs of length zero, except perhaps the first."""
    kept = np.flatnonzero(runs)
    first = np.append(True, np.diff(kept % 2) != 0)  # background and mask in turn
    joined = np.add.reduceat(runs[kept], np.flatnonzero(first))
    return np.append(0, joined) if kept[0] % 2 else joined


def _to_bytes(rles: Iterable[Mapping[str, Any]]) -> list[Rle]:
    """Give pycocotools what it takes and can trust."""
    return [{"size": rle["size"], "counts": rle["counts"].encode("ascii")} for rle in checked(rles)]
