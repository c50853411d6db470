"""Sets of superpixels to mask logits with smooth outlines.

A mask of stride-4 cells has stepped outlines. Blurring it with [1 2 1] / 4 in both directions puts
the zero level between the steps. The blurred mask is then multiplied by a gain that decides how
steep the logits are, and by that how large SAM's stability score is (the IoU of the masks at
logits +1 and -1): the score depends on the boundary evidence along the outline and not on size.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from samlab.sam.tiny.region_tree import Array

FIRM = 0.4
"""Boundary probability from which on an outline is as sharp as can be."""

LEAST = 0.2
"""Gain where there is no boundary at all, beside 1 on a firm one."""

DOUBT = 0.011
"""Share of a mask that lies between logits +1 and -1 where its outline is firm throughout.
Stability is about 1 - DOUBT * mean of 1 / gain along the outline: 0.989 to 0.945. Large masks are
steadier than that, since the doubt never reaches further than the blur."""

CERTAIN = 4.0
"""Least logit, in size, of cells away from the outline."""

SIGMA = 0.7071067811865476  # cells, of the kernel [1 2 1] / 4


def outline_gain(boundary: Array) -> Array:
    """(h, w) float32 in LEAST..1 from boundary probabilities: how firm an outline is there."""
    near = ndimage.maximum_filter(boundary, size=3, mode="nearest")
    gain: Array = np.clip(near / FIRM, LEAST, 1).astype(np.float32)
    return gain


def mask_logits(rows: Array, leaves: Array, gain: Array, grid: tuple[int, int]) -> Array:
    """(n, *grid) float32 logits of n sets of superpixels (n, S) bool.

    leaves (h, w): superpixel of each cell; gain (h, w). Beyond the valid part the last valid cells
    repeat, so that masks at the border keep their extent. An empty set is negative everywhere.
    """
    height, width = leaves.shape
    cells = np.pad(rows.astype(np.uint8)[:, leaves], ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = cells[:, :, :-2] + 2 * cells[:, :, 1:-1] + cells[:, :, 2:]
    blurred = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]  # 0..16
    inner = cells[:, 1:-1, 1:-1]
    outline = np.abs(np.diff(inner.astype(np.int8), axis=1)).sum((1, 2)) + np.abs(
        np.diff(inner.astype(np.int8), axis=2)
    ).sum((1, 2))
    area = np.maximum(inner.sum((1, 2), dtype=np.int64), 1)
    steep = SIGMA * np.sqrt(2 * np.pi) * outline / area / DOUBT
    logits = gain * steep.astype(np.float32)[:, None, None]
    away = (blurred == 0) | (blurred == 16)
    np.maximum(logits, CERTAIN, out=logits, where=away)
    logits *= blurred.astype(np.float32) * 0.125 - 1
    pad = ((0, 0), (0, grid[0] - height), (0, grid[1] - width))
    result: Array = np.pad(logits, pad, mode="edge")
    return result
