"""A process for each device, each with a model of its own; this one gives out work and collects."""

from __future__ import annotations

import pickle
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from samlab.errors import InputError
from samlab.pictures import Picture
from samlab.pipeline.cache import SegmentCache
from samlab.pipeline.read_through import ReadThroughCache
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.process.progress import WANTED
from samlab.process.threads import computing_environment
from samlab.runs.disk.shards import Outcome
from samlab.runs.engine.collect import RunError
from samlab.runs.engine.job import Job
from samlab.runs.engine.read_ahead import Loaded, load_picture
from samlab.worker import NotPrepared, Worker, WorkerDied

_RESTARTS = 3  # of the process of one device, before it is given up
_BATCH = {"cpu": 1}  # pictures at once on a device; 8 elsewhere


@dataclass(frozen=True)
class DeviceProcesses:
    """A process for each device.

    Attributes:
        config: What they do; its model is a name or a path.
        devices: One process each.
        cache: Where they look first, or None.
        batch: Pictures encoded at once; 1 on a CPU and 8 elsewhere by default.
        readers: Threads that read, in each.
    """

    config: SegmenterConfig
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
        workers = [self._worker(device) for device in self.devices]
        threads = [
            threading.Thread(target=self._serve, args=(device, worker, pool), daemon=True)
            for device, worker in zip(self.devices, workers, strict=True)
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
                    f"{pool.last_error} What is done is written; call samlab.run again."
                )
        finally:
            pool.stop()
            for worker in workers:
                worker.kill()
            for thread in threads:
                thread.join(timeout=10)

    def _worker(self, device: str | None) -> Worker:
        config = replace(self.config, device=device)
        try:
            return Worker(
                prepare_segmenter, config, self.cache, self.readers or 2,
                environment={**computing_environment(), WANTED: "0"},
            )  # fmt: skip
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"What embed holds cannot be sent to another process ({error}). Name the "
                "embedder, define it in a module, or use one device."
            ) from error

    def _serve(self, device: str | None, worker: Worker, pool: _WorkPool) -> None:
        """The thread that speaks with one device's process."""
        size = self.batch or _BATCH.get(str(device).split(":")[0], 8)
        try:
            for _ in range(1 + _RESTARTS):
                if _talk(worker, pool, size):
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
        self.last_error = ""

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
            self.last_error = words
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
        """Give out nothing more; whoever waits to leave a result may leave it."""
        with self._lock:
            self._stopped = True
            self._changed.notify_all()
        with suppress(queue.Empty):
            while True:
                self.results.get_nowait()


def _talk(worker: Worker, pool: _WorkPool, size: int) -> bool:
    """Keep a process busy; True at the end of all, False where it died by itself."""
    waiting: deque[list[Picture]] = deque()
    try:
        worker.start()  # and load the model
        while True:
            # Two batches at a time, so that it reads the next while it computes.
            while len(waiting) < 2 and not (waiting and pool.alone(waiting[-1])):
                group = pool.take(size, wait=not waiting)
                if not group:
                    break
                waiting.append(group)
                worker.send(group)
            if not waiting:
                worker.close()
                return True
            outcomes = worker.receive()
            waiting.popleft()
            pool.done(outcomes)
    except NotPrepared as error:
        raise RunError(f"A process of the run could not start: {error}") from error
    except WorkerDied as death:
        pool.died(list(waiting), f"The process working on it {death}.")
        return pool.stopped


# -- in the process -------------------------------------------------------------------------------


def prepare_segmenter(
    config: SegmenterConfig, cache: SegmentCache | None, readers: int
) -> Callable[[Iterator[list[Picture]]], Iterator[list[Outcome]]]:
    """Load the model; returns what turns batches of pictures into their outcomes."""
    reading = None if cache is None else ReadThroughCache(cache, config.settings())
    job = Job(config.build(), reading)

    def outcomes(requests: Iterator[list[Picture]]) -> Iterator[list[Outcome]]:
        batches: queue.Queue[list[Future[Loaded]] | None] = queue.Queue()
        pool = ThreadPoolExecutor(readers)
        threading.Thread(target=_read, args=(requests, batches, pool), daemon=True).start()
        while (batch := batches.get()) is not None:
            yield list(job.of_group([future.result() for future in batch]))

    return outcomes


def _read(
    requests: Iterator[list[Picture]],
    batches: queue.Queue[list[Future[Loaded]] | None],
    pool: ThreadPoolExecutor,
) -> None:
    """Begin to read the pictures of each batch as soon as it is asked for."""
    for pictures in requests:
        batches.put([pool.submit(load_picture, picture) for picture in pictures])
    batches.put(None)
