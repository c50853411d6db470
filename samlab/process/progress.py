"""How far long work is, told where a person waits: a notebook, a terminal, a report's kernel.

Work that ends within a second says nothing. Nothing is left behind: no line, and no widget that a
saved notebook could not show again.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any, Protocol

from samlab.process.front_end import has_front_end

#: Names a file into which stages are written, for a process that shows them.
RELAY = "SAMLAB_PROGRESS_FILE"
#: Set to 0, nothing is told.
WANTED = "SAMLAB_PROGRESS"
_DELAY = 1.0  # seconds of silence
_EVERY = 0.25  # seconds between two drawings

_hushed = 0


class _Screen(Protocol):
    """Where a stage is drawn."""

    def draw(self, stage: Stage) -> None:
        """Show how far it is."""

    def clear(self) -> None:
        """Take it away."""


class Stage:
    """One piece of long work: `step(n)` after each n units of it."""

    def __init__(self, name: str, total: int | None = None, unit: str = "") -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = 0
        self._begin = time.monotonic()

    def step(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begin

    def text(self) -> str:
        """As one line: `Masks:  45%|████      | 460/1024 [00:05<00:06, 92.2point/s]`."""
        from tqdm import tqdm

        if self.total is None:
            return f"{self.name}: {tqdm.format_interval(self.seconds)}"
        return str(
            tqdm.format_meter(
                self.done, self.total, self.seconds, ncols=78, prefix=self.name, unit=self.unit
            )
        )


@contextmanager
def stage(
    name: str, total: int | None = None, unit: str = "", *, show: bool | None = None
) -> Iterator[Stage]:
    """Tell how far the work inside is.

    Args:
        name: What is done, one word or two.
        total: How many steps it has; None where there is nothing to count.
        unit: What a step is.
        show: True and False tell it at once or not at all; None tells it where a person waits, once
            it takes longer than a second.
    """
    now = Stage(name, total, unit)
    screen = _screen(show)
    if screen is None:
        yield now
        return
    end = threading.Event()

    def draw() -> None:
        if show is not True and not isinstance(screen, _Relay):
            end.wait(_DELAY)
        while not end.is_set():
            screen.draw(now)
            end.wait(_EVERY)

    # In the context of the cell, so that IPython knows whose output it is.
    drawing = threading.Thread(target=copy_context().run, args=(draw,), daemon=True)
    drawing.start()
    try:
        with hushed():
            yield now
    finally:
        end.set()
        drawing.join()
        if show:
            screen.draw(now)
        screen.clear()


@contextmanager
def hushed() -> Iterator[None]:
    """Say nothing of the stages inside: something else shows how far it is, or nobody waits."""
    global _hushed
    _hushed += 1
    try:
        yield
    finally:
        _hushed -= 1


def _screen(show: bool | None) -> _Screen | None:
    silent = _hushed or os.environ.get(WANTED) == "0"
    if show is False or (silent and show is None):
        return None
    if RELAY in os.environ:
        return _Relay(Path(os.environ[RELAY]))
    if show is None and threading.current_thread() is not threading.main_thread():
        return None
    if has_front_end():
        return _Notebook()
    if show or (sys.stderr is not None and sys.stderr.isatty()):
        return Terminal(keep=bool(show))
    return None


class Terminal:
    """One line of stderr, drawn over."""

    def __init__(self, keep: bool = False) -> None:
        self._keep = keep
        self._width = 0

    def draw(self, stage: Stage) -> None:
        """Show how far it is."""
        self.write(stage.text())

    def write(self, text: str) -> None:
        """Show a line instead of the last one."""
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)

    def clear(self) -> None:
        """Take the line away, or end it where it is to stay."""
        if self._width:
            sys.stderr.write("\n" if self._keep else "\r" + " " * self._width + "\r")
            sys.stderr.flush()
        self._width = 0


class _Notebook:
    """An output of the cell, drawn anew, and empty at the end."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, stage: Stage) -> None:
        from IPython.display import display

        shown = {"text/plain": stage.text()}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.update({"text/html": "", "text/plain": ""}, raw=True)


class _Relay:
    """A file in which another process reads how far this one is; none where no stage is on."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def draw(self, stage: Stage) -> None:
        state = {"name": stage.name, "done": stage.done, "total": stage.total, "unit": stage.unit}
        part = self._file.with_suffix(".part")
        try:
            part.write_text(json.dumps(state), encoding="utf-8")
            part.replace(self._file)
        except OSError:  # the folder is gone: nobody reads it any more
            return

    def clear(self) -> None:
        self._file.unlink(missing_ok=True)


@contextmanager
def shown_from(file: Path) -> Iterator[None]:
    """Show the stages that another process writes into this file, while the work inside goes on.

    At a terminal in one line that is drawn over; in a log as a line for each stage.

    Args:
        file: What the other process has in `SAMLAB_PROGRESS_FILE`.
    """
    end = threading.Event()
    terminal = sys.stderr.isatty()

    def follow() -> None:
        screen = Terminal()
        now = Stage("Start")
        while not end.wait(_EVERY):
            found = _read(file) or Stage(now.name if now.name == "Start" else "Plots and page")
            if found.name != now.name:
                now = found
                if not terminal:
                    sys.stderr.write(f"{now.name}\n")
            now.done = found.done
            if terminal:
                screen.draw(now)
        screen.clear()

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    try:
        yield
    finally:
        end.set()
        following.join()


def _read(file: Path) -> Stage | None:
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        found = Stage(str(state["name"]), state["total"], str(state["unit"]))
        found.done = int(state["done"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found
