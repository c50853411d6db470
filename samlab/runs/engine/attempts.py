"""Which pictures kill the process that works on them, found out across processes.

Ray gives a batch whose worker died to the next worker, for ever. A note beside the results says
how often a batch was begun; from the third time on its pictures are done one by one, each named in
the note before it is touched, so that the one on which workers die is known, and left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from samlab.pictures import Picture
from samlab.runs.disk.shards import Outcome
from samlab.runs.disk.storage import Storage

FOLDER = "attempts"
_AS_USUAL = 2  # times a batch is done as a whole
_DEATHS = 2  # of workers on one picture, before it is left alone


class Attempts:
    """The note about one batch.

    Args:
        storage: The run's folder.
        name: The batch's shard.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage, self._file = storage, f"{FOLDER}/{name}.json"
        try:
            self._note: dict[str, Any] = json.loads(storage.read(self._file))
        except (FileNotFoundError, ValueError):
            self._note = {"begun": 0, "current": None, "deaths": {}}
        current = self._note["current"]
        if current is not None:
            self._note["deaths"][current] = self._note["deaths"].get(current, 0) + 1
        self._note["begun"] += 1
        self._write(None)

    @property
    def one_by_one(self) -> bool:
        """Whether workers died on this batch so often that its pictures are done singly."""
        return int(self._note["begun"]) > _AS_USUAL

    def singly(self, pictures: Sequence[Picture]) -> Iterator[Picture]:
        """The pictures that may be tried, each named in the note while it is worked on."""
        for picture in pictures:
            if self._deaths(picture) < _DEATHS:
                self._write(picture.image_id)
                yield picture

    def given_up(self, pictures: Sequence[Picture]) -> list[Outcome]:
        """The others, as failed."""
        return [
            Outcome(
                picture,
                error=f"The process working on it died, {self._deaths(picture)} times.",
                error_type="ProcessDied",
            )
            for picture in pictures
            if self._deaths(picture) >= _DEATHS
        ]

    def finish(self) -> None:
        """The batch is written: the note may go."""
        self._storage.remove(self._file)

    def _deaths(self, picture: Picture) -> int:
        return int(self._note["deaths"].get(picture.image_id, 0))

    def _write(self, current: str | None) -> None:
        self._note["current"] = current
        self._storage.write(self._file, json.dumps(self._note).encode())


def forget_attempts(storage: Storage) -> None:
    """Remove the notes of an earlier call: everything gets its chance again."""
    for name in storage.names(FOLDER):
        storage.remove(name)
