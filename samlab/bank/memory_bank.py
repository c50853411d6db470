"""The memory bank: a few prototypes per class, against which new segments are compared.

Training-free: masks of labelled objects are pooled into vectors, KMeans leaves a fixed number per
class, and a new segment takes the class whose prototype it resembles most. A trained head
(`samlab.bank.heads`) may stand before it; the bank itself stays a table of unit vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd

from samlab.bank import changes, files
from samlab.bank.advice import advise, prototype_confusion
from samlab.bank.checks import canonical_order, check_same_model, check_unique, notes_about
from samlab.bank.columns import BankColumns, checked_columns
from samlab.bank.heads import Head
from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments, checked_class
from samlab.errors.ranges import Count, Seed
from samlab.formats.bdd100k import read_bdd100k
from samlab.formats.coco import read_coco
from samlab.formats.labelled import LabelledImages
from samlab.formats.registry import LabelFormat, read_labels
from samlab.latent.classification import Classification, Method, vote
from samlab.latent.evaluation import Evaluation, evaluate, threshold_for, truth_for
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

_ONES: Any = None  # set in __post_init__
_OF_EXAMPLES = ("how", "masks", "parts", "background", "resume", "device", "progress")
_TENSORS = ("prototypes", "labels", "sizes", "weights")
_WORDS = ("class_names", "background", "embedding", "unknown_below", "provenance", "notes")


@checked_class
@dataclass(frozen=True, eq=False)
class MemoryBank:
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

    Example:
        >>> bank = MemoryBank(np.eye(2), np.arange(2), ("car", "tree"))
        >>> bank.classify(np.array([[0.2, 0.9]])).names()
        ['tree']
    """

    prototypes: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    sizes: np.ndarray = _ONES
    weights: np.ndarray = _ONES
    background: tuple[str, ...] = ()
    embedding: str = "sam"
    unknown_below: float = -1.0
    head: Head | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in checked_columns(*self._columns)._asdict().items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "notes", tuple(self.notes))
        object.__setattr__(self, "provenance", dict(self.provenance))

    # -- making -------------------------------------------------------------------------------

    @classmethod
    @checked_arguments
    def from_segments(
        cls,
        segments: Segments,
        *,
        per_class: Count = 20,
        embedding: str | None = None,
        class_weights: Literal["balanced"] | Mapping[str, float] | None = None,
        background: Iterable[str] = (),
        head: Head | None = None,
        seed: Seed = 0,
        provenance: Mapping[str, Any] | None = None,
    ) -> Self:
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
        known = np.flatnonzero(segments.labels >= 0)
        if len(known) == 0:
            raise InputError(
                f"Expected segments with classes to build a bank from; all {len(segments)} have "
                "the label -1. Set them with segments.with_labels(labels, class_names)."
            )
        labels = segments.labels[known]
        used = sorted(set(labels.tolist()), key=segments.class_name)
        names = [segments.class_name(label) for label in used]
        check_unique(names)
        vectors = vectors_of(segments, name)[known]
        order = canonical_order(
            segments.boxes[known], segments.areas[known], segments.image_ids[known]
        )
        columns = changes.build(
            (vectors if head is None else head.project(vectors))[order],
            np.array([used.index(label) for label in labels[order].tolist()]),
            names,
            per_class,
            class_weights=class_weights,
            background=background,
            seed=seed,
        )
        without = [n for i, n in segments.class_names.items() if i >= 0 and i not in used]
        return cls(
            **columns._asdict(),
            embedding=name,
            head=head,
            provenance={**segments.provenance, **(provenance or {}), "per_class": per_class,
                        "seed": seed},
            notes=notes_about(names, columns.examples.tolist(), without),
        )  # fmt: skip

    @classmethod
    @checked_arguments
    def from_labels(
        cls,
        labels: str | Path | LabelledImages,
        images: str | Path | None = None,
        sam: str | Path | Sam = "tiny",
        *,
        format: LabelFormat = "auto",
        classes: str | Path | None = None,
        **options: Any,
    ) -> Self:
        """Build a bank from labelled pictures: masks by box prompts, vectors, KMeans per class.

        Args:
            labels: A file or folder of COCO, BDD100K, Pascal VOC, YOLO or label maps; or what
                `samlab.read_labels` or a reader of `samlab.read` gave.
            images: The folder of pictures; by default the folder in which the labels are.
            sam: A model from `load_sam`, or a name or path for it.
            format, classes: As `read_labels` takes them, for a file or folder.
            **options: Those of `box_examples` (how, masks, parts, background, resume, device,
                progress) and of `from_segments` (per_class, class_weights, head, seed). Label maps
                bring their own masks (`masks="labels"`), unless `masks="prompt"`.

        Raises:
            FormatError: The labels are of no known format, or not what they claim.

        Example:
            >>> bank = MemoryBank.from_labels("labels.json", "images")  # doctest: +SKIP
        """
        from samlab.bank.examples import BACKGROUND, box_examples, masks_for

        if isinstance(labels, LabelledImages):
            labelled = labels
        else:
            path = Path(labels)
            folder = images or (path if path.is_dir() else path.parent)
            labelled = read_labels(path, folder, format=format, classes=classes)
            options = {"masks": masks_for(path, format), **options}
        making = {name: options.pop(name) for name in _OF_EXAMPLES if name in options}
        examples = box_examples(labelled, sam, **making)
        found = {examples.class_name(label) for label in set(examples.labels.tolist())}
        if making.get("background") and BACKGROUND in found:
            options = {"background": [BACKGROUND], **options}
        return cls.from_segments(examples, **options)

    @classmethod
    @checked_arguments
    def from_coco(
        cls,
        annotations: str | Path | Mapping[str, Any],
        images: str | Path,
        sam: str | Path | Sam = "tiny",
        **options: Any,
    ) -> Self:
        """Build a bank from COCO labels; see `read_coco` and `from_labels`."""
        return cls.from_labels(read_coco(annotations, images), sam=sam, **options)

    @classmethod
    @checked_arguments
    def from_bdd100k(
        cls,
        frames: str | Path | list[Any],
        images: str | Path,
        sam: str | Path | Sam = "tiny",
        **options: Any,
    ) -> Self:
        """Build a bank from BDD100K labels; see `read_bdd100k` and `from_labels`."""
        return cls.from_labels(read_bdd100k(frames, images), sam=sam, **options)

    # -- looking ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.prototypes)

    def __repr__(self) -> str:
        head = f", head to {self.prototypes.shape[1]}-d" if self.head is not None else ""
        return (
            f"{type(self).__name__}({len(self)} prototypes of {len(self.class_names)} classes, "
            f"'{self.embedding}' vectors of {int(self.sizes.sum()):,} examples{head})"
        )

    @property
    def examples(self) -> np.ndarray:
        """int64 (C,): how many examples each class was built from."""
        return self._columns.examples

    def to_pandas(self) -> pd.DataFrame:
        """One row per class: name, examples, prototypes, weight, whether it is background."""
        return pd.DataFrame(
            {
                "name": self.class_names,
                "examples": self.examples,
                "prototypes": self._columns.counts,
                "weight": self.weights,
                "background": [name in self.background for name in self.class_names],
            }
        )

    def suggest(self, segments: Segments | None = None) -> pd.DataFrame:
        """Which classes are told apart, and which to drop, merge or feed.

        Args:
            segments: Held-out segments with labels. Without them the bank looks at itself: is the
                nearest other prototype of the same class?

        Returns:
            One row per class, the worst first: `name`, `examples`, `prototypes`, `recall` (share
            of segments, or of prototypes weighted by examples, that find their own class; NaN
            where there is nothing to tell), `confused_with` (the class most often found instead)
            and `advice`, one sentence.
        """
        if segments is None:
            return advise(self._columns, prototype_confusion(self._columns))
        count = len(self.class_names)
        found = self.evaluate(segments, unknown_below=-np.inf).confusion
        return advise(self._columns, found[:count, :count])

    def equals(self, other: MemoryBank) -> bool:
        """Whether two banks have the same prototypes, classes, sizes and weights, bit for bit."""
        return self.embedding == other.embedding and self._columns.equal(other._columns)

    # -- asking -------------------------------------------------------------------------------

    def vectors(self, source: Segments | np.ndarray) -> np.ndarray:
        """What the bank compares: the segments' vectors, checked and through the head."""
        if isinstance(source, Segments):
            check_same_model(self.provenance, source.provenance, "segments")
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

    @checked_arguments
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
            >>> bank = MemoryBank(np.eye(2), np.arange(2), ("car", "tree"))
            >>> bank.classify(np.array([[0.9, 0.1]])).names()
            ['car']
        """
        threshold = self.unknown_below if unknown_below is None else unknown_below
        rows = self.vectors(segments)
        cosine = (unit(rows) if len(rows) else rows) @ self.prototypes.T
        scores, best = vote(cosine, self.labels, self.weights, method, k=k, temperature=temperature)
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

    @checked_arguments
    def evaluate(self, segments: Segments, **options: Any) -> Evaluation:
        """Classify labelled segments and compare the answer with their labels.

        Args:
            segments: N segments with labels, matched to the bank's classes by name. N may be 0;
                then all figures are NaN.
            **options: Of `classify`.
        """
        answer = self.classify(segments, **options)
        return evaluate(answer, truth_for(self.class_names, segments, answer.background))

    def calibrate(self, segments: Segments, *, max_error: float = 0.1, **options: Any) -> Self:
        """Set `unknown_below` so that among accepted held-out segments at most `max_error` err.

        Segments of classes that the bank does not have, and those labelled -1, count as errors
        when they are accepted.

        Args:
            segments: Held-out segments with labels.
            max_error: In 0 .. 1.
            **options: Of `classify`; the threshold holds for the same ones.
        """
        coverage = self.evaluate(segments, **options).coverage
        return replace(self, unknown_below=threshold_for(coverage, max_error))

    # -- changing -----------------------------------------------------------------------------

    def drop(self, classes: str | Iterable[str]) -> Self:
        """The bank without some classes."""
        return self._with(changes.drop(self._columns, classes))

    def merge(self, groups: Mapping[str, Sequence[str]]) -> Self:
        """Make one class of several: `bank.merge({"vehicle": ["car", "truck"]})`.

        All prototypes are kept; the weight is the mean of the merged classes' weights.
        """
        return self._with(changes.merge(self._columns, groups))

    @checked_arguments
    def add(self, more: Segments | MemoryBank, *, per_class: int | None = None) -> Self:
        """The bank with further examples, for classes it has and for new ones.

        Prototypes of a class that both have are grouped again, each with the weight of the
        examples behind it.

        Args:
            more: Labelled segments, or another bank made in the same way.
            per_class: Prototypes per class; as this bank was built by default.
        """
        limit = per_class or int(self.provenance.get("per_class", 20))
        if isinstance(more, Segments):
            check_same_model(self.provenance, more.provenance, "segments")
            more = type(self).from_segments(
                more, per_class=limit, embedding=self.embedding, head=self.head
            )
        check_same_model(self.provenance, more.provenance, "other bank")
        if more.embedding != self.embedding or more.prototypes.shape[1] != self.prototypes.shape[1]:
            raise InputError(
                f"Expected a bank of '{self.embedding}' vectors with {self.prototypes.shape[1]} "
                f"numbers, got '{more.embedding}' with {more.prototypes.shape[1]}."
            )
        return self._with(changes.join(self._columns, more._columns, limit))

    # -- in and out ---------------------------------------------------------------------------

    @checked_arguments
    def save(self, path: str | Path) -> Path:
        """Write one safetensors file, head included, atomically. Returns the path."""
        tensors = {name: getattr(self, name) for name in _TENSORS}
        return files.write(Path(path), tensors, {n: getattr(self, n) for n in _WORDS}, self.head)

    @classmethod
    @checked_arguments
    def load(cls, path: str | Path) -> Self:
        """Read a file written by `save`. Nothing in it is ever executed."""
        tensors, words, head = files.read(Path(path), _TENSORS)
        return cls(**tensors, **{name: words[name] for name in _WORDS}, head=head)

    # -- inside -------------------------------------------------------------------------------

    @property
    def _columns(self) -> BankColumns:
        return BankColumns(
            self.prototypes, self.labels, self.class_names, self.sizes, self.weights,
            self.background,
        )  # fmt: skip

    def _with(self, columns: BankColumns) -> Self:
        notes = notes_about(columns.class_names, columns.examples.tolist())
        return replace(self, **columns._asdict(), notes=notes)
