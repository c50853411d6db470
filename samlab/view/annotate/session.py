"""An annotator's work without a page: open pictures, prompt, keep, answer, go on, export."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from samlab.errors import ImageError, InputError, SamlabError
from samlab.segments import Segments
from samlab.view.annotate.encoded import PictureEncoder
from samlab.view.annotate.journal import Journal
from samlab.view.annotate.proposals import (
    Bank,
    Limits,
    found_masks,
    new_ones,
    rounded,
    text_masks,
)
from samlab.view.annotate.queue import Queue
from samlab.view.annotate.state import Annotations, Mask, checked_names, pack_vector
from samlab.view.prompter import Proposal, propose

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

Stage: TypeAlias = Literal["assisted", "semi-automatic", "automatic"]
STAGES = ("assisted", "semi-automatic", "automatic")


class Session:
    """One person (or nobody, when automatic) at work on a queue of pictures.

    Args:
        queue: The pictures.
        journal: Where every act is written.
        sam: A model, or a name or path for it.
        stage: `"assisted"`, `"semi-automatic"` or `"automatic"`.
        classes: Names to begin with; those in the journal come first.
        bank: A memory bank that gives proposals their classes.
        limits: What is taken, asked about and left alone.

    Attributes:
        at: Index in the queue; None where no picture can be read.
        note: A sentence about what happened last, "" where nothing needs saying.
    """

    def __init__(
        self,
        queue: Queue,
        journal: Journal,
        sam: Sam | str | Path,
        *,
        stage: Stage = "assisted",
        classes: Iterable[str] = (),
        bank: Bank | None = None,
        limits: Limits | None = None,
    ) -> None:
        if stage not in STAGES:
            raise InputError(f"Expected a stage out of {', '.join(STAGES)}; got {stage!r}.")
        self.queue, self.journal, self.stage = queue, journal, stage
        self.bank, self.limits = bank, limits or Limits()
        self.encoder = PictureEncoder(sam, queue.read)
        self.at: int | None = None
        self.pixels = np.full((1, 1, 3), 255, np.uint8)
        self.note = journal.note
        self._filling = threading.Lock()
        self._proposals: list[Proposal] = []
        self._prompt: dict[str, Any] = {"points": [], "box": None}
        self._find_lost_names(checked_names(classes))
        self.add_classes(classes, fixed=True)
        self.go(first=True)

    @property
    def annotations(self) -> Annotations:
        """All that has been annotated."""
        return self.journal.annotations

    @property
    def name(self) -> str:
        """The open picture, "" where none is."""
        return "" if self.at is None else self.queue.names[self.at]

    # -- moving -------------------------------------------------------------------------------

    def open(self, index: int) -> None:
        """Open a picture by its index; ImageError, and the old one stays, where it is broken."""
        if not 0 <= index < len(self.queue):
            raise InputError(f"Expected a picture from 0 to {len(self.queue) - 1}, got {index}.")
        self.pixels = self.queue.read(self.queue.names[index])
        self.at, self._proposals = index, []

    def go(self, step: int = 1, *, first: bool = False) -> bool:
        """Open the next picture that is not finished; broken ones are noted and passed over.

        Returns:
            False where there is none; then the open one stays.
        """
        at = -1 if first or self.at is None else self.at
        while (index := self.queue.following(at, self.annotations.done, step)) is not None:
            if index == self.at and not first:
                return False
            try:
                self.open(index)
            except ImageError as error:
                self.note = f"Passed over: {error}"
                at = index
            else:
                return True
        if self.at is None:
            self._open_any()
        self.note = " ".join([self.note, "All pictures are done."]).strip()
        return False

    def step(self, step: int) -> None:
        """Open the picture after (1) or before (-1) this one, finished or not, broken ones not."""
        at = -1 if self.at is None else self.at
        for i in range(1, len(self.queue) + 1):
            index = (at + step * i) % len(self.queue)
            try:
                return self.open(index)
            except ImageError as error:
                self.note = f"Passed over: {error}"

    def _open_any(self) -> None:
        """Nothing is left to do: show the first picture that can be shown."""
        for index in range(len(self.queue)):
            try:
                return self.open(index)
            except ImageError:
                continue

    def finish(self) -> bool:
        """Mark the open picture as finished and go on; False where it was the last."""
        self._need_picture()
        height, width = self.pixels.shape[:2]
        self.journal.do({"act": "done", "image": self.name, "size": [height, width]})
        return self.go()

    def reopen(self) -> None:
        """The open picture is not finished after all."""
        size = self.annotations.done.get(self.name)
        if size is not None:
            act = {"act": "done", "image": self.name, "size": list(size), "value": False}
            self.journal.do(act)

    def undo(self, again: bool = False) -> None:
        """Take the last act back, or do it again; its picture is opened."""
        change = self.journal.do({"act": "redo" if again else "undo"})
        if change.image and change.image != self.name and change.image in self.queue.names:
            self.open(self.queue.names.index(change.image))

    # -- masks --------------------------------------------------------------------------------

    def ask(
        self, points: Sequence[Sequence[float]] = (), box: Sequence[float] | None = None
    ) -> list[Proposal]:
        """The model's three masks for a prompt in the open picture; see `prompter.propose`."""
        self._need_picture()
        ready, sam = self.encoder.get(self.name), self.encoder.sam()
        self._proposals = propose(sam, ready.features, points, box, decoder=ready.decoder(sam))
        self._prompt = {"points": [list(p) for p in points], "box": box}
        return self._proposals

    def keep(self, choice: int, label: int = -1) -> int:
        """Keep one of the masks of the last prompt; returns its id."""
        if not 0 <= choice < len(self._proposals):
            raise InputError(f"Expected a choice below {len(self._proposals)}, got {choice}.")
        chosen = self._proposals[choice]
        if chosen.area == 0:
            raise InputError("Expected a mask with at least one pixel, got an empty one.")
        points = self._prompt["points"]
        mask = {
            **chosen.rle,
            "label": label,
            "source": "click" if points else "box",
            "iou": rounded(chosen.predicted_iou),
            "stability": rounded(chosen.stability),
            "point": next((p[:2] for p in points if p[2] == 1), None),
            **self._vector(chosen),
        }
        change = self.journal.do({"act": "add", "image": self.name, "masks": [mask]})
        self._proposals = []
        return next(number for _, number in change.masks)

    def _vector(self, chosen: Proposal) -> dict[str, str]:
        from samlab.latent.embed import pool
        from samlab.sam.provenance import weights_sha256

        table = Segments([chosen.rle])
        vector = pool(self.encoder.get(self.name).features, table)[0]
        return {"vector": pack_vector(vector), "weights": weights_sha256(self.encoder.sam())}

    def label(self, ids: Sequence[int], label: int) -> None:
        """Give masks of the open picture a class; those that were asked about are kept with it."""
        if ids:
            act = {"act": "set", "image": self.name, "ids": [*ids], "label": label}
            self.journal.do({**act, "state": "kept"})

    def accept(self, ids: Sequence[int]) -> None:
        """Keep masks that were asked about, with the class they were proposed with."""
        if ids:
            act = {"act": "set", "image": self.name, "ids": [*ids], "state": "kept"}
            self.journal.do(act)

    def drop(self, ids: Sequence[int]) -> None:
        """Remove masks of the open picture, kept ones or questions."""
        if ids:
            self.journal.do({"act": "drop", "image": self.name, "ids": [*ids]})

    def questions(self) -> list[Mask]:
        """What is still asked about in the open picture, the most uncertain first."""
        asked = self.annotations.masks(self.name, "asked")
        return sorted(asked, key=lambda m: abs((0.5 if m.sure is None else m.sure) - 0.5))

    # -- classes ------------------------------------------------------------------------------

    def add_classes(self, names: Iterable[str], *, fixed: bool = False) -> None:
        """Add classes; those that are there already stay as they are. `fixed`: not to be undone."""
        old = self.annotations.classes
        new = [name for name in checked_names(names) if name not in old]
        if new:
            act = {"act": "classes", "names": [*old, *new]}
            self.journal.do({**act, "fixed": True} if fixed else act)

    def _find_lost_names(self, given: Sequence[str]) -> None:
        """Where the journal has lost names of classes: take the given ones, in order."""
        names, before = list(self.annotations.classes), self.annotations.classes
        for label in self.journal.lost_names:
            if label < len(given) and given[label] not in names:
                names[label] = given[label]
        if tuple(names) != before:
            self.journal.do({"act": "classes", "names": names, "fixed": True})
            found = [name for name in names if name not in before]
            self.note += f" Taken from classes=, in their order: {', '.join(found)}."
        left = [name for i, name in enumerate(names) if i in self.journal.lost_names]
        left = [name for name in left if name in before]
        if left:
            self.note += f" To be named anew: {', '.join(left)}."

    def rename(self, label: int, name: str) -> None:
        """Give a class another name; the name of another class gives its masks to that one."""
        names, name = list(self.annotations.classes), " ".join(name.split())
        if not 0 <= label < len(names):
            raise InputError(f"Expected a class from 0 to {len(names) - 1}, got {label}.")
        old = names[label]
        if old == name:
            return
        used = any(
            m.label == label for i in self.annotations.images() for m in self.annotations.masks(i)
        )
        if name in names and used:
            change = self.journal.do({"act": "merge", "label": label, "into": names.index(name)})
            n = len(change.masks)
            moved = "1 mask was moved" if n == 1 else f"{n} masks were moved"
            self.note = f"{moved} from '{old}' to '{name}'."
            return
        names[label] = name
        self.journal.do({"act": "classes", "names": list(checked_names(names))})

    # -- the model at work --------------------------------------------------------------------

    def find(self, texts: Sequence[str], model: Any = "sam3", **options: Any) -> int:
        """Keep what words name in the open picture; see `Annotator.find`."""
        from samlab.latent.embed import pool
        from samlab.pipeline.prompting import segment_text
        from samlab.sam.provenance import weights_sha256

        self._need_picture()
        ready, sam = self.encoder.get(self.name), self.encoder.sam()
        found = segment_text(ready.pixels, texts, sam=sam, model=model, **options)
        known = [mask.rle for mask in self.annotations.masks(self.name, "kept")]
        found = found[new_ones(found.rles, known)]
        self.add_classes([name for name in found.class_names.values()] if len(found) else [])
        # The vectors of this picture's other masks are those of the annotator's own model.
        found = found.with_embedding("sam", pool(ready.features, found))
        found = replace(found, provenance={"weights_sha256": weights_sha256(sam)})
        masks = text_masks(found, self.annotations.classes)
        if masks:
            act = {"act": "add", "image": self.name}
            self.journal.do({**act, "masks": [{**asdict(mask), "id": -1} for mask in masks]})
        return len(masks)

    def fill(self, name: str = "") -> int:
        """Put the model's proposals into a picture, once; returns how many there are.

        When semi-automatic: what it is sure of is kept, what it is not sure of becomes questions.
        When automatic: all that passes SAM's thresholds is kept.
        """
        # A notebook's cell and the thread behind the page may both ask for the same picture.
        with self._filling:
            return self._fill(name or self.name)

    def _fill(self, name: str) -> int:
        if not name or name in self.annotations.filled or name in self.annotations.done:
            return 0
        ready = self.encoder.get(name)
        found, names = found_masks(
            ready.pixels, self.encoder.sam(), ready.features, self.limits, bank=self.bank,
            ask=self.stage != "automatic", known=self.annotations.masks(name),
        )  # fmt: skip
        used = {mask.label for mask in found} - {-1}
        self.add_classes([names[i] for i in sorted(used)])
        own = {i: self.annotations.classes.index(names[i]) for i in used}
        masks = [{**asdict(mask), "label": own.get(mask.label, -1), "id": -1} for mask in found]
        self.journal.do({"act": "add", "image": name, "masks": masks, "filled": True})
        return len(masks)

    def run(
        self,
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> int:
        """Annotate all unfinished pictures without a person; broken ones are passed over.

        Without a bank, the masks of all pictures are grouped at the end, and the groups become
        classes "group 1", "group 2", ... to be renamed.

        Args:
            progress: Called with (pictures finished, pictures) after each.
            stop: Asked after each picture whether to stop; what is done stays.

        Returns:
            Pictures finished now.
        """
        done, total = self.annotations.done, len(self.queue)
        finished = 0
        for name in self.queue.names:
            if name in done:
                continue
            if stop():
                return finished
            try:
                height, width = self.encoder.get(name).pixels.shape[:2]
                self.fill(name)
            except ImageError as error:
                self.note = f"Passed over: {error}"
            else:
                self.journal.do({"act": "done", "image": name, "size": [height, width]})
                finished += 1
            progress(len(done), total)
        if self.bank is None and self.stage == "automatic" and finished:
            self.group()
        return finished

    def group(self) -> int:
        """Cluster the masks without a class, over all pictures; returns the number of groups."""
        from samlab.latent.cluster import cluster

        keys, tables = [], []
        for image in self.annotations.images():
            table = self.annotations.segments(image)
            if not table.embeddings:
                continue
            ids = [mask.id for mask in self.annotations.masks(image, "kept")]
            free = np.flatnonzero(table.labels < 0)
            keys += [(image, ids[i]) for i in free]
            tables.append(table[free])
        if not keys:
            return 0
        labels = np.asarray(cluster(Segments.concat(tables)).labels)
        used = sorted(set(labels.tolist()) - {-1})
        names: list[str] = []
        number = 1
        while len(names) < len(used):
            if f"group {number}" not in self.annotations.classes:
                names.append(f"group {number}")
            number += 1
        self.add_classes(names)
        for label, name in zip(used, names, strict=True):
            members = [key for key, own in zip(keys, labels, strict=True) if own == label]
            self._label_everywhere(members, name)
        return len(used)

    def _label_everywhere(self, keys: Sequence[tuple[str, int]], name: str) -> None:
        label = self.annotations.classes.index(name)
        for image in dict.fromkeys(image for image, _ in keys):
            ids = [number for other, number in keys if other == image]
            self.journal.do({"act": "set", "image": image, "ids": ids, "label": label})

    # -- results ------------------------------------------------------------------------------

    def tables(self) -> list[Segments]:
        """The kept masks, one table per picture with masks or finished, in the queue's order."""
        have = set(self.annotations.images())
        order = [name for name in self.queue.names if name in have]
        order += sorted(have - set(order))  # pictures that are no longer in the folder
        tables = [self.annotations.segments(name) for name in order]
        return [table for table in tables if table.image_size != (0, 0)]

    def _need_picture(self) -> None:
        if self.at is None:
            why = "; ".join(self.queue.broken.values())
            raise InputError(f"Expected a picture that can be read, found none: {why}")


def error_text(error: Exception) -> str:
    """An error as a sentence for the page."""
    if isinstance(error, SamlabError):
        return str(error)
    return f"{type(error).__name__}: {error}. The annotations are as they were."
