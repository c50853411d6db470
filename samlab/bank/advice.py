"""Which classes of a bank are told apart, and what to do about those that are not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from samlab.bank.columns import BankColumns

_FEW = 5  # examples; with fewer a class rests on chance


def advise(bank: BankColumns, confusion: np.ndarray) -> pd.DataFrame:
    """One row per class, the worst recall first, with one sentence of advice.

    Args:
        bank: P prototypes of C classes.
        confusion: (C, C), rows truth, columns answer: of held-out segments, or of the prototypes
            themselves (`prototype_confusion`).

    Returns:
        Columns `name`, `examples`, `prototypes`, `recall` (NaN where there is nothing to tell),
        `confused_with` (the class most often answered instead, or "") and `advice`.
    """
    found = np.asarray(confusion, np.float64)
    total = found.sum(1)
    with np.errstate(invalid="ignore"):
        recall = np.diag(found) / total
    wrong = found - np.diag(np.diag(found))
    rows = []
    for i, name in enumerate(bank.class_names):
        share = wrong[i].max() / total[i] if total[i] else 0.0
        other = bank.class_names[int(wrong[i].argmax())] if share > 0 else ""
        examples = int(bank.examples[i])
        rows.append(
            {
                "name": name,
                "examples": examples,
                "prototypes": int(bank.counts[i]),
                "recall": recall[i],
                "confused_with": other,
                "advice": _advice(examples, float(recall[i]), float(share), other),
            }
        )
    return pd.DataFrame(rows).sort_values("recall", kind="stable").reset_index(drop=True)


def prototype_confusion(bank: BankColumns) -> np.ndarray:
    """The class of each prototype's nearest other one, weighted by examples; float64 (C, C).

    A class with a single prototype has no other of its own to be nearest: its row is zero.
    """
    cosine = bank.prototypes @ bank.prototypes.T
    np.fill_diagonal(cosine, -np.inf)
    found = np.zeros((len(bank.class_names),) * 2)
    if len(cosine) > 1:
        nearest = bank.labels[np.argmax(cosine, axis=1)]
        np.add.at(found, (bank.labels, nearest), bank.sizes.astype(np.float64))
    found[bank.counts == 1] = 0
    return found


def _advice(examples: int, recall: float, share: float, other: str) -> str:
    if examples < _FEW:
        return f"Add examples or drop it: it has only {examples}."
    if np.isnan(recall):
        return "Nothing to tell from."
    if recall < 0.5 and share > 0.5 * (1 - recall):
        return f"Merge it with '{other}' or drop it: most of what is lost goes there."
    if recall < 0.5:
        return "Drop it, or train a head: most of its vectors are nearer to other classes."
    return "Keep it."
