"""One process for each device, each with a model of its own; this one gives out work and collects.

The processes are started as `python -m samlab.runs.engine.device_worker` and spoken to through
their standard input and output. Unlike multiprocessing's, they do not run the caller's script
again, so that a script needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, Any

from samlab.errors import InputError
from samlab.pictures import Picture
from samlab.runs.disk.cache import SegmentCache
from samlab.runs.disk.shards import Outcome
from samlab.runs.engine.collect import RunError
from samlab.runs.engine.work import Recipe

_RESTARTS = 3  # of the process of one device, before it is given up
_BATCH = {"cpu": 1}  # pictures at once on a device; 8 elsewhere


@dataclass(frozen=True)
class Crew:
    """A process for each device.

    Attributes:
        recipe: What they do; its model is a name or a path.
        devices: One process each.
        cache: Where they look first, or None.
        batch: Pictures encoded at once; 1 on a CPU and 8 elsewhere by default.
        readers: Threads that read, in each.
    """

    recipe: Recipe
    devices: Sequence[str | None]
    cache: SegmentCache | None = None
    batch: int | None = None
    readers: int | None = None

    def outcomes(self, todo: Iterator[Picture]) -> Generator[Outcome]:
        """One outcome per picture, in the order in which they are done.

        The pictures of a process that dies are given to others, one at a time; a picture on which
        a process dies a second time has failed.

        Raises:
            RunError: The processes cannot be started, or all of them died too often.
        """
        pool = _WorkPool(todo)
        threads = [
            threading.Thread(target=self._serve, args=(device, pool), daemon=True)
            for device in self.devices
        ]
        for thread in threads:
            thread.start()
        try:
            alive = len(threads)
            while alive:
                item = pool.results.get()
                if isinstance(item, Outcome):
                    yield item
                elif isinstance(item, BaseException):
                    raise item
                else:  # one device has nothing more to do
                    alive -= 1
            if pool.unfinished:
                raise RunError(
                    f"The processes on {', '.join(map(str, self.devices))} ended too often; "
                    f"{pool.last_words} What is done is written; call samlab.run again."
                )
        finally:
            pool.stop()
            for thread in threads:
                thread.join(timeout=10)

    def _serve(self, device: str | None, pool: _WorkPool) -> None:
        """The thread that speaks with one device's process."""
        size = self.batch or _BATCH.get(str(device).split(":")[0], 8)
        try:
            order = {
                "recipe": replace(self.recipe, device=device),
                "cache": self.cache,
                "readers": self.readers,
            }
            try:
                hello = pickle.dumps(order)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise InputError(
                    f"What embed holds cannot be sent to another process ({error}). Name the "
                    "embedder, define it in a module, or use one device."
                ) from error
            for _ in range(1 + _RESTARTS):
                if _talk(hello, pool, size):
                    break
        except BaseException as error:  # noqa: BLE001  the main thread raises it
            pool.results.put(error)
        pool.results.put(None)


class _WorkPool:
    """Pictures to be given out, and what came back; shared by the threads."""

    def __init__(self, todo: Iterator[Picture]) -> None:
        self._todo = todo
        self._again: deque[Picture] = deque()
        self._deaths: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._out = 0
        self._changed = threading.Condition(self._lock)
        self._stopped = False
        self.results: queue.Queue[Outcome | BaseException | None] = queue.Queue(maxsize=256)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.last_words = ""

    def take(self, size: int, *, wait: bool) -> list[Picture]:
        """The next batch, or one picture on which a process died before; [] at the end.

        With `wait`, the end is only there when no other process holds pictures that it might
        leave behind.
        """
        with self._lock:
            while not self._stopped:
                # A picture that is tried again goes alone, so that a second death is its own.
                again = [self._again.popleft()] if self._again and wait else []
                group = again or list(islice(self._todo, size))
                if group:
                    self._out += len(group)
                    return group
                if not wait or self._out == 0:
                    return []
                self._changed.wait(1.0)  # another process may die and leave its pictures
            return []

    def alone(self, group: Sequence[Picture]) -> bool:
        """Whether this is a picture that is tried once more."""
        return self._deaths[group[0].image_id] > 0

    def done(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.results.put(outcome)
        with self._lock:
            self._out -= len(outcomes)
            self._changed.notify_all()

    def died(self, groups: Sequence[Sequence[Picture]], words: str) -> None:
        """A process ended with these pictures in its hands."""
        failures = []
        with self._lock:
            self.last_words = words
            for picture in (p for group in groups for p in group):
                self._deaths[picture.image_id] += 1
                self._out -= 1
                if self._deaths[picture.image_id] == 1:
                    self._again.append(picture)
                else:
                    failures.append(Outcome(picture, error=words, error_type="ProcessDied"))
            self._changed.notify_all()
        for failure in failures:
            self.results.put(failure)

    @property
    def stopped(self) -> bool:
        """Whether all processes are to end."""
        return self._stopped

    @property
    def unfinished(self) -> bool:
        with self._lock:
            return bool(self._again) or next(self._todo, None) is not None

    def stop(self) -> None:
        """End all processes, whatever they are doing."""
        with self._lock:
            self._stopped = True
            self._changed.notify_all()
        for process in self.processes:
            with suppress(OSError):
                process.kill()
        with suppress(queue.Empty):
            while True:
                self.results.get_nowait()


def _talk(hello: bytes, pool: _WorkPool, size: int) -> bool:
    """Start a process and keep it busy; True at the end of all, False where it died by itself."""
    with _start() as process:
        pool.processes.append(process)
        stdin, stdout = _pipes(process)
        waiting: deque[list[Picture]] = deque()
        try:
            if pool.stopped:  # before it was known there, so that nobody ended it
                return True
            stdin.write(hello)
            stdin.flush()
            _answer(stdout)  # the model is loaded
            while True:
                # Two batches at a time, so that it reads the next while it computes.
                while len(waiting) < 2 and not (waiting and pool.alone(waiting[-1])):
                    group = pool.take(size, wait=not waiting)
                    if not group:
                        break
                    waiting.append(group)
                    pickle.dump(group, stdin)
                    stdin.flush()
                if not waiting:
                    return True
                outcomes = _answer(stdout)
                waiting.popleft()
                pool.done(outcomes)
        except (EOFError, OSError, pickle.UnpicklingError):
            process.kill()
            code = process.wait()
            pool.died(list(waiting), f"The process working on it ended with code {code}.")
            return pool.stopped
        finally:
            with suppress(OSError):
                stdin.close()
            process.kill()


def _answer(stdout: IO[bytes]) -> Any:
    """What the process says; an exception of its own is raised here."""
    answer = pickle.load(stdout)
    if isinstance(answer, BaseException):
        raise RunError(f"A process of the run could not start: {answer}") from answer
    return answer


def _start() -> subprocess.Popen[bytes]:
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    return subprocess.Popen(
        [sys.executable, "-m", "samlab.runs.engine.device_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise RunError("A process of the run was started without pipes.")
    return process.stdin, process.stdout
