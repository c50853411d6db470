"""What gives classes to the segments of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from samlab.errors import InputError
from samlab.pipeline.fingerprint import fingerprint
from samlab.segments import Segments

#: Segments to the same with classes, and further columns (N,) for the table.
Classify: TypeAlias = Callable[[Segments], tuple[Segments, Mapping[str, np.ndarray]]]


def classifier(classify: Any) -> tuple[Classify | None, dict[str, Any] | None]:
    """What gives classes to a run's segments, and the settings that describe it.

    Args:
        classify: None; a memory bank or the path of its file; or any object whose
            `classify(segments)` returns labels (N,), or an object with `labels`, and optionally
            `class_names` and `confidence`.
    """
    if classify is None:
        return None, None
    if isinstance(classify, (str, os.PathLike)):
        from samlab.bank.memory_bank import MemoryBank

        classify = MemoryBank.load(os.fspath(classify))
    if not callable(getattr(classify, "classify", None)):
        raise InputError(
            "Expected classify to be a MemoryBank, the path of one, or an object with a method "
            f"classify(segments); got {type(classify).__name__}."
        )

    def give(segments: Segments) -> tuple[Segments, Mapping[str, np.ndarray]]:
        answer = classify.classify(segments)
        labels = np.asarray(getattr(answer, "labels", answer), np.int64)
        names = getattr(answer, "class_names", None) or {}
        if not isinstance(names, Mapping):
            names = {-1: "unknown", **dict(enumerate(names))}
        confidence = getattr(answer, "confidence", None)
        columns = {} if confidence is None else {"confidence": np.asarray(confidence, np.float32)}
        return segments.with_labels(labels, names), columns

    about = {"kind": type(classify).__name__, "fingerprint": fingerprint(classify)}
    return give, about
