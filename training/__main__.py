"""Make the weights of the embedded model, from nothing: scenes, network, region tree.

    python -m training --minutes 70

Every stage goes on where a stopped run left it; delete the folder of --out to begin anew.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from training import cache, curves, fit_tree
from training.train import Recipe, Trainer

WEIGHTS = Path(__file__).parent.parent / "samlab" / "sam" / "weights" / "tiny.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--minutes", type=float, default=70.0, help="for training the network")
    parser.add_argument("--shards", type=int, default=36, help="of a hundred scenes each")
    parser.add_argument("--size", type=int, default=512, help="of a scene, in pixels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("training-run"))
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the result goes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--workers", type=int, default=1, help="processes that cut crops")
    parser.add_argument("--fit-scenes", type=int, default=240, help="for the region tree")
    options = parser.parse_args()

    scenes, network = options.out / "scenes", options.out / "network"
    for number in cache.fill(scenes, options.shards, options.size):
        print(f"rendered shard {number}", flush=True)

    final = network / "tiny_final.safetensors"
    if not final.exists():
        torch.set_num_threads(options.threads)
        recipe = Recipe(minutes=options.minutes, seed=options.seed)
        trainer = Trainer(recipe, scenes, network, options.device)
        trainer.resume()
        trainer.run(options.workers)
    curves.plot(network / "curves.csv", network / "curves.png")

    options.weights.parent.mkdir(parents=True, exist_ok=True)
    fit_tree.main(final, options.weights, options.fit_scenes)
    print(f"wrote {options.weights}", flush=True)


if __name__ == "__main__":
    main()
