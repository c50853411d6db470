"""Holes and islands smaller than a given area: `remove_small_regions` without OpenCV."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def fill_holes(mask: np.ndarray, area: float) -> tuple[np.ndarray, bool]:
    """Set background regions (8-connected) of fewer than `area` pixels.

    Args:
        mask: bool (H, W).
        area: Pixels.

    Returns:
        The mask and whether it changed.

    Example:
        >>> ring = np.ones((3, 3), bool); ring[1, 1] = False
        >>> bool(fill_holes(ring, 2)[0].all())
        True
    """
    regions, sizes = _regions(~mask)
    small = np.flatnonzero(sizes < area) + 1
    if len(small) == 0:
        return mask, False
    return mask | _lookup(len(sizes), small)[regions], True


def drop_islands(mask: np.ndarray, area: float) -> tuple[np.ndarray, bool]:
    """Clear foreground regions (8-connected) of fewer than `area` pixels; the largest one stays.

    Takes and returns the same as `fill_holes`.
    """
    regions, sizes = _regions(mask)
    if not bool((sizes < area).any()):
        return mask, False
    large = np.flatnonzero(sizes >= area) + 1
    if len(large) == 0:
        large = np.array([int(np.argmax(sizes)) + 1])
    return _lookup(len(sizes), large)[regions], True


def _regions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels 0 to n of a mask, and the sizes of labels 1 to n."""
    regions, count = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    return regions, np.bincount(regions.ravel(), minlength=count + 1)[1:]


def _lookup(count: int, chosen: np.ndarray) -> np.ndarray:
    table = np.zeros(count + 1, bool)
    table[chosen] = True
    return table
