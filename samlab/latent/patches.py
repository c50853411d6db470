"""How much of each mask lies in each patch of the feature grid, for thousands of masks at once.

SAM scales a picture so that its longest side is 1,024 pixels, pads it to a square, and answers one
vector per 16 x 16 patch. A mask lives at the picture's own size, so a pixel may straddle patches.
Here masks stay run-length encoded from end to end: a run is a vertical stroke, a stroke begins and
ends somewhere in a column of patches, and the coverage of all patches between is a cumulative sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from samlab.masks import Rle, compress

GROUP = 512
"""Masks decoded at once."""


def coverage(
    rles: Sequence[Rle],
    image_size: tuple[int, int],
    extent: tuple[float, float],
    grid: tuple[int, int],
) -> sparse.csr_matrix:
    """The part of every patch that each mask covers, pixels split exactly at patch borders.

    Equals `A_y M A_x^T` for each mask `M`, where `A_y[k, y]` is the share of patch row `k` that
    pixel row `y` fills.

    Args:
        rles: N masks of size `image_size`.
        image_size: (H, W) of the picture.
        extent: (height, width) of the picture in patches, padding excluded; for SAM
            `input_size / 16`.
        grid: (rows, columns) of the feature grid, padding included.

    Returns:
        float64 (N, rows * columns), row-major over the grid, each value in 0 .. 1. Patches that lie
        in the padding are 0.
    """
    rows = np.linspace(0.0, extent[0], image_size[0] + 1)
    columns = np.linspace(0.0, extent[1], image_size[1] + 1)
    return _accumulate(rles, rows, columns, grid)


def pixel_counts(
    rles: Sequence[Rle],
    image_size: tuple[int, int],
    extent: tuple[float, float],
    grid: tuple[int, int],
) -> sparse.csr_matrix:
    """How many pixels of each mask have their centre in each patch; arguments as in `coverage`.

    Returns:
        float64 with whole numbers, (N, rows * columns).
    """
    rows, per_row = _whole_pixels(image_size[0], extent[0], grid[0])
    columns, per_column = _whole_pixels(image_size[1], extent[1], grid[1])
    shares = _accumulate(rles, rows, columns, grid)
    pixels = np.outer(per_row, per_column).ravel()
    shares.data = np.rint(shares.data * pixels[shares.indices])
    shares.eliminate_zeros()
    return shares


def _whole_pixels(length: int, extent: float, patches: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel borders in patch coordinates if every pixel belonged to the patch of its centre.

    Returns:
        Borders (length + 1,), and the number of pixels per patch (patches,).
    """
    centres = (np.arange(length) + 0.5) * (extent / length)
    patch = np.minimum(centres.astype(np.int64), patches - 1)
    pixels = np.bincount(patch, minlength=patches)
    first = np.concatenate([[0], np.cumsum(pixels)])[patch]
    borders = patch + (np.arange(length) - first) / pixels[patch]
    return np.concatenate([borders, [patch[-1] + 1.0]]), pixels


def _accumulate(
    rles: Sequence[Rle], rows: np.ndarray, columns: np.ndarray, grid: tuple[int, int]
) -> sparse.csr_matrix:
    """`_covered` for groups of masks whose strokes fit a processor's cache."""
    groups = [rles[i : i + GROUP] for i in range(0, len(rles), GROUP)]
    parts = [_covered(group, rows, columns, grid) for group in groups]
    return sparse.vstack(parts, "csr") if parts else sparse.csr_matrix((0, grid[0] * grid[1]))


