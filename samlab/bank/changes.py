"""Building and changing a bank's columns: from vectors, without classes, merged, joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from samlab.bank.checks import check_known, class_weight_table
from samlab.bank.columns import BankColumns
from samlab.bank.prototypes import prototypes
from samlab.errors import InputError


def build(
    vectors: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    per_class: int,
    *,
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None,
    background: Iterable[str] = (),
    seed: int = 0,
) -> BankColumns:
    """At most `per_class` prototypes for each class.

    Args:
        vectors: (N, D), none of them zero.
        labels: int (N,), index into `class_names`; every class occurs.
        class_names: C names.
        per_class, class_weights, background, seed: As in `MemoryBank.from_segments`.
    """
    parts = [
        prototypes(vectors[labels == label], per_class, seed=seed)
        for label in range(len(class_names))
    ]
    counts = [len(rows) for rows, _ in parts]
    return BankColumns(
        prototypes=np.concatenate([rows for rows, _ in parts]),
        labels=np.repeat(np.arange(len(parts)), counts),
        class_names=tuple(class_names),
        sizes=np.concatenate([sizes for _, sizes in parts]),
        weights=class_weight_table(class_names, counts, class_weights),
        background=tuple(background),
    )


def drop(bank: BankColumns, classes: str | Iterable[str]) -> BankColumns:
    """The columns without some classes."""
    gone = {classes} if isinstance(classes, str) else set(classes)
    check_known(sorted(gone), bank.class_names)
    kept = [i for i, name in enumerate(bank.class_names) if name not in gone]
    if not kept:
        raise InputError(
            f"Expected at least one class to be left; all {len(gone)} are to be dropped."
        )
    rows = np.flatnonzero(np.isin(bank.labels, kept))
    return BankColumns(
        prototypes=bank.prototypes[rows],
        labels=np.searchsorted(kept, bank.labels[rows]),
        class_names=tuple(bank.class_names[i] for i in kept),
        sizes=bank.sizes[rows],
        weights=bank.weights[kept],
        background=tuple(name for name in bank.background if name not in gone),
    )


def merge(bank: BankColumns, groups: Mapping[str, Sequence[str]]) -> BankColumns:
    """The columns with one class in place of several; see `MemoryBank.merge`."""
    target = {old: new for new, olds in groups.items() for old in olds}
    check_known(target, bank.class_names)
    names = [target.get(name, name) for name in bank.class_names]
    new_names = tuple(sorted(set(names)))
    index = np.array([new_names.index(name) for name in names])
    labels = index[bank.labels]
    order = np.argsort(labels, kind="stable")
    weights = np.bincount(index, bank.weights, minlength=len(new_names))
    return BankColumns(
        prototypes=bank.prototypes[order],
        labels=labels[order],
        class_names=new_names,
        sizes=bank.sizes[order],
        weights=weights / np.bincount(index, minlength=len(new_names)),
        background=tuple(dict.fromkeys(target.get(name, name) for name in bank.background)),
    )


def join(bank: BankColumns, more: BankColumns, per_class: int) -> BankColumns:
    """The classes of both; a class of both is grouped again. Weights are those of the first."""
    names = tuple(sorted({*bank.class_names, *more.class_names}))
    parts = []
    for name in names:
        found = [_rows_of(one, name) for one in (bank, more) if name in one.class_names]
        rows = np.concatenate([rows for rows, _ in found])
        sizes = np.concatenate([sizes for _, sizes in found])
        parts.append(prototypes(rows, per_class, sizes=sizes) if len(found) > 1 else found[0])
    weight = {
        name: value
        for one in (more, bank)
        for name, value in zip(one.class_names, one.weights.tolist(), strict=True)
    }
    return BankColumns(
        prototypes=np.concatenate([rows for rows, _ in parts]),
        labels=np.repeat(np.arange(len(names)), [len(rows) for rows, _ in parts]),
        class_names=names,
        sizes=np.concatenate([sizes for _, sizes in parts]),
        weights=np.array([weight[name] for name in names]),
        background=tuple(dict.fromkeys([*bank.background, *more.background])),
    )


def _rows_of(bank: BankColumns, name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = bank.labels == bank.class_names.index(name)
    return bank.prototypes[rows], bank.sizes[rows]
