"""The same run on a Ray cluster: `samlab.run(..., engine=RayEngine(gpus=0.5))`.

Ray Data hands out batches of pictures to actors, each of which holds the model and writes its own
shards into the folder or bucket of the run. Through Ray go only names and counts. A shard is named
after its pictures, so when a worker dies and its batch is given to another one, the same shard is
written again, in one piece, over what may be there. (Ray Data restarts dead actors and repeats
their batches without end; `samlab.runs.engine.attempts` sees to it that no picture makes use of
that.)

Tested with Ray 2.60 on one machine with two CPU workers; not on GPUs, and not on several machines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samlab.errors import InputError, require_extra
from samlab.pictures import Picture
from samlab.pipeline.cache import SegmentCache
from samlab.pipeline.read_through import ReadThroughCache
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.runs.disk import shards
from samlab.runs.disk.shards import Outcome
from samlab.runs.disk.storage import open_storage
from samlab.runs.disk.store import ABOUT, check_still_there
from samlab.runs.engine.attempts import Attempts, forget_attempts
from samlab.runs.engine.classify import Classify
from samlab.runs.engine.collect import RunError, RunInterrupted, classified
from samlab.runs.engine.job import Job
from samlab.runs.engine.progress import ProgressBar


@dataclass(frozen=True)
class RayEngine:
    """How a run uses a Ray cluster.

    Attributes:
        gpus: GPUs per worker: 0.5 puts two models on one, 0 uses CPUs. By default 1 where the
            cluster has any.
        cpus: CPU cores per worker.
        workers: How many, or the least and the most; by default as many as fit the cluster.
        pictures_per_shard: Pictures that are done and written together: what a dying worker can
            cost, and the number of files.
        address: Of the cluster, as `ray.init` takes it; by default the one that is running or that
            RAY_ADDRESS names, else one on this machine is started.

    The folder of the results must be the same one for all machines: on shared storage, or a URL
    such as `s3://bucket/run`. The same holds for the pictures, and for weights given by a path.
    """

    gpus: float | None = None
    cpus: float = 1
    workers: int | tuple[int, int] | None = None
    pictures_per_shard: int = 64
    address: str | None = None

    def __post_init__(self) -> None:
        if self.pictures_per_shard < 1 or self.cpus < 0 or (self.gpus or 0) < 0:
            raise InputError(
                "Expected pictures_per_shard of at least 1, and gpus and cpus of 0 or more; got "
                f"{self.pictures_per_shard}, {self.gpus} and {self.cpus}."
            )


@dataclass(frozen=True)
class WorkerSetup:
    """What each worker of a run is told: everything but the pictures."""

    out: str
    config: SegmenterConfig
    settings: dict[str, Any]
    classify: Classify | None
    cache: SegmentCache | None
    batch: int | None
    readers: int | None


class ShardWorker:
    """An actor of Ray Data: keeps the model, takes pictures, writes a shard, says what it did."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._storage = open_storage(setup.out)
        self._about = self._storage.read(ABOUT)
        settings = setup.config.settings()
        differs = {k: v for k, v in settings.items() if setup.settings.get(k) != v}
        if differs:
            raise RunError(
                f"A worker's settings differ from those of the run: {differs}. Give the weights by "
                "a name, or by a path that is the same file on all machines."
            )
        segmenter, cache = setup.config.build(), setup.cache
        reading = None if cache is None else ReadThroughCache(cache, settings)
        self._job = Job(segmenter, reading, setup.batch or segmenter.batch, setup.readers)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Do the pictures of a batch, columns `position`, `image_id` and `path`."""
        columns = (batch[name].tolist() for name in ("position", "image_id", "path"))
        pictures = [Picture(*row) for row in zip(*columns, strict=True)]
        name = shard_name(pictures)
        check_still_there(self._storage, self._about)
        attempts = Attempts(self._storage, name)
        done = shards.read_shard(self._storage, f"{shards.PICTURES}/{name}.parquet")
        if done is not None:  # a worker wrote it and died before it could say so
            attempts.finish()
            status = np.array(done.pictures["status"].to_pylist())
            return {"image_id": batch["image_id"], "error": status == "error"}
        if attempts.one_by_one:
            found = [o for p in attempts.singly(pictures) for o in self._job.outcomes([p])]
            found += attempts.given_up(pictures)
        else:
            found = list(self._job.outcomes(pictures))
        outcomes = [classified(outcome, self._setup.classify) for outcome in found]
        _refuse_a_broken_model(outcomes)
        tables = [table for one in outcomes if (table := one.table()) is not None]
        check_still_there(self._storage, self._about)
        shards.write_shard(self._storage, name, [one.row() for one in outcomes], tables)
        attempts.finish()
        return {
            "image_id": np.array([one.picture.image_id for one in outcomes], dtype=object),
            "error": np.array([one.segments is None for one in outcomes]),
        }


def run_on_ray(
    engine: RayEngine, setup: WorkerSetup, todo: Iterator[Picture]
) -> Generator[tuple[str, bool]]:
    """Do the pictures on a cluster, and say of each when it is written.

    Yields:
        (image_id, whether it failed), batch by batch, in the order in which they are done.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: A worker cannot go on.
    """
    require_extra("ray", "ray", "Running on a cluster")
    import ray
    import ray.data

    if not setup.config.portable:
        raise InputError(
            "Expected the model by its name or path, which each worker loads for itself; got "
            f"{type(setup.config.sam).__name__}."
        )
    if not ray.is_initialized():
        ray.init(address=engine.address, log_to_driver=False)
    rows = [vars(picture) for picture in todo]
    if not rows:
        return
    forget_attempts(open_storage(setup.out))
    context = ray.data.DataContext.get_current()
    shown, context.enable_progress_bars = context.enable_progress_bars, False
    n_shards = -(-len(rows) // engine.pictures_per_shard)
    gpus, workers = _resources(engine, ray.cluster_resources(), n_shards)
    try:
        counts = ray.data.from_items(rows, override_num_blocks=n_shards).map_batches(
            ShardWorker,
            fn_constructor_args=(setup,),
            batch_size=engine.pictures_per_shard,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(
                min_size=workers[0], max_size=workers[1], max_tasks_in_flight_per_actor=2
            ),
            num_cpus=engine.cpus,
            num_gpus=gpus or None,
        )
        for batch in counts.iter_batches(batch_size=None, batch_format="numpy"):
            yield from zip(batch["image_id"].tolist(), batch["error"].tolist(), strict=True)
    except ray.exceptions.RayError as error:
        raise RunError(
            f"The run on Ray stopped: {_last_line(error)} What is done is written; the same call "
            "goes on with the rest."
        ) from error
    finally:
        context.enable_progress_bars = shown


def on_cluster(
    engine: RayEngine, setup: WorkerSetup, todo: Iterator[Picture], bar: ProgressBar
) -> None:
    """`run_on_ray` with a progress bar. What is done is written by the workers as they go."""
    done = run_on_ray(engine, setup, todo)
    count = 0
    try:
        with bar:
            for _, error in done:
                bar.add(error=error)
                count += 1
    except KeyboardInterrupt as stop:
        raise RunInterrupted(
            f"Stopped by Ctrl-C. {count:,} pictures of this call are done and written to "
            f"'{setup.out}'; the same call goes on with the rest."
        ) from stop
    finally:
        done.close()


def shard_name(pictures: Sequence[Picture]) -> str:
    """The same for the same pictures, whichever worker writes them.

    Example:
        >>> shard_name([Picture(0, "a.jpg", "/x/a.jpg")])
        'part-ray-509b0d4641a7c3ba'
    """
    names = "\n".join(picture.image_id for picture in pictures)
    return f"part-ray-{hashlib.sha256(names.encode()).hexdigest()[:16]}"


def _resources(
    engine: RayEngine, cluster: dict[str, float], n_shards: int
) -> tuple[float, tuple[int, int]]:
    """GPUs per worker, and the least and most workers."""
    gpus = engine.gpus
    if gpus is None:
        gpus = 1.0 if cluster.get("GPU", 0) >= 1 else 0.0
    if isinstance(engine.workers, tuple):
        return gpus, engine.workers
    if engine.workers is not None:
        return gpus, (engine.workers, engine.workers)
    fit = [cluster.get("CPU", 1) // engine.cpus] if engine.cpus else []
    fit += [cluster.get("GPU", 0) // gpus] if gpus else []
    most = max(1, min(n_shards, *(int(n) for n in fit)))
    return gpus, (1, most)


def _refuse_a_broken_model(outcomes: Sequence[Outcome]) -> None:
    """Where the model fails on all of many pictures, the fault is hardly theirs."""
    read = [one for one in outcomes if one.image_size != (0, 0)]
    if len(read) >= 8 and all(one.segments is None for one in read):
        raise RunError(
            f"The model failed on all {len(read)} pictures of a batch. The last error was "
            f"{read[-1].error_type}: {read[-1].error}"
        )


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
