"""How far a run is: a bar for people, plain lines for logs, numbers for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tqdm.auto import tqdm

from samlab.process.progress import hushed

_LINE_EVERY = 30.0  # seconds between the lines of a log


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        done: Pictures with a result, those of earlier calls and errors included.
        errors: Errors among those of this call.
        total: All pictures; None where it is not known yet.
        rate: Pictures per second of this call.
        seconds_left: Estimated; None where `total` or the rate is not known.
    """

    done: int
    errors: int
    total: int | None
    rate: float
    seconds_left: float | None


class ProgressBar:
    """Counts pictures; a context manager."""

    def __init__(
        self,
        total: int | None,
        done: int,
        *,
        show: bool = True,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._total, self._before = total, done
        self._now, self._errors = 0, 0
        self._begin = time.monotonic()
        self._on_progress = on_progress
        self._bar = _bar(total, done, show)
        self._hush = ExitStack()

    def add(self, *, error: bool) -> None:
        """One more picture has a result."""
        self._now += 1
        self._errors += error
        if error:
            self._bar.set_postfix_str(f"{self._errors} errors", refresh=False)
        self._bar.update()
        if self._on_progress is not None:
            self._on_progress(self.state())

    def state(self) -> Progress:
        """The numbers."""
        seconds = time.monotonic() - self._begin
        rate = self._now / seconds if seconds > 0 else 0.0
        done = self._before + self._now
        left = None
        if self._total is not None and rate > 0:
            left = max(self._total - done, 0) / rate
        return Progress(done, self._errors, self._total, rate, left)

    def __enter__(self) -> ProgressBar:
        self._hush.enter_context(hushed())  # pictures are what is counted
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hush.close()
        self._bar.close()


def _bar(total: int | None, done: int, show: bool) -> Any:
    options: dict[str, Any] = {
        "total": total, "initial": done, "unit": "picture", "desc": "Pictures",
        "disable": not show, "smoothing": 0.05,
    }  # fmt: skip
    if show and not sys.stderr.isatty() and not _in_notebook():
        options |= {"file": _Lines(), "mininterval": _LINE_EVERY, "ascii": True, "ncols": 100}
    return tqdm(**options)


class _Lines:
    """A log's view of a bar: each state on a line of its own instead of over the last one."""

    def write(self, text: str) -> int:
        text = text.strip("\r\n")
        return sys.stderr.write(f"{text}\n") if text.strip() else 0

    def flush(self) -> None:
        sys.stderr.flush()


def _in_notebook() -> bool:
    """Whether a kernel runs this; that ipykernel was imported says nothing."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
