"""Pictures to outcomes in one process: read ahead, ask the model, take errors for what they are."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from samlab.errors import is_out_of_memory
from samlab.pictures import Picture
from samlab.pipeline.read_through import ReadThroughCache
from samlab.pipeline.segmenter import SegmentBatch
from samlab.runs.disk.shards import Outcome
from samlab.runs.engine.read_ahead import Loaded, read_ahead
from samlab.segments import Segments

T = TypeVar("T")


@dataclass
class Job:
    """What one process does.

    Attributes:
        segment: Pictures to segments.
        cache: Where segments are looked up first, or None.
        batch: Pictures given to `segment` at once; fewer after it ran out of memory.
        readers: Threads that read ahead.
    """

    segment: SegmentBatch
    cache: ReadThroughCache | None = None
    batch: int = 1
    readers: int | None = None

    def outcomes(self, todo: Iterable[Picture]) -> Generator[Outcome]:
        """One outcome per picture, in their order."""
        loaded = read_ahead(todo, threads=self.readers, ahead=2 * self.batch + 2)
        try:
            for group in batched(loaded, self.batch):
                yield from self.of_group(group)
        finally:
            loaded.close()

    def of_group(self, group: Sequence[Loaded]) -> Iterator[Outcome]:
        """The outcomes of one batch."""
        good = [one for one in group if one.array is not None]
        parts = (self._ask(part) for part in batched(good, self.batch))
        found = {key: outcome for part in parts for key, outcome in part.items()}
        for one in group:
            if one.array is None:
                yield failed(one, one.error or ValueError("no picture"))
            else:
                yield found[one.picture.image_id]

    def _ask(self, good: Sequence[Loaded]) -> dict[str, Outcome]:
        """Ask the model about a batch; if that fails, about each half of it, down to one."""
        begin = time.perf_counter()
        images = [one.array for one in good if one.array is not None]
        try:
            if self.cache is None:
                answers = self.segment(images)
            else:
                answers = self.cache.segments(self.segment, images, [one.sha256 for one in good])
            outcomes = [_done(one, s) for one, s in zip(good, answers, strict=True)]
            seconds = (time.perf_counter() - begin) / len(good)
            return {o.picture.image_id: replace(o, seconds=seconds) for o in outcomes}
        except Exception as error:  # noqa: BLE001  whatever a model says about one picture
            if len(good) == 1:
                return {good[0].picture.image_id: failed(good[0], error)}
            if is_out_of_memory(error):
                self.batch = max(1, len(good) // 2)
        # Not inside the handler: the exception would keep the batch's tensors on the GPU.
        middle = len(good) // 2
        return {**self._ask(good[:middle]), **self._ask(good[middle:])}


def failed(one: Loaded, error: Exception) -> Outcome:
    """A picture that could not be read (then its size is (0, 0)), or on which the model failed."""
    return Outcome(
        one.picture,
        error=str(error) or type(error).__name__,
        error_type=type(error).__name__,
        image_size=_size(one),
        bytes=one.bytes,
        sha256=one.sha256,
        modified_ns=one.modified_ns,
    )


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter.

    Example:
        >>> list(batched("abcde", 2))
        [['a', 'b'], ['c', 'd'], ['e']]
    """
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def _done(one: Loaded, segments: Segments) -> Outcome:
    return Outcome(
        one.picture,
        segments,
        image_size=_size(one),
        bytes=one.bytes,
        sha256=one.sha256,
        modified_ns=one.modified_ns,
    )


def _size(one: Loaded) -> tuple[int, int]:
    return (0, 0) if one.array is None else (one.array.shape[0], one.array.shape[1])
