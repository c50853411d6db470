"""What is checked before a memory bank is built, changed or asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from samlab.errors import InputError

#: What must agree between a bank and the segments it classifies.
MUST_AGREE = ("weights_sha256", "pooling")
_WORDS = {"weights_sha256": "weights of SHA-256", "pooling": "pooling"}


def class_weight_table(
    names: Sequence[str],
    prototype_counts: Sequence[int],
    class_weights: Literal["balanced"] | Mapping[str, float] | None,
) -> np.ndarray:
    """One factor per class, float32 (C,); see `MemoryBank.from_segments`."""
    if class_weights is None:
        return np.ones(len(names), np.float32)
    if isinstance(class_weights, str):
        if class_weights != "balanced":
            raise InputError(
                "Expected class_weights None, 'balanced' or a dict from class name to factor, got "
                f"{class_weights!r}."
            )
        counts = np.asarray(prototype_counts, np.float32)
        return counts.max() / counts
    check_known(class_weights, names)
    return np.array([class_weights.get(name, 1.0) for name in names], np.float32)


def canonical_order(boxes: np.ndarray, areas: np.ndarray, image_ids: np.ndarray) -> np.ndarray:
    """An order of N segments, int64 (N,), that does not depend on the file they came from."""
    pictures = np.unique(image_ids.astype(str), return_inverse=True)[1]
    return np.lexsort((*boxes.T, areas, pictures.reshape(-1)))


def notes_about(
    names: Sequence[str], examples: Sequence[int], empty: Sequence[str] = ()
) -> tuple[str, ...]:
    """Sentences about classes with one example or none."""
    notes = [f"The class '{name}' has no example and is not in the bank." for name in empty]
    notes += [
        f"The class '{name}' rests on a single example: add more, or drop it."
        for name, n in zip(names, examples, strict=True)
        if n == 1
    ]
    return tuple(notes)


def check_unique(names: Sequence[str]) -> None:
    """Raise InputError where a name stands twice."""
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise InputError(
            f"Expected every class name once; {', '.join(repr(n) for n in twice)} stands for "
            "several labels. Give each label a name of its own, or merge the labels first."
        )


def check_known(wanted: Iterable[str], names: Sequence[str]) -> None:
    """Raise InputError where a class is not among the names."""
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise InputError(
            f"Expected classes of the bank ({', '.join(names)}); "
            f"got {', '.join(map(str, unknown))}."
        )


def check_same_model(mine: Mapping[str, Any], theirs: Mapping[str, Any], what: str) -> None:
    """Raise InputError where two provenances tell of different weights or pooling."""
    for key in MUST_AGREE:
        here, there = mine.get(key), theirs.get(key)
        if not here or not there or here == there:  # what is not known cannot disagree
            continue
        raise InputError(
            f"This bank was made with {_WORDS[key]} {_short(here)}, the {what} with "
            f"{_short(there)}: their vectors cannot be compared. Make the {what} as the bank was "
            "made (a model of samlab.load_sam is known by its file, any other by its numbers), or "
            "build the bank anew."
        )


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) > 20 else text
