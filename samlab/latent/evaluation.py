"""Classes beside the truth: per class, in all, and how errors fall as "unknown" may be answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.latent.classification import Classification
from samlab.segments import Segments

_CURVE = 101


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A classification beside the truth.

    Segments whose true class the bank does not have (or that have none) are "unknown"; they count
    as right where the bank answers unknown. With no such segment and no threshold, `accuracy` is
    plain accuracy.

    Attributes:
        class_names: C names of the bank's classes.
        truth: int64 (N,), index into `class_names`, -1 for none of them.
        answer: The classification.
        confusion: int64 (C + 1, C + 1), rows truth, columns answer, the last of both unknown.
        per_class: One row per class: name, precision, recall, f1, support. Precision of a class
            that was never answered, and recall of one that never occurs, are NaN.
        accuracy: Share of right answers, NaN without segments.
        balanced_accuracy: Mean recall of the classes that occur.
        macro_f1: Mean F1 of the classes that occur.
        coverage: `unknown_below` against the share that is answered and the error among these.
    """

    class_names: tuple[str, ...]
    truth: np.ndarray
    answer: Classification
    confusion: np.ndarray
    per_class: pd.DataFrame
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    coverage: pd.DataFrame

    def summary(self) -> dict[str, float]:
        """The figures for one row of a table that sets several banks side by side."""
        return {
            "segments": len(self.truth),
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
        }

    def confusion_table(self) -> pd.DataFrame:
        """The confusion matrix with names; rows are the truth."""
        names = [*self.class_names, "unknown"]
        return pd.DataFrame(self.confusion, index=names, columns=names)


def truth_for(
    class_names: Sequence[str], segments: Segments, background: Iterable[int] = ()
) -> np.ndarray:
    """The segments' labels as indices of the bank's classes, -1 for any other; int64 (N,)."""
    index = {name: i for i, name in enumerate(class_names) if i not in set(background)}
    names = {int(v): segments.class_name(int(v)) for v in np.unique(segments.labels) if v >= 0}
    if names and not set(names.values()) & set(index):
        raise InputError(
            f"Expected segments of the bank's classes ({', '.join(class_names)}); got "
            f"{', '.join(sorted(names.values()))}. Classes are matched by name: rename them with "
            "segments.with_labels(segments.labels, {0: 'name', ...})."
        )
    table = {label: index.get(name, -1) for label, name in names.items()}
    labels = segments.labels
    return np.array([table.get(int(v), -1) for v in labels], np.int64)


def evaluate(answer: Classification, truth: np.ndarray) -> Evaluation:
    """The figures for an answer and the true indices, int64 (N,), -1 for "none of the classes"."""
    count = len(answer.class_names)
    confusion = np.zeros((count + 1, count + 1), np.int64)
    np.add.at(confusion, (truth, answer.labels), 1)  # -1 is the last row and column
    right = np.diag(confusion)[:count].astype(np.float64)
    support, answered = confusion[:count].sum(1), confusion[:, :count].sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / answered, right / support
        f1 = 2 * right / (support + answered)
    per_class = pd.DataFrame(
        {
            "name": answer.class_names,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "support": support,
        }
    )
    occurs = support > 0
    return Evaluation(
        class_names=answer.class_names,
        truth=truth,
        answer=answer,
        confusion=confusion,
        per_class=per_class,
        accuracy=float(np.mean(truth == answer.labels)) if len(truth) else float("nan"),
        balanced_accuracy=float(recall[occurs].mean()) if occurs.any() else float("nan"),
        macro_f1=float(f1[occurs].mean()) if occurs.any() else float("nan"),
        coverage=coverage_curve(answer, truth),
    )


def coverage_curve(answer: Classification, truth: np.ndarray) -> pd.DataFrame:
    """What `unknown_below` buys: columns unknown_below, coverage, error, from all to none.

    `coverage` is the share of segments that get a class, `error` the share of wrong ones among
    them (NaN where nothing is answered).
    """
    candidate = ~np.isin(answer.best, answer.background)
    order = np.argsort(-answer.confidence, kind="stable")
    order = order[candidate[order]]
    confidence = answer.confidence[order]
    wrong = np.cumsum(answer.best[order] != truth[order])
    # Equal confidences stand or fall together: keep the last of each.
    last = np.flatnonzero(np.append(np.diff(confidence) != 0, True)) if len(order) else order
    if len(last) > _CURVE:
        last = last[np.unique(np.linspace(0, len(last) - 1, _CURVE).round().astype(int))]
    return pd.DataFrame(
        {
            "unknown_below": confidence[last].astype(np.float64),
            "coverage": (last + 1) / max(len(truth), 1),
            "error": wrong[last] / (last + 1),
        }
    )[::-1].reset_index(drop=True)


def threshold_for(coverage: pd.DataFrame, max_error: float) -> float:
    """The lowest threshold of a coverage curve with at most this error.

    Raises:
        InputError: There is nothing to calibrate on, or no threshold keeps the error so low.
    """
    if not 0 <= max_error <= 1:
        raise InputError(f"Expected max_error from 0 to 1, got {max_error}.")
    if not len(coverage):
        raise InputError("Expected held-out segments that get a class, to calibrate on; got none.")
    good = coverage[coverage["error"] <= max_error]
    if not len(good):
        raise InputError(
            f"Expected a threshold with an error of at most {max_error:.2f} on the held-out "
            f"segments; the lowest reached is {coverage['error'].min():.2f}. Allow more, drop the "
            "classes that bank.suggest() names, or train a head."
        )
    return float(good["unknown_below"].min())


@checked_arguments
def map_iou(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], class_names: Sequence[str]
) -> pd.DataFrame:
    """IoU per class of painted maps, over all pictures together (as Pascal VOC and CamVid do).

    Args:
        pairs: (answer, truth) per picture, int (H, W) each, class indices; negative truth is not
            counted, a negative answer is a miss.
        class_names: C names.

    Returns:
        One row per class: name, iou (NaN for a class that neither has), pixels of truth. The mean
        of `iou` is the mIoU.
    """
    count = len(class_names)
    total = np.zeros((count, count + 1), np.int64)
    for answer, truth in pairs:
        if answer.shape != truth.shape:
            raise InputError(
                f"Expected maps of one size, got {answer.shape} for the answer and {truth.shape} "
                "for the truth."
            )
        known = (truth >= 0) & (truth < count)
        given = np.where((answer >= 0) & (answer < count), answer, count)
        flat = truth[known].astype(np.int64) * (count + 1) + given[known]
        total += np.bincount(flat, minlength=count * (count + 1)).reshape(count, count + 1)
    both = np.diag(total[:, :count])
    with np.errstate(invalid="ignore"):
        iou = both / (total.sum(1) + total[:, :count].sum(0) - both)
    return pd.DataFrame({"name": list(class_names), "iou": iou, "pixels": total.sum(1)})
