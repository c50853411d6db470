"""Peak memory of mask generation on a 12-megapixel picture, each run in a process of its own.

    python -m benchmarks.memory [--sam tiny]

Memory is counted above what the process holds once model and picture are there. The reference
needs 48 MB of logits for each of the 192 candidates of a batch of 64 points, more than many
machines have; it gets batches of 16 points here. Without suppression every candidate is kept, so
points per side decide the number of masks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import numpy as np
from PIL import Image
from segment_anything import SamAutomaticMaskGenerator

from benchmarks._measure import build, machine, memory_above, picture
from samlab.sam.automatic.generator import MaskGenerator

SIZE = (4000, 3000)
RUNS = [("reference", 6), ("samlab", 6), ("samlab", 13), ("samlab", 26)]


def measure(which: str, sam_name: str, points: int) -> dict[str, float]:
    sam = build(sam_name, "cpu")
    image = np.asarray(Image.fromarray(picture()).resize(SIZE))
    MaskGenerator(sam, points_per_side=1).segments(image[:64, :64])  # kernels compiled, not counted
    options = {
        "points_per_side": points,
        "pred_iou_thresh": 0.0,
        "stability_score_thresh": 0.0,
        "box_nms_thresh": 1.0,
        "output_mode": "coco_rle",
    }
    with memory_above() as above:
        if which == "reference":
            generator = SamAutomaticMaskGenerator(sam, **options, points_per_batch=16)
            found = len(generator.generate(image))
        else:
            found = len(MaskGenerator(sam, **options).segments(image))
    return {"masks": found, "MB": above["peak"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sam", default="tiny")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], args.sam, int(args.one[1]))))
        return
    print(f"{args.sam}, {SIZE[0]} x {SIZE[1]} px; {machine('cpu')}")
    for which, points in RUNS:
        command = [sys.executable, "-m", "benchmarks.memory", "--sam", args.sam]
        done = subprocess.run(
            [*command, "--one", which, str(points)], capture_output=True, text=True, check=True
        )
        result = json.loads(done.stdout.splitlines()[-1])
        print(f"{which:10}{points:3} x {points:<3}{result['masks']:6} masks{result['MB']:8.0f} MB")


if __name__ == "__main__":
    main()
