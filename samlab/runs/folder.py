"""samlab.run: the same work for many pictures, resumable at any moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from samlab.errors import InputError, SamlabError
from samlab.runs.opened import Run, open_run
from samlab.runs.pictures import Picture, PictureList, Pictures, file_size, list_pictures
from samlab.runs.progress import Progress, ProgressBar
from samlab.runs.read_ahead import Loaded, read_ahead
from samlab.runs.shards import Outcome
from samlab.runs.store import RunStore
from samlab.runs.work import Classify, Recipe, Work, classifier
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

T = TypeVar("T")

_GIVE_UP = 20  # pictures in a row on which the model fails before the run stops


class RunError(SamlabError, RuntimeError):
    """A run stopped, not because of a picture."""


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C during a run. What was done until then is written."""


def run(
    pictures: Pictures,
    out: str | os.PathLike[str],
    *,
    sam: str | os.PathLike[str] | Sam = "tiny",
    how: Literal["coverage", "any"] = "coverage",
    embed: Sequence[Any] = ("sam",),
    classify: Any = None,
    device: str | None = None,
    batch: int | None = None,
    workers: int | None = None,
    retry_errors: bool = False,
    progress: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Run:
    """Segment many pictures and keep the results in a folder of Parquet files.

    The same call again goes on where the last one stopped, however it ended, and does exactly
    what is missing. A picture that cannot be read becomes a row with its error. Memory does not
    grow with the number of pictures, but for their names.

    Args:
        pictures: A folder, a glob, a list or generator of paths, or a mapping from names to
            paths; see `samlab.runs.pictures.list_pictures`.
        out: Folder for the results, or a URL that fsspec knows (`s3://bucket/run`).
        sam: A name or path for `load_sam`, or a model.
        how: Pooling of patch features over a mask; see `samlab.pool`.
        embed: Which vectors to make: `"sam"`, `"colour_texture"`, names of models of the
            transformers library, or embedders.
        classify: A `MemoryBank`, or the path of one, or any object with `classify(segments)`:
            gives every segment its class.
        device: Where the model runs; the best by default.
        batch: Pictures encoded at once; 1 on a CPU and 8 on a GPU by default.
        workers: Threads that read pictures ahead; by default at most 4.
        retry_errors: Do the pictures again that failed in an earlier call.
        progress: Show a bar, or plain lines where there is no terminal.
        on_progress: Called after each picture with a `Progress`.
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
    recipe = Recipe(sam, how, tuple(embed), device, options)
    give_classes, about_classes = classifier(classify)
    settings = {**recipe.settings(), "classify": about_classes}
    if give_classes is not None:  # a bank made for other vectors says so now
        give_classes(Segments(provenance=settings))
    listed = list_pictures(pictures)
    with RunStore.open(out, settings, retry_errors=retry_errors) as store:
        todo = missing(listed, store)
        first = next(todo, None)
        if first is not None:  # else the model need not even be loaded
            work = recipe.build()
            job = Job(work, give_classes, batch=batch or work.batch, readers=workers)
            job.do(_chain(first, todo), store, _bar(listed, store, progress, on_progress))
    return open_run(out)


@dataclass
class Job:
    """Pictures in, shards out: the loop of a run in one process.

    Attributes:
        work: Pictures to segments.
        classify: Segments to segments with classes, or None.
        batch: Pictures given to `work` at once.
        readers: Threads that read ahead.
        flush_bytes, flush_pictures, flush_seconds: A shard is written when so much has come
            together, whichever is first. It bounds the memory, and what a crash can cost.
    """

    work: Work
    classify: Classify | None = None
    batch: int = 1
    readers: int | None = None
    flush_bytes: int = 16 * 2**20
    flush_pictures: int = 256
    flush_seconds: float = 60.0

    def do(self, todo: Iterable[Picture], store: RunStore, bar: ProgressBar) -> None:
        """Work through the pictures. On Ctrl-C what is done is written first."""
        buffer = _Buffer(store, self)
        loaded = read_ahead(todo, threads=self.readers, ahead=2 * self.batch + 2)
        try:
            with bar:
                for group in batched(loaded, self.batch):
                    for outcome in self.outcomes(group):
                        buffer.add(outcome)
                        bar.add(error=outcome.segments is None)
            buffer.finish()
        except KeyboardInterrupt as error:
            buffer.flush()
            raise RunInterrupted(
                f"Stopped by Ctrl-C. {len(store.done):,} pictures are done and written to "
                f"'{store.place.url}'; the same call goes on with the rest."
            ) from error
        finally:
            loaded.close()

    def outcomes(self, group: Sequence[Loaded]) -> Iterator[Outcome]:
        """Results of a batch, in its order."""
        good = [one for one in group if one.array is not None]
        found = self._work(good)
        for one in group:
            if one.array is None:
                yield _failed(one, one.error)
            else:
                yield found[one.picture.image_id]

    def _work(self, good: Sequence[Loaded]) -> dict[str, Outcome]:
        """Ask the model about a batch; if that fails, about each of its pictures."""
        if not good:
            return {}
        begin = time.perf_counter()
        arrays = [one.array for one in good if one.array is not None]
        try:
            answers = self.work(arrays)
            outcomes = [self._outcome(*pair) for pair in zip(good, answers, strict=True)]
        except Exception as error:  # noqa: BLE001  whatever a model says about one picture
            if len(good) == 1:
                one = good[0]
                return {one.picture.image_id: _failed(one, error)}
            alone = (self._work([one]) for one in good)
            return {key: value for result in alone for key, value in result.items()}
        seconds = (time.perf_counter() - begin) / len(good)
        return {o.picture.image_id: replace(o, seconds=seconds) for o in outcomes}

    def _outcome(self, one: Loaded, segments: Any) -> Outcome:
        columns: Any = {}
        if self.classify is not None:
            segments, columns = self.classify(segments)
        return Outcome(
            one.picture, segments, columns, image_size=_size(one), bytes=one.bytes,
            sha256=one.sha256,
        )  # fmt: skip


class _Buffer:
    """Outcomes on their way into a shard."""

    def __init__(self, store: RunStore, job: Job) -> None:
        self._store, self._job = store, job
        self._rows: list[dict[str, Any]] = []
        self._tables: list[Any] = []
        self._bytes = 0
        self._since = time.monotonic()
        self._doubtful: list[Outcome] = []  # pictures on which the model failed, last ones in a row

    def add(self, outcome: Outcome) -> None:
        if outcome.error and outcome.image_size != (0, 0):
            self._doubt(outcome)
        else:
            if not outcome.error:
                self._trust()
            self._keep(outcome)
        full = (
            self._bytes >= self._job.flush_bytes
            or len(self._rows) >= self._job.flush_pictures
            or time.monotonic() - self._since >= self._job.flush_seconds
        )
        if full:
            self.flush()

    def finish(self) -> None:
        self._trust()
        self.flush()

    def flush(self) -> None:
        """Write what has come together."""
        if self._rows:
            self._store.commit_rows(self._rows, self._tables)
        self._rows, self._tables, self._bytes = [], [], 0
        self._since = time.monotonic()

    def _keep(self, outcome: Outcome) -> None:
        self._rows.append(outcome.row())
        table = outcome.table()
        if table is not None:
            self._tables.append(table)
            self._bytes += table.nbytes

    def _doubt(self, outcome: Outcome) -> None:
        """The model failed: on this picture, or altogether? The next ones will tell."""
        self._doubtful.append(outcome)
        if len(self._doubtful) == _GIVE_UP:
            self.flush()
            raise RunError(
                f"The model failed on {_GIVE_UP} pictures in a row, so the fault is hardly theirs. "
                f"The last error was {outcome.error_type}: {outcome.error} These pictures are not "
                "marked as done; the same call tries them again."
            )

    def _trust(self) -> None:
        """It works on others: those errors were the pictures' own."""
        for outcome in self._doubtful:
            self._keep(outcome)
        self._doubtful.clear()


def missing(listed: PictureList, store: RunStore) -> Iterator[Picture]:
    """The pictures that have no result yet, in order.

    One whose file has another size than when it was done has changed, and is done again.
    """
    if listed.total is not None and store.done:
        store.forget([p.image_id for p in listed if _has_changed(p, store)])
    return (picture for picture in listed if picture.image_id not in store.done)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def _has_changed(picture: Picture, store: RunStore) -> bool:
    status, size = store.done.get(picture.image_id, ("", 0))
    return status == "ok" and file_size(picture.path) not in (None, size)


def _failed(one: Loaded, error: Exception | None) -> Outcome:
    return Outcome(
        one.picture, error=str(error) or type(error).__name__, error_type=type(error).__name__,
        image_size=_size(one), bytes=one.bytes, sha256=one.sha256,
    )  # fmt: skip


def _size(one: Loaded) -> tuple[int, int]:
    return (0, 0) if one.array is None else (one.array.shape[0], one.array.shape[1])


def _bar(
    listed: PictureList,
    store: RunStore,
    show: bool,
    on_progress: Callable[[Progress], None] | None,
) -> ProgressBar:
    return ProgressBar(listed.total, len(store.done), show=show, on_progress=on_progress)


def _chain(first: Picture, rest: Iterator[Picture]) -> Iterator[Picture]:
    yield first
    yield from rest


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise InputError(f"Expected {name} of at least 1, got {value}.")
