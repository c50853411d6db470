"""The cells into which the outlines of many masks cut a picture, found without painting any.

All pixels that lie in the same masks are one cell. Run lengths say where a mask begins and ends
along the columns of the picture, so a cell is a set of stretches, and the cost is that of the
outlines, not of the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from samlab import masks
from samlab.masks import Rle


@dataclass(frozen=True)
class Arrangement:
    """N masks of one picture as M cells.

    Attributes:
        image_size: (H, W).
        ends: int64 (S,), where each stretch of pixels ends, column by column; the next begins there
            and the last ends at H * W.
        cell: int64 (S,), 0 .. M - 1, the cell of each stretch.
        inside: bool sparse (N, M), which mask holds which cell.
        areas: int64 (M,), pixels.
    """

    image_size: tuple[int, int]
    ends: np.ndarray
    cell: np.ndarray
    inside: sparse.csr_matrix
    areas: np.ndarray

    def joined(self, regions: np.ndarray) -> list[Rle]:
        """One mask for each region 0 .. R - 1, the union of its cells; int64 (M,), -1 for none."""
        region = regions[self.cell]
        last = np.append(np.diff(region) != 0, True)
        region, ends = region[last], self.ends[last]
        starts = np.concatenate([[0], ends[:-1]])
        order = np.argsort(region, kind="stable")
        bounds = np.searchsorted(region[order], np.arange(regions.max(initial=-1) + 2))
        found = []
        for low, high in pairwise(bounds):
            own = order[low:high]
            found.append(masks.from_stretches(self.image_size, starts[own], ends[own]))
        return found


def arrange(rles: Sequence[Rle], image_size: tuple[int, int]) -> Arrangement:
    """Cut a picture into the cells of its masks, in the order of their first pixels."""
    turns = masks.turns(rles)  # on, off, on, off, ...
    pixels = image_size[0] * image_size[1]
    mask = np.repeat(np.arange(len(rles)), [len(t) for t in turns])
    at = np.concatenate([np.zeros(0, np.int64), *turns])
    # A random key for each mask, XORed in where it begins and out where it ends, so that stretches
    # with equal sums lie in the same masks (but for a chance of 2 ** -64 for each pair).
    keys = np.random.default_rng(0).integers(1, 2**63, len(rles)).astype(np.uint64)
    order = np.argsort(at, kind="stable")
    sums = np.bitwise_xor.accumulate(np.append(np.uint64(0), keys[mask[order]]))
    starts = np.append(0, at[order])
    lasting = np.append(np.diff(starts) > 0, starts[-1] < pixels)
    starts, sums = starts[lasting], sums[lasting]
    ends = np.append(starts[1:], pixels)
    _, first, cell = np.unique(sums, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    cell, first = rank[cell.ravel()], np.sort(first)
    areas = np.bincount(cell, ends - starts, len(first)).astype(np.int64)
    inside = sparse.csr_matrix((len(rles), len(first)), dtype=bool)
    if len(rles):
        found = [_between(t, starts[first]) for t in turns]
        lengths = np.cumsum([0, *map(len, found)])
        held = np.concatenate(found)
        inside = sparse.csr_matrix(
            (np.ones(len(held), bool), held, lengths), shape=(len(rles), len(first))
        )
    return Arrangement(image_size, ends, cell, inside, areas)


def _between(turns: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Indices of the ascending places at which a mask is on."""
    bounds = np.searchsorted(places, turns)
    lengths = bounds[1::2] - bounds[::2]
    skipped = np.repeat(bounds[::2] - np.cumsum(lengths) + lengths, lengths)
    return np.arange(lengths.sum()) + skipped
