"""The journal: every act is on the disk before it is seen, as one line of JSON, appended.

Nothing that was done is lost when the kernel is killed: a line that was cut short is the act that
was never confirmed, and is taken off when the journal is opened again.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from samlab.errors import FormatError, InputError, SamlabError
from samlab.view.annotation_state import Act, Annotations, Change

_VERSION = 1
NAME = "annotations.jsonl"


class Journal:
    """Annotations that are written down act by act.

    Args:
        folder: Where `annotations.jsonl` is, or will be.

    Attributes:
        annotations: What all acts so far come to.
        path: The file.
        notes: Sentences about lines that could not be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.annotations = Annotations()
        self.path = Path(folder) / NAME
        self.notes: list[str] = []
        self._lock = threading.RLock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._size = self._replay() if self.path.exists() else 0
            if self._size == 0:
                self._append({"act": "journal", "version": _VERSION})
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
            change = self.annotations.apply(act)
            try:
                self._append(_with_ids(act, change))
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
        line = (json.dumps(act, allow_nan=False, separators=(",", ":")) + "\n").encode("utf-8")
        with self.path.open("ab") as file:
            if file.tell() != self._size:
                raise InputError(
                    f"'{self.path}' was changed by another annotator, and the last act was not "
                    "kept. Close the other one, then run this cell again."
                )
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(line)

    def _replay(self) -> int:
        """Read all lines; returns the size of the file without a last line cut short."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self.path.open("r+b") as file:
                file.truncate(whole)
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                self._take(json.loads(line), number)
            except FormatError:
                raise
            except (ValueError, KeyError, TypeError, AttributeError, SamlabError) as error:
                self.notes.append(f"Line {number} of '{self.path}' was left out: {error}")
        return whole

    def _take(self, act: Any, number: int) -> None:
        if number == 1:
            version = act.get("version") if isinstance(act, dict) else None
            if not isinstance(version, int) or act.get("act") != "journal":
                raise FormatError(
                    f"Expected annotations of samlab in '{self.path}', its first line is not "
                    "theirs. Choose another folder as out=."
                )
            if version > _VERSION:
                raise FormatError(
                    f"Expected annotations of version {_VERSION} or lower in '{self.path}', got "
                    f"{version}: a newer samlab wrote them. Upgrade samlab."
                )
            return
        self.annotations.apply(act)


def _with_ids(act: Act, change: Change) -> Act:
    """The act with the ids that its new masks were given, so that a line stands for itself."""
    if act["act"] != "add":
        return act
    ids = [number for _, number in change.masks]
    return {**act, "masks": [{**m, "id": i} for m, i in zip(act["masks"], ids, strict=True)]}
