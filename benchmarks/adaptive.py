"""What `MaskGenerator(adaptive=True)` saves, and what it loses.

    SAMLAB_EVAL_DATA=... python -m benchmarks.adaptive [--sam tiny] [--photos 10]

For each limit up to which a mask counts as small: the share of points that are not asked, and the
share of the full grid's masks that are found again at IoU 0.9. Photos are those of BSDS500 val, or
scikit-image's without them.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from benchmarks._measure import build, machine
from samlab import masks, read_image
from samlab.sam.automatic import generator as amg
from samlab.sam.automatic import search

LIMITS = (4.0, 8.0, 16.0, 64.0)


def photos(count: int) -> list[np.ndarray]:
    data = os.environ.get("SAMLAB_EVAL_DATA")
    if data:
        files = sorted((Path(data) / "bsds500" / "val" / "images").glob("*.jpg"))
        return [read_image(file) for file in files[:: max(1, len(files) // count)][:count]]
    import skimage.data

    return [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sam", default="tiny")
    parser.add_argument("--photos", type=int, default=10)
    args = parser.parse_args()
    sam = build(args.sam, "cpu")
    asked = 0
    ask = search.ask_in_batches

    def count_and_ask(found, points, ids, size, advance) -> None:  # type: ignore[no-untyped-def]
        nonlocal asked
        asked += len(ids)
        ask(found, points, ids, size, advance)

    amg.ask_in_batches = count_and_ask
    recall: dict[float, list[float]] = {limit: [] for limit in LIMITS}
    saved: dict[float, list[float]] = {limit: [] for limit in LIMITS}
    images = photos(args.photos)
    for image in images:
        embedding = amg.encode(image, sam)
        full = amg.MaskGenerator(sam).segments(image, embedding)
        for limit in LIMITS:
            search._SMALL_CELLS, asked = limit, 0
            some = amg.MaskGenerator(sam, adaptive=True).segments(image, embedding)
            found = masks.iou(full.rles, some.rles).max(1) if len(some) else np.zeros(len(full))
            recall[limit].append(float((found >= 0.9).mean()))
            saved[limit].append(1 - asked / 1024)
    print(f"{args.sam}, {len(images)} photos, 32 x 32 points; {machine('cpu')}")
    print("\n| small up to (cells of the grid) | recall at IoU 0.9 | points saved |\n|---|---|---|")
    for limit in LIMITS:
        print(
            f"| {limit:.0f} | {np.mean(recall[limit]):.3f} | {100 * np.mean(saved[limit]):.0f} % |"
        )


if __name__ == "__main__":
    main()
