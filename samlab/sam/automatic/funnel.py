"""Where the candidates of automatic mask generation are lost: the filters, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samlab.errors.arguments import checked_arguments
from samlab.sam.automatic.proposals import Candidates, Proposals


@dataclass(frozen=True, eq=False)
class Funnel:
    """The candidates of one picture after each filter.

    Attributes:
        stages: Names of the filters in the order in which SAM applies them, "asked for" first.
        ids: Per stage, int64, the numbers (`Candidates.ids`) of the candidates that are left.
        thresholds: pred_iou_thresh, stability_score_thresh, box_nms_thresh.
    """

    stages: tuple[str, ...]
    ids: tuple[np.ndarray, ...]
    thresholds: tuple[float, float, float]

    @property
    def counts(self) -> dict[str, int]:
        """How many are left after each filter."""
        return {name: len(ids) for name, ids in zip(self.stages, self.ids, strict=True)}


@checked_arguments
def filter_funnel(
    proposals: Proposals,
    pred_iou_thresh: float | None = None,
    stability_score_thresh: float | None = None,
    box_nms_thresh: float | None = None,
) -> Funnel:
    """Count what the filters of `Proposals.select` leave, one after the other.

    Args:
        proposals: From `MaskGenerator.propose`; with floors of 0 they hold every candidate.
        pred_iou_thresh, stability_score_thresh, box_nms_thresh: As for `select`.
    """
    given = (pred_iou_thresh, stability_score_thresh, box_nms_thresh)
    names = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh")
    iou, stability, nms = (
        float(proposals.defaults[name] if value is None else value)
        for name, value in zip(names, given, strict=True)
    )
    everything = proposals.candidates
    by_iou = everything.above(iou, 0.0)
    by_both = by_iou.above(0.0, stability)
    single = by_both.without_duplicates(nms).without_crop_duplicates(
        float(proposals.defaults["crop_nms_thresh"])
    )
    return Funnel(
        ("asked for", "predicted IoU", "stability", "no duplicates"),
        tuple(part.ids for part in (everything, by_iou, by_both, single)),
        (iou, stability, nms),
    )


@checked_arguments
def suppressed_by(proposals: Proposals, funnel: Funnel) -> np.ndarray:
    """For every candidate that passed the scores, the kept one that stands for it.

    Returns:
        int64 (n, 2): id of the candidate, id of the kept one whose box overlaps it most (itself for
        kept ones).
    """
    passed, kept = funnel.ids[-2], funnel.ids[-1]
    if len(passed) == 0:
        return np.zeros((0, 2), np.int64)
    overlap = box_iou(_boxes(proposals.candidates, passed), _boxes(proposals.candidates, kept))
    overlap[passed[:, None] == kept[None]] = 2  # a kept one stands for itself
    result: np.ndarray = np.stack([passed, kept[overlap.argmax(axis=1)]], axis=1)
    return result


def _boxes(candidates: Candidates, ids: np.ndarray) -> np.ndarray:
    rows = np.searchsorted(candidates.ids, ids)
    return candidates.boxes[rows].astype(np.float64)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes XYXY, (n, 4) and (m, 4) -> float64 (n, m); empty boxes have 0.

    Example:
        >>> box_iou(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 3, 2.0]])).round(3).tolist()
        [[0.333]]
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(x[:, 2:] - x[:, :2], 0, None).prod(axis=1) for x in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    result: np.ndarray = shared / np.where(union > 0, union, 1)
    return result
