"""Latency of one point with a cached embedding, ours and SamPredictor's in turns.

    python -m benchmarks.prompt [--sam vit_b] [--device cpu] [--rounds 20]

One answer is three masks at the picture's resolution. `scores` stops after the predicted IoU.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict

import numpy as np
import torch
from segment_anything import SamPredictor

from benchmarks._measure import build, clock, machine, picture
from samlab.sam.fast.decoder import open_decoder
from samlab.sam.fast.encoder import encode
from samlab.sam.fast.upsample import to_masks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sam", default="vit_b")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, help="of torch")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    sam, image = build(args.sam, args.device), picture()
    predictor = SamPredictor(sam)
    embedding = encode(image, sam)
    predictor.features = embedding.features
    predictor.original_size, predictor.input_size = embedding.image_size, embedding.input_size
    predictor.is_image_set = True
    point = np.array([[400.0, 300.0]])
    coords = torch.as_tensor(embedding.to_input(point), device=args.device)[None]
    label = torch.ones(1, 1, device=args.device)
    frame = embedding.frame()
    index = torch.tensor([[0, 0], [0, 1], [0, 2]], device=args.device)
    dtypes = ["float32", "bfloat16"] if args.sam != "tiny" else ["float32"]
    decoders = {d: open_decoder(sam, embedding, dtype=d) for d in dtypes}

    runs = {"reference": lambda: predictor.predict(point, np.ones(1))}
    for name, decoder in decoders.items():
        runs[f"{name} scores"] = lambda d=decoder: d.predict(coords, label).iou.cpu()
        runs[name] = lambda d=decoder: to_masks(d.predict(coords, label).logits(index), frame)
    seconds, work = defaultdict(list), defaultdict(list)
    for i in range(args.rounds + 2):
        for name, run in runs.items():
            took = clock(run, args.device)
            if i >= 2:
                seconds[name].append(took.wall)
                work[name].append(took.cpu)
    print(f"{args.sam}, one point, cached embedding; {machine(args.device)}")
    base = statistics.median(seconds["reference"]), statistics.median(work["reference"])
    for name in seconds:
        wall, cpu = statistics.median(seconds[name]), statistics.median(work[name])
        print(
            f"{name:18}{1000 * wall:8.1f} ms  {base[0] / wall:6.2f} x   "
            f"processor {1000 * cpu:8.1f} ms  {base[1] / cpu:6.2f} x"
        )
    for name in dtypes:
        took = clock(lambda n=name: open_decoder(sam, embedding, dtype=n), args.device)
        print(f"opening the decoder of a new picture, {name}: {1000 * took.wall:.0f} ms")


if __name__ == "__main__":
    main()
