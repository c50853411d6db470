"""Masks to polygons and back, without loss where a format allows it.

Two conventions are in use. COCO's polygons run along the edges of pixels: (0, 0) is the picture's
corner, and pycocotools fills what lies between. YOLO's readers go through OpenCV, which fills a
polygon and its outline: there the polygon runs through the centres of the outermost pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.draw import line
from skimage.measure import approximate_polygon

from samlab import masks
from samlab.errors import InputError
from samlab.masks import Rle

_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])  # east, south, west, north; y points down
_AROUND = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Ring:
    """One closed line around a mask, the last point joined to the first.

    Attributes:
        edge: int64 (K, 2), x and y of the corners where the line along pixel edges turns.
        pixels: int64 (L, 2), x and y of the mask's pixels along it, where their row turns.
        part: Which 8-connected part of the mask it belongs to.
        hole: Whether it goes around a hole.
    """

    edge: np.ndarray
    pixels: np.ndarray
    part: int
    hole: bool


def rings(mask: np.ndarray) -> list[Ring]:
    """The lines around a mask: one per 8-connected part and one per hole.

    Args:
        mask: Boolean (H, W).

    Returns:
        Rings ordered by part, the outer one first. None for an empty mask.

    Example:
        >>> rings(np.eye(2, dtype=bool))[0].edge.tolist()
        [[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [1, 2], [1, 1], [0, 1]]
    """
    mask = np.asarray(mask, bool)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return []
    corner = np.array([columns[0], rows[0]])
    inner = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    starts, directions, inside = _edges(inner)
    following = _successors(starts, directions, (inner.shape[0] + 1, inner.shape[1] + 1))
    parts = ndimage.label(inner, _AROUND)[0]
    found = []
    for order in _cycles(following):
        turn = directions[order] != np.roll(directions[order], 1)
        edge = starts[order][turn]
        chain = _turns(inside[order])
        x, y = inside[order[0]]
        found.append(
            Ring(edge - 1 + corner, chain - 1 + corner, int(parts[y, x]), _twice_area(edge) < 0)
        )
    return sorted(found, key=lambda ring: (ring.part, ring.hole))


def _edges(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges between mask and background, the mask on their right: start, direction, pixel."""
    neighbours = (  # of a pixel: is the one above, right, below, left outside?
        mask[1:-1, 1:-1] & ~mask[:-2, 1:-1],
        mask[1:-1, 1:-1] & ~mask[1:-1, 2:],
        mask[1:-1, 1:-1] & ~mask[2:, 1:-1],
        mask[1:-1, 1:-1] & ~mask[1:-1, :-2],
    )
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))
    starts, directions, pixels = [], [], []
    for direction, (open_side, corner) in enumerate(zip(neighbours, corners, strict=True)):
        y, x = np.nonzero(open_side)
        pixel = np.stack([x, y], axis=1) + 1
        pixels.append(pixel)
        starts.append(pixel + corner)
        directions.append(np.full(len(pixel), direction))
    return np.concatenate(starts), np.concatenate(directions), np.concatenate(pixels)


