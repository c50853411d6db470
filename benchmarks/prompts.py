"""100 boxes on one picture, ours and SamPredictor.predict_torch in turns, answers compared.

    python -m benchmarks.prompts [--sam vit_b] [--device cpu] [--boxes 100] [--rounds 3]

The picture is encoded once before. Both sides begin with boxes in pixels of the picture and end
with masks at its resolution: SamPredictor with a boolean array, as in the official notebook, and
samlab with run-length masks, boxes and stability scores.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict

import numpy as np
import torch
from segment_anything import SamPredictor

from benchmarks._measure import build, clock, machine, picture
from samlab.sam.fast.encoder import encode
from samlab.sam.prompts import segment_boxes
from samlab.segments import Segments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sam", default="vit_b")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--boxes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=0, help="boxes per predict_torch; 0 for all")
    parser.add_argument("--multimask", action="store_true", help="three masks per box")
    parser.add_argument("--threads", type=int, help="of torch")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    sam, image = build(args.sam, args.device), picture()
    embedding = encode(image, sam)
    predictor = SamPredictor(sam)
    predictor.features = embedding.features
    predictor.original_size, predictor.input_size = embedding.image_size, embedding.input_size
    predictor.is_image_set = True
    boxes = random_boxes(args.boxes, embedding.image_size)

    def reference() -> tuple[torch.Tensor, torch.Tensor]:
        scaled = predictor.transform.apply_boxes_torch(
            torch.as_tensor(boxes, device=args.device), predictor.original_size
        )
        parts = [
            predictor.predict_torch(None, None, part, multimask_output=args.multimask)[:2]
            for part in scaled.split(args.batch or len(scaled))
        ]
        masks, scores = zip(*parts, strict=True)
        return torch.cat(masks).cpu(), torch.cat(scores).cpu()

    runs = {"reference": reference}
    dtypes = ["float32", "bfloat16"] if args.sam != "tiny" else ["float32"]
    for dtype in dtypes:
        runs[f"samlab, {dtype}"] = lambda d=dtype: segment_boxes(
            embedding, boxes, sam=sam, multimask=args.multimask, dtype=d
        )
    seconds, work, last = defaultdict(list), defaultdict(list), {}
    segment_boxes(embedding, boxes[:2], sam=sam)  # compile, allocate
    for _ in range(args.rounds):
        for name, run in runs.items():
            took = clock(run, args.device)
            seconds[name].append(took.wall)
            work[name].append(took.cpu)
            last[name] = took.result
    height, width = embedding.image_size
    print(f"{args.sam}, {args.boxes} boxes, {width} x {height}; {machine(args.device)}")
    for name in runs:
        ratios = [
            statistics.median(a / b for a, b in zip(times["reference"], times[name], strict=True))
            for times in (seconds, work)
        ]
        print(
            f"{name:20}{statistics.median(seconds[name]):8.2f} s  {ratios[0]:6.2f} x   "
            f"processor {statistics.median(work[name]):8.2f} s  {ratios[1]:6.2f} x"
        )
    for dtype in dtypes:
        print(f"{dtype}: {agreement(last[f'samlab, {dtype}'], *last['reference'])}")


def random_boxes(count: int, image_size: tuple[int, int]) -> np.ndarray:
    """float64 (count, 4), a tenth to four tenths of the picture wide and high."""
    rng = np.random.default_rng(0)
    size = np.array(image_size[::-1])
    extent = rng.uniform(0.1, 0.4, (count, 2)) * size
    corner = rng.uniform(0, 1, (count, 2)) * (size - extent)
    return np.concatenate([corner, corner + extent], axis=1)


def agreement(ours: Segments, masks: torch.Tensor, scores: torch.Tensor) -> str:
    """How far our answers are from the reference's."""
    dense = masks.flatten(0, 1).numpy()
    differ = [int((ours.mask(i) != dense[i]).sum()) for i in range(len(ours))]
    gap = np.abs(ours.predicted_iou - scores.flatten().numpy()).max()
    return (
        f"scores differ by {gap:.1e} at most; {sum(differ):,} of {dense.size:,} pixels differ, "
        f"{max(differ):,} of one mask at most"
    )


if __name__ == "__main__":
    main()
