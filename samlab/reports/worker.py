"""A process that makes reports one after another, and what its parent holds of it.

Reports of a folder are made outside the caller's process: each worker has its own number of
threads, one that dies takes a single picture with it, and an interruption ends them at once. Tasks
go in and answers come out as lines of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from samlab.errors import SamlabError
from samlab.files import write_whole
from samlab.reports.notebook import FAILED_NOTEBOOK, execute_report, make_folder
from samlab.reports.summary import plain_thumbnail, read_summary

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Worker:
    """The parent's end of one process that makes reports.

    Args:
        folder: Where it may leave temporary files; the parent removes it.
        threads: How many threads its kernels compute with.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._said = folder / "worker.log"
        self._environment = {
            **os.environ,
            **dict.fromkeys(_THREADS, str(threads)),
            "TMPDIR": str(folder),
            "PYTHONFAULTHANDLER": "1",
        }
        self._process: subprocess.Popen[str] | None = None
        self._ended = False
        self._lock = threading.Lock()  # none is started behind the back of `kill`

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        """Have one report made; waits for it.

        Args:
            task: Arguments of `make`, ready for JSON.

        Returns:
            What `make` returns; where the process died, an `"error"` that says so. The next task
            starts a fresh process, unless `kill` was called.
        """
        process = self._started()
        if process is None:
            return {"error": "The reports were stopped before this one was begun."}
        try:
            process.stdin.write(json.dumps(task) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            answer = process.stdout.readline()  # type: ignore[union-attr]
            if answer:
                return dict(json.loads(answer))
        except (OSError, ValueError):
            pass
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        self._discard()
        return {"error": self._obituary(process.wait())}

    def kill(self) -> None:
        """End the process at once and for good; its kernel notices and ends itself."""
        with self._lock:
            self._ended = True
        self._discard()

    def close(self) -> None:
        """End the process after what it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate()

    def _discard(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what was left to be written is of no use now
                    pipe.close()  # type: ignore[union-attr]

    def _started(self) -> subprocess.Popen[str] | None:
        """The process, a new one where there is none; None once all is to end."""
        with self._lock:
            if self._process is None and not self._ended:
                with self._said.open("w") as log:
                    # A session of its own: Ctrl-C is for the parent, which then ends its workers.
                    self._process = subprocess.Popen(
                        [sys.executable, "-m", "samlab.reports.worker"],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                        encoding="utf-8", env=self._environment, start_new_session=True,
                    )  # fmt: skip
            return self._process

    def _obituary(self, code: int) -> str:
        last = ""
        if self._said.exists():
            lines = self._said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = f" Its last words: {lines[-1].strip()}" if lines else ""
        if code == -9:  # SIGKILL, as from a system out of memory
            last += " Was there enough memory? Fewer --jobs need less."
        return f"The process that made the report ended with code {code}.{last}"


def make(
    picture: str, report: str, thumbnail: str, notebook: str | None, parameters: dict[str, Any]
) -> dict[str, Any]:
    """Make one report and its thumbnail.

    Args:
        picture: Path of the picture.
        report: The HTML file to write.
        thumbnail: The JPEG file to write.
        notebook: Another notebook than samlab's own, or None.
        parameters: Of the notebook.

    Returns:
        `seconds`, and either `segments`, `classes` and `noise` (where the notebook tells) or
        `error`, what went wrong in one sentence.
    """
    started = time.perf_counter()
    try:
        facts = read_summary(
            execute_report(picture, report, notebook=notebook, parameters=parameters)
        )
        make_folder(Path(thumbnail).parent)
        write_whole(Path(thumbnail), facts.pop("thumbnail", None) or plain_thumbnail(picture))
        answer = {name: facts.get(name) for name in ("segments", "classes", "noise")}
    except SamlabError as error:
        # Where the failed notebook is, the index says with a link.
        answer = {"error": str(error).split(FAILED_NOTEBOOK)[0]}
    except Exception as error:  # noqa: BLE001 (one picture must not stop the others)
        answer = {"error": f"{type(error).__name__}: {error}"}
    return {**answer, "seconds": round(time.perf_counter() - started, 2)}


def main() -> None:
    """Answer tasks from stdin until it ends."""
    # Kernels inherit the standard output; it is turned into the log, so that nothing they write
    # can fall between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(make(**json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
