"""The annotator: a folder of pictures labelled with SAM's help, and nothing lost on the way."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import traitlets

from samlab import masks
from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.formats.gather import WriteReport
from samlab.formats.registry import export
from samlab.segments import Segments
from samlab.view.annotate.journal import Journal
from samlab.view.annotate.proposals import Bank, Limits
from samlab.view.annotate.queue import Queue
from samlab.view.annotate.session import Session, Stage, error_text
from samlab.view.annotate.state import Mask
from samlab.view.overlay import overlay, still_scale
from samlab.view.prompter import favourite
from samlab.view.scene import scene
from samlab.view.widget import BaseWidget, colors

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

_SHOWN = 60  # pictures in the strip below


class Annotator(BaseWidget):
    """See `annotate`.

    Attributes:
        session: The work without the page: `session.queue`, `session.annotations`.
        status: `"encoding"`, `"proposing"`, `"ready"`, `"failed"`, or `"empty"` where no picture
            can be read.
    """

    picture = traitlets.Dict().tag(sync=True)
    masks = traitlets.List(traitlets.Dict()).tag(sync=True)
    classes = traitlets.List(traitlets.Dict()).tag(sync=True)
    questions = traitlets.List(traitlets.Int()).tag(sync=True)
    queue = traitlets.Dict().tag(sync=True)
    can = traitlets.Dict().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode("encoding").tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    _written: ClassVar[tuple[str, ...]] = (
        "kind", "payload", "picture", "masks", "classes", "questions", "queue", "can", "answer",
        "status", "note", "running",
    )  # fmt: skip

    def __init__(self, session: Session) -> None:
        self.session = session
        self._shown = -2
        self._stop = threading.Event()
        self._showing = threading.RLock()
        super().__init__(
            kind="annotator", payload={"title": "Annotate", "stage": session.stage, **colors()}
        )
        self._show()

    # -- results ------------------------------------------------------------------------------

    @property
    def tables(self) -> list[Segments]:
        """The kept masks, one table per picture that has any or is finished."""
        return self.session.tables()

    @property
    def segments(self) -> Segments:
        """The kept masks of all pictures as one table, with vectors where all have one."""
        return Segments.concat(self.tables)

    def export(self, path: str | Path, format: str = "auto", **options: Any) -> WriteReport:
        """Write what is kept in a format of other tools; see `samlab.export`.

        Finished pictures without a mask are written too: there, nothing was found. Cut-outs and
        YOLO's data set take the pictures from where they are.
        """
        if format in ("cutouts", "yolo"):
            options.setdefault("images", self.session.queue.root)
        return export(self.tables, path, format, **options)  # type: ignore[arg-type]

    def to_coco(self, path: str | Path, **options: Any) -> WriteReport:
        """Write what is kept as COCO JSON; see `samlab.formats.coco.write_coco`."""
        return self.export(path, "coco", **options)

    # -- the same acts without a hand ---------------------------------------------------------

    def add(
        self,
        points: Sequence[Sequence[float]] = (),
        box: Sequence[float] | None = None,
        *,
        label: str = "",
    ) -> Mask:
        """Prompt the open picture and keep the mask that the model trusts most.

        Args:
            points: (x, y, 1) for foreground, (x, y, 0) for background, pixels of the picture.
            box: XYXY in pixels.
            label: Name of a class, added where it is new; "" for none.

        Returns:
            The mask, as it was kept.
        """
        found = self.session.ask(points, box)
        size = found[0].rle["size"]
        choice = favourite(found, size[0] * size[1])
        number = self.session.keep(choice, self._label(label))
        self._show()
        return next(m for m in self.session.annotations.masks(self.session.name) if m.id == number)

    def find(self, texts: Sequence[str], model: Any = "sam3", **options: Any) -> int:
        """Keep what words or example boxes name in the open picture, each under its text.

        Args:
            texts: Such as `["yellow taxi"]`; they become classes where they are new.
            model: SAM 3, or a model such as CLIP, which chooses among the masks of the annotator's.
            **options: Of `samlab.segment_text`: `examples` and `example_labels` for SAM 3,
                `threshold`.

        Returns:
            How many masks were kept; what overlaps a kept mask by half is not kept again.
        """
        found = self.session.find(texts, model, **options)
        self._show()
        return found

    def finish(self) -> str:
        """Mark the open picture as finished and open the next; returns that one's name."""
        self.session.finish()
        self._show()
        return self.session.name

    def fill(self) -> int:
        """Put the model's proposals into the open picture now; returns how many there are."""
        found = self.session.fill()
        self._show()
        return found

    def run(self) -> int:
        """Annotate all unfinished pictures without a person; returns how many were finished.

        An interrupt keeps what is done; the next run goes on there.
        """
        from tqdm.auto import tqdm

        open_ones = len(self.session.queue) - len(self.session.annotations.done)
        with tqdm(total=open_ones, unit="picture", disable=open_ones == 0) as bar:
            finished = self.session.run(progress=lambda done, total: bar.update())
        self._show()
        return finished

    def _label(self, name: str) -> int:
        if not name:
            return -1
        self.session.add_classes([name])
        return self.session.annotations.classes.index(" ".join(name.split()))

    # -- what the page shows ------------------------------------------------------------------

    def _show(self) -> None:
        """Send the page what has changed."""
        session = self.session
        with self._showing, self.hold_sync():
            if self._shown != session.at:
                self._shown = -1 if session.at is None else session.at
                height, width = session.pixels.shape[:2]
                nothing = Segments(image_size=(height, width))
                self.picture = {
                    "name": session.name, "index": self._shown,
                    "scene": scene(nothing, session.pixels),
                }  # fmt: skip
                self._prepare()
            found = session.annotations.masks(session.name)
            areas = masks.area([mask.rle for mask in found]).tolist()
            self.masks = [
                {
                    "id": m.id, "counts": m.counts, "area": area, "iou": m.iou,
                    "stability": m.stability, "label": m.label, "state": m.state, "sure": m.sure,
                }
                for m, area in zip(found, areas, strict=True)
            ]  # fmt: skip
            self.questions = [mask.id for mask in session.questions()]
            self.queue = self._queue()
            counts = Counter(
                m.label
                for image in session.annotations.images()
                for m in session.annotations.masks(image, "kept")
            )
            self.classes = [
                {"name": name, "count": counts[i]}
                for i, name in enumerate(session.annotations.classes)
            ]
            state = session.annotations
            self.can = {"undo": state.can_undo, "redo": state.can_redo}
            self.note = session.note

    def _queue(self) -> dict[str, Any]:
        session, names = self.session, self.session.queue.names
        state = session.annotations
        begun = set(state.images())
        first = max(0, min((session.at or 0) - _SHOWN // 2, len(names) - _SHOWN))
        rows = [
            {
                "index": index, "name": names[index], "here": index == session.at,
                "status": session.queue.status(names[index], state.done, begun),
                "why": session.queue.broken.get(names[index], ""),
                "count": len(state.masks(names[index], "kept")),
            }
            for index in range(first, min(first + _SHOWN, len(names)))
        ]  # fmt: skip
        return {
            "done": len(set(state.done) & set(names)), "total": len(names), "rows": rows,
            "broken": len(session.queue.broken), "finished": session.name in state.done,
        }  # fmt: skip

    def _prepare(self) -> None:
        """Encode the open picture in the background, then the next one."""
        name = self.session.name
        if self.session.at is None:
            self.status = "empty"
        elif self.session.encoder.is_ready(name) and not self._to_fill(name):
            self.status = "ready"
            self._prefetch()
        elif self._live:
            self.status = "encoding"
            self.session.encoder.start(name, lambda error: self._prepared(name, error))
        else:
            self.status = "ready"  # encoded when something is asked

    def _prepared(self, name: str, error: Exception | None) -> None:
        if error is None and self._to_fill(name):
            if name == self.session.name:
                self.status = "proposing"
            try:
                self.session.fill(name)
            except Exception as problem:  # noqa: BLE001 (a thread has no one else to tell)
                error = problem
        if name != self.session.name:
            return  # somebody went on in the meantime
        if error is not None:
            self.session.note = error_text(error)
        self._show()
        self.status = "ready" if error is None else "failed"
        self._prefetch()

    def _prefetch(self) -> None:
        """Encode the picture that comes next, so that it is ready when its turn comes."""
        queue, done = self.session.queue, self.session.annotations.done
        following = queue.following(self.session.at or 0, done)
        if self._live and following is not None:
            name = queue.names[following]
            if not self.session.encoder.is_ready(name):
                self.session.encoder.start(name, lambda error: None)

    def _to_fill(self, name: str) -> bool:
        state = self.session.annotations
        return (
            self.session.stage == "semi-automatic"
            and name not in state.filled
            and name not in state.done
        )

    # -- messages from the page ---------------------------------------------------------------

    def _handle(self, content: dict[str, Any]) -> None:
        kind = str(content.get("kind"))
        act = getattr(self, f"_do_{kind}", None)
        if act is None:
            raise InputError(f"Expected an act of the annotator, got {kind!r}.")
        if kind != "prompt":
            self.session.note = ""
        try:
            act(content)
        finally:
            if kind != "prompt":
                self._show()

    def _do_prompt(self, content: dict[str, Any]) -> None:
        found = self.session.ask(content.get("points") or [], content.get("box"))
        self.answer = {
            "turn": content.get("turn"),
            "masks": [
                {"counts": p.rle["counts"], "area": p.area, "iou": round(p.predicted_iou, 4)}
                for p in found
            ],
        }

    def _do_keep(self, content: dict[str, Any]) -> None:
        self.session.keep(int(content["choice"]), int(content["label"]))

    def _do_label(self, content: dict[str, Any]) -> None:
        self.session.label([int(i) for i in content["ids"]], int(content["label"]))

    def _do_accept(self, content: dict[str, Any]) -> None:
        self.session.accept([int(i) for i in content["ids"]])

    def _do_drop(self, content: dict[str, Any]) -> None:
        self.session.drop([int(i) for i in content["ids"]])

    def _do_class(self, content: dict[str, Any]) -> None:
        self.session.add_classes([str(content["name"])])

    def _do_rename(self, content: dict[str, Any]) -> None:
        self.session.rename(int(content["label"]), str(content["name"]))

    def _do_open(self, content: dict[str, Any]) -> None:
        self.session.open(int(content["index"]))

    def _do_go(self, content: dict[str, Any]) -> None:
        self.session.step(1 if content["step"] > 0 else -1)

    def _do_done(self, _: dict[str, Any]) -> None:
        if self.session.name in self.session.annotations.done:
            self.session.reopen()
        else:
            self.session.finish()

    def _do_undo(self, _: dict[str, Any]) -> None:
        self.session.undo()

    def _do_redo(self, _: dict[str, Any]) -> None:
        self.session.undo(again=True)

    def _do_export(self, _: dict[str, Any]) -> None:
        path = self.session.journal.path.with_name("coco.json")
        self.session.note = str(self.to_coco(path, overwrite=True))

    def _do_run(self, _: dict[str, Any]) -> None:
        if self.running:
            self._stop.set()
            return
        self._stop.clear()
        self.running = True
        threading.Thread(target=self._run, name="samlab-annotate", daemon=True).start()

    def _run(self) -> None:
        session = self.session
        before = len(session.annotations.classes)
        try:
            finished = session.run(
                progress=lambda done, total: self._show(), stop=self._stop.is_set
            )
            session.note = " ".join([session.note, self._run_summary(finished, before)]).strip()
        except Exception as error:  # noqa: BLE001 (a thread has no one else to tell)
            self.session.note = error_text(error)
        finally:
            self.running = False
            self._show()

    def _run_summary(self, finished: int, classes_before: int) -> str:
        """What a run without a person has come to."""
        state = self.session.annotations
        if self._stop.is_set():
            left = len(self.session.queue) - len(state.done)
            return f"Stopped; pictures left: {left}. Run goes on there."
        kept = sum(len(state.masks(image, "kept")) for image in state.images())
        text = f"Pictures done: {finished}. Masks in all: {kept}."
        groups = len(state.classes) - classes_before
        if groups and self.session.bank is None:
            text += (
                f" Those alike are in {groups} group{'s' * (groups > 1)}: name them under Classes; "
                "the same name twice makes one class of two."
            )
        return text

    # -- without a front end ------------------------------------------------------------------

    def _still(self) -> np.ndarray:
        session = self.session
        if session.at is None:
            return session.pixels
        table = session.annotations.segments(session.name)
        size = (int(session.pixels.shape[0]), int(session.pixels.shape[1]))
        table = table if len(table) else Segments(image_size=size)
        return overlay(table, session.pixels, scale=still_scale(session.pixels))

    def _height(self) -> int:
        return 780

    def __repr__(self) -> str:
        state, queue = self.session.annotations, self.session.queue
        kept = sum(len(state.masks(image, "kept")) for image in state.images())
        done = len(set(state.done) & set(queue.names))
        return f"Annotator({done} of {len(queue)} pictures done, {kept} masks kept)"


@checked_arguments
def annotate(
    pictures: str | Path | Iterable[str | Path],
    *,
    out: str | Path,
    sam: Sam | str | Path = "tiny",
    classes: Iterable[str] = (),
    stage: Stage = "assisted",
    bank: Bank | None = None,
    **limits: Any,
) -> Annotator:
    """Label pictures with SAM's help, in the three stages of its data engine.

    `"assisted"`: click a thing or drag a box, press the number of its class. `"semi-automatic"`:
    what the model is sure of is there already, what it is not sure of it asks about, the most
    uncertain first; the rest is up to you. `"automatic"`: everything that passes SAM's thresholds
    is kept, with the bank's classes or, without one, in groups to be named; `.run()` or the button
    does it for all pictures, and you correct. A group that gets the name of another class goes into
    that one.

    Every act is written into `out/annotations.jsonl` before it is seen. Kill the kernel, run the
    cell again: all is there, and the first unfinished picture is open. A line that a disk has
    damaged costs what that line says and nothing else, and is told. The keys are shown below the
    picture. Pictures that cannot be read are marked and passed over.

    Args:
        pictures: A folder (with all folders in it), or a list of files.
        out: Folder for the journal; one per data set.
        sam: A model from `load_sam`, or a name or path for it.
        classes: Names to begin with; more can be added at any time.
        stage: See above; it may change from one start to the next.
        bank: A `samlab.MemoryBank` that knows the classes, perhaps made from what was labelled in
            an earlier stage: `samlab.MemoryBank.from_segments(annotator.segments)`.
        **limits: Of `samlab.view.annotate.proposals.Limits`: `pred_iou_thresh` and
            `stability_score_thresh` as the mask generator takes them, `sure_above` (what is at
            least this sure is not asked about), `most_questions` per picture, `parts` (with a
            bank, also masks inside a larger one of the same class).

    Returns:
        The widget. `.segments` and `.tables` are what is kept, with vectors; `.to_coco(path)` and
        `.export(path, format)` write it.

    Example:
        >>> import tempfile, skimage
        >>> photos = [Path(skimage.__file__).parent / "data" / "coins.png"]
        >>> annotate(photos, out=tempfile.mkdtemp(), classes=["coin"])
        Annotator(0 of 1 pictures done, 0 masks kept)
    """
    unknown = sorted(set(limits) - set(Limits.__dataclass_fields__))
    if unknown:
        raise InputError(
            f"Expected limits out of {', '.join(Limits.__dataclass_fields__)}; "
            f"got {', '.join(unknown)}."
        )
    if isinstance(pictures, (str, os.PathLike)):
        queue = Queue(Path(pictures), skip=out)
    else:
        queue = Queue(pictures)
    session = Session(
        queue, Journal(out), sam, stage=stage, classes=classes, bank=bank, limits=Limits(**limits)
    )
    return Annotator(session)
