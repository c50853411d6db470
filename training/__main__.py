"""Make the weights of the embedded model, from nothing: scenes, network, region tree.

    python -m training --minutes 70

Every stage goes on where a stopped run left it; delete the folder of --out to begin anew.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch

from training import cache, curves, fit_tree, labelled, nuclei
from training.train import Recipe, Trainer

TRACED_SEED = 2_000_000

WEIGHTS = Path(__file__).parent.parent / "samlab" / "sam" / "tiny" / "tiny.safetensors"
FIT_SEED = 9_000_000
"""Path-traced scenes from here on are for the region tree; the network never sees them."""


def quick(options: argparse.Namespace) -> None:
    """Cut everything down to minutes: to see that all stages work, not to make weights."""
    options.shards, options.size, options.minutes, options.fit_scenes = 1, 96, 0.05, 4
    options.traced, options.per_shard, options.steps = 0, 6, 100


def render_traced(options: argparse.Namespace, folder: Path, count: int, first: int) -> None:
    """Blender may live in an environment of its own, so it runs as a program of its own."""
    command = [options.traced_python, "-m", "training.traced", "--out", folder]
    command += ["--shards", count, "--first", first, "--threads", options.threads]
    subprocess.run([str(part) for part in command], check=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--minutes", type=float, default=70.0, help="for training the network")
    parser.add_argument("--shards", type=int, default=36, help="flat scenes, by the hundred")
    parser.add_argument("--per-shard", type=int, default=cache.SHARD, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=512, help="of a flat scene, in pixels")
    parser.add_argument("--traced", type=int, default=0, help="path-traced scenes, by the twenty")
    parser.add_argument("--traced-python", default=sys.executable, help="where bpy is installed")
    parser.add_argument("--nuclei", type=Path, help="folder with images/ and labels/")
    parser.add_argument("--start", type=Path, help="weights to go on from instead of from nothing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("training-run"))
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the result goes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--workers", type=int, default=1, help="processes that cut crops")
    parser.add_argument("--fit-scenes", type=int, default=240, help="for the region tree")
    parser.add_argument("--quick", action="store_true", help=quick.__doc__)
    options = parser.parse_args(arguments, argparse.Namespace(steps=3000))
    if options.quick:
        quick(options)

    flat, traced = options.out / "scenes", options.out / "traced"
    network, fitting = options.out / "network", options.out / "traced-fit"
    for number in cache.fill(flat, options.shards, options.size, count=options.per_shard):
        print(f"rendered shard {number}", flush=True)
    if options.traced:
        render_traced(options, traced, options.traced, TRACED_SEED)
        render_traced(options, fitting, -(-options.traced // 6), FIT_SEED)

    final = network / "tiny_final.safetensors"
    if not final.exists():
        torch.set_num_threads(options.threads)
        recipe = Recipe(minutes=options.minutes, seed=options.seed)
        folders = [flat, traced] * 2 if options.traced else [flat]
        if options.nuclei is not None:
            pictures = labelled.nuclei(options.nuclei, labelled.NETWORK)
            nuclei.write(options.out / "nuclei", pictures)
            folders.append(options.out / "nuclei")
        trainer = Trainer(recipe, folders, network, options.device)
        if not trainer.resume() and options.start is not None:
            trainer.start_from(options.start)
        trainer.run(options.workers)
    curves.plot(network / "curves.csv", network / "curves.png")

    options.weights.parent.mkdir(parents=True, exist_ok=True)
    fit_tree.main(
        final,
        options.weights,
        options.fit_scenes,
        traced=fitting if options.traced else None,
        nuclei=options.nuclei,
        steps=options.steps,
    )
    print(f"wrote {options.weights}", flush=True)


if __name__ == "__main__":
    main()
