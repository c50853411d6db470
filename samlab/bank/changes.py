"""Banks out of banks: without some classes, with some made one, with more examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from samlab.bank.checks import notes_about, refuse_strangers, refuse_unknown
from samlab.bank.prototypes import prototypes
from samlab.errors import InputError
from samlab.segments import Segments

if TYPE_CHECKING:
    from samlab.bank.base import PrototypeBank

    Bank = TypeVar("Bank", bound=PrototypeBank)


def drop(bank: Bank, classes: str | Iterable[str]) -> Bank:
    """The bank without some classes."""
    gone = {classes} if isinstance(classes, str) else set(classes)
    refuse_unknown(sorted(gone), bank.class_names)
    kept = [i for i, name in enumerate(bank.class_names) if name not in gone]
    if not kept:
        raise InputError(
            f"Expected at least one class to be left; all {len(gone)} are to be dropped."
        )
    rows = np.flatnonzero(np.isin(bank.labels, kept))
    names = tuple(bank.class_names[i] for i in kept)
    return replace(
        bank,
        prototypes=bank.prototypes[rows],
        labels=np.searchsorted(kept, bank.labels[rows]),
        sizes=np.asarray(bank.sizes)[rows],
        class_names=names,
        weights=np.asarray(bank.weights)[kept],
        background=tuple(name for name in bank.background if name not in gone),
        notes=notes_about(names, bank.examples[kept].tolist()),
    )


def merge(bank: Bank, groups: Mapping[str, Sequence[str]]) -> Bank:
    """One class of several; see `PrototypeBank.merge`."""
    target = {old: new for new, olds in groups.items() for old in olds}
    refuse_unknown(target, bank.class_names)
    names = [target.get(name, name) for name in bank.class_names]
    new_names = tuple(sorted(set(names)))
    index = np.array([new_names.index(name) for name in names])
    labels = index[bank.labels]
    order = np.argsort(labels, kind="stable")
    count = np.bincount(index, minlength=len(new_names))
    weights = np.bincount(index, np.asarray(bank.weights), minlength=len(new_names)) / count
    examples = np.bincount(index, bank.examples, minlength=len(new_names)).astype(int)
    return replace(
        bank,
        prototypes=bank.prototypes[order],
        labels=labels[order],
        sizes=np.asarray(bank.sizes)[order],
        class_names=new_names,
        weights=weights,
        background=tuple(dict.fromkeys(target.get(name, name) for name in bank.background)),
        notes=notes_about(new_names, examples.tolist()),
    )


def add(bank: Bank, more: Segments | PrototypeBank, per_class: int | None = None) -> Bank:
    """The bank with further examples; see `PrototypeBank.add`."""
    limit = per_class or int(bank.provenance.get("per_class", 20))
    if isinstance(more, Segments):
        refuse_strangers(bank.provenance, more.provenance, "segments")
        more = type(bank).from_segments(
            more, per_class=limit, embedding=bank.embedding, head=bank.head
        )
    refuse_strangers(bank.provenance, more.provenance, "other bank")
    if more.embedding != bank.embedding or more.prototypes.shape[1] != bank.prototypes.shape[1]:
        raise InputError(
            f"Expected a bank of '{bank.embedding}' vectors with {bank.prototypes.shape[1]} "
            f"numbers, got '{more.embedding}' with {more.prototypes.shape[1]}."
        )
    names = tuple(sorted({*bank.class_names, *more.class_names}))
    parts = []
    for name in names:
        found = [_rows_of(one, name) for one in (bank, more) if name in one.class_names]
        rows = np.concatenate([rows for rows, _ in found])
        sizes = np.concatenate([sizes for _, sizes in found])
        parts.append(prototypes(rows, limit, sizes=sizes) if len(found) > 1 else found[0])
    weight = {**_weight_of(more), **_weight_of(bank)}
    return replace(
        bank,
        prototypes=np.concatenate([rows for rows, _ in parts]),
        labels=np.repeat(np.arange(len(names)), [len(rows) for rows, _ in parts]),
        class_names=names,
        sizes=np.concatenate([sizes for _, sizes in parts]),
        weights=np.array([weight[name] for name in names]),
        background=tuple(dict.fromkeys([*bank.background, *more.background])),
        notes=notes_about(names, [int(sizes.sum()) for _, sizes in parts]),
    )


def _rows_of(bank: PrototypeBank, name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = bank.labels == bank.class_names.index(name)
    return bank.prototypes[rows], np.asarray(bank.sizes)[rows]


def _weight_of(bank: PrototypeBank) -> dict[str, float]:
    return dict(zip(bank.class_names, np.asarray(bank.weights).tolist(), strict=True))
