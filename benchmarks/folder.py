"""What a run over a folder costs beyond the model.

    python -m benchmarks.folder overhead --sam vit_b --pictures 3 --rounds 3
    python -m benchmarks.folder memory --pictures 400
    python -m benchmarks.folder resume --pictures 100000

overhead: a plain loop of reading and segmenting against samlab.run on the same pictures with the
    same model, in turns. Architectures without a checkpoint have seeded random weights, whose
    masks of noise are the worst case for what is written.
memory: resident memory in the course of a run of the embedded model.
resume: seconds until a run with so many finished pictures knows what is left, and its tables.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import samlab
from benchmarks._measure import build, clock, machine, picture, thresholds
from samlab.images import read_image
from samlab.pictures import list_pictures
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.runs.disk.shards import Outcome
from samlab.runs.disk.store import RunStore
from samlab.runs.folder import missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("overhead", "memory", "resume"))
    parser.add_argument("--sam", default="tiny", help="tiny, vit_b, vit_l, vit_h or a path")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pictures", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, default=32, help="points per side")
    args = parser.parse_args()
    print(machine(args.device))
    with tempfile.TemporaryDirectory() as folder:
        {"overhead": overhead, "memory": memory, "resume": resume}[args.what](args, Path(folder))


def overhead(args: argparse.Namespace, folder: Path) -> None:
    sam = build(args.sam, args.device)
    options: dict[str, Any] = {"points_per_side": args.points}
    if not hasattr(sam, "samlab_name"):
        options |= thresholds(sam, picture(), survive=0.1).options() | {"box_nms_thresh": 1.0}
    paths = photos(folder / "photos", args.pictures)
    work = SegmenterConfig(sam, options=options).build()

    def bare() -> int:
        return sum(len(work([read_image(path)])[0]) for path in paths)

    def runner(i: int) -> int:
        out = folder / f"out-{i}"
        return samlab.run(paths, out, sam=sam, progress=False, **options).n_segments

    clock(bare, args.device)  # the first call compiles the kernels of the CPU path
    times = []
    for i in range(args.rounds):
        pair = [clock(bare, args.device), clock(lambda i=i: runner(i), args.device)]
        if pair[0].result != pair[1].result:
            raise SystemExit(f"not the same segments: {[one.result for one in pair]}")
        times.append(pair)
        size = sum(f.stat().st_size for f in (folder / f"out-{i}").rglob("*.parquet"))
        print(
            f"round {i}: bare {pair[0].wall:.2f} s ({pair[0].cpu:.2f} s of processor), run "
            f"{pair[1].wall:.2f} s ({pair[1].cpu:.2f} s), {pair[0].result} segments, "
            f"{size / 1e6:.2f} MB written"
        )
    for name in ("wall", "cpu"):
        both = [[getattr(one, name) for one in pair] for pair in times]
        ratio = statistics.median(run / bare for bare, run in both)
        extra = statistics.median((run - bare) / args.pictures for bare, run in both)
        print(f"{name}: {100 * (ratio - 1):+.1f} %, {1000 * extra:+.1f} ms per picture")


def memory(args: argparse.Namespace, folder: Path) -> None:
    paths = photos(folder / "photos", args.pictures)
    seen: list[float] = []
    begin = time.perf_counter()
    samlab.run(
        paths, folder / "out", sam=args.sam, points_per_side=args.points, progress=False,
        on_progress=lambda _: seen.append(resident()),
    )  # fmt: skip
    print(f"{len(seen)} pictures in {time.perf_counter() - begin:.0f} s; resident memory, MB:")
    for i in np.unique(np.linspace(0, len(seen) - 1, 11).astype(int)):
        print(f"after {i + 1:>6}: {seen[i]:8.0f}  (highest so far {max(seen[: i + 1]):.0f})")


def resume(args: argparse.Namespace, folder: Path) -> None:
    """A run with 30 segments per picture, written in shards of the usual size."""
    size, n = 256, args.pictures
    names = {f"{i:08d}.jpg": f"nowhere/{i:08d}.jpg" for i in range(n + 1)}
    listed = list_pictures(names)
    image = np.zeros((64, 64), bool)
    image[10:20, 10:20] = True
    rle = samlab.masks.encode(image)
    vectors = np.random.default_rng(0).random((30, 256), dtype=np.float32)
    segments = samlab.Segments(rles=[rle] * 30, embeddings={"sam": vectors})
    with RunStore.open(folder / "out", {}) as store:
        done = iter(listed)
        table = Outcome(next(iter(listed)), segments).table()
        for _ in range(0, n, size):
            batch = list(islice(done, min(size, n - len(store.done))))
            rows = [Outcome(p, segments, bytes=1).row() for p in batch]
            store.commit_rows(rows, [table] * len(batch))
    begin = time.perf_counter()
    with RunStore.open(folder / "out", {}) as store:
        left = list(missing(listed, store))
    print(f"{n:,} pictures done, {len(left)} left: known after {time.perf_counter() - begin:.2f} s")
    begin = time.perf_counter()
    run = samlab.open_run(folder / "out")
    rows = len(run.pictures)
    print(f"open_run and its table of {rows:,} pictures: {time.perf_counter() - begin:.2f} s")
    print(f"resident memory {resident():.0f} MB")


def photos(folder: Path, n: int) -> list[Path]:
    """n pictures: photos of BSDS500 where the evaluation data is there, else scikit-image's."""
    data = os.environ.get("SAMLAB_EVAL_DATA")
    found = sorted((Path(data) / "bsds500").rglob("*.jpg")) if data else []
    if len(found) >= n:
        return found[:n]
    import skimage.data

    folder.mkdir(parents=True)
    arrays = [getattr(skimage.data, k)() for k in ("astronaut", "chelsea", "coffee", "rocket")]
    paths = []
    for i, array in enumerate(islice(cycle(arrays), n)):
        paths.append(folder / f"{i:06d}.jpg")
        Image.fromarray(array).save(paths[-1], quality=90)
    return paths


def resident() -> float:
    """Resident memory now, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
