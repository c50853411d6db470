"""What the benchmarks share: models, pictures, thresholds, peak memory, the machine's name."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from samlab.sam.fast.decoder import open_decoder
from samlab.sam.fast.encoder import encode
from samlab.sam.fast.upsample import to_masks


def build(name: str, device: str) -> Sam:
    """`tiny`, a checkpoint's path, or an official architecture with seeded random weights."""
    if name == "tiny" or Path(name).exists():
        from samlab.sam.load import load_sam

        return load_sam(name, device=device)
    torch.manual_seed(0)
    return sam_model_registry[name]().eval().to(device)


def picture(size: tuple[int, int] | None = None) -> np.ndarray:
    """A photo, uint8 (H, W, 3): a street scene if the evaluation data is there, else scikit-image's
    astronaut; resized to `size` (width, height)."""
    data = os.environ.get("SAMLAB_EVAL_DATA")
    if data:
        image = Image.open(Path(data) / "sam_images" / "truck.jpg").convert("RGB")
    else:
        import skimage.data

        image = Image.fromarray(skimage.data.astronaut())
    return np.asarray(image.resize(size or (1024, 683), Image.Resampling.LANCZOS))


@dataclass
class Thresholds:
    """Options under which about a third of all candidates survive."""

    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float

    def options(self) -> dict[str, float]:
        return dict(vars(self))


@torch.inference_mode()
def thresholds(sam: Sam, image: np.ndarray, survive: float = 1 / 3) -> Thresholds:
    """Quantiles of the scores on a grid of 16 x 16 points: 60 % pass by predicted IoU.

    Random weights give logits close to zero, so the offset of the stability score is a quarter of
    their spread.
    """
    embedding = encode(image, sam)
    decoder = open_decoder(sam, embedding)
    steps = (np.arange(16) + 0.5) / 16
    x, y = np.meshgrid(steps * image.shape[1], steps * image.shape[0])
    points = embedding.to_input(np.stack([x.ravel(), y.ravel()], 1))
    coords = torch.as_tensor(points, device=embedding.features.device)[:, None]
    answer = decoder.predict(coords, torch.ones(len(coords), 1, device=coords.device))
    iou = float(answer.iou.flatten().quantile(0.4))
    index = torch.nonzero(answer.iou > iou)
    index = index[:: max(1, len(index) // 48)]
    logits = answer.logits(index)
    offset = round(float(logits.std((1, 2)).mean()) / 4, 6)
    frame = embedding.frame()
    stability = to_masks(logits, frame, threshold=sam.mask_threshold, offset=offset).stability
    return Thresholds(iou, float(np.quantile(stability, 1 - survive / 0.6)), offset)


@dataclass
class Clock:
    """Seconds of wall time and of processor time (all threads), and the result."""

    wall: float
    cpu: float
    result: Any


def clock(run: Callable[[], Any], device: str) -> Clock:
    """Run once. Processor time still compares two programs where other work disturbs the wall's."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return Clock(time.perf_counter() - wall, time.process_time() - cpu, result)


def forget_peak() -> None:
    """Let `peak_memory` begin anew from what is resident now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def resident_peak() -> float:
    """Peak since `forget_peak`, MB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


@contextmanager
def memory_above() -> Iterator[dict[str, float]]:
    """Peak resident memory above that at the start, MB, under the key "peak"."""
    result: dict[str, float] = {}
    forget_peak()
    before = resident_peak()
    yield result
    result["peak"] = resident_peak() - before


def machine(device: str) -> str:
    """The processor or GPU, and torch's version."""
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name()
    else:
        name = platform.processor() or platform.machine()
        info = Path("/proc/cpuinfo")
        if info.exists():
            models = [x for x in info.read_text().splitlines() if x.startswith("model name")]
            name = models[0].split(":")[1].strip() if models else name
        name += f", {torch.get_num_threads()} threads"
    return f"{name}, torch {torch.__version__}"
