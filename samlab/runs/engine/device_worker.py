"""The process of one device: reads batches of pictures from standard input, writes their outcomes.

Not for people; `samlab.runs.engine.processes` starts it and is the only one it trusts.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any

from samlab.errors import SamlabError
from samlab.runs.engine.cached import Remember
from samlab.runs.engine.job import Job
from samlab.runs.engine.read_ahead import Loaded, load


def main() -> None:
    """Load the model, then answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints shall not print into the answers
    order = pickle.load(sys.stdin.buffer)
    try:
        job = _job(order)
    except (SamlabError, RuntimeError, ImportError, OSError) as error:
        _say(answers, RuntimeError(f"{type(error).__name__}: {error}"))
        return
    _say(answers, "ready")
    batches: queue.Queue[list[Future[Loaded]] | None] = queue.Queue()
    pool = ThreadPoolExecutor(order["readers"] or 2)
    threading.Thread(target=_read, args=(batches, pool), daemon=True).start()
    while (batch := batches.get()) is not None:
        _say(answers, list(job.of_group([future.result() for future in batch])))


def _job(order: dict[str, Any]) -> Job:
    work = order["recipe"].build()
    cache = order["cache"]
    return Job(work, None if cache is None else Remember(cache, work.settings))


def _read(batches: queue.Queue[list[Future[Loaded]] | None], pool: ThreadPoolExecutor) -> None:
    """Begin to read the pictures of each batch as soon as it is asked for."""
    while True:
        try:
            pictures = pickle.load(sys.stdin.buffer)
        except (EOFError, OSError, pickle.UnpicklingError):
            batches.put(None)
            return
        batches.put([pool.submit(load, picture) for picture in pictures])


def _say(answers: IO[bytes], what: Any) -> None:
    pickle.dump(what, answers)
    answers.flush()


if __name__ == "__main__":
    main()
