"""Class ids: whole numbers, -1 for no class, and one number for each name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from samlab.errors import InputError


def class_ids(labels: Any) -> np.ndarray:
    """Class ids as int64, in the shape they came in.

    Raises:
        InputError: They are no whole numbers: fractions, NaN, text, or larger than int64 holds.

    Example:
        >>> class_ids([0.0, 2.0, -1.0])
        array([ 0,  2, -1])
    """
    array = np.asarray(labels)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"Expected class ids up to {np.iinfo(np.int64).max}, got {array.max()}.")
    if np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_:
        return array.astype(np.int64)
    if np.issubdtype(array.dtype, np.floating):
        whole = np.isfinite(array) & (np.abs(array) < 2.0**63)
        whole[whole] = array[whole] == np.floor(array[whole])
        if whole.all():
            return array.astype(np.int64)
        found = f"{array[~whole].flat[0]}"
    else:
        found = f"values of the dtype {array.dtype}"
    raise InputError(
        f"Expected class ids as whole numbers, -1 for no class; got {found}. Map classes to "
        "numbers first and pass their names as class_names."
    )


def one_numbering(
    parts: Sequence[tuple[np.ndarray, Mapping[int, str]]],
) -> tuple[list[np.ndarray], dict[int, str]]:
    """Class ids of several tables under which each name has one number.

    Args:
        parts: For each table its class ids (N,) and the names of some of them.

    Returns:
        The class ids of each table, and the names. Where tables give one number to different
        names, or different numbers to one name, the later ones take the number that the name has
        or the next free one; ids without a name stay as they are.

    Example:
        >>> parts = [(np.array([0]), {0: "cat"}), (np.array([0]), {0: "dog"})]
        >>> labels, names = one_numbering(parts)
        >>> [a.tolist() for a in labels], names
        ([[0], [1]], {0: 'cat', 1: 'dog'})
    """
    used = [int(labels.max(initial=-1)) for labels, _ in parts]
    used += [label for _, named in parts for label in named]
    free = max(used, default=-1) + 1
    names: dict[int, str] = {}
    out = []
    for labels, named in parts:
        number = {name: label for label, name in names.items()}
        renumbered = labels.copy()
        for label, name in named.items():
            new = number.get(name, label if names.get(label, name) == name else free)
            free += new == free
            names[new] = name
            renumbered[labels == label] = new
        out.append(renumbered)
    return out, names