def _successors(starts: np.ndarray, directions: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """For each edge the one that goes on where it ends.

    Where two pixels touch at a corner only, the line turns left, to the other pixel: so both are in
    one ring.
    """
    at = np.full((4, size[0] * size[1]), -1, np.int64)
    at[directions, starts[:, 1] * size[1] + starts[:, 0]] = np.arange(len(starts))
    ends = starts + _STEPS[directions]
    end = ends[:, 1] * size[1] + ends[:, 0]
    left, straight, right = (at[(directions + turn) % 4, end] for turn in (-1, 0, 1))
    return np.where(left >= 0, left, np.where(straight >= 0, straight, right))


def _cycles(following: np.ndarray) -> list[np.ndarray]:
    steps, seen = following.tolist(), bytearray(len(following))
    found = []
    for first in range(len(steps)):
        if seen[first]:
            continue
        order, i = [], first
        while not seen[i]:
            seen[i] = 1
            order.append(i)
            i = steps[i]
        found.append(np.array(order))
    return found


def _turns(pixels: np.ndarray) -> np.ndarray:
    """A closed row of pixels without repetitions and without those on a straight line."""
    own = (pixels != np.roll(pixels, 1, axis=0)).any(1)
    pixels = pixels[own] if own.any() else pixels[:1]
    step = np.roll(pixels, -1, axis=0) - pixels
    kept = (step != np.roll(step, 1, axis=0)).any(1)
    return pixels[kept] if kept.any() else pixels


def _twice_area(ring: np.ndarray) -> int:
    x, y = ring.T
    return int(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def check_tolerance(tolerance: float) -> None:
    """Raise InputError unless it is a distance in pixels."""
    if not 0 <= tolerance < np.inf:
        raise InputError(f"Expected a tolerance of 0 pixels or more, got {tolerance}.")


def simplify(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """A closed ring (K, 2) with fewer points, none of the old ones farther than `tolerance` pixels.

    Douglas and Peucker's method. A ring that would lose its area stays as it is.
    """
    if tolerance <= 0 or len(ring) < 5:
        return ring
    fewer = approximate_polygon(np.concatenate([ring, ring[:1]]), tolerance)[:-1]
    return fewer if len(fewer) >= 3 and _twice_area(fewer) else ring


def join_lines(lines: Sequence[np.ndarray]) -> np.ndarray:
    """One closed line through several, over bridges of no width between their nearest points.

    Filled by the even-odd rule it covers what the lines cover together: a hole stays a hole.

    Args:
        lines: Closed rings (K, 2), at least one.

    Returns:
        (M, 2), of the rings' dtype.
    """
    points = np.concatenate(list(lines))
    if len(lines) == 1:
        return points
    ends = np.cumsum([len(one) for one in lines])
    begins = ends - [len(one) for one in lines]
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = begins
    step, owner = following.tolist(), np.repeat(np.arange(len(lines)), ends - begins)
    node = list(range(len(points)))  # which point a node of the line stands for
    nearest = np.full(len(points), np.inf)  # from each point to the line so far
    partner = np.zeros(len(points), np.int64)
    waiting, added = np.ones(len(lines), bool), 0
    for _ in range(len(lines) - 1):
        waiting[added] = False
        nearest[owner == added] = np.inf
        rest = np.flatnonzero(waiting[owner])
        own = slice(begins[added], ends[added])
        distance, index = cKDTree(points[own]).query(points[rest])
        closer = distance < nearest[rest]
        nearest[rest[closer]] = distance[closer]
        partner[rest[closer]] = index[closer] + begins[added]
        b = int(rest[np.argmin(nearest[rest])])
        a = int(partner[b])
        # a -> copy of b, around the ring to b, -> copy of a, and on.
        node += [b, a]
        step += [step[b], step[a]]
        step[a], step[b] = len(node) - 2, len(node) - 1
        added = int(owner[b])
    order, i = [], 0
    for _ in range(len(node)):
        order.append(node[i])
        i = step[i]
    return points[order]


def edge_polygons(mask: np.ndarray, tolerance: float = 0.0) -> list[np.ndarray]:
    """COCO's polygons of a mask: one per part, its holes joined to it by bridges of no width.

    Returns:
        (K, 2) each, x and y along pixel edges. With `tolerance` 0 pycocotools gives back the very
        mask; readers that paint with OpenCV draw the bridges as lines and one pixel too much at the
        right and at the bottom.
    """
    by_part: dict[int, list[np.ndarray]] = {}
    for ring in rings(mask):
        by_part.setdefault(ring.part, []).append(simplify(ring.edge, tolerance))
    return [join_lines(lines) for lines in by_part.values()]


def pixel_polygon(mask: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """A mask as the one polygon that YOLO has room for: parts and holes joined by bridges.

    Returns:
        (K, 2), x and y of pixels, K at least 3 unless the mask is empty. Painted by OpenCV it gives
        back the mask, with a line of one pixel where a bridge leaves the mask.
    """
    lines = [simplify(ring.pixels, tolerance) for ring in rings(mask)]
    if not lines:
        return np.zeros((0, 2), np.int64)
    polygon = join_lines(lines)
    return np.concatenate([polygon] * (3 if len(polygon) < 3 else 1))[: max(3, len(polygon))]


def fill_edges(polygons: Sequence[np.ndarray], size: tuple[int, int]) -> Rle:
    """The mask of COCO's polygons as pycocotools paints them, RLE of (H, W)."""
    from pycocotools import mask as coco

    flat = [np.asarray(polygon, np.float64).ravel().tolist() for polygon in polygons]
    return masks.compress(coco.merge(coco.frPyObjects(flat, *size)))


def fill_pixels(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask of a polygon through pixels, inside and outline: the pixels of `cv2.fillPoly`.

    Returns:
        Boolean (H, W).
    """
    points = np.asarray(polygon, np.int64)
    if len(points) == 0:
        return np.zeros(size, bool)
    out = masks.decode(fill_edges([points + 0.5], size))
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        # From right to left, which rounds as OpenCV does.
        out[line(y0, x0, y1, x1) if x0 > x1 else line(y1, x1, y0, x0)] = True
    return out
