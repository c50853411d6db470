"""What has been annotated: masks, classes, finished pictures; changed by acts that can be undone.

An act is a plain dict, as a line of the journal has it (journal.py):

| act | fields |
| --- | --- |
| `classes` | `names`: all class names, in order; `fixed`: it ends what can be undone |
| `add` | `image`, `masks`: dicts with `counts`, `size` and what else `Mask` has; perhaps `filled` |
| `set` | `image`, `ids`, and `label` or `state` or both |
| `drop` | `image`, `ids` |
| `merge` | `label`, `into`: all masks of one class go to another |
| `done` | `image`, `size`, `value` |
| `undo`, `redo` | |

In the journal an act also has its own number `n`, and every line has `after`: the number of the act
that was the last one not undone when it was written. So a line tells what came before it, and one
that is damaged does not change what the others mean.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from samlab import masks
from samlab.errors import InputError
from samlab.segments import Segments

State: TypeAlias = Literal["kept", "asked"]
Act: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class Mask:
    """One mask of a picture.

    Attributes:
        counts: COCO's compressed run lengths.
        size: (H, W).
        id: A number of its own, never used again.
        label: Index of its class, -1 for none.
        state: `"kept"`, or `"asked"` while a person is to say yes or no.
        source: How it came: "click", "box", "text", "proposal" or "automatic".
        iou, stability: The model's scores; None where unknown.
        sure: How sure its keeping and its class are, 0 to 1; None for what a person made.
        point: (x, y) of the first click.
        vector: float16 (D,) in base64, pooled by coverage, for memory banks.
        weights: SHA-256 of the model's weights that the vector is of.
    """

    counts: str
    size: tuple[int, int]
    id: int = -1
    label: int = -1
    state: State = "kept"
    source: str = "click"
    iou: float | None = None
    stability: float | None = None
    sure: float | None = None
    point: tuple[float, float] | None = None
    vector: str | None = None
    weights: str | None = None

    @property
    def rle(self) -> masks.Rle:
        """The mask as COCO RLE."""
        return {"size": list(self.size), "counts": self.counts}


_FIELDS = {f.name for f in fields(Mask)}


@dataclass
class Change:
    """What an act changed: before and after, so that it can be taken back."""

    image: str = ""
    masks: dict[Key, tuple[Mask | None, Mask | None]] = field(default_factory=dict)
    classes: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    done: tuple[tuple[int, int] | None, tuple[int, int] | None] | None = None
    filled: tuple[bool, bool] | None = None
    number: int = 0


class Annotations:
    """All masks, classes and finished pictures.

    Attributes:
        classes: Names; a mask's label is an index.
        done: Finished picture -> its (H, W).
        filled: Pictures that the model has made its proposals for.
    """

    def __init__(self) -> None:
        self.classes: tuple[str, ...] = ()
        self.done: dict[str, tuple[int, int]] = {}
        self.filled: set[str] = set()
        self._masks: dict[str, dict[int, Mask]] = {}
        self._next = 0
        self._numbers = 0  # the highest number of an act so far
        self._base = 0  # the number of the act that ended what can be undone
        self._past: list[Change] = []
        self._future: list[Change] = []

    # -- reading ------------------------------------------------------------------------------

    def masks(self, image: str, state: State | None = None) -> list[Mask]:
        """The masks of a picture in the order they were made, all or those of one state."""
        found = sorted(list(self._masks.get(image, {}).values()), key=lambda mask: mask.id)
        return [mask for mask in found if state in (None, mask.state)]

    def images(self) -> list[str]:
        """Pictures that have masks or are finished, in the order they were begun."""
        return list(dict.fromkeys([*(k for k, v in self._masks.items() if v), *self.done]))

    def segments(self, image: str) -> Segments:
        """The kept masks of a picture; with vectors where all have one of the same model."""
        kept = self.masks(image, "kept")
        size = kept[0].size if kept else self.done.get(image, (0, 0))
        vectors = [_vector(mask.vector) for mask in kept if mask.vector]
        weights = {mask.weights for mask in kept}
        equal = len(vectors) == len(kept) and len({len(v) for v in vectors} | weights) == 2
        return Segments(
            rles=[mask.rle for mask in kept],
            predicted_iou=_column([mask.iou for mask in kept]),
            stability_score=_column([mask.stability for mask in kept]),
            points=np.array([mask.point or (np.nan, np.nan) for mask in kept], np.float32),
            labels=np.array([mask.label for mask in kept], np.int64),
            image_size=size,
            image_id=image,
            class_names=dict(enumerate(self.classes)),
            embeddings={"sam": np.stack(vectors)} if equal else {},
            provenance={"weights_sha256": weights.pop(), "pooling": "coverage"} if equal else {},
        )

    @property
    def can_undo(self) -> bool:
        """Whether there is an act to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone act to do again."""
        return bool(self._future)

    @property
    def last(self) -> int:
        """Number of the last act that is not undone."""
        return self._past[-1].number if self._past else self._base

    # -- changing -----------------------------------------------------------------------------

    def apply(self, act: Act) -> Change:
        """Do one act; InputError, and nothing changed, where it does not fit.

        Returns:
            What changed; its `image` is the picture concerned, or "".
        """
        kind = act.get("act")
        if kind == "undo":
            return self._step(self._past, self._future, "Nothing to take back.", 0)
        if kind == "redo":
            return self._step(self._future, self._past, "Nothing to do again.", 1)
        makers: dict[str, Callable[[Act], Change]] = {
            "classes": self._classes, "add": self._add, "set": self._set, "drop": self._drop,
            "merge": self._merge, "done": self._done,
        }  # fmt: skip
        if kind not in makers:
            raise InputError(f"Expected an act out of {', '.join(makers)}; got {kind!r}.")
        change = makers[kind](act)
        change.number = int(act.get("n") or self._numbers + 1)
        self._put(change, 1)
        self._record(change)
        if act.get("fixed"):
            self._past.clear()
            self._base = change.number
        return change

    def _record(self, change: Change) -> None:
        self._numbers = max(self._numbers, change.number)
        self._future.clear()
        self._past.append(change)

    def return_to(self, number: int) -> None:
        """Undo or redo until `number` is the last act; for reading a journal with damaged lines.

        An act that nothing is known of is taken as one that changed nothing, so that undoing it
        does not take back another one.
        """
        if number in {self._base, *(change.number for change in self._past)}:
            while self.last != number:
                self.apply({"act": "undo"})
        elif number in {change.number for change in self._future}:
            while self.last != number:
                self.apply({"act": "redo"})
        else:
            self._record(Change(number=number))

    def name_up_to(self, label: int) -> None:
        """See that there are classes up to this one, where the act that named them is lost."""
        while len(self.classes) <= label:
            self.classes = (*self.classes, lost_name(len(self.classes)))

    def forget_undone(self) -> None:
        """Nothing can be done again."""
        self._future.clear()

    def _step(self, source: list[Change], target: list[Change], nothing: str, side: int) -> Change:
        if not source:
            raise InputError(nothing)
        change = source.pop()
        self._put(change, side)
        target.append(change)
        return change

    def _put(self, change: Change, side: int) -> None:
        """Make what `change` says about after (1) or before (0) true."""
        for (image, number), pair in change.masks.items():
            of_image = self._masks.setdefault(image, {})
            mask = pair[side]
            if mask is None:
                of_image.pop(number, None)
            else:
                of_image[number] = mask
            self._next = max(self._next, number + 1)
        if change.classes is not None:
            self.classes = change.classes[side]
        if change.filled is not None:
            (self.filled.add if change.filled[side] else self.filled.discard)(change.image)
        if change.done is not None:
            size = change.done[side]
            if size is None:
                self.done.pop(change.image, None)
            else:
                self.done[change.image] = size

    def _classes(self, act: Act) -> Change:
        names = checked_names(act.get("names") or ())
        if len(names) < len(self.classes):
            raise InputError(
                f"Expected at least the {len(self.classes)} classes there are, got {len(names)}. "
                "Classes can be renamed; masks may have one."
            )
        return Change(classes=(self.classes, names))

    def _add(self, act: Act) -> Change:
        image = str(act["image"])
        found: dict[Key, tuple[Mask | None, Mask | None]] = {}
        sizes = {mask.size for mask in self.masks(image)}
        for i, raw in enumerate(act["masks"]):
            mask = self._mask(raw, self._next + i)
            sizes.add(mask.size)
            found[(image, mask.id)] = (None, mask)
        if len(sizes) > 1:
            raise InputError(
                f"Expected masks of one size for '{image}', got {sorted(sizes)}. Was the picture "
                "replaced by another of the same name?"
            )
        filled = (image in self.filled, True) if act.get("filled") else None
        return Change(image, found, filled=filled)

    def _mask(self, raw: Mapping[str, Any], number: int) -> Mask:
        values = {key: value for key, value in raw.items() if key in _FIELDS}
        height, width = values["size"]
        point = values.get("point")
        given = int(values.get("id", -1))
        if any(given in of_image for of_image in self._masks.values()):
            raise InputError(f"Expected a new id for a mask, {given} is in use.")
        values.update(
            id=given if given >= 0 else number,
            size=(int(height), int(width)),
            point=(float(point[0]), float(point[1])) if point else None,
        )
        mask = self._checked(Mask(**values))
        masks.checked([mask.rle])
        if mask.vector is not None:
            _vector(mask.vector)
        _column([mask.iou, mask.stability, mask.sure])
        return mask

    def _checked(self, mask: Mask) -> Mask:
        if not -1 <= mask.label < len(self.classes):
            raise InputError(
                f"Expected a class from 0 to {len(self.classes) - 1}, or -1 for none; "
                f"got {mask.label}."
            )
        if mask.state not in ("kept", "asked"):
            raise InputError(f"Expected the state 'kept' or 'asked', got {mask.state!r}.")
        return mask

    def _set(self, act: Act) -> Change:
        new = {key: act[key] for key in ("label", "state") if key in act}
        found = self._found(act)
        return Change(
            str(act["image"]),
            {key: (mask, self._checked(replace(mask, **new))) for key, mask in found.items()},
        )

    def _drop(self, act: Act) -> Change:
        return Change(str(act["image"]), {key: (m, None) for key, m in self._found(act).items()})

    def _merge(self, act: Act) -> Change:
        label, into = int(act["label"]), int(act["into"])
        found: dict[Key, tuple[Mask | None, Mask | None]] = {
            (image, number): (mask, self._checked(replace(mask, label=into)))
            for image, of_image in self._masks.items()
            for number, mask in of_image.items()
            if mask.label == label >= 0
        }
        return Change(masks=found)

    def _found(self, act: Act) -> dict[Key, Mask]:
        image = str(act["image"])
        have, wanted = self._masks.get(image, {}), [int(i) for i in act["ids"]]
        missing = [i for i in wanted if i not in have]
        if missing:
            raise InputError(f"Expected masks of '{image}', it has none with the ids {missing}.")
        return {(image, i): have[i] for i in wanted}

    def _done(self, act: Act) -> Change:
        image, (height, width) = str(act["image"]), act["size"]
        size = (int(height), int(width)) if act.get("value", True) else None
        return Change(image, done=(self.done.get(image), size))


def lost_name(label: int) -> str:
    """What a class is called whose name is lost."""
    return f"class {label + 1} (its name is lost)"


def checked_names(names: Iterable[Any]) -> tuple[str, ...]:
    """Class names without blanks around; InputError where one is empty or comes twice.

    Example:
        >>> checked_names([" car ", "tree"])
        ('car', 'tree')
    """
    if isinstance(names, str):
        raise InputError(f"Expected a list of class names, got the text '{names}'.")
    clean = tuple(" ".join(str(name).split()) for name in names)
    if "" in clean:
        raise InputError("Expected class names with at least one letter, got an empty one.")
    twice = sorted({name for name in clean if clean.count(name) > 1})
    if twice:
        raise InputError(f"Expected every class name once, got {', '.join(twice)} twice.")
    return clean


def pack_vector(vector: np.ndarray) -> str:
    """A vector (D,) as base64 of little-endian float16, which costs 0.1 % of its length."""
    return base64.b64encode(np.asarray(vector, "<f2").tobytes()).decode("ascii")


def _vector(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)


def _column(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float32)
