"""Which SAM for my pictures? Several models on the same pictures, as a table and as overlays."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samlab import masks
from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Share
from samlab.images import ImageLike
from samlab.pictures import read_pictures
from samlab.segments import Segments

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """What `compare_models` found.

    Attributes:
        table: One row per model: `masks` per picture, `covered` share of the picture, `area` median
            share of the picture per mask, `knn_accuracy` where there are labels, `seconds` per
            picture, `load_seconds`, `memory_mb` peak above what was there before.
        agreement: (M, M), share of the row's masks of which the column has one with IoU of at
            least `match_iou`; NaN for a model without masks.
        segments: Model -> segments of each picture.
        images: The pictures.
    """

    table: pd.DataFrame
    agreement: pd.DataFrame
    segments: Mapping[str, Sequence[Segments]]
    images: Sequence[np.ndarray]

    def plot(self, pictures: int = 4) -> Figure:
        """A row of overlays per model, a column per picture, the picture itself above."""
        from samlab.view.plots import plot_models

        return plot_models(self.images, self.segments, pictures)


@checked_arguments
def compare_models(
    images: ImageLike | Sequence[ImageLike],
    models: Sequence[Any],
    *,
    labels: Sequence[np.ndarray] | None = None,
    match_iou: Share = 0.5,
    device: str | None = None,
    **options: Any,
) -> ModelComparison:
    """Run several SAMs on the same pictures and set them side by side.

    Args:
        images: A picture, a list of them, or a folder.
        models: Names or paths for `load_sam`, or models; each once.
        labels: Class maps, int (H, W), one per picture, -1 for unlabelled: vectors are then judged
            by whether the nearest other segments have the same class (`samlab.metrics`).
        match_iou: From which IoU on two masks count as the same.
        device: Where models given by name are loaded.
        **options: Any argument of `MaskGenerator`, the same for all models.

    Returns:
        The table, the agreement of every pair, the segments with their vectors, and `plot()`.
        Seconds are of the second of two runs on the first picture where there is only one picture,
        so that compiling kernels is not counted; memory is known on Linux and on GPUs, else NaN.

    Example: `samlab.compare_models("photo.jpg", ["tiny", "vit_b", "sam2.1_hiera_small"]).table`.
    """
    import pandas as pd

    pixels = read_pictures(images)
    if not pixels or not models:
        raise InputError(
            f"Expected at least one picture and one model, got {len(pixels)} and {len(models)}."
        )
    if labels is not None and len(labels) != len(pixels):
        raise InputError(
            f"Expected one map of labels per picture, {len(pixels)}; got {len(labels)}."
        )
    repeated = [model for i, model in enumerate(models) if model in models[:i]]
    if repeated:
        raise InputError(f"Expected each model once; {repeated[0]} came twice.")
    found: dict[str, list[Segments]] = {}
    rows: dict[str, dict[str, float]] = {}
    for model in models:
        name, segments, costs = _run(model, pixels, device, options)
        if name in found:
            raise InputError(f"Expected each model once; {name} came twice.")
        found[name] = segments
        rows[name] = {**_measures(segments), "knn_accuracy": _worth(segments, labels), **costs}
    agreement = pd.DataFrame(
        [[_agreement(a, b, match_iou) for b in found.values()] for a in found.values()],
        index=list(found),
        columns=list(found),
    )
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    return ModelComparison(table, agreement, found, pixels)


def _run(
    model: Any, images: Sequence[np.ndarray], device: str | None, options: Mapping[str, Any]
) -> tuple[str, list[Segments], dict[str, float]]:
    """A model's name, its segments of each picture, and what they cost."""
    from samlab.pipeline.segment import segment
    from samlab.sam.load import load_sam
    from samlab.sam.provenance import model_name

    with _peak_memory() as peak:
        start = time.perf_counter()
        sam = load_sam(model, device=device) if isinstance(model, (str, os.PathLike)) else model
        loaded = time.perf_counter() - start
        if len(images) == 1:
            segment(images[0], sam, **options)
        start = time.perf_counter()
        segments = [segment(image, sam, **options) for image in images]
        seconds = (time.perf_counter() - start) / len(images)
    costs = {"seconds": seconds, "load_seconds": loaded, "memory_mb": peak["mb"]}
    return model_name(sam), segments, costs


def _measures(found: Sequence[Segments]) -> dict[str, float]:
    covered, areas = [], [np.zeros(0)]
    for segments in found:
        total = segments.image_size[0] * segments.image_size[1]
        covered.append(float((segments.label_map(np.arange(len(segments))) >= 0).sum()) / total)
        areas.append(np.asarray(segments.areas) / total)
    every = np.concatenate(areas)
    return {
        "masks": float(np.mean([len(segments) for segments in found])),
        "covered": float(np.mean(covered)),
        "area": float(np.median(every)) if len(every) else float("nan"),
    }


def _worth(found: Sequence[Segments], labels: Sequence[np.ndarray] | None) -> float:
    """How often the nearest other segments have the right class; NaN without labels."""
    if labels is None:
        return float("nan")
    from samlab.latent.scores import knn_accuracy, label_from_map

    known = [label_from_map(s, np.asarray(m)) for s, m in zip(found, labels, strict=True)]
    pooled = np.concatenate([s.embeddings["sam"] for s in known])
    truth = np.concatenate([s.labels for s in known])
    pictures = np.repeat(np.arange(len(known)), [len(s) for s in known])
    groups = pictures if len(known) > 1 else None
    return knn_accuracy(pooled, truth, groups=groups)


def _agreement(ours: Sequence[Segments], theirs: Sequence[Segments], least: float) -> float:
    hits: list[np.ndarray] = [np.zeros(0, bool)]
    for mine, other in zip(ours, theirs, strict=True):
        if len(mine) and len(other):
            hits.append(masks.iou(mine.rles, other.rles).max(axis=1) >= least)
        else:
            hits.append(np.zeros(len(mine), bool))
    every = np.concatenate(hits)
    return float(every.mean()) if len(every) else float("nan")


@contextmanager
def _peak_memory() -> Iterator[dict[str, float]]:
    """Peak memory above that at the start, MB, under "mb": of the GPU if one is used, else of the
    process (Linux; NaN elsewhere)."""
    import torch

    result = {"mb": float("nan")}
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = float(torch.cuda.memory_allocated())
    else:
        before = _resident("VmRSS")
        _forget_peak()
    yield result
    if on_gpu:
        result["mb"] = (torch.cuda.max_memory_allocated() - before) / 1e6
    else:
        result["mb"] = (_resident("VmHWM") - before) / 1e6


def _forget_peak() -> None:
    """Let VmHWM begin anew from what is resident now (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _resident(name: str) -> float:
    """A line of /proc/self/status in bytes; NaN where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    found = [int(line.split()[1]) * 1024.0 for line in lines if line.startswith(name + ":")]
    return found[0] if found else float("nan")
