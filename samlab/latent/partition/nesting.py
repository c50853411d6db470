"""Which segment lies in which."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from samlab.latent.partition.arrangement import arrange
from samlab.segments import Segments

INSIDE = 0.9
"""A segment lies in another if that holds so much of it, and is larger by as much."""


def parents(segments: Segments) -> np.ndarray:
    """The smallest segment that holds each segment, int64 (N,); -1 where none does.

    Of segments of several pictures each looks in its own. One holds another if at least 90 % of it
    lie inside and it is no more than 90 % as large.

    Example:
        >>> from samlab import masks
        >>> nested = np.stack([np.ones((4, 4), bool), np.eye(4, dtype=bool)])
        >>> parents(Segments(masks.encode(nested))).tolist()
        [-1, 0]
    """
    found = np.full(len(segments), -1, np.int64)
    pictures = np.asarray(segments.image_ids)
    for name in dict.fromkeys(pictures.tolist()):
        ids = np.flatnonzero(pictures == name)
        own = segments[ids]
        areas = np.asarray(own.areas)
        cells = arrange(own.rles, own.image_size)
        inside = cells.inside.astype(np.int64).tocsr()
        shared = (inside.multiply(cells.areas[None]).tocsr() @ inside.T).tocoo()
        small, large = areas[shared.row], areas[shared.col]
        holds = (shared.data >= INSIDE * small) & (small <= INSIDE * large) & (small > 0)
        row, column = shared.row[holds], shared.col[holds]
        order = np.lexsort((-column, -areas[column]))  # the smallest is written last
        found[ids[row[order]]] = ids[column[order]]
    return found


def with_parents(segments: Segments) -> Segments:
    """The same segments with the column `parent`."""
    return replace(segments, parent=parents(segments))
