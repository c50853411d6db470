"""What a detector found, whichever it was: boxes, scores and classes as plain arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samlab.errors import FormatError, InputError, SamlabWarning


@dataclass(frozen=True, eq=False)
class Detections:
    """N boxes of one picture.

    Attributes:
        boxes: float64 (N, 4), XYXY in pixels, inside the picture.
        scores: float32 (N,), 0 .. 1; NaN where the detector gave none.
        labels: int64 (N,), class ids; -1 where the detector gave none.
        class_names: Class id -> name.
        rows: int64 (N,), number of each box among those handed in.
        given: How many were handed in.
        left_out: Reason -> numbers of those left out.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    class_names: dict[int, str]
    rows: np.ndarray
    given: int
    left_out: dict[str, list[int]]


def read_detections(
    detections: Any,
    image_size: tuple[int, int],
    *,
    scores: Any = None,
    labels: Any = None,
    class_names: Mapping[int, str] | Sequence[str] | None = None,
    threshold: float = 0.0,
) -> Detections:
    """Take the detections of one picture in any of the usual forms.

    Args:
        detections: One of
            an array (N, 4) of boxes XYXY in pixels, with `scores` and `labels` beside it;
            a mapping with "boxes" and perhaps "scores" and "labels" (torchvision's detectors);
            a list of COCO results, dicts with "bbox" (XYWH), "category_id" and perhaps "score";
            an object with `xyxy` and perhaps `confidence`, `class_id` and `data["class_name"]`
            (`supervision.Detections`).
        image_size: (H, W) of the picture.
        scores: (N,), with an array.
        labels: (N,) class ids, or class names as strings, with an array.
        class_names: Names of the class ids, as a mapping or a list.
        threshold: Leave out detections with a lower score; those without a score stay.

    Returns:
        What is left. Boxes that reach over the edge of the picture are clipped; those that lie
        outside or have no area are left out with a warning, those below the threshold silently.

    Raises:
        InputError, FormatError: A box is not finite or inverted, or columns differ in length.
    """
    boxes, found_scores, found_labels = _columns(detections)
    for name, given, found in (("scores", scores, found_scores), ("labels", labels, found_labels)):
        if given is not None and found is not None:
            raise InputError(f"Expected {name} once; the detections bring their own.")
    array = _boxes(boxes)
    inverted = (array[:, 2] < array[:, 0]) | (array[:, 3] < array[:, 1])
    if inverted.any():
        i = int(np.argmax(inverted))
        raise InputError(
            f"Expected boxes as x0, y0, x1, y1 with x1 >= x0 and y1 >= y0; number {i} is "
            f"{array[i].tolist()}. Boxes as x, y, width and height become such by adding x to the "
            "width and y to the height."
        )
    count = len(array)
    confidence = _column(scores if scores is not None else found_scores, count, "scores")
    ids, names = _classes(labels if labels is not None else found_labels, count, class_names)
    if not 0 <= threshold <= 1:
        raise InputError(f"Expected a score threshold from 0 to 1, got {threshold}.")
    height, width = image_size
    clipped = array.clip(0, [width, height, width, height])
    full = (array[:, 2] > array[:, 0]) & (array[:, 3] > array[:, 1])
    inside = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    low = confidence < threshold
    left_out = {
        "below the threshold": np.flatnonzero(low).tolist(),
        "without area": np.flatnonzero(~full & ~low).tolist(),
        "outside the picture": np.flatnonzero(full & ~inside & ~low).tolist(),
    }
    _warn(left_out, count, image_size)
    rows = np.flatnonzero(inside & ~low)
    return Detections(
        clipped[rows], confidence[rows], ids[rows], names, rows, count,
        {why: which for why, which in left_out.items() if which},
    )  # fmt: skip


def _columns(detections: Any) -> tuple[Any, Any, Any]:
    """Boxes, scores and labels, the latter two None where there are none."""
    if isinstance(detections, Mapping):
        if "boxes" not in detections:
            raise FormatError(
                f"Expected detections with the key 'boxes', got {sorted(map(str, detections))}."
            )
        return detections["boxes"], detections.get("scores"), detections.get("labels")
    if hasattr(detections, "xyxy"):
        names = (getattr(detections, "data", None) or {}).get("class_name")
        ids = getattr(detections, "class_id", None)
        labels = ids if names is None else names
        if ids is not None and names is not None:
            labels = list(zip(np.asarray(ids).tolist(), np.asarray(names).tolist(), strict=True))
        return detections.xyxy, getattr(detections, "confidence", None), labels
    if isinstance(detections, (list, tuple)) and detections and isinstance(detections[0], Mapping):
        return _coco_results(detections)
    return detections, None, None


