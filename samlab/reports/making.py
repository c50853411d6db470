"""Reports made one after another in a process of their own.

Each process has its own number of threads, one that dies takes a single picture with it, and an
interruption ends them at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from samlab.errors import SamlabError
from samlab.files import make_folder, write_atomic
from samlab.process.threads import computing_environment
from samlab.reports.notebook import FAILED_NOTEBOOK, execute_report
from samlab.reports.summary import plain_thumbnail, read_summary
from samlab.worker import Worker, WorkerDied

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def report_worker(folder: Path, threads: int) -> Worker:
    """A process that makes reports.

    Args:
        folder: Where it may leave temporary files; the caller removes it.
        threads: How many threads its kernels compute with.
    """
    environment = {
        **computing_environment(threads),
        **dict.fromkeys(_THREADS, str(threads)),
        "TMPDIR": str(folder),
        "PYTHONFAULTHANDLER": "1",
    }
    return Worker(prepare_reports, environment=environment, log=folder / "worker.log")


def request_report(worker: Worker, task: dict[str, Any]) -> dict[str, Any]:
    """Have one report made; waits for it.

    Args:
        worker: See `report_worker`.
        task: Arguments of `make`.

    Returns:
        What `make` returns; where the process died, an `"error"` that says so. The next task starts
        a fresh process, unless the worker was killed.
    """
    try:
        worker.start()
        worker.send(task)
        answer: dict[str, Any] = worker.receive()
        return answer
    except WorkerDied as died:
        if died.code is None:
            return {"error": "The reports were stopped before this one was begun."}
        said = f" Its log ends: {died.last_line}" if died.last_line else ""
        if died.code == -9:  # SIGKILL, as from a system out of memory
            said += " Was there enough memory? Fewer --jobs need less."
        return {"error": f"The process that made the report {died}.{said}"}


def prepare_reports() -> Callable[[Iterator[dict[str, Any]]], Iterable[dict[str, Any]]]:
    """In the process: what turns tasks into answers."""
    return lambda tasks: (make(**task) for task in tasks)


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
        `seconds`, and either `segments`, `classes`, `noise` and `unassigned` (where the notebook
        tells) or `error`, what went wrong in one sentence.
    """
    started = time.perf_counter()
    try:
        facts = read_summary(
            execute_report(picture, report, notebook=notebook, parameters=parameters)
        )
        make_folder(Path(thumbnail).parent)
        write_atomic(Path(thumbnail), facts.pop("thumbnail", None) or plain_thumbnail(picture))
        answer = {name: facts.get(name) for name in ("segments", "classes", "noise", "unassigned")}
    except SamlabError as error:
        # Where the failed notebook is, the index says with a link.
        answer = {"error": str(error).split(FAILED_NOTEBOOK)[0]}
    except Exception as error:  # noqa: BLE001 (one picture must not stop the others)
        answer = {"error": f"{type(error).__name__}: {error}"}
    return {**answer, "seconds": round(time.perf_counter() - started, 2)}
