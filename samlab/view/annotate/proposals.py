"""Masks that the model proposes, and how sure it is of each: what to ask a person, and what not.

The three stages of SAM's data engine (Segment Anything, section 4): people draw with the model's
help; the model fills in what it is sure of and people do the rest; the model does everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from samlab import masks
from samlab.latent.classification import wholes_of
from samlab.pipeline.segmenter import Segmenter
from samlab.segments import Segments
from samlab.view.annotate.state import Mask, pack_vector

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from samlab.sam.fast import ImageEmbedding


class Bank(Protocol):
    """What is needed of a memory bank."""

    class_names: tuple[str, ...]

    def classify(self, source: Any, **options: Any) -> Any:
        """See `samlab.MemoryBank.classify`."""


@dataclass(frozen=True)
class Limits:
    """When a mask is taken, asked about, or left alone.

    Attributes:
        pred_iou_thresh, stability_score_thresh: What SAM's mask generator takes as good enough;
            None for what the model's makers set.
        sure_above: Masks at least this sure are taken without asking.
        most_questions: No more questions than this for one picture.
        parts: With a bank, also propose what lies inside a larger mask of the same class. SAM gives
            a thing and its parts; a data set mostly wants the thing.
    """

    pred_iou_thresh: float | None = None
    stability_score_thresh: float = 0.95
    sure_above: float = 0.7
    most_questions: int = 20
    parts: bool = False

    def least_iou(self, sam: Any = None) -> float:
        """`pred_iou_thresh`, or where there is none that of a model, by default SAM."""
        if self.pred_iou_thresh is not None:
            return self.pred_iou_thresh
        from samlab.sam.automatic import default_pred_iou_thresh

        return default_pred_iou_thresh(sam)


# How far past its threshold a score must be for a mask to be 73 % sure: the logistic function's
# unit. Chosen, not measured.
_IOU_UNIT, _STABILITY_UNIT = 0.04, 0.02


def mask_sureness(segments: Segments, limits: Limits | None = None) -> np.ndarray:
    """How sure a mask is to be a good one, float64 (N,), 0.5 right at the generator's thresholds.

    The logistic function of the worse of the two scores' distances to their thresholds: an order
    with a sensible middle, not a calibrated probability. Unknown scores count as at the threshold.

    Example:
        >>> one = Segments([{"size": [1, 1], "counts": "01"}], predicted_iou=np.array([0.88]))
        >>> mask_sureness(one).round(3).tolist()
        [0.5]
    """
    limits = limits or Limits()
    iou, stability = segments.predicted_iou, segments.stability_score
    past_iou = (iou.astype(np.float64) - limits.least_iou()) / _IOU_UNIT
    past_stability = (stability.astype(np.float64) - limits.stability_score_thresh) / (
        _STABILITY_UNIT
    )
    worse = np.minimum(np.nan_to_num(past_iou), np.nan_to_num(past_stability))
    return 1 / (1 + np.exp(-np.clip(worse, -50, 50)))


def class_sureness(scores: np.ndarray) -> np.ndarray:
    """From votes (N, C) to how sure the best class is: its share of the best two, float64 (N,)."""
    if scores.shape[1] < 2:
        return np.ones(len(scores))
    two = np.sort(np.asarray(scores, np.float64), axis=1)[:, -2:]
    return two[:, 1] / np.maximum(two.sum(axis=1), 1e-12)


def sort_out(sure: np.ndarray, limits: Limits) -> tuple[np.ndarray, np.ndarray]:
    """Which masks are taken, and which are asked about, the most uncertain first.

    Args:
        sure: float (N,), 0 to 1.
        limits: See `Limits`.

    Returns:
        Ids of those taken, the surest first, and of those asked, nearest to 0.5 first. What is as
        sure to be wrong as others are to be right is in neither.

    Example:
        >>> taken, asked = sort_out(np.array([0.9, 0.55, 0.4, 0.1]), Limits())
        >>> taken.tolist(), asked.tolist()
        ([0], [1, 2])
    """
    order = np.argsort(-sure, kind="stable")
    taken = order[sure[order] >= limits.sure_above]
    open_ones = np.flatnonzero((sure < limits.sure_above) & (sure > 1 - limits.sure_above))
    nearest = open_ones[np.argsort(np.abs(sure[open_ones] - 0.5), kind="stable")]
    return taken, nearest[: limits.most_questions]


def found_masks(
    pixels: np.ndarray,
    sam: Sam,
    features: ImageEmbedding,
    limits: Limits,
    *,
    bank: Bank | None = None,
    ask: bool = True,
    known: Sequence[Mask] = (),
) -> tuple[list[Mask], tuple[str, ...]]:
    """What the model finds in a picture, sorted out.

    Args:
        pixels: uint8 RGB (H, W, 3).
        sam, features: The model, and the picture encoded by it.
        limits: See `Limits`.
        bank: Gives each mask its class; background and unknown ones are left out where nobody is
            asked.
        ask: Also return what is uncertain, in the state "asked". False keeps all that pass SAM's
            own thresholds.
        known: Masks that are there already; what overlaps one of them by half is not proposed.

    Returns:
        The masks, labels being indices into the names that come with them (the bank's classes).
    """
    # Far enough below the thresholds that everything worth a question is among the candidates.
    slack = 3.0 if ask else 0.0
    limits = replace(limits, pred_iou_thresh=limits.least_iou(sam))
    segmenter = Segmenter(
        sam,
        pred_iou_thresh=max(0.0, limits.least_iou() - slack * _IOU_UNIT),
        stability_score_thresh=max(0.0, limits.stability_score_thresh - slack * _STABILITY_UNIT),
    )
    segments = segmenter.from_features(pixels, features)
    segments = segments[new_ones(segments.rles, [mask.rle for mask in known])]
    sure = mask_sureness(segments, limits)
    labels, names = np.full(len(segments), -1), ()
    if bank is not None and len(segments):
        answer = bank.classify(segments)
        votes = bank.classify(segments, method="softmax").scores
        names = tuple(answer.class_names)
        background = np.isin(answer.best, answer.background)
        labels = answer.labels
        sure = np.minimum(sure, class_sureness(votes))
        keep = ~background if ask else labels >= 0
        if not limits.parts:
            keep &= ~_inside_its_own(segments, np.asarray(answer.best), keep)
        segments, labels, sure = segments[keep], labels[keep], sure[keep]
    if not ask:
        return [
            _mask(segments, i, int(labels[i]), float(sure[i]), "automatic", "kept")
            for i in range(len(segments))
        ], names
    taken, asked = sort_out(sure, limits)
    chosen = [(int(i), "kept") for i in taken] + [(int(i), "asked") for i in asked]
    return [
        _mask(segments, i, int(labels[i]), float(sure[i]), "proposal", state) for i, state in chosen
    ], names


def new_ones(rles: Sequence[Any], known: Sequence[Any]) -> np.ndarray:
    """Which masks overlap none that is there already by half, bool (N,)."""
    if not len(known) or not len(rles):
        return np.ones(len(rles), bool)
    fresh: np.ndarray = masks.iou(rles, known).max(axis=1) < 0.5
    return fresh


def text_masks(found: Segments, classes: Sequence[str]) -> list[Mask]:
    """What words named, kept under these words: `found` of `segment_text`, with vectors."""
    return [
        _mask(
            found, i, classes.index(found.class_names[int(found.labels[i])]),
            float(found.predicted_iou[i]), "text", "kept",
        )
        for i in range(len(found))
    ]  # fmt: skip


def _inside_its_own(segments: Segments, best: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Which masks lie inside a larger one of the same class, bool (N,)."""
    return np.array(
        [
            any(among[whole] and best[whole] == best[part] for whole in wholes)
            for part, wholes in enumerate(wholes_of(segments))
        ],
        bool,
    )


def _mask(segments: Segments, i: int, label: int, sure: float, source: str, state: str) -> Mask:
    x, y = segments.points[i].tolist()
    return Mask(
        counts=masks.compress(segments.rles[i])["counts"],
        size=segments.image_size,
        label=label,
        state=state,  # type: ignore[arg-type]
        source=source,
        iou=rounded(segments.predicted_iou[i]),
        stability=rounded(segments.stability_score[i]),
        sure=round(sure, 4),
        point=(x, y) if np.isfinite([x, y]).all() else None,
        vector=pack_vector(segments.embedding("sam")[i]),
        weights=segments.provenance["weights_sha256"],
    )


def rounded(value: Any) -> float | None:
    """Four places for JSON, None where it is not a number."""
    return round(float(value), 4) if np.isfinite(value) else None
