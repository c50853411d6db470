"""What a memory bank says about segments: one class each, how sure, and who else came close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from samlab import masks
from samlab.errors import InputError
from samlab.segments import Segments

Method: TypeAlias = Literal["nearest", "softmax", "knn"]


@dataclass(frozen=True, eq=False)
class Classification:
    """The classes of N segments.

    Attributes:
        labels: int64 (N,), index into `class_names`; -1 is unknown: too uncertain, or background.
        best: int64 (N,), the same before the threshold and with background classes in.
        confidence: float32 (N,), of `best`: its cosine for `"nearest"`, in -1 .. 1, else its share
            of the vote, in 0 .. 1.
        scores: float32 (N, C), the like for every class.
        class_names: C names.
        background: Indices of the classes that mean "none of these".
        unknown_below: The threshold on `confidence`.
        segments: The segments, where segments were classified.
    """

    labels: np.ndarray
    best: np.ndarray
    confidence: np.ndarray
    scores: np.ndarray
    class_names: tuple[str, ...]
    background: tuple[int, ...]
    unknown_below: float
    segments: Segments | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def names(self) -> list[str]:
        """The class of each segment by name, "unknown" for -1."""
        return [self.class_names[i] if i >= 0 else "unknown" for i in self.labels]

    def to_segments(self) -> Segments:
        """The segments with these labels and class names, for plots, tables and export.

        The confidence becomes `scores["confidence"]`.
        """
        if self.segments is None:
            raise InputError("Expected a classification of segments; this one is of plain vectors.")
        names = {-1: "unknown", **dict(enumerate(self.class_names))}
        return self.segments.with_labels(self.labels, names).with_scores(
            "confidence", self.confidence
        )

    def to_pandas(self) -> pd.DataFrame:
        """One row per segment: class_name, confidence, and the second best class."""
        second = np.argsort(-self.scores, axis=1, kind="stable")[:, 1:2]
        other = [self.class_names[i[0]] if len(i) else "" for i in second]
        return pd.DataFrame(
            {"class_name": self.names(), "confidence": self.confidence, "second": other}
        )

    def with_threshold(self, unknown_below: float) -> Classification:
        """The same answer under another threshold, without asking the bank again."""
        known = (self.confidence >= unknown_below) & ~np.isin(self.best, self.background)
        labels = np.where(known, self.best, -1)
        return replace(self, labels=labels, unknown_below=float(unknown_below))

    def by_whole(
        self, segments: Segments | None = None, *, inside: float = 0.9, at_most: float = 20.0
    ) -> Classification:
        """Let a part take the class of the whole it lies in, where the whole is more certain.

        SAM gives an object, its parts and their parts; a wheel or a window looks like no car.

        Args:
            segments: The segments, where plain vectors were classified.
            inside: A part has at least this share of its pixels in the whole.
            at_most: A whole is at most so many times as large as the part. Otherwise the segment
                of the whole picture would take everything.

        Returns:
            A classification in which some segments have their whole's class and confidence.
        """
        table = self.segments if segments is None else segments
        if table is None or len(table) != len(self):
            raise InputError(
                "Parts and wholes need the segments that were classified, one per answer; "
                f"got {'none' if table is None else len(table)} for {len(self)}."
            )
        source = np.arange(len(self))
        for part, wholes in enumerate(wholes_of(table, inside=inside, at_most=at_most)):
            candidates = [part, *wholes]
            source[part] = candidates[int(np.argmax(self.confidence[candidates]))]
        moved = replace(
            self,
            best=self.best[source],
            confidence=self.confidence[source],
            scores=self.scores[source],
        )
        return moved.with_threshold(self.unknown_below)


def vote(
    cosine: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    method: Method,
    *,
    k: int,
    temperature: float,
) -> tuple[np.ndarray, np.ndarray]:
    """From cosines with P prototypes to scores of C classes; see `MemoryBank.classify`.

    Args:
        cosine: (N, P); labels: int (P,); weights: (C,).
        method, k, temperature: As `classify` takes them.

    Returns:
        Scores, float32 (N, C), and the best class, int64 (N,).
    """
    if method not in ("nearest", "softmax", "knn"):
        raise InputError(f"Expected method 'nearest', 'softmax' or 'knn', got {method!r}.")
    if not temperature > 0 or k < 1:
        raise InputError(
            f"Expected temperature above 0 and k of 1 or more, got {temperature} and {k}."
        )
    count = len(weights)
    if method == "nearest":
        scores = _per_class(cosine, labels, count, np.maximum, -1.0)
        return scores, np.argmax(scores + temperature * np.log(weights), axis=1)
    if method == "knn" and k < cosine.shape[1]:
        floor = np.partition(cosine, -k, axis=1)[:, [-k]] if len(cosine) else cosine
        cosine = np.where(cosine >= floor, cosine, -np.inf)
    top = cosine.max(axis=1, keepdims=True) if len(cosine) else 0.0
    votes = np.exp((cosine - top) / temperature) * weights[labels]
    scores = _per_class(votes, labels, count, np.add, 0.0)
    scores = scores / np.maximum(scores.sum(axis=1, keepdims=True), np.float32(1e-30))
    return scores, np.argmax(scores, axis=1)


def _per_class(
    values: np.ndarray, labels: np.ndarray, count: int, ufunc: np.ufunc, start: float
) -> np.ndarray:
    out = np.full((count, len(values)), start, np.float32)
    ufunc.at(out, labels, values.T)
    return out.T


def wholes_of(
    segments: Segments, *, inside: float = 0.9, at_most: float = 20.0
) -> Sequence[np.ndarray]:
    """For each of N segments, the ids of the larger segments of its picture that contain it.

    Returns:
        N arrays of ids, int64, perhaps empty; see `Classification.by_whole` for the limits.

    Example:
        >>> whole = np.ones((4, 4), bool)
        >>> wholes_of(Segments(rles=masks.encode(np.stack([whole, np.tri(4) > 0]))))[1].tolist()
        [0]
    """
    areas, pictures = np.asarray(segments.areas, np.float64), segments.image_ids
    out = [np.zeros(0, np.int64)] * len(segments)
    for picture in dict.fromkeys(pictures.tolist()):
        ids = np.flatnonzero(pictures == picture)
        rles, area = [segments.rles[int(i)] for i in ids], areas[ids]
        overlap = masks.iou(rles, rles)
        # Whole pixels: a ratio brings rounding, and 90 % may be met exactly.
        shared = np.rint(overlap / (1 + overlap) * (area[:, None] + area[None, :]))
        enough = shared >= inside * area[:, None] - 1e-6
        larger = area[None, :] > area[:, None]
        fits = larger & enough & (area[None, :] <= at_most * area[:, None])
        for row, i in enumerate(ids):
            out[i] = ids[fits[row]]
    return out
