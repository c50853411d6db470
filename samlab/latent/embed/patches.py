"""How much of each mask lies in each patch of the feature grid, for thousands of masks at once.

SAM scales a picture so that its longest side is 1,024 pixels, pads it to a square, and answers one
vector per 16 x 16 patch. A mask lives at the picture's own size, so a pixel may straddle patches.
Here masks stay run-length encoded from end to end: a run is a vertical stroke, and a stroke adds
two ramps to a column of patches, one where it begins and one where it ends. numba compiles the
loops on first use (about two seconds, then from its cache).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from samlab.files import compiled
from samlab.masks import Rle, compress

_ROUNDING = 1e-9
"""Coverage below this is what rounding leaves of a running sum; a pixel covers far more."""


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
    return _covered(rles, rows, columns, grid)


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
    shares = _covered(rles, rows, columns, grid)
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


def _covered(
    rles: Sequence[Rle], rows: np.ndarray, columns: np.ndarray, grid: tuple[int, int]
) -> sparse.csr_matrix:
    """Share of each patch inside each mask, pixel borders given in patch coordinates."""
    texts = [r["counts"] if isinstance(r["counts"], str) else compress(r)["counts"] for r in rles]
    codes = np.frombuffer("".join(texts).encode("ascii"), np.uint8)
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    starts, cells, shares = _all_masks(codes, ends, rows, columns, grid[0], grid[1])
    return sparse.csr_matrix((shares, cells, starts), shape=(len(rles), grid[0] * grid[1]))


@compiled()
def _all_masks(codes, ends, rows, columns, height, width):  # type: ignore[no-untyped-def]
    """Row starts (N + 1,), patch of each entry and its share: a sparse matrix by rows."""
    starts = np.zeros(len(ends) + 1, np.int32)
    cells = np.empty(1024, np.int32)
    shares = np.empty(1024, np.float64)
    slopes = np.zeros((height + 2, width))
    sums = np.empty(width)
    begin = used = 0
    for i in range(len(ends)):
        top, bottom, left, right = _add_mask(codes[begin : ends[i]], rows, columns, slopes)
        begin = ends[i]
        room = (bottom - top) * (right - left)
        while used + room > len(cells):
            cells = np.concatenate((cells, np.empty_like(cells)))
            shares = np.concatenate((shares, np.empty_like(shares)))
        sums[:] = 0.0
        for y in range(top, bottom):
            for x in range(left, right):
                sums[x] += slopes[y, x]
                if sums[x] > _ROUNDING and y < height:
                    cells[used], shares[used] = y * width + x, sums[x]
                    used += 1
        slopes[top:bottom, left:right] = 0.0
        starts[i + 1] = used
    return starts, cells[:used], shares[:used]


@compiled()
def _add_mask(codes, rows, columns, slopes):  # type: ignore[no-untyped-def]
    """Add one mask to `slopes`, whose running sum down each column is the coverage.

    Decodes COCO's text on the way (cocoapi, common/maskApi.c, rleFrString): a number takes one or
    more characters, each of which holds five bits and one for "goes on"; from the fourth run on it
    is the difference to the run before the last.

    Returns:
        The part of `slopes` that was touched: top, bottom, left, right, half-open.
    """
    pixels = len(rows) - 1
    top, bottom, left, right = slopes.shape[0], 0, slopes.shape[1], 0
    before = last = place = stop = number = 0
    while place < len(codes):
        value = shift = 0
        goes_on = True
        while goes_on:
            code = int(codes[place]) - 48
            value |= (code & 31) << shift
            goes_on = code & 32 != 0
            place += 1
            shift += 5
            if not goes_on and code & 16:
                value -= 1 << shift
        if number > 2:
            value += before
        before, last = last, value
        start, stop = stop, stop + value
        number += 1
        if number % 2 or start == stop:  # background
            continue
        for x in range(start // pixels, (stop - 1) // pixels + 1):
            u0 = rows[max(start - x * pixels, 0)]
            u1 = rows[min(stop - x * pixels, pixels)]
            c0 = min(int(columns[x]), slopes.shape[1] - 1)
            c1 = max(int(np.ceil(columns[x + 1])), c0 + 1)
            for c in range(c0, c1):  # a pixel column may straddle patches
                share = min(columns[x + 1], c + 1.0) - max(columns[x], float(c))
                _add_ramp(slopes, c, u0, share)
                _add_ramp(slopes, c, u1, -share)
            top, bottom = min(top, int(u0)), max(bottom, int(u1) + 2)
            left, right = min(left, c0), max(right, c1)
    return min(top, bottom), bottom, min(left, right), right


@compiled(inline="always")
def _add_ramp(slopes, column, border, share):  # type: ignore[no-untyped-def]
    """All patches of the column behind `border` gain `share`, the one that holds it a part."""
    cell = int(border)
    below = (border - cell) * share
    slopes[cell, column] += share - below
    slopes[cell + 1, column] += below
