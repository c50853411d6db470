"""samlab.run: the same work for many pictures, resumable at any moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.pictures import (
    NO_TIME,
    Picture,
    PictureList,
    Pictures,
    file_sha256,
    file_stamp,
    list_pictures,
)
from samlab.pipeline.cache import SegmentCache, open_cache
from samlab.pipeline.read_through import ReadThroughCache
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.runs.disk.shards import Outcome
from samlab.runs.disk.storage import absolute
from samlab.runs.disk.store import RunStore
from samlab.runs.engine.classify import classifier
from samlab.runs.engine.collect import FlushLimits, RunError, RunInterrupted, collect
from samlab.runs.engine.job import Job
from samlab.runs.engine.processes import DeviceProcesses
from samlab.runs.engine.progress import Progress, ProgressBar
from samlab.runs.engine.ray_engine import RayEngine, WorkerSetup, on_cluster
from samlab.runs.results import Run, open_run
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

__all__ = ["RunError", "RunInterrupted", "missing", "run"]


@checked_arguments
def run(
    pictures: Pictures,
    out: str | os.PathLike[str],
    *,
    sam: str | os.PathLike[str] | Sam = "tiny",
    how: Literal["coverage", "any"] = "coverage",
    embed: Sequence[Any] = ("sam",),
    classify: Any = None,
    device: str | Sequence[str] | None = None,
    batch: int | None = None,
    workers: int | None = None,
    cache: bool | str | os.PathLike[str] | SegmentCache = False,
    retry_errors: bool = False,
    progress: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    engine: Literal["local", "ray"] | RayEngine = "local",
    **options: Any,
) -> Run:
    """Segment many pictures and keep the results in a folder of Parquet files.

    The same call again goes on where the last one stopped, however it ended, and does exactly
    what is missing: pictures that are new, or whose file has changed (another size, or written anew
    with another SHA-256). Pictures that are there no longer keep their rows. A picture that cannot
    be read becomes a row with its error. Memory does not grow with the number of pictures, but for
    their names.

    Args:
        pictures: A folder, a glob, a list or generator of paths, or a mapping from names to
            paths; see `samlab.pictures.list_pictures`.
        out: Folder for the results, or a URL that fsspec knows (`s3://bucket/run`).
        sam: A name or path for `load_sam`, or a model.
        how: Pooling of patch features over a mask; see `samlab.pool`.
        embed: Which vectors to make: `"sam"`, `"colour_texture"`, names of models of the
            transformers library, or embedders.
        classify: A `MemoryBank`, or the path of one, or any object with `classify(segments)`:
            gives every segment its class.
        device: Where the model runs: a device, or several, with a process for each. By default all
            CUDA GPUs, else the best device there is.
        batch: Pictures encoded at once; 1 on a CPU and 8 on a GPU by default.
        workers: Threads that read pictures ahead; by default at most 4.
        cache: Look segments up, and keep them, in samlab's cache (True) or in a folder. Worth it
            where several runs share pictures, model and options, for example to try another
            `classify`.
        retry_errors: Do the pictures again that failed in an earlier call.
        progress: Show a bar, or plain lines where there is no terminal.
        on_progress: Called after each picture with a `Progress`.
        engine: `"local"`; or `"ray"` for a Ray cluster, or a `RayEngine` that says how.
        **options: Any argument of `MaskGenerator`, for example `points_per_side=51`.

    Returns:
        The results, as `samlab.open_run(out)` gives them.

    Raises:
        InputError: No pictures, wrong options, or `out` holds a run with other settings.
        StorageError: The results cannot be written; what was written before is complete.
        RunError: The model fails on one picture after the other.
        RunInterrupted: Ctrl-C; what was done until then is written.

    Example:
        >>> import samlab
        >>> run = samlab.run("photos", "out", sam="tiny")  # doctest: +SKIP
        >>> run.pictures, run.segments("a.jpg")  # doctest: +SKIP
    """
    _check_counts(batch=batch, workers=workers)
    if engine not in ("local", "ray") and not isinstance(engine, RayEngine):
        raise InputError(f"Expected engine 'local', 'ray' or a RayEngine, got {engine!r}.")
    if engine != "local" and device is not None:
        raise InputError(
            f"Expected no device with a cluster, got {device!r}; RayEngine(gpus=...) says how many "
            "GPUs each worker has."
        )
    config = SegmenterConfig(sam, how, tuple(embed), None, options)
    return run_with(
        config, pictures, out, devices=_devices(config, device) if engine == "local" else [],
        classify=classify, batch=batch, workers=workers, cache=cache, retry_errors=retry_errors,
        progress=progress, on_progress=on_progress, engine=engine,
    )  # fmt: skip


def run_with(
    config: SegmenterConfig,
    pictures: Pictures,
    out: str | os.PathLike[str],
    *,
    devices: Sequence[str | None] = (None,),
    classify: Any = None,
    batch: int | None = None,
    workers: int | None = None,
    cache: bool | str | os.PathLike[str] | SegmentCache = False,
    retry_errors: bool = False,
    progress: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    engine: Literal["local", "ray"] | RayEngine = "local",
    limits: FlushLimits | None = None,
) -> Run:
    """What `run` does when its arguments are checked, with any segmenter.

    The tests of runs go through here with a `SegmenterConfig` of their own, whose `settings` and
    `build` need no model.

    Args:
        config: Its `build()` gives what segments the pictures: a callable as `SegmentBatch`, with
            an attribute `batch`, how many pictures it takes at once.
        pictures, out, classify, batch, workers, cache, retry_errors, progress, on_progress, engine:
            See `run`.
        devices: A process for each, where there are several; the one of this process otherwise.
        limits: When a shard is written.
    """
    give_classes, about_classes = classifier(classify)
    settings = {**config.settings(), "classify": about_classes}
    if give_classes is not None:  # a bank made for other vectors says so now
        give_classes(Segments(provenance=settings))
    listed = list_pictures(pictures)
    with RunStore.open(out, settings, retry_errors=retry_errors) as store:
        todo = missing(listed, store)
        first = next(todo, None)
        if first is None:  # then the model need not even be loaded
            return open_run(out, fetch=True)
        todo = _chain(first, todo)
        before = _done_before(listed, store)
        bar = ProgressBar(listed.total, before, show=progress, on_progress=on_progress)
        if engine != "local":
            setup = WorkerSetup(
                absolute(store.storage.url),
                config.absolute(),
                settings,
                give_classes,
                open_cache(cache),
                batch,
                workers,
            )
            on_cluster(RayEngine() if engine == "ray" else engine, setup, todo, bar)
        else:
            outcomes = _outcomes(config, devices, cache, batch, workers, todo)
            collect(outcomes, store, bar, classify=give_classes, limits=limits)
    return open_run(out, fetch=True)


def missing(listed: PictureList, store: RunStore) -> Iterator[Picture]:
    """The pictures that have no result yet, in order.

    One whose file has changed since it was done is done again, and one that failed as well if its
    file is another now. A file of another size has changed; one that was written anew with the
    same size has changed if its SHA-256 is another. URLs and generators are not compared.
    """
    if listed.total is not None and store.done:
        store.forget(_changed(listed, store))
    return (picture for picture in listed if picture.image_id not in store.done)


def _done_before(listed: PictureList, store: RunStore) -> int:
    """How many of these pictures have a result; others in the store may be gone by now."""
    if listed.total is None:
        return len(store.done)
    return sum(picture.image_id in store.done for picture in listed)


def _changed(listed: PictureList, store: RunStore) -> list[str]:
    changed, doubtful = [], {}
    for picture in listed:
        before = store.done.get(picture.image_id)
        size, modified = file_stamp(picture.file)
        if before is None or not modified or (before.status != "ok" and not before.modified_ns):
            continue
        if size != before.bytes:
            changed.append(picture.image_id)
        elif modified == NO_TIME or (modified != before.modified_ns and before.modified_ns):
            doubtful[picture.image_id] = picture.file
    then = store.hashes(doubtful)
    with ThreadPoolExecutor(4) as pool:
        now = dict(zip(doubtful, pool.map(file_sha256, doubtful.values()), strict=True))
    return changed + [name for name in doubtful if now[name] != then[name]]


def _outcomes(
    config: SegmenterConfig,
    devices: Sequence[str | None],
    cache: Any,
    batch: int | None,
    workers: int | None,
    todo: Iterator[Picture],
) -> Generator[Outcome]:
    """The work itself, here or in a process for each device."""
    kept = open_cache(cache)
    if len(devices) > 1:
        return DeviceProcesses(config, devices, kept, batch, workers).outcomes(todo)
    segmenter = replace(config, device=devices[0]).build()
    reading = None if kept is None else ReadThroughCache(kept, config.settings())
    return Job(segmenter, reading, batch or segmenter.batch, workers).outcomes(todo)


def _devices(config: SegmenterConfig, device: str | Sequence[str] | None) -> list[str | None]:
    """Where to compute: as asked, else on every GPU, else wherever load_sam thinks best."""
    named = [device] if isinstance(device, str) else list(device or [])
    if named:
        from samlab.sam.device import pick_device

        for one in named:  # a wrong one is to be told before anything is written
            pick_device(one)
    if isinstance(device, str):
        return [device]
    if device is not None:
        if not device or not config.portable:
            raise InputError(
                "Expected one device or several, and for several the model by its name or path, "
                f"which each process loads for itself; got {list(device)} and sam={config.sam!r}."
            )
        return list(device)
    if not config.portable:
        return [None]
    import torch

    count = torch.cuda.device_count()
    return [f"cuda:{i}" for i in range(count)] if count > 1 else [None]


def _chain(first: Picture, rest: Iterator[Picture]) -> Iterator[Picture]:
    yield first
    yield from rest


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise InputError(f"Expected {name} of at least 1, got {value}.")
