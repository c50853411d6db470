"""How good are masks, beside what people outlined? Measures on one picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt

SMALLEST_CLICKED = 0.005  # share of the picture
COVERED = 0.5  # share of a mask that may be covered before it is left out of a partition


def overlaps(masks: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """IoU of each of N masks `(N, H, W)` with each of the K labels 0..K-1: (N, K)."""
    count = int(labels.max()) + 1
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count)
    found = np.zeros((len(masks), count))
    for row, mask in zip(found, masks, strict=True):
        inside = np.bincount(flat[mask.ravel()], minlength=count)
        row[:] = inside / (sizes + inside.sum() - inside)
    return found


def covering(best: np.ndarray, labels: np.ndarray) -> float:
    """Mean of each label's best IoU, weighted by area."""
    sizes = np.bincount(labels.ravel(), minlength=len(best))
    return float((best * sizes).sum() / sizes.sum())


def measure(
    masks: np.ndarray, truths: Iterable[np.ndarray], scores: np.ndarray | None = None
) -> dict[str, float]:
    """One picture's masks beside several people's label maps.

    precision: share of the masks that match any segment of anybody; recall: share of all people's
    segments that some mask matches; scores: for the order of the partition, if it is wanted.
    """
    truths = list(truths)
    ious = [overlaps(masks, labels) for labels in truths]
    best = [iou.max(0, initial=0) for iou in ious]
    every = np.concatenate(best)
    right = np.concatenate(ious, axis=1).max(1, initial=0) >= 0.5
    figures = {
        "precision@0.5": float(right.mean()) if len(masks) else 0.0,
        "recall@0.5": float((every >= 0.5).mean()),
        "recall@0.75": float((every >= 0.75).mean()),
        "covering": float(np.mean([covering(b, t) for b, t in zip(best, truths, strict=True)])),
        "masks": float(len(masks)),
    }
    if scores is not None and len(masks):
        parts = greedy_partition(masks, scores)
        pieces = np.stack([parts == value for value in range(int(parts.max()) + 1)])
        found = [covering(overlaps(pieces, t).max(0), t) for t in truths]
        figures |= {"partition covering": float(np.mean(found)), "regions": float(len(pieces))}
    return figures


def greedy_partition(masks: np.ndarray, scores: Sequence[float] | np.ndarray) -> np.ndarray:
    """Labels (H, W) from masks: by score rounded to .01, larger first among equals, each kept if at
    most half of it is covered already; painted in reverse, the rest goes to the nearest."""
    areas = masks.sum((1, 2))
    order = np.lexsort((-areas, -np.round(np.asarray(scores), 2)))
    covered, kept = np.zeros(masks.shape[1:], bool), []
    for k in order.tolist():
        if (masks[k] & covered).sum() <= COVERED * areas[k]:
            kept.append(k)
            covered |= masks[k]
    labels = np.full(masks.shape[1:], -1)
    for place in range(len(kept) - 1, -1, -1):
        labels[masks[kept[place]]] = place
    nearest = distance_transform_edt(labels < 0, return_distances=False, return_indices=True)
    return np.unique(labels[tuple(nearest)], return_inverse=True)[1].reshape(labels.shape)


def found_things(masks: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Things (labels 1 and up; 0 is background) beside masks, a match being an IoU of 0.5."""
    things = int(labels.max())
    iou = overlaps(masks, labels)[:, 1:]
    return {
        "found": float((iou.max(0, initial=0) >= 0.5).sum()),
        "right": float((iou.max(1, initial=0) >= 0.5).sum()),
        "masks": float(len(masks)),
        "things": float(things),
    }


def innermost_points(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each label over 0.5 % of the picture the innermost point, (n, 2) as (x, y), and its id."""
    points, ids = [], []
    for label in range(int(labels.max()) + 1):
        mask = labels == label
        if mask.sum() < SMALLEST_CLICKED * mask.size:
            continue
        depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), mask.shape)
        points.append((x, y))
        ids.append(label)
    return np.array(points, float).reshape(-1, 2), np.array(ids, int)
