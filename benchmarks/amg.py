"""Automatic mask generation, ours and segment-anything's in turns in one process.

With one of SAM 2.1's names the reference is transformers' mask-generation pipeline, in float32 and
in bfloat16, on a square picture: elsewhere the pipeline asks at the wrong points.

    python -m benchmarks.amg --sam vit_b [--device cpu] [--points 32] [--rounds 1] [--size 1024x683]
    python -m benchmarks.amg --sam sam2.1_hiera_tiny

Prints, for each precision: seconds of wall and of processor time, ratios, how many of the
reference's masks are matched at IoU 0.95 and 0.99, and peak memory above what the model takes.
Without a checkpoint the official architecture runs with seeded random weights; thresholds are
quantiles of their scores so that about a third of the candidates survives, and box_nms_thresh is
1.0 so that all of them count. Masks are matched within the same point.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator

from benchmarks._families import PipelineReference, build_pair, is_family
from benchmarks._measure import build, clock, machine, memory_above, picture, thresholds
from samlab.sam.automatic.generator import MaskGenerator
from samlab.sam.fast.encoder import encode_batch

Records = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sam", default="vit_b", help="tiny, vit_b, vit_l, vit_h or a path")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--points", type=int, default=32, help="points per side")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--size", help="width x height of the picture, 1024x683 by default")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--threads", type=int, help="of torch")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    family = is_family(args.sam)
    size = args.size or ("1024x1024" if family else "1024x683")
    width, height = (int(v) for v in size.split("x"))
    image = picture((width, height))
    model, sam = build_pair(args.sam, args.device) if family else (None, None)
    sam = build(args.sam, args.device) if sam is None else sam
    options: dict[str, Any] = {"points_per_side": args.points}
    if args.sam != "tiny":
        options |= thresholds(sam, image).options() | {"box_nms_thresh": 1.0}
    print(f"{args.sam}, {width} x {height} px, {args.points} x {args.points} points")
    print(machine(args.device))
    print({k: round(v, 4) if isinstance(v, float) else v for k, v in options.items()})

    dtypes = args.dtypes.split(",") if args.sam != "tiny" else ["float32"]
    ours = {d: MaskGenerator(sam, **options, points_per_batch=None, dtype=d) for d in dtypes}
    theirs: dict[str, Any] = {}
    if family:
        theirs = {"reference": PipelineReference(model, args.device, **options)}
        if "bfloat16" in dtypes:
            half = copy.deepcopy(model).to(torch.bfloat16)
            theirs["ref. bf16"] = PipelineReference(half, args.device, **options)
    else:
        theirs = {"reference": SamAutomaticMaskGenerator(sam, **options)}
    cold = {}
    for name, generator in ours.items():  # the first call compiles the kernels of the CPU path
        cold[name] = clock(lambda g=generator: g.generate(image), args.device).wall

    seconds: dict[str, list[float]] = defaultdict(list)
    work: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, float] = {}
    found: dict[str, Records] = {}
    for _ in range(args.rounds):
        for name, generator in [*theirs.items(), *ours.items()]:
            with memory_above() as above:
                run = clock(lambda g=generator: g.generate(image), args.device)
            found[name] = run.result
            seconds[name].append(run.wall)
            work[name].append(run.cpu)
            memory[name] = max(memory.get(name, 0.0), above["peak"])
    heads = ("", "cold s", "warm s", "ratio", "CPU s", "ratio", "masks", ">0.95", ">0.99", "MB")
    print("".join(f"{h:>10}" for h in heads))
    base = {"wall": statistics.median(seconds["reference"]), "cpu": min(work["reference"])}
    for name in seconds:
        wall, cpu = statistics.median(seconds[name]), min(work[name])
        at = matched(found["reference"], found[name])
        print(
            f"{name:>10}{cold.get(name, float('nan')):10.2f}{wall:10.2f}{base['wall'] / wall:10.2f}"
            f"{cpu:10.2f}{base['cpu'] / cpu:10.2f}{len(found[name]):10}"
            f"{100 * at[0]:9.2f}%{100 * at[1]:9.2f}%{memory[name]:10.0f}"
        )
    if args.device.startswith("cuda"):
        batch(sam, image, options, args.device)


def matched(reference: Records, ours: Records) -> tuple[float, float]:
    """Share of the reference's masks that ours contain at IoU 0.95 and at 0.99."""
    by_point = defaultdict(list)
    for record in ours:
        by_point[tuple(record["point_coords"][0])].append(record["segmentation"])
    best = []
    for record in reference:
        mask = record["segmentation"]
        candidates = by_point[tuple(record["point_coords"][0])]
        if not candidates:  # suppressed in favour of another point: look everywhere
            candidates = [r["segmentation"] for r in ours if _near(r["bbox"], record["bbox"])]
        best.append(max((iou(mask, other) for other in candidates), default=0.0))
    scores = np.array(best or [1.0])
    return float((scores >= 0.95).mean()), float((scores >= 0.99).mean())


def _near(a: list[int], b: list[int]) -> bool:
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) <= 8


def iou(a: np.ndarray, b: np.ndarray) -> float:
    both = np.count_nonzero(a & b)
    return both / max(np.count_nonzero(a) + np.count_nonzero(b) - both, 1)


def batch(sam: Any, image: np.ndarray, options: dict[str, Any], device: str) -> None:
    """Eight pictures: encoded together, then their masks one after the other."""
    generator = MaskGenerator(sam, **options, points_per_batch=None, dtype="bfloat16")
    images = [np.roll(image, 37 * i, axis=1) for i in range(8)]

    def run() -> None:
        for one, embedding in zip(images, encode_batch(images, sam, dtype="bfloat16"), strict=True):
            generator.segments(one, embedding)

    run()
    took = clock(run, device).wall
    print(f"8 pictures in bfloat16: {took / 8:.3f} s each, "
          f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB on the device")  # fmt: skip


if __name__ == "__main__":
    main()