def _coco_results(results: Sequence[Mapping[str, Any]]) -> tuple[Any, Any, Any]:
    """COCO's results format (https://cocodataset.org/#format-results), one picture's."""
    for i, result in enumerate(results):
        if "bbox" not in result or "category_id" not in result:
            raise FormatError(
                f"Expected COCO results with 'bbox' and 'category_id'; number {i} has the keys "
                f"{sorted(map(str, result))}."
            )
    pictures = list(dict.fromkeys(r["image_id"] for r in results if "image_id" in r))
    if len(pictures) > 1:
        raise InputError(
            f"Expected the results of one picture, got those of {len(pictures)}. Choose one: "
            f"[r for r in results if r['image_id'] == {pictures[0]!r}]."
        )
    boxes = _boxes([result["bbox"] for result in results])
    boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    scores = [result.get("score", np.nan) for result in results]
    return boxes, scores, [result["category_id"] for result in results]


def _boxes(boxes: Any) -> np.ndarray:
    array = _array(boxes, "boxes").reshape(-1, 4) if np.size(boxes) == 0 else _array(boxes, "boxes")
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(f"Expected boxes of shape (N, 4), XYXY in pixels; got {array.shape}.")
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        i = int(np.argmin(finite))
        raise InputError(f"Expected finite boxes; number {i} is {array[i].tolist()}.")
    return array


def _column(values: Any, count: int, name: str) -> np.ndarray:
    if values is None:
        return np.full(count, np.nan, np.float32)
    array = _array(values, name).astype(np.float32)
    if array.shape != (count,):
        raise InputError(f"Expected {count} {name}, one per box; got the shape {array.shape}.")
    return array


def _classes(
    labels: Any, count: int, class_names: Mapping[int, str] | Sequence[str] | None
) -> tuple[np.ndarray, dict[int, str]]:
    """Class ids and their names, from ids, names, or pairs of both."""
    if isinstance(class_names, Mapping):
        names = {int(k): str(v) for k, v in class_names.items()}
    else:
        names = {i: str(v) for i, v in enumerate(class_names or [])}
    if labels is None:
        return np.full(count, -1, np.int64), names
    values = labels if isinstance(labels, (list, tuple)) else _plain(labels).tolist()
    if len(values) != count:
        raise InputError(f"Expected {count} labels, one per box; got {len(values)}.")
    if all(isinstance(value, tuple) for value in values):
        names = {**{int(i): str(name) for i, name in values}, **names}
        return np.array([i for i, _ in values], np.int64).reshape(count), names
    if all(isinstance(value, str) for value in values):
        numbers = {name: i for i, name in names.items()}
        for value in values:
            numbers.setdefault(value, max(numbers.values(), default=-1) + 1)
        ids = np.array([numbers[value] for value in values], np.int64).reshape(count)
        return ids, {i: name for name, i in numbers.items()}
    array = _array(values, "labels")
    if array.shape != (count,) or (array != np.round(array)).any():
        raise InputError(
            f"Expected labels as whole numbers or as names, one per box; got {values[:3]}."
        )
    return array.astype(np.int64), names


def _array(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(_plain(values), dtype=np.float64)
    except (ValueError, TypeError):
        raise InputError(f"Expected {name} as numbers, got {type(values).__name__}.") from None


def _plain(values: Any) -> Any:
    """A torch tensor as an array; anything else as it is."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values


def _warn(left_out: dict[str, list[int]], count: int, image_size: tuple[int, int]) -> None:
    lost = {why: which for why, which in left_out.items() if which and not why.startswith("below")}
    if not lost:
        return
    total = sum(map(len, lost.values()))
    reasons = "; ".join(
        f"{len(which)} {why} (number {', '.join(map(str, which[:5]))}"
        f"{', ...' if len(which) > 5 else ''})"
        for why, which in lost.items()
    )
    warnings.warn(
        f"{total} of {count} detections are left out of the picture of {image_size[1]} x "
        f"{image_size[0]} pixels: {reasons}.",
        SamlabWarning,
        stacklevel=3,
    )
