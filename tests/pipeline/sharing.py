"""One of several processes on one cache; a script. Says how often it found and how often it wrote.

What it finds must be what belongs to the key: the segments of key i have i pixels in their mask.
"""

from __future__ import annotations

import random
import sys

import numpy as np

from samlab import masks
from samlab.pipeline.cache import SegmentCache
from samlab.segments import Segments


def belonging_to(i: int) -> Segments:
    mask = np.zeros((40, 40), bool)
    mask.flat[: i + 1] = True
    vectors = np.random.default_rng(i).random((1, 256), dtype=np.float32)
    return Segments(rles=[masks.encode(mask)], embeddings={"sam": vectors})


def main(folder: str, seed: int) -> None:
    rng = random.Random(seed)
    hits = writes = 0
    for _ in range(20):
        # A new object each round: it looks at the size at once, and evicts.
        cache = SegmentCache(folder, max_bytes=60_000)
        for i in rng.sample(range(16), 16):
            found = cache.get(f"{i:02x}" + "0" * 62)
            expected = belonging_to(i)
            if found is None:
                cache.put(f"{i:02x}" + "0" * 62, expected)
                writes += 1
            else:
                assert found.areas.tolist() == [i + 1]
                assert np.array_equal(found.embedding(), expected.embedding())
                hits += 1
    sys.stdout.write(f"{hits} {writes}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
