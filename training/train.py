"""Train the network of the embedded model on rendered scenes, within a time budget.

    python -m training.train --minutes 60 --scenes scenes/ --out run/

A checkpoint is written every few minutes; with --resume a killed run goes on from the last one.
Batches are a function of seed and step, so with --steps (instead of minutes) a resumed run ends
exactly where an uninterrupted one does.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from samlab.sam.tiny.net import TinyNet
from training.data import Batch, Crops
from training.losses import WEIGHTS, Losses

Sizes = tuple[tuple[int, int], ...]


@dataclass
class Recipe:
    """Everything that decides what comes out, but for the machine's speed."""

    minutes: float = 60.0
    steps: int = 0
    """If not 0, the budget in steps instead of minutes."""
    seed: int = 1
    rate: float = 1.5e-3
    decay: float = 0.05
    smoothing: float = 0.998
    """Share of the old value in the moving average of the weights."""
    sizes: Sizes = ((192, 20), (256, 12), (320, 8))
    """(pixels, pictures per batch)."""
    last_sizes: Sizes = ((320, 8), (384, 6), (512, 4))
    last_share: float = 0.2
    """The share of the budget, at its end, that goes to the larger pictures."""
    net: dict[str, Any] = field(default_factory=dict)


class Trainer:
    """Network, optimiser and moving average; `run` trains until the budget is spent."""

    def __init__(
        self, recipe: Recipe, scenes: Path | list[Path], out: Path, device: str = "cpu"
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.scenes, self.out = recipe, scenes, out
        self.device = torch.device(device)
        layout = torch.channels_last
        self.net = TinyNet(**recipe.net).to(self.device, memory_format=layout).train()
        self.losses = Losses().to(self.device)
        self.average = copy.deepcopy(self.net).eval()
        matrices = [p for p in self.net.parameters() if p.ndim > 1]
        vectors = [p for p in self.net.parameters() if p.ndim <= 1] + list(self.losses.parameters())
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": recipe.decay},
             {"params": vectors, "weight_decay": 0.0}],
            lr=recipe.rate, betas=(0.9, 0.98),
        )  # fmt: skip
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.step, self.pictures, self.seconds = 0, 0, 0.0
        out.mkdir(parents=True, exist_ok=True)

    # -- where we are ---------------------------------------------------------------------------

    @property
    def progress(self) -> float:
        """Spent share of the budget, 0..1."""
        if self.recipe.steps:
            return min(1.0, self.step / self.recipe.steps)
        return min(1.0, self.seconds / (60 * self.recipe.minutes))

    @property
    def rate(self) -> float:
        """Learning rate now: a short rise, then a cosine down to a fiftieth."""
        rise = min(1.0, 0.02 + self.progress / 0.02)
        return self.recipe.rate * rise * (0.49 * (1 + math.cos(math.pi * self.progress)) + 0.02)

    @property
    def last_phase(self) -> bool:
        return self.progress >= 1 - self.recipe.last_share

    # -- checkpoints ----------------------------------------------------------------------------

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint and the averaged weights; each under its name only when whole."""
        state = {
            "net": self.net.state_dict(), "average": self.average.state_dict(),
            "losses": self.losses.state_dict(), "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(), "step": self.step,
            "pictures": self.pictures, "seconds": self.seconds, "recipe": asdict(self.recipe),
        }  # fmt: skip
        temporary = self.checkpoint.with_suffix(".part")
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint)
        self.write_weights(self.out / "tiny_latest.safetensors")

    def resume(self) -> bool:
        """Go on from the checkpoint if there is one."""
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.losses.load_state_dict(state["losses"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"].cpu())
        self.step, self.pictures = state["step"], state["pictures"]
        self.seconds = state["seconds"]
        return True

    def start_from(self, path: Path) -> None:
        """Take over the network of a weights file, with a fresh optimiser."""
        arrays = {k: v for k, v in load_file(path).items()
                  if not k.startswith(("tree.", "describe."))}  # fmt: skip
        for net in (self.net, self.average):
            net.load_state_dict({k: v.float() if v.is_floating_point() else v
                                 for k, v in arrays.items()})  # fmt: skip

    def write_weights(self, path: Path) -> None:
        """The averaged weights as float16, with recipe and counts in the header."""
        weights = {
            name: value.half().contiguous().cpu() if value.is_floating_point() else value.cpu()
            for name, value in self.average.state_dict().items()
        }
        facts = {
            "steps": str(self.step), "pictures": str(self.pictures),
            "seconds": f"{self.seconds:.0f}",
            **{f"recipe.{k}": str(v) for k, v in asdict(self.recipe).items()},
        }  # fmt: skip
        temporary = path.with_suffix(".part")
        save_file(weights, temporary, metadata=facts)
        os.replace(temporary, path)

    # -- training -------------------------------------------------------------------------------

    def batches(self, workers: int) -> Iterator[Batch]:
        """Batches from the current step on, in the sizes of the current phase."""
        sizes = self.recipe.last_sizes if self.last_phase else self.recipe.sizes
        crops = Crops(self.scenes, sizes, self.recipe.seed, self.step)
        loader = torch.utils.data.DataLoader(
            crops, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None
        )
        return iter(loader)

    def one_step(self, batch: Batch) -> dict[str, float]:
        batch = Batch(**{k: v.to(self.device, non_blocking=True) for k, v in vars(batch).items()})
        image = batch.image.contiguous(memory_format=torch.channels_last)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            answers = self.net(image)
        parts = self.losses(answers, batch, self.generator)
        total = sum(WEIGHTS[name] * value for name, value in parts.items())
        self.optimiser.zero_grad()
        total.backward()  # type: ignore[union-attr]
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self.pictures += len(image)
        self._average()
        seen = {"total": total, "norm": norm, **parts}
        return {name: value.detach().item() for name, value in seen.items()}

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(self.recipe.smoothing, (1 + self.step) / (20 + self.step))
        for mean, now in zip(
            self.average.state_dict().values(), self.net.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)

    def run(self, workers: int = 1, save_every: float = 300.0, report_every: int = 50) -> None:
        """Train until the budget is spent; report to the console and to curves.csv."""
        before, started = self.seconds, time.monotonic()
        last_save, window, seen = started, [], self.pictures
        window_start = started
        phase, batches = self.last_phase, self.batches(workers)
        while self.progress < 1:
            if self.last_phase != phase:
                phase, batches = self.last_phase, self.batches(workers)
            window.append(self.one_step(next(batches)))
            now = time.monotonic()
            self.seconds = before + now - started
            if self.step % report_every == 0 or self.progress >= 1:
                means = {k: sum(w[k] for w in window) / len(window) for k in window[0]}
                speed = (self.pictures - seen) / (now - window_start)
                self._report(means, speed)
                window, window_start, seen = [], now, self.pictures
            if now - last_save > save_every:
                self.save()
                last_save = now
        self.save()
        self.write_weights(self.out / "tiny_final.safetensors")

    def _report(self, means: dict[str, float], speed: float) -> None:
        row = {"minutes": self.seconds / 60, "step": self.step, "pictures": self.pictures,
               "speed": speed, "rate": self.rate, **means}  # fmt: skip
        print(" ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
        path = self.out / "curves.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" for k, v in row.items()})


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the embedded model's network.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=0, help="budget in steps instead of minutes")
    parser.add_argument("--scenes", type=Path, nargs="+", required=True, help="folders of shards")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--start", type=Path, help="weights to go on from, where no run is resumed")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    recipe = Recipe(minutes=options.minutes, steps=options.steps, seed=options.seed)
    trainer = Trainer(recipe, options.scenes, options.out, options.device)
    if options.resume and trainer.resume():
        print(f"going on from step {trainer.step}", flush=True)
    elif options.start is not None:
        trainer.start_from(options.start)
    trainer.run(options.workers)


if __name__ == "__main__":
    main()
