"""The journal: every act is on the disk before it is seen, as one line of JSON, appended.

Nothing that was done is lost when the kernel is killed: a line that was cut short is the act that
was never confirmed, and is taken off when the journal is opened again. What a damaged disk does to
other lines is the matter of replay.py.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from samlab.errors import InputError
from samlab.view.annotate.replay import VERSION, line_of, replayed
from samlab.view.annotate.state import Act, Annotations, Change

NAME = "annotations.jsonl"


class Journal:
    """Annotations that are written down act by act.

    Args:
        folder: Where `annotations.jsonl` is, or will be.

    Attributes:
        annotations: What all acts so far come to.
        path: The file.
        note: A sentence about lines that could not be read, "" where all could.
        lost_names: Classes whose names were in such lines.
    """

    def __init__(self, folder: str | Path) -> None:
        self.annotations = Annotations()
        self.path = Path(folder) / NAME
        self.note = ""
        self.lost_names: tuple[int, ...] = ()
        self._lock = threading.RLock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._size = self._replay() if self.path.exists() else 0
            if self._size == 0:
                self._append({"act": "journal", "version": VERSION})
        except OSError as error:
            raise InputError(
                f"Annotations could not be kept in '{folder}': {error.strerror or error}. Choose "
                "another folder as out=."
            ) from error

    def do(self, act: Act) -> Change:
        """Do an act and write it down; where it does not fit or cannot be written, it is not done.

        Raises:
            InputError: The act does not fit, the file cannot be written, or somebody else has
                written to it.
        """
        with self._lock:
            after = self.annotations.last
            change = self.annotations.apply(act)
            try:
                self._append({**_self_contained(act, change), "after": after})
            except (OSError, InputError) as error:
                self._revert(act)
                if isinstance(error, InputError):
                    raise
                raise InputError(
                    f"'{self.path}' could not be written: {error.strerror or error}. The last act "
                    "was not kept."
                ) from error
            return change

    def _revert(self, act: Act) -> None:
        """Take back what was not written; what had been undone before may no longer be redone."""
        opposite = {"undo": "redo", "redo": "undo"}.get(str(act["act"]), "undo")
        self.annotations.apply({"act": opposite})
        if opposite == "undo" and act["act"] != "redo":
            self.annotations.forget_undone()

    def _append(self, act: Act) -> None:
        line = line_of(act)
        # Two annotators that look at the size in one moment would both write.
        with FileLock(f"{self.path}.lock", timeout=10), self.path.open("ab", buffering=0) as file:
            if file.tell() != self._size:
                raise InputError(
                    f"'{self.path}' was changed by another annotator, and the last act was not "
                    "kept. Close the other one, then run this cell again."
                )
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(self._size)  # no half line in the way of the next one
                raise
        self._size += len(line)

    def _replay(self) -> int:
        """Read all lines; returns the size of the file without a last line cut short."""
        data = self.path.read_bytes()
        complete = data.rfind(b"\n") + 1
        self.annotations, damage = replayed(data[:complete], self.path)
        self.note, self.lost_names = damage.summary(self.path), damage.lost_names(self.annotations)
        if complete < len(data):
            with self.path.open("r+b") as file:
                file.truncate(complete)
        return complete


def _self_contained(act: Act, change: Change) -> Act:
    """The act with its number and the ids of its new masks, so that a line stands for itself."""
    if act["act"] in ("undo", "redo"):
        return act
    act = {**act, "n": change.number}
    if act["act"] != "add":
        return act
    ids = [number for _, number in change.masks]
    return {**act, "masks": [{**m, "id": i} for m, i in zip(act["masks"], ids, strict=True)]}
