"""One pass over one mask on the CPU: from low-resolution logits to counts, box and runs.

The kernels walk the picture column by column, which is COCO's order of runs, and keep nothing
larger than a column. Their arithmetic is that of torch's bilinear `interpolate` in float32, down
to the fused multiply-add, so that a pixel that torch sets is set here. (For small results, of at
most 128 rows and columns together, torch has another kernel, which differs in the last bit.)
numba compiles them on first use (about two seconds, then from its cache); they release the
interpreter's lock.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from samlab.files import compiled

_ALL_SET = np.uint64(0x0101010101010101)
_NONE_SET = np.uint64(0)


def _multiply_add(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c in float32 with one rounding."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float32(types.float32, types.float32, types.float32), codegen


_fma: Any = intrinsic(_multiply_add)


@compiled()
def _lerp_at(source, low, high, weight_low, weight_high, start, stop, out):  # type: ignore[no-untyped-def]
    """out[i] = source between the indices low[i] and high[i], for start <= i < stop."""
    for i in range(start, stop):
        out[i] = _fma(source[low[i]], weight_low[i], source[high[i]] * weight_high[i])


@compiled()
def _lerp_fourfold(source, weight_low, weight_high, start, stop, out):  # type: ignore[no-untyped-def]
    """The same where four results lie between neighbours, as from 256 to 1024; no look-ups.

    `source` has one more value at its end; up to three values around the range are written too.
    """
    a0, a1, a2, a3 = weight_low[2], weight_low[3], weight_low[4], weight_low[5]
    b0, b1, b2, b3 = weight_high[2], weight_high[3], weight_high[4], weight_high[5]
    for i in range(start, min(stop, 2)):
        out[i] = source[0]
    for i in range(max(start - 2, 0) >> 2, ((stop + 1) >> 2)):
        a, b = source[i], source[i + 1]
        out[4 * i + 2] = _fma(a, a0, b * b0)
        out[4 * i + 3] = _fma(a, a1, b * b1)
        out[4 * i + 4] = _fma(a, a2, b * b2)
        out[4 * i + 5] = _fma(a, a3, b * b3)


@compiled()
def _lerp_columns(a, b, weight_a, weight_b, start, stop, out):  # type: ignore[no-untyped-def]
    for i in range(start, stop):
        out[i] = _fma(a[i], weight_a, b[i] * weight_b)


@compiled()
def _enlarged_column(low, xs, ys, fourfold, x, low_y0, low_y1, y0, y1, source, out):  # type: ignore[no-untyped-def]
    """Column x of the resized input, for y0 <= y < y1; `source` is scratch of one column of low."""
    xa, xb, wxa, wxb = xs
    ya, yb, wya, wyb = ys
    _lerp_columns(low[xa[x]], low[xb[x]], wxa[x], wxb[x], low_y0, low_y1, source)
    if fourfold:
        source[low.shape[1]] = source[low.shape[1] - 1]
        _lerp_fourfold(source, wya, wyb, y0, y1, out)
    else:
        _lerp_at(source, ya, yb, wya, wyb, y0, y1, out)


@compiled()
def _first_at_least(values, limit):  # type: ignore[no-untyped-def]
    i = 0
    while i < len(values) and values[i] < limit:
        i += 1
    return i


@compiled()
def _first_above(values, limit):  # type: ignore[no-untyped-def]
    i = 0
    while i < len(values) and values[i] <= limit:
        i += 1
    return i


@compiled()
def _extent(low, limit):  # type: ignore[no-untyped-def]
    """Half-open ranges of columns and rows of low (x, y) with a value above the limit."""
    columns, rows = low.shape
    x0, x1, y0, y1 = columns, 0, rows, 0
    for x in range(columns):
        first, last = rows, -1
        for y in range(rows):
            if low[x, y] > limit:
                last = y
                if first == rows:
                    first = y
        if last >= 0:
            x0, x1 = min(x0, x), x + 1
            y0, y1 = min(y0, first), max(y1, last + 1)
    return x0, x1, y0, y1


@compiled()
def _classify(values, below, level, above, bits, any_row):  # type: ignore[no-untyped-def]
    """Count values above each level; set bits, and any_row, where they are above the middle one."""
    n_below, n_level, n_above = np.int32(0), np.int32(0), np.int32(0)
    for i in range(len(values)):
        value = values[i]
        n_below += np.int32(1) if value > below else np.int32(0)
        n_level += np.int32(1) if value > level else np.int32(0)
        n_above += np.int32(1) if value > above else np.int32(0)
    if n_level > 0:
        for i in range(len(values)):
            bits[i] = np.uint8(1) if values[i] > level else np.uint8(0)
            any_row[i] |= bits[i]
    return n_below, n_level, n_above


@compiled()
def _room(positions, needed):  # type: ignore[no-untyped-def]
    """The same positions with room for at least so many."""
    if needed <= len(positions):
        return positions
    grown = np.empty(2 * needed, positions.dtype)
    grown[: len(positions)] = positions
    return grown


@compiled()
def _changes(bits, words, length, previous, start, positions, size):  # type: ignore[no-untyped-def]
    """Note where the bits of one column change; eight equal pixels are skipped at a time.

    Every pixel is written and only counted if it is a change, which costs less than guessing a
    branch wrong.
    """
    last = np.uint8(previous)
    for i in range((length + 7) // 8):
        if words[i] == (_ALL_SET if last else _NONE_SET):
            continue
        for j in range(8 * i, min(8 * i + 8, length)):
            bit = bits[j]
            positions[size] = start + j
            size += np.int64(bit ^ last)
            last = bit
    return size, last != 0


@compiled()
def trace(low, xs, ys, out_xs, out_ys, fourfold, resized, offset, full, levels):  # type: ignore[no-untyped-def]
    """Measure and encode one mask.

    Args:
        low: float32 (X, Y), the logits transposed.
        xs, ys: Interpolation tables (low index, high index, weights) to the resized input.
        out_xs, out_ys: Tables from there to the crop; unused unless `resized`.
        fourfold: Whether ys enlarges exactly four times.
        resized: Whether crop and resized input differ in size.
        offset: (x, y) of the crop in the picture; full: (height, width) of the picture.
        levels: float32 (low, mask, high) thresholds.

    Returns:
        counts int64 (3,) of crop pixels above each level; box int64 (4,) inclusive XYXY in the
        crop, zeros if empty; positions int64 (k,) in the column-major picture where it changes.
    """
    below, level, above = levels
    xa, xb, _, _ = xs
    ya, yb, _, _ = ys
    Xa, Xb, WXa, WXb = out_xs
    Ya, Yb, WYa, WYb = out_ys
    height, width = full
    counts = np.zeros(3, np.int64)
    box = np.zeros(4, np.int64)
    positions = np.empty(64, np.int64)
    size = 0

    # A weighted mean of values below a level may be above it by rounding alone.
    margin = np.float32(1e-5) * (np.float32(1) + abs(below))
    cx0, cx1, cy0, cy1 = _extent(low, below - margin)
    if cx1 == 0:
        return counts, box, positions[:0]
    # Columns and rows of the resized input, then of the crop, that these can reach.
    ux0, ux1 = _first_at_least(xb, cx0), _first_above(xa, cx1 - 1)
    uy0, uy1 = _first_at_least(yb, cy0), _first_above(ya, cy1 - 1)
    if ux0 >= ux1 or uy0 >= uy1:
        return counts, box, positions[:0]
    x0, x1, y0, y1 = ux0, ux1, uy0, uy1
    if resized:
        x0, x1 = _first_at_least(Xb, ux0), _first_above(Xa, ux1 - 1)
        y0, y1 = _first_at_least(Yb, uy0), _first_above(Ya, uy1 - 1)
        if x0 >= x1 or y0 >= y1:
            return counts, box, positions[:0]
        ux0, ux1 = int(Xa[x0]), int(Xb[x1 - 1]) + 1
        uy0, uy1 = int(Ya[y0]), int(Yb[y1 - 1]) + 1

    source = np.zeros(low.shape[1] + 1, np.float32)
    low_y0, low_y1 = int(ya[uy0]), int(yb[uy1 - 1]) + 1
    kept = np.empty((2, len(ya) + 6), np.float32)  # the two columns of the input last made
    kept_x = np.full(2, -1, np.int64)
    mixed = np.empty(len(ya), np.float32)
    column = np.empty(len(Ya) if resized else len(ya) + 6, np.float32)
    length = y1 - y0
    words = np.zeros((length + 7) // 8, np.uint64)
    bits = words.view(np.uint8)
    any_row = np.zeros(length, np.uint8)
    box[0] = -1
    previous = False

    for x in range(x0, x1):
        if resized:
            for side in range(2):
                want = int(Xa[x]) if side == 0 else int(Xb[x])
                slot = want & 1
                if kept_x[slot] != want:
                    _enlarged_column(
                        low, xs, ys, fourfold, want, low_y0, low_y1, uy0, uy1, source, kept[slot]
                    )
                    kept_x[slot] = want
            a, b = kept[int(Xa[x]) & 1], kept[int(Xb[x]) & 1]
            _lerp_columns(a, b, WXa[x], WXb[x], uy0, uy1, mixed)
            _lerp_at(mixed, Ya, Yb, WYa, WYb, y0, y1, column)
        else:
            _enlarged_column(low, xs, ys, fourfold, x, low_y0, low_y1, y0, y1, source, column)

        n_below, n_level, n_above = _classify(column[y0:y1], below, level, above, bits, any_row)
        counts[0] += n_below
        counts[1] += n_level
        counts[2] += n_above

        positions = _room(positions, size + length + 8)
        start = (x + offset[0]) * height + y0 + offset[1]
        if previous and y0 + offset[1] > 0:
            previous = False
            positions[size] = (x + offset[0]) * height
            size += 1
        if n_level > 0:
            if box[0] < 0:
                box[0] = x
            box[2] = x
            size, previous = _changes(bits, words, length, previous, start, positions, size)
        elif previous:
            previous = False
            positions[size] = start
            size += 1
        if previous and y1 + offset[1] < height:
            previous = False
            positions[size] = start + length
            size += 1
    end = (x1 + offset[0]) * height
    if previous and end < height * width:
        positions[size] = end
        size += 1

    if box[0] < 0:
        box[0] = 0
        return counts, box, positions[:0]
    first = 0
    while any_row[first] == 0:
        first += 1
    last = length - 1
    while any_row[last] == 0:
        last -= 1
    box[1], box[3] = y0 + first, y0 + last
    return counts, box, positions[:size].copy()


@compiled()
def compress(runs):  # type: ignore[no-untyped-def]
    """COCO's text form of run lengths (maskApi.c, rleToString): uint8 characters."""
    out = np.empty(8 * len(runs) + 8, np.uint8)
    size = 0
    for i in range(len(runs)):
        value = np.int64(runs[i])
        if i > 2:
            value -= np.int64(runs[i - 2])
        more = True
        while more:
            digit = value & 0x1F
            value >>= 5
            more = value != -1 if digit & 0x10 else value != 0
            if more:
                digit |= 0x20
            out[size] = digit + 48
            size += 1
    return out[:size].copy()
