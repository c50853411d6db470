"""Outcomes to shards: when a batch is written, and what happens when a run is stopped."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from samlab.errors import SamlabError, StorageError
from samlab.runs.disk.shards import Outcome
from samlab.runs.disk.store import RunStore
from samlab.runs.engine.classify import Classify
from samlab.runs.engine.progress import ProgressBar

_GIVE_UP = 20  # pictures in a row on which the model fails before the run stops


class RunError(SamlabError, RuntimeError):
    """A run stopped, not because of a picture."""


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C during a run. What was done until then is written."""


@dataclass(frozen=True)
class FlushLimits:
    """A shard is written when one of these has come together.

    It bounds the memory, and what a crash can cost.

    Attributes:
        bytes: Of the segments' tables.
        pictures: How many.
        seconds: Of work that a kill at any moment may cost: a shard is written before the next
            picture, if that takes as long as the last one, would make it more.
    """

    bytes: int = 16 * 2**20
    pictures: int = 256
    seconds: float = 10.0


def collect(
    outcomes: Generator[Outcome],
    store: RunStore,
    bar: ProgressBar,
    *,
    classify: Classify | None = None,
    limits: FlushLimits | None = None,
) -> None:
    """Write outcomes as they come. Whatever ends the run, what is done is written first.

    Raises:
        RunInterrupted: Ctrl-C.
        RunError: The model fails on one picture after the other.
        StorageError: The results cannot be written.
    """
    buffer = _Buffer(store, limits or FlushLimits())
    try:
        with bar:
            for outcome in outcomes:
                outcome = classified(outcome, classify)
                buffer.add(outcome)
                bar.add(error=outcome.segments is None)
        buffer.finish()
    except KeyboardInterrupt as error:
        buffer.flush()
        raise RunInterrupted(
            f"Stopped by Ctrl-C. {len(store.done):,} pictures are done and written to "
            f"'{store.storage.url}'; the same call goes on with the rest."
        ) from error
    except StorageError:
        raise
    except Exception:
        buffer.flush()
        raise
    finally:
        outcomes.close()


class _Buffer:
    """Outcomes on their way into a shard. Ctrl-C may come between any two of its steps."""

    def __init__(self, store: RunStore, limits: FlushLimits) -> None:
        self._store, self._limits = store, limits
        # A picture's row and its segments come in as one: a row alone would say that it is done.
        self._kept: list[tuple[dict[str, Any], Any]] = []
        self._name = store.new_name()
        self._bytes = 0
        self._since = self._last = time.monotonic()
        self._held: list[Outcome] = []  # the last ones in a row on which the model failed

    def add(self, outcome: Outcome) -> None:
        if outcome.error and outcome.image_size != (0, 0):
            self._hold(outcome)
        else:
            if not outcome.error:
                self._release()
            self._keep(outcome)
        now = time.monotonic()
        took, self._last = now - self._last, now
        full = (
            self._bytes >= self._limits.bytes
            or len(self._kept) >= self._limits.pictures
            or now - self._since + took >= self._limits.seconds
        )
        if full:
            self.flush()

    def finish(self) -> None:
        self._release()
        self.flush()

    def flush(self) -> None:
        """Write what has come together; stopped in the middle and called again, the same shard."""
        if self._kept:
            tables = [table for _, table in self._kept if table is not None]
            self._store.commit([row for row, _ in self._kept], tables, self._name)
            self._kept = []
            self._name = self._store.new_name()
        self._bytes = 0
        self._since = self._last = time.monotonic()

    def _keep(self, outcome: Outcome) -> None:
        table = outcome.table()
        self._kept.append((outcome.row(), table))
        self._bytes += 0 if table is None else table.nbytes

    def _hold(self, outcome: Outcome) -> None:
        """The model failed: on this picture, or altogether? The next ones will tell."""
        self._held.append(outcome)
        if len(self._held) == _GIVE_UP:
            raise RunError(
                f"The model failed on {_GIVE_UP} pictures in a row, so the fault is hardly theirs. "
                f"The last error was {outcome.error_type}: {outcome.error} These pictures are not "
                "marked as done; the same call tries them again."
            )

    def _release(self) -> None:
        """It works on others: those errors were the pictures' own."""
        for outcome in self._held:
            self._keep(outcome)
        self._held.clear()


def classified(outcome: Outcome, classify: Classify | None) -> Outcome:
    """The outcome with classes; an error where the classifier fails on it."""
    if classify is None or outcome.segments is None:
        return outcome
    try:
        segments, columns = classify(outcome.segments)
    except Exception as error:  # noqa: BLE001  whatever a classifier says about one picture
        text = str(error) or type(error).__name__
        return replace(outcome, segments=None, error=text, error_type=type(error).__name__)
    return replace(outcome, segments=segments, columns=columns)