def _covered(
    rles: Sequence[Rle], rows: np.ndarray, columns: np.ndarray, grid: tuple[int, int]
) -> sparse.csr_matrix:
    """Share of each patch inside each mask, pixel borders given in patch coordinates.

    Only patches inside a mask's box are touched: they are laid out one mask after the other, one
    column of patches after the other. A stroke from u0 to u1 adds the slope of two ramps at its
    ends; the cumulative sum down the column turns slopes into coverage, and falls back to zero.
    """
    n, width = len(rles), grid[1]
    owner, x, y0, y1 = strokes(rles, len(rows) - 1)
    if len(owner) == 0:
        return sparse.csr_matrix((n, grid[0] * width))
    left, right = columns[:-1], columns[1:]
    first = np.minimum(left.astype(np.int64), width - 1)
    last = np.maximum(np.ceil(right).astype(np.int64) - 1, first)
    top, height, c0, cells = _boxes(owner, n, rows[y0], rows[y1], first[x], last[x])
    offset = np.concatenate([[0], np.cumsum(cells)])

    repeats = (last - first + 1)[x]
    column = first[x]
    if repeats.max() > 1:  # pixel columns that straddle patches count in each of them
        which = np.repeat(np.arange(len(x)), repeats)
        step = np.arange(len(which)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        owner, x, y0, y1, column = owner[which], x[which], y0[which], y1[which], column[which]
        column = column + step
        share = np.minimum(right[x], column + 1) - np.maximum(left[x], column)
    else:
        share = (right - left)[x]
    base = offset[owner] + (column - c0[owner]) * height[owner] - top[owner]

    slopes = np.zeros(offset[-1])
    for border, sign in ((rows[y0], 1.0), (rows[y1], -1.0)):
        cell = border.astype(np.int64)
        below = (border - cell) * (sign * share)
        at = base + cell
        slopes += np.bincount(at, sign * share - below, minlength=len(slopes))
        slopes += np.bincount(at + 1, below, minlength=len(slopes))
    covered = np.cumsum(slopes)

    kept = np.flatnonzero(covered > 1e-9)  # what is left of the running sum is rounding, 1e-13
    mask = np.searchsorted(offset, kept, side="right") - 1
    local = kept - offset[mask]
    across = local // height[mask]
    down = local - across * height[mask]
    cell = (down + top[mask]) * width + across + c0[mask]
    starts = np.searchsorted(kept, offset)
    return sparse.csr_matrix((covered[kept], cell, starts), shape=(n, grid[0] * width))


def _boxes(
    owner: np.ndarray, n: int, u0: np.ndarray, u1: np.ndarray, c0: np.ndarray, c1: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Top patch, height (two spare cells below), left patch and number of cells of each mask."""
    begin = np.searchsorted(owner, np.arange(n))
    has = np.bincount(owner, minlength=n) > 0
    at = begin[has]
    top, bottom, left, right = (np.zeros(n, np.int64) for _ in range(4))
    top[has] = np.minimum.reduceat(u0, at).astype(np.int64)
    bottom[has] = np.maximum.reduceat(u1, at).astype(np.int64)
    left[has] = np.minimum.reduceat(c0, at)
    right[has] = np.maximum.reduceat(c1, at)
    height = bottom - top + 2
    return top, height, left, np.where(has, height * (right - left + 1), 0)


def strokes(
    rles: Sequence[Rle], height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertical strokes of all masks: (mask, column, first row, row behind the last), int64 (S,)."""
    owner, start, stop = _runs(rles)
    x = start // height
    columns = (stop - 1) // height - x + 1
    if len(columns) and columns.max() > 1:  # runs that go on at the top of the next column
        which = np.repeat(np.arange(len(x)), columns)
        step = np.arange(len(which)) - np.repeat(np.cumsum(columns) - columns, columns)
        owner, start, stop = owner[which], start[which], stop[which]
        x = x[which] + step
    y0 = np.maximum(start - x * height, 0)
    y1 = np.minimum(stop - x * height, height)
    return owner, x, y0, y1


def _runs(rles: Sequence[Rle]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Foreground runs of all masks as (mask, start, stop) in column-major pixel numbers.

    Decodes COCO's text for all masks together (cocoapi, common/maskApi.c, rleFrString): a number
    takes one or more characters, each of which holds five bits and one for "goes on"; from the
    fourth run on it is the difference to the run before the last.

    int32 is enough and half as much to move: sums over all masks may wrap around, their differences
    within one mask do not.
    """
    texts = [r["counts"] if isinstance(r["counts"], str) else compress(r)["counts"] for r in rles]
    codes = np.frombuffer("".join(texts).encode("ascii"), np.uint8) - np.uint8(48)
    if len(codes) == 0:
        return (np.zeros(0, np.int64),) * 3
    sizes = np.cumsum([len(text) for text in texts])
    goes_on = codes & 32
    ends = np.flatnonzero(goes_on == 0)
    begins = np.concatenate([[0], ends[:-1] + 1])
    sign = (codes[ends] & 16).astype(np.int32) << 1
    value = (codes[begins] & 31) - sign  # right for the many numbers of one character
    longer = np.flatnonzero(goes_on[begins])
    digits = ends[longer] - begins[longer] + 1
    value[longer] += sign[longer] - (sign[longer] >> 5 << 5 * digits).astype(np.int32)
    place = 1
    while len(longer):
        at = begins[longer] + place
        value[longer] |= (codes[at] & 31).astype(np.int32) << (5 * place)
        longer, place = longer[goes_on[at] > 0], place + 1

    # Pairs (background, foreground), every mask padded to whole pairs: differences to the run
    # before the last are differences between rows.
    number = np.searchsorted(ends, sizes, side="left")  # runs up to the end of each mask
    runs = np.diff(number, prepend=0)
    rows = (runs + 1) // 2
    last = np.cumsum(rows) - 1
    first, odd = last + 1 - rows, last[runs % 2 == 1]
    filled = np.ones((last[-1] + 1, 2), bool)
    filled[odd, 1] = False
    pairs = np.zeros(filled.shape, np.int32)
    pairs[filled] = value
    pairs[(first + 1)[rows > 1], 0] -= pairs[first[rows > 1], 0]  # the third run is no difference
    totals = np.add.reduceat(pairs, first, axis=0, dtype=np.int32)
    pairs[first[1:]] -= totals[:-1]  # each mask begins anew
    lengths = np.cumsum(pairs, axis=0, dtype=np.int32)
    lengths[odd, 1] = 0

    stop = np.cumsum(lengths[:, 0] + lengths[:, 1], dtype=np.int32)
    before = np.concatenate([[0], stop[last[:-1]]]).astype(np.int32)
    kept = np.flatnonzero(lengths[:, 1] > 0)
    owner = np.repeat(np.arange(len(rles)), rows)[kept]
    behind = (stop[kept] - before[owner]).astype(np.int64)
    return owner, behind - lengths[kept, 1], behind
