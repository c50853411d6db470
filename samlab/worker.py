"""A process that answers requests over pipes, and dies alone.

Unlike multiprocessing's, it does not run the caller's script again, so that a script needs no
`if __name__ == "__main__"`. When its owner ends, however that ends, it ends as well, at the latest
after the request that it is at; Ctrl-C is not for it but for its owner.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from samlab.errors import SamlabError

_START = "import sys; sys.path[:] = sys.argv[1:]; from samlab.worker import main; main()"


class NotPrepared(SamlabError, RuntimeError):
    """The process could not be made ready for its work."""


class WorkerDied(SamlabError, RuntimeError):
    """The process ended by itself, or was killed.

    Attributes:
        code: Its exit code, -N where signal N ended it; None where it was not to be started again.
        last_line: The last line that it wrote into its log; "" without one.
    """

    def __init__(self, code: int | None, last_line: str = "") -> None:
        super().__init__("was stopped" if code is None else f"ended with code {code}")
        self.code = code
        self.last_line = last_line


class Worker:
    """The owner's end of one process, which is started when it is needed.

    Args:
        prepare: Called in the process with `arguments`; returns a function from an iterator of
            requests to one of answers. All of these travel by pickle, functions by their names.
        *arguments: For `prepare`.
        environment: Variables that the process has beside those of this one.
        log: File for what it prints; None lets it print where this one does.

    Raises:
        pickle.PicklingError, AttributeError, TypeError: The arguments cannot travel.
    """

    def __init__(
        self,
        prepare: Callable[..., Callable[[Iterator[Any]], Iterable[Any]]],
        *arguments: Any,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self._order = pickle.dumps((prepare, arguments))
        self._environment = {**os.environ, **(environment or {})}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._lock = threading.Lock()  # none is started behind the back of `kill`

    def start(self) -> None:
        """Start the process, unless it runs, and wait until it is prepared.

        Raises:
            NotPrepared: What `prepare` raised, in words.
            WorkerDied: It ended before; or `kill` was called.
        """
        with self._lock:
            if self._killed:
                raise WorkerDied(None)
            if self._process is not None:
                return
            self._process = self._popen()
        self._write(self._order)
        refusal = self.receive()
        if refusal is not None:
            self._discard()
            raise NotPrepared(refusal)

    def send(self, request: Any) -> None:
        """Ask; several requests may be under way, and are answered in their order.

        Raises:
            WorkerDied: There is no process any more.
        """
        self._write(pickle.dumps(request))

    def receive(self) -> Any:
        """Wait for the next answer.

        Raises:
            WorkerDied: The process ended before it answered. `start` starts another one.
        """
        try:
            return pickle.load(self._pipe("stdout"))
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            raise self._death() from None

    def close(self) -> None:
        """End the process after what it is doing."""
        process = self._process
        if process is not None:
            with suppress(OSError):
                self._pipe("stdin").close()
            process.wait()
        self._discard()

    def kill(self) -> None:
        """End the process at once and for good; may be called from any thread."""
        with self._lock:
            self._killed = True
        self._discard()

    def _popen(self) -> subprocess.Popen[bytes]:
        with ExitStack() as stack:
            return subprocess.Popen(
                [sys.executable, "-c", _START, *(p or os.getcwd() for p in sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stack.enter_context(self._log.open("wb")) if self._log else None,
                env=self._environment,
                # A session, or on Windows a group, of its own: Ctrl-C passes it by.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )

    def _pipe(self, name: str) -> IO[bytes]:
        pipe: IO[bytes] | None = getattr(self._process, name, None)
        if pipe is None:
            raise WorkerDied(None)
        return pipe

    def _write(self, data: bytes) -> None:
        try:
            pipe = self._pipe("stdin")
            pipe.write(data)
            pipe.flush()
        except (OSError, ValueError):
            raise self._death() from None

    def _death(self) -> WorkerDied:
        process = self._process
        if process is None:
            return WorkerDied(None)
        with suppress(subprocess.TimeoutExpired):  # else it has closed its pipes and lives on
            process.wait(5)
        self._discard()
        words = ""
        if self._log is not None and self._log.exists():
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            words = lines[-1].strip() if lines else ""
        return WorkerDied(process.returncode, words)

    def _discard(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what was left to be written is of no use now
                    pipe.close()  # type: ignore[union-attr]


def main() -> None:
    """The life of the process."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints shall not print into the answers
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # and whatever reads not eat the requests

    def say(what: Any) -> None:
        pickle.dump(what, answers)
        answers.flush()

    try:
        prepare, arguments = pickle.load(requests)
        answer_all = prepare(*arguments)
    except (SamlabError, RuntimeError, ImportError, AttributeError, OSError) as error:
        say(f"{type(error).__name__}: {error}")
        return
    say(None)
    for answer in answer_all(_loaded(requests)):
        say(answer)


def _loaded(requests: IO[bytes]) -> Iterator[Any]:
    while True:
        try:
            yield pickle.load(requests)
        except (EOFError, OSError, pickle.UnpicklingError):
            return
