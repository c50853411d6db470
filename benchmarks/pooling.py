"""How long pooling takes: N segments of one picture, from run-length masks to vectors.

    python benchmarks/pooling.py [N] [side]

The segments imitate what automatic mask generation finds: ellipses of very different size, most of
them small, some of them half the picture.
"""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import numpy as np

from samlab import masks
from samlab.latent.embed.pooling import pool
from samlab.segments import Segments


def make(n: int, side: int, seed: int = 0) -> Segments:
    rng = np.random.default_rng(seed)
    rles = []
    for _ in range(n):
        radius = side * np.exp(rng.uniform(np.log(0.008), np.log(0.35), 2))
        cx, cy = rng.uniform(0, side, 2)
        mask = np.zeros((side, side), np.uint8)
        x0, x1 = (int(np.clip(v, 0, side - 1)) for v in (cx - radius[0], cx + radius[0]))
        y0, y1 = (int(np.clip(v, 0, side - 1)) for v in (cy - radius[1], cy + radius[1]))
        y, x = np.ogrid[y0 : y1 + 1, x0 : x1 + 1]
        inside = ((x - cx) / radius[0]) ** 2 + ((y - cy) / radius[1]) ** 2 <= 1
        mask[y0 : y1 + 1, x0 : x1 + 1] = inside
        mask[int(cy), int(cx)] = 1
        rles.append(masks.encode(mask))
    return Segments(rles=rles)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    side = int(sys.argv[2]) if len(sys.argv) > 2 else 1024
    segments = make(n, side)
    grid = np.random.default_rng(1).normal(size=(256, 64, 64)).astype(np.float32)
    embedding = SimpleNamespace(
        grid=lambda: grid, input_size=(1024, 1024), image_size=(side, side), img_size=1024
    )
    areas = segments.areas
    print(f"{n} segments of a {side} x {side} picture, median area {np.median(areas):.0f} px")
    for how in ("coverage", "any"):
        seconds = []
        for _ in range(9):
            start = time.perf_counter()
            pool(embedding, segments, how)
            seconds.append(time.perf_counter() - start)
        best, middle = min(seconds) * 1e3, np.median(seconds) * 1e3
        print(f"{how:9s} best {best:.0f} ms, median {middle:.0f} ms")


if __name__ == "__main__":
    main()
