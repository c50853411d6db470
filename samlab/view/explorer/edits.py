"""Edits by hand: segments pinned to a class, whatever the slider says of them; as in edits.js."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np


def with_pins(base: np.ndarray, pins: Mapping[int, int]) -> np.ndarray:
    """The classes of a clustering with the pinned segments where a person put them.

    A class of the clustering that has the number of a pinned one is the same class if a pinned
    segment is in both; else it gets a free number, so that strangers do not join.

    Args:
        base: int (N,), the clustering; -1 is unassigned.
        pins: Class by segment.

    Returns:
        int64 (N,).

    Example:
        >>> with_pins(np.array([0, 0, 1, 1]), {1: 1, 3: 2}).tolist()
        [0, 1, 3, 2]
    """
    base = np.asarray(base, np.int64)
    out = base.copy()
    if not pins:
        return out
    ids = np.array(list(pins), np.int64)
    labels = np.array(list(pins.values()), np.int64)
    free = np.ones(len(base), bool)
    free[ids] = False
    taken = {*base.tolist(), *labels.tolist()}
    same = set(labels[base[ids] == labels].tolist())
    strangers = [v for v in dict.fromkeys(base[free].tolist()) if v >= 0 and v in set(labels)]
    numbers = (k for k in range(2 * len(base) + 1) if k not in taken)
    for label in strangers:
        if label not in same:
            out[free & (base == label)] = next(numbers)
    out[ids] = labels
    return out


def edit_lines(labels: np.ndarray, pins: Mapping[int, int], names: Mapping[int, str]) -> str:
    """Python that makes the edits again after `clustering`, whose class numbers may be others.

    A class is named by a segment in it. "" where nothing was edited or named.

    Args:
        labels: int (N,), the classes shown.
        pins: Class by segment.
        names: Name by class.

    Example:
        >>> print(edit_lines(np.array([0, 0, 1]), {1: 0, 2: 1}, {1: "cup"}))
        labels = clustering.labels.copy()
        labels[[1]] = labels[0]
        labels[[2]] = labels.max() + 1
        segments = segments.with_labels(labels, {labels[2]: "cup"})
        <BLANKLINE>
    """
    if not pins and not names:
        return ""
    lines = ["labels = clustering.labels.copy()"]
    present = sorted(set(np.asarray(labels).tolist()), key=lambda label: (label < 0, label))
    for label in present:
        members = np.flatnonzero(labels == label).tolist()
        ids = [i for i in members if i in pins]
        free = next((i for i in members if i not in pins), None)
        if ids:
            target = "labels.max() + 1" if free is None else f"labels[{free}]"
            lines.append(f"labels[{ids}] = {-1 if label < 0 else target}")
    named = ", ".join(
        f"labels[{np.flatnonzero(labels == label)[0]}]: {json.dumps(name, ensure_ascii=False)}"
        for label, name in sorted(names.items())
        if label in present
    )
    given = f", {{{named}}}" if named else ""
    return "\n".join([*lines, f"segments = segments.with_labels(labels{given})", ""])
