"""Read pictures in threads, ahead of the model, in order, and not too many."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from samlab.errors import SamlabError
from samlab.pictures import Picture, file_stamp, read_picture

#: Pictures that were read and wait for the model may take this much memory.
WAITING_BYTES = 512 * 2**20


@dataclass(frozen=True, eq=False)
class Loaded:
    """A picture that was read, uint8 (H, W, 3), or the reason why not."""

    picture: Picture
    array: np.ndarray | None = None
    bytes: int = 0
    sha256: str = ""
    modified_ns: int = 0
    error: Exception | None = None


def read_ahead(
    pictures: Iterable[Picture], *, threads: int | None = None, ahead: int = 4
) -> Generator[Loaded]:
    """Read pictures in their order while earlier ones are being worked on.

    Args:
        pictures: Any number; taken only as fast as they are needed.
        threads: Threads that read; by default as many as there are cores, at most 4.
        ahead: Pictures read ahead, fewer where they are so large that WAITING_BYTES is reached.
    """
    source = iter(pictures)
    waiting: deque[Future[Loaded]] = deque()
    pool = ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1), "samlab-read")
    try:
        while True:
            while len(waiting) <= ahead and _waiting_bytes(waiting) < WAITING_BYTES:
                picture = next(source, None)
                if picture is None:
                    break
                waiting.append(pool.submit(load_picture, picture))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def load_picture(picture: Picture) -> Loaded:
    """Read one picture; what is wrong with it is part of the answer."""
    # Before it is read: a file that is replaced meanwhile then counts as changed, not as done.
    size, modified = file_stamp(picture.file)
    try:
        array, size, digest = read_picture(picture.file)
    except (SamlabError, OSError, MemoryError) as error:
        return Loaded(picture, bytes=size, modified_ns=modified, error=error)
    return Loaded(picture, array, size, digest, modified)


def _waiting_bytes(waiting: Iterable[Future[Loaded]]) -> int:
    arrays = (f.result().array for f in waiting if f.done() and not f.cancelled())
    return sum(array.nbytes for array in arrays if array is not None)
