"""The memory bank: a few prototypes per class, against which new segments are compared.

Training-free: masks of labelled objects are pooled into vectors, KMeans leaves a fixed number per
class, and a new segment takes the class whose prototype it resembles most. A trained head
(`samlab.bank.heads`) may stand before it; the bank itself stays a table of unit vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pandas as pd

from samlab.bank.checks import (
    canonical_order,
    class_weight_table,
    notes_about,
    refuse_duplicates,
    refuse_strangers,
    refuse_unknown,
)
from samlab.bank.prototypes import prototypes
from samlab.errors import InputError
from samlab.latent.classification import Classification, Method, vote
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments

if TYPE_CHECKING:
    from samlab.bank.heads import Head
    from samlab.latent.evaluation import Evaluation

Bank = TypeVar("Bank", bound="PrototypeBank")


@dataclass(frozen=True, eq=False)
class PrototypeBank:
    """P prototypes of C classes, unit vectors of D numbers. Immutable.

    Attributes:
        prototypes: float32 (P, D), rows of length one (after the head, where there is one).
        labels: int64 (P,), index into `class_names`.
        class_names: C different names.
        sizes: int64 (P,), examples behind each prototype.
        weights: float32 (C,), factor on the votes of a class.
        background: Names of classes that mean "none of these"; they are answered as unknown.
        embedding: Which of a segment's vectors the bank compares.
        unknown_below: Default threshold on the confidence of `classify`.
        head: A trained projection before the comparison, or None.
        provenance: Weights' SHA-256, pooling, data hash, parameters, versions.
        notes: Sentences about the classes that deserve a look.
    """

    prototypes: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    sizes: np.ndarray | None = None
    weights: np.ndarray | None = None
    background: tuple[str, ...] = ()
    embedding: str = "sam"
    unknown_below: float = -1.0
    head: Head | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        vectors = vectors_of(np.asarray(self.prototypes, np.float32), what="prototype")
        labels, names = np.asarray(self.labels, np.int64), tuple(map(str, self.class_names))
        if not len(vectors):
            raise InputError("Expected a bank of at least one prototype, got none.")
        if labels.shape != (len(vectors),) or labels.min() < 0 or labels.max() >= len(names):
            raise InputError(
                f"Expected one class index from 0 to {len(names) - 1} for each of "
                f"{len(vectors)} prototypes; got the shape {labels.shape} and the values "
                f"{labels.min(initial=0)} to {labels.max(initial=0)}."
            )
        refuse_duplicates(names)
        refuse_unknown(self.background, names)
        sizes = np.ones(len(vectors)) if self.sizes is None else np.asarray(self.sizes)
        weights = np.ones(len(names)) if self.weights is None else np.asarray(self.weights)
        if sizes.shape != labels.shape or weights.shape != (len(names),):
            raise InputError(
                f"Expected sizes of shape {labels.shape} and weights of shape ({len(names)},); "
                f"got {sizes.shape} and {weights.shape}."
            )
        if not (np.isfinite(weights).all() and (weights > 0).all()):
            raise InputError(f"Expected class weights above 0, got {weights.tolist()}.")
        for name, value in (
            ("prototypes", _of_length_one(vectors)),
            ("labels", labels),
            ("sizes", sizes.astype(np.int64)),
            ("weights", weights.astype(np.float32)),
        ):
            value = value.copy()
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "class_names", names)
        object.__setattr__(self, "background", tuple(self.background))
        object.__setattr__(self, "notes", tuple(self.notes))
        object.__setattr__(self, "provenance", dict(self.provenance))

    # -- making -------------------------------------------------------------------------------

    @classmethod
    def from_segments(
        cls: type[Bank],
        segments: Segments,
        *,
        per_class: int = 20,
        embedding: str | None = None,
        class_weights: Literal["balanced"] | Mapping[str, float] | None = None,
        background: Iterable[str] = (),
        head: Head | None = None,
        seed: int = 0,
        provenance: Mapping[str, Any] | None = None,
    ) -> Bank:
        """Build a bank from labelled segments. Their order does not matter.

        Args:
            segments: N segments with labels; those with label -1 are left out.
            per_class: Prototypes per class; a class with fewer examples keeps them all. This is
                what evens out 100,000 cars and 100 trains.
            embedding: Name of the vectors to use; the first ones by default.
            class_weights: Factors on the votes by class name, 1 by default; `"balanced"` makes up
                for classes with fewer prototypes than others.
            background: Classes that mean "none of these".
            head: A trained projection to put before the bank.
            seed: Of KMeans.
            provenance: Added to the segments' own.

        Raises:
            InputError: No segment has a class, two classes have the same name, or vectors are NaN.
        """
        name = embedding or next(iter(segments.embeddings), "sam")
        labels = segments.labels
        known = np.flatnonzero(labels >= 0)
        if len(known) == 0:
            raise InputError(
                f"Expected segments with classes to build a bank from; all {len(segments)} have "
                "the label -1. Set them with segments.with_labels(labels, class_names)."
            )
        used = sorted(set(labels[known].tolist()), key=segments.class_name)
        names = tuple(segments.class_name(label) for label in used)
        refuse_duplicates(names)
        vectors = vectors_of(segments, name)[known]
        if head is not None:
            vectors = head.project(vectors)
        order = canonical_order(segments, known)
        parts = [
            prototypes(vectors[order][labels[known][order] == label], per_class, seed=seed)
            for label in used
        ]
        counts = [len(rows) for rows, _ in parts]
        declared = [
            n for label, n in segments.class_names.items() if label >= 0 and label not in used
        ]
        return cls(
            prototypes=np.concatenate([rows for rows, _ in parts]),
            labels=np.repeat(np.arange(len(used)), counts),
            class_names=names,
            sizes=np.concatenate([sizes for _, sizes in parts]),
            weights=class_weight_table(names, counts, class_weights),
            background=tuple(background),
            embedding=name,
            head=head,
            provenance={**segments.provenance, **(provenance or {}), "per_class": per_class,
                        "seed": seed},
            notes=notes_about(names, [int(sizes.sum()) for _, sizes in parts], declared),
        )  # fmt: skip

    # -- looking ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.prototypes)

    def __repr__(self) -> str:
        head = f", head to {self.prototypes.shape[1]}-d" if self.head is not None else ""
        return (
            f"{type(self).__name__}({len(self)} prototypes of {len(self.class_names)} classes, "
            f"'{self.embedding}' vectors of {int(np.asarray(self.sizes).sum()):,} examples{head})"
        )

    @property
    def examples(self) -> np.ndarray:
        """int64 (C,): how many examples each class was built from."""
        counts = np.bincount(self.labels, np.asarray(self.sizes), minlength=len(self.class_names))
        return counts.astype(np.int64)

    def to_pandas(self) -> pd.DataFrame:
        """One row per class: examples, prototypes, weight, whether it is background."""
        return pd.DataFrame(
            {
                "class": self.class_names,
                "examples": self.examples,
                "prototypes": np.bincount(self.labels, minlength=len(self.class_names)),
                "weight": self.weights,
                "background": [name in self.background for name in self.class_names],
            }
        )

    def suggest(self, segments: Segments | None = None) -> pd.DataFrame:
        """Which classes hold together, and which to drop, merge or feed; see `bank_scores`."""
        from samlab.latent.evaluation import suggest

        return suggest(self, segments)

    # -- asking -------------------------------------------------------------------------------

    def vectors(self, source: Segments | np.ndarray) -> np.ndarray:
        """What the bank compares: the segments' vectors, checked and through the head."""
        if isinstance(source, Segments):
            refuse_strangers(self.provenance, source.provenance, "segments")
            # Segments that never met a picture's vectors may be empty, and then have no width.
            rows = vectors_of(source, self.embedding) if len(source) else np.zeros((0, 0))
        else:
            rows = vectors_of(source)
        width = self.prototypes.shape[1] if self.head is None else self.head.width
        if len(rows) == 0:
            rows = np.zeros((0, width), np.float32)
        if rows.shape[1] != width:
            raise InputError(
                f"Expected vectors of {width} numbers, as the bank was built from; got "
                f"{rows.shape[1]}. Pool with the same model, or build the bank anew."
            )
        return rows if self.head is None else self.head.project(rows)

    def classify(
        self,
        segments: Segments | np.ndarray,
        *,
        method: Method = "nearest",
        k: int = 5,
        temperature: float = 0.05,
        unknown_below: float | None = None,
        whole_votes: bool = False,
    ) -> Classification:
        """Give every segment the class it resembles most.

        `"nearest"`: the class of the nearest prototype by cosine. `"softmax"`: all prototypes vote
        with `exp(cosine / temperature)`. `"knn"`: the `k` nearest vote in the same way. A class's
        votes are multiplied by its weight (under `"nearest"`, `temperature * log(weight)` is added
        to its cosine, which is the same rule with one voter per class).

        Args:
            segments: N segments with the bank's vectors, or an array (N, D).
            method: See above.
            k: Only for `"knn"`.
            temperature: Lower is closer to `"nearest"`.
            unknown_below: Below this confidence (a cosine for `"nearest"`, otherwise a share in
                0 .. 1) the answer is unknown, -1. The bank's own by default; it holds for the
                method it was calibrated with.
            whole_votes: A part inside a more certain whole takes the whole's class; see
                `Classification.by_whole`.

        Returns:
            The answer for N segments; N may be 0.

        Raises:
            InputError: The segments' vectors come from other weights or another pooling.

        Example:
            >>> bank = PrototypeBank(np.eye(2), np.arange(2), ("car", "tree"))
            >>> bank.classify(np.array([[0.9, 0.1]])).names()
            ['car']
        """
        threshold = self.unknown_below if unknown_below is None else unknown_below
        rows = self.vectors(segments)
        cosine = (unit(rows) if len(rows) else rows) @ self.prototypes.T
        scores, best = vote(
            cosine, self.labels, np.asarray(self.weights), method, k=k, temperature=temperature
        )
        answer = Classification(
            labels=best,
            best=best,
            confidence=scores[np.arange(len(best)), best],
            scores=scores,
            class_names=self.class_names,
            background=tuple(self.class_names.index(name) for name in self.background),
            unknown_below=threshold,
            segments=segments if isinstance(segments, Segments) else None,
        )
        return answer.by_whole() if whole_votes else answer.with_threshold(threshold)

    def calibrate(
        self: Bank, segments: Segments, *, max_error: float = 0.1, **options: Any
    ) -> Bank:
        """Set `unknown_below` so that among accepted held-out segments at most `max_error` err.

        Segments of classes that the bank does not have, and those labelled -1, count as errors
        when they are accepted.

        Args:
            segments: Held-out segments with labels.
            max_error: In 0 .. 1.
            **options: Of `classify`; the threshold holds for the same ones.
        """
        from samlab.latent.evaluation import threshold_for

        evaluation = self.evaluate(segments, **options)
        return replace(self, unknown_below=threshold_for(evaluation.coverage, max_error))

    def evaluate(self, segments: Segments, **options: Any) -> Evaluation:
        """Compare the answer with the segments' own labels; see `bank_scores.evaluate`."""
        from samlab.latent.evaluation import evaluate

        return evaluate(self, segments, **options)

    # -- changing -----------------------------------------------------------------------------

    def drop(self: Bank, classes: str | Iterable[str]) -> Bank:
        """The bank without some classes."""
        from samlab.bank.changes import drop

        return drop(self, classes)

    def merge(self: Bank, groups: Mapping[str, Sequence[str]]) -> Bank:
        """Make one class of several: `bank.merge({"vehicle": ["car", "truck"]})`.

        All prototypes are kept; the weight is the mean of the merged classes' weights.
        """
        from samlab.bank.changes import merge

        return merge(self, groups)

    def add(self: Bank, more: Segments | PrototypeBank, *, per_class: int | None = None) -> Bank:
        """The bank with further examples, for classes it has and for new ones.

        Prototypes of a class that both have are grouped again, each with the weight of the
        examples behind it.

        Args:
            more: Labelled segments, or another bank made in the same way.
            per_class: Prototypes per class; as this bank was built by default.
        """
        from samlab.bank.changes import add

        return add(self, more, per_class)

    # -- in and out ---------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write one safetensors file, head included; see `bank_files`. Returns the path."""
        from samlab.bank.files import save

        return save(self, Path(path))

    @classmethod
    def load(cls: type[Bank], path: str | Path) -> Bank:
        """Read a file written by `save`. Nothing in it is ever executed."""
        from samlab.bank.files import load

        return load(cls, Path(path))

    def equals(self, other: PrototypeBank) -> bool:
        """Whether two banks have the same prototypes, classes, sizes and weights, bit for bit."""
        return (
            self.class_names == other.class_names
            and self.background == other.background
            and self.embedding == other.embedding
            and all(
                np.array_equal(getattr(self, name), getattr(other, name))
                for name in ("prototypes", "labels", "sizes", "weights")
            )
        )


def _of_length_one(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors; what is so already stays as it is, bit for bit, so that files round-trip."""
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors if np.abs(lengths - 1).max() < 1e-5 else unit(vectors)
