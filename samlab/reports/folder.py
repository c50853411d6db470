"""A folder of pictures to a folder of reports with an index page."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from tqdm.auto import tqdm

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.files import make_folder, scratch_folder
from samlab.pictures import list_pictures
from samlab.reports.index import (
    Entry,
    after,
    facts_of,
    now,
    read_entries,
    write_index,
)
from samlab.reports.making import report_worker, request_report
from samlab.reports.notebook import check_parameters, failed_notebook, report_notebook
from samlab.worker import Worker

PictureSources: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

#: Seconds between two writings of the index while reports are being made.
_PAUSE = 5.0


@checked_arguments
def write_reports(
    pictures: PictureSources,
    out: str | os.PathLike[str],
    *,
    jobs: int = 1,
    notebook: str | os.PathLike[str] | None = None,
    progress: bool = False,
    **parameters: Any,
) -> list[Entry]:
    """Make a report of every picture, and `index.html` with thumbnails, counts and links.

    `photos/a.jpg` becomes `out/a.jpg.html`, `photos/sub/a.png` becomes `out/sub/a.png.html`. A
    picture that fails is listed with its message, and the rest goes on; its last good report stays,
    and `a.jpg.failed.ipynb` is left beside it. Pictures of earlier runs into the same folder stay
    in the index. Ctrl-C ends the workers at once; what is done stays, with an index of it.

    Args:
        pictures: A folder (its sub-folders too), a glob such as `"photos/*.jpg"`, a file, or a list
            of these.
        out: The folder for the reports; it is made.
        jobs: Reports made at once, each in a kernel of its own with its share of the processor's
            threads. Each needs the memory of one model and one picture.
        notebook: As in `write_report`.
        progress: Show a bar.
        **parameters: As in `write_report`, the same for all pictures.

    Returns:
        An entry per picture of this run, in order of their names; `entry.ok` tells how it went.

    Raises:
        InputError: There is no picture, or a parameter that the notebook does not have.

    Example:
        >>> write_reports("photos", "reports", jobs=2, eps=0.06)  # doctest: +SKIP
    """
    if jobs < 1:
        raise InputError(f"Expected jobs of 1 or more, got {jobs}.")
    if parameters.get("save_segments"):
        raise InputError(
            "Expected save_segments to be left out for several pictures: each would write the same "
            "file. To keep segments of a folder as Parquet, use samlab.run."
        )
    folder = Path(out).absolute()
    if folder.suffix.lower() in (".html", ".htm") or folder.is_file():
        raise InputError(
            f"Expected a folder for the reports of several pictures, got the file '{out}'. "
            "For example: -o reports"
        )
    source = Path(notebook) if notebook is not None else report_notebook()
    check_parameters(parameters, source)
    base, found = find_pictures(pictures, leave_out=folder)
    make_folder(folder)
    entries = read_entries(folder)
    tasks = [
        {
            "picture": str(path),
            "report": str(folder / f"{name}.html"),
            "thumbnail": str(folder / "thumbnails" / f"{name}.jpg"),
            "notebook": None if notebook is None else str(source.absolute()),
            "parameters": parameters,
        }
        for name, path in found.items()
    ]
    names = list(found)
    title = base.name or str(base)
    settings = " · ".join(f"{name} {value}" for name, value in parameters.items())
    bar = tqdm(total=len(names), unit="picture", disable=not progress)
    written = -_PAUSE
    this_run: dict[str, Entry] = {}
    try:
        with closing(_answers(tasks, min(jobs, len(tasks)))) as answers:
            for number, answer in answers:
                name = names[number]
                this_run[name] = _entry(folder, name, found[name], answer)
                entries[name] = after(entries.get(name), this_run[name])
                bar.update()
                bar.set_postfix(failed=sum(not e.ok for e in this_run.values()), refresh=False)
                if time.monotonic() - written > _PAUSE:
                    write_index(folder, _in_order(entries), title, settings)
                    written = time.monotonic()
    finally:
        bar.close()
        write_index(folder, _in_order(entries), title, settings)
    return [this_run[name] for name in names]


def find_pictures(
    pictures: PictureSources, leave_out: Path | None = None
) -> tuple[Path, dict[str, Path]]:
    """The pictures meant, by name: their path relative to the folder all are in, with slashes.

    Args:
        pictures: As in `write_reports`.
        leave_out: A folder whose pictures are not meant, even inside one that is.

    Returns:
        The folder all are in, and name -> absolute path in order of the names.

    Raises:
        InputError: Something that is named is not there, or there is no picture at all.
    """
    named = [pictures] if isinstance(pictures, (str, os.PathLike)) else list(pictures)
    roots: list[Path] = []
    paths: list[Path] = []
    for item in named:
        if "://" in os.fspath(item):
            raise InputError(
                f"Expected pictures on this machine, got '{item}'. Fetch them first; samlab.run "
                "reads addresses."
            )
        found = [Path(picture.file).absolute() for picture in list_pictures(item)]
        found = [path for path in found if leave_out is None or leave_out not in path.parents]
        folder = Path(item).expanduser().absolute()
        roots += [folder] if folder.is_dir() else [path.parent for path in found]
        paths += found
    if not paths:
        shown = ", ".join(f"'{item}'" for item in named[:3]) or "an empty list"
        raise InputError(f"Expected at least one picture in {shown}; found none.")
    base = Path(os.path.commonpath(roots))
    by_name = {path.relative_to(base).as_posix(): path for path in paths}
    return base, dict(sorted(by_name.items()))


# -- inside -------------------------------------------------------------------------------------


def _entry(folder: Path, name: str, picture: Path, answer: dict[str, Any]) -> Entry:
    report = f"{name}.html"
    entry = Entry(name, str(picture), **facts_of(answer))
    if entry.ok:
        return replace(entry, report=report, made=now(), thumbnail=f"thumbnails/{name}.jpg")
    failed = failed_notebook(folder / report)
    relative = failed.relative_to(folder).as_posix() if failed.exists() else ""
    return replace(entry, failed=relative)


def _answers(
    tasks: list[dict[str, Any]], jobs: int
) -> Generator[tuple[int, dict[str, Any]], None, None]:
    """Give tasks to worker processes; yield (number of the task, answer) as they come."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[int, dict[str, Any]]] = queue.SimpleQueue()
    for number in range(len(tasks)):
        waiting.put(number)
    stop = threading.Event()

    def serve(worker: Worker) -> None:
        while not stop.is_set():
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                break
            answers.put((number, request_report(worker, tasks[number])))
        if not stop.is_set():
            worker.close()

    with scratch_folder("reports") as work:
        threads = max(1, _usable_threads() // jobs)
        workers = []
        for i in range(jobs):
            own = work / str(i)
            own.mkdir()
            workers.append(report_worker(own, threads))
        serving = [threading.Thread(target=serve, args=(w,), daemon=True) for w in workers]
        try:
            for thread in serving:
                thread.start()
            for _ in tasks:
                yield answers.get()
        finally:
            # After an interruption workers are in the middle of something; else they have ended.
            stop.set()
            for worker in workers:
                worker.kill()
            for thread in serving:
                if thread.is_alive():
                    thread.join(timeout=10)


def _usable_threads() -> int:
    """What OMP_NUM_THREADS allows, else the processors that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if given.isdigit() and int(given) > 0:
        return int(given)
    ask = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(ask(0)) if ask else os.cpu_count() or 1


def _in_order(entries: dict[str, Entry]) -> list[Entry]:
    return [entries[name] for name in sorted(entries)]
