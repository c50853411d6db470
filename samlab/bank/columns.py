"""The arrays of a memory bank, checked, and what is counted from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from samlab.bank.checks import check_known, check_unique
from samlab.errors import InputError
from samlab.latent.vectors import unit, vectors_of


class BankColumns(NamedTuple):
    """P prototypes of C classes; see `MemoryBank` for the shapes."""

    prototypes: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    sizes: np.ndarray
    weights: np.ndarray
    background: tuple[str, ...]

    @property
    def examples(self) -> np.ndarray:
        """int64 (C,): how many examples each class was built from."""
        counts = np.bincount(self.labels, self.sizes, minlength=len(self.class_names))
        return counts.astype(np.int64)

    @property
    def counts(self) -> np.ndarray:
        """int64 (C,): prototypes of each class."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    def equal(self, other: BankColumns) -> bool:
        """Whether all are the same, bit for bit."""
        mine, theirs = self._asdict(), other._asdict()
        return all(np.array_equal(mine[name], theirs[name]) for name in mine)


def checked_columns(
    prototypes: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    sizes: np.ndarray | None,
    weights: np.ndarray | None,
    background: Iterable[str],
) -> BankColumns:
    """Columns that fit each other: prototypes of length one, arrays that cannot be written to.

    Raises:
        InputError: There is no prototype, a vector is zero or NaN, lengths differ, or classes do
            not match their names.
    """
    vectors = vectors_of(np.asarray(prototypes, np.float32), what="prototype")
    labels, names = np.asarray(labels, np.int64), tuple(map(str, class_names))
    background = tuple(background)
    if not len(vectors):
        raise InputError("Expected a bank of at least one prototype, got none.")
    if labels.shape != (len(vectors),) or labels.min() < 0 or labels.max() >= len(names):
        raise InputError(
            f"Expected one class index from 0 to {len(names) - 1} for each of "
            f"{len(vectors)} prototypes; got the shape {labels.shape} and the values "
            f"{labels.min(initial=0)} to {labels.max(initial=0)}."
        )
    check_unique(names)
    check_known(background, names)
    sizes = np.ones(len(vectors)) if sizes is None else np.asarray(sizes)
    weights = np.ones(len(names)) if weights is None else np.asarray(weights)
    if sizes.shape != labels.shape or weights.shape != (len(names),):
        raise InputError(
            f"Expected sizes of shape {labels.shape} and weights of shape ({len(names)},); "
            f"got {sizes.shape} and {weights.shape}."
        )
    if sizes.min() < 1 or sizes.dtype.kind not in "iuf" or sizes.sum() > 2**53:
        raise InputError(f"Expected at least one example behind each prototype, got {sizes.min()}.")
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise InputError(f"Expected class weights above 0, got {weights.tolist()}.")
    return BankColumns(
        _frozen(_of_length_one(vectors)),
        _frozen(labels),
        names,
        _frozen(sizes.astype(np.int64)),
        _frozen(weights.astype(np.float32)),
        background,
    )


def _of_length_one(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors; what is so already stays as it is, bit for bit, so that files round-trip."""
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors if np.abs(lengths - 1).max() < 1e-5 else unit(vectors)


def _frozen(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array
