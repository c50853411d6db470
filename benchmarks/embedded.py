"""How good are the masks of the embedded model, beside classical segmenters?

    SAMLAB_EVAL_DATA=... python benchmarks/embedded.py --limit 20 --processes 2

Reads the human segmentations of BSDS500 (`bsds500/val` under SAMLAB_EVAL_DATA) and prints a
Markdown table:

- covering: for every human segment the best IoU of any mask, weighted by the segment's area,
  averaged over the human segmentations of a picture and over pictures (Arbelaez et al., 2011,
  "best covering", here over a pool of masks);
- recall: share of the human segments whose best IoU reaches 0.5 and 0.75;
- masks: mean number of masks per picture; seconds: for one picture, everything included;
- click: for every human segment larger than 0.5 % of the picture, one click at its innermost
  point: the IoU of the best of three masks, and of the one that the model prefers.

The model's masks are those of SAM's automatic mask generator at its default settings.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import loadmat
from scipy.ndimage import distance_transform_edt

FELZENSZWALB_SCALES = (30, 100, 300, 1000)
SLIC_SIZES = (10, 25, 50, 100, 200)
SMALLEST_CLICKED = 0.005  # share of the picture


@dataclass(frozen=True)
class Photo:
    """One photo `(H, W, 3)` uint8 with human label maps, each `(H, W)` with values 0..K-1."""

    name: str
    image: np.ndarray
    truths: list[np.ndarray]


def read_photos(root: Path, limit: int | None = None) -> list[tuple[Path, Path]]:
    """Pairs of (picture, ground truth), sorted by name."""
    folder = root / "bsds500" / "val"
    truths = sorted((folder / "groundTruth").glob("*.mat"))
    if not truths:
        raise SystemExit(f"No ground truth in {folder}; set SAMLAB_EVAL_DATA to the folder above.")
    return [(folder / "images" / f"{t.stem}.jpg", t) for t in truths][:limit]


def read_photo(picture: Path, truth: Path) -> Photo:
    cells = loadmat(truth)["groundTruth"][0]
    maps = [cell["Segmentation"][0, 0] for cell in cells]
    labels = [np.unique(m, return_inverse=True)[1].reshape(m.shape) for m in maps]
    return Photo(picture.stem, np.asarray(Image.open(picture).convert("RGB")), labels)


# ---------------------------------------------------------------- measures


def best_ious(masks: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each of the K labels the best IoU of any of the masks `(N, H, W)`; zeros if N is 0."""
    count = int(labels.max()) + 1
    if len(masks) == 0:
        return np.zeros(count)
    sizes = np.bincount(labels.ravel(), minlength=count)
    best = np.zeros(count)
    flat = labels.ravel()
    for mask in masks:
        inside = np.bincount(flat[mask.ravel()], minlength=count)
        best = np.maximum(best, inside / (sizes + inside.sum() - inside))
    return best


def measure(masks: np.ndarray, truths: Iterable[np.ndarray]) -> dict[str, float]:
    """Covering and recall of one picture's masks; recall is over all segments of all truths."""
    covering, ious = [], []
    for labels in truths:
        best = best_ious(masks, labels)
        sizes = np.bincount(labels.ravel(), minlength=len(best))
        covering.append(float((best * sizes).sum() / sizes.sum()))
        ious.append(best)
    every = np.concatenate(ious)
    return {
        "covering": float(np.mean(covering)),
        "recall@0.5": float((every >= 0.5).mean()),
        "recall@0.75": float((every >= 0.75).mean()),
        "masks": float(len(masks)),
    }


def innermost_points(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each label over 0.5 % of the picture the innermost point, (n, 2) as (x, y), and its id."""
    points, ids = [], []
    for label in range(int(labels.max()) + 1):
        mask = labels == label
        if mask.sum() < SMALLEST_CLICKED * mask.size:
            continue
        depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), mask.shape)
        points.append((x, y))
        ids.append(label)
    return np.array(points, float).reshape(-1, 2), np.array(ids, int)


# ---------------------------------------------------------------- what is compared


def label_masks(labels: np.ndarray) -> np.ndarray:
    return np.stack([labels == value for value in np.unique(labels)])


def felzenszwalb_masks(image: np.ndarray) -> np.ndarray:
    from skimage.segmentation import felzenszwalb

    maps = [felzenszwalb(image, scale=s, sigma=0.8, min_size=50) for s in FELZENSZWALB_SCALES]
    return np.concatenate([label_masks(labels) for labels in maps])


def slic_masks(image: np.ndarray) -> np.ndarray:
    from skimage.segmentation import slic

    maps = [slic(image, n_segments=n, compactness=10, start_label=0) for n in SLIC_SIZES]
    return np.concatenate([label_masks(labels) for labels in maps])


def both_masks(image: np.ndarray) -> np.ndarray:
    return np.concatenate([felzenszwalb_masks(image), slic_masks(image)])


@lru_cache(maxsize=1)
def _tiny(weights: str | None) -> Any:
    import torch

    from samlab.sam.tiny.model import build_tiny

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return build_tiny(Path(weights) if weights else None)


def tiny_masks(image: np.ndarray, weights: str | None) -> np.ndarray:
    from samlab.sam.automatic.generator import MaskGenerator

    records = MaskGenerator(_tiny(weights)).generate(image)
    masks = [record["segmentation"] for record in records]
    return np.stack(masks) if masks else np.zeros((0, *image.shape[:2]), bool)


def tiny_clicks(photo: Photo, weights: str | None) -> dict[str, float]:
    """Mean IoU, over clicked segments, of the best of three masks and of the preferred one.

    Answers come through the decoder's fast path, which equals `SamPredictor`'s (a test holds that),
    and each distinct mask is brought to the size of the photo once.
    """
    import torch
    from segment_anything import SamPredictor

    sam = _tiny(weights)
    predictor = SamPredictor(sam)
    predictor.set_image(photo.image)
    decoder = sam.mask_decoder.open(predictor.features)
    clicks = [(labels, *innermost_points(labels)) for labels in photo.truths]
    points = np.concatenate([found for _, found, _ in clicks])
    targets = [(labels, label) for labels, _, ids in clicks for label in ids]
    coords = predictor.transform.apply_coords(points, photo.image.shape[:2])
    prompts = torch.as_tensor(coords, dtype=torch.float32)[:, None], torch.ones(len(points), 1)
    answers = [decoder.predict(*prompts, multimask_output=many) for many in (True, False)]
    masks: dict[int, np.ndarray] = {}
    best, preferred = [], []
    for k, (labels, label) in enumerate(targets):
        ious = []
        for found in answers:
            for place, answer in enumerate(found.answer[k].tolist()):
                if answer not in masks:
                    logits = found.logits(torch.tensor([[k, place]]))[None]
                    size = predictor.input_size, predictor.original_size
                    masks[answer] = sam.postprocess_masks(logits, *size)[0, 0].numpy() > 0
                ious.append(_iou(masks[answer], labels == label))
        best.append(max(ious[:3]))
        preferred.append(ious[3])
    return {"click best of 3": float(np.mean(best)), "click preferred": float(np.mean(preferred))}


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 0.0


CLASSICAL = {
    "Felzenszwalb, 4 scales": felzenszwalb_masks,
    "SLIC, 5 sizes": slic_masks,
    "both": both_masks,
}


# ---------------------------------------------------------------- running it


def run_one(job: tuple[Path, Path, str, str | None]) -> tuple[str, str, dict[str, float]]:
    """Measure one method on one photo."""
    picture, truth, method, weights = job
    photo = read_photo(picture, truth)
    began = time.perf_counter()
    tiny = method == "tiny"
    masks = tiny_masks(photo.image, weights) if tiny else CLASSICAL[method](photo.image)
    seconds = time.perf_counter() - began
    figures = measure(masks, photo.truths) | {"seconds": seconds}
    if method == "tiny":
        figures |= tiny_clicks(photo, weights)
    return method, photo.name, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, help="only the first N photos")
    parser.add_argument("--every", type=int, default=1, help="only every N-th photo")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=["tiny", *CLASSICAL])
    parser.add_argument("--weights", help="other weights than the shipped ones")
    parser.add_argument("--per-photo", action="store_true", help="also a line per photo")
    options = parser.parse_args()
    root = Path(os.environ.get("SAMLAB_EVAL_DATA", "."))
    pairs = read_photos(root, options.limit)[:: options.every]
    jobs = [(*pair, method, options.weights) for method in options.methods for pair in pairs]
    rows: dict[str, list[dict[str, float]]] = {method: [] for method in options.methods}
    with ProcessPoolExecutor(options.processes) as pool:
        for method, name, figures in pool.map(run_one, jobs):
            rows[method].append(figures)
            if options.per_photo:
                print(method, name, {k: round(v, 3) for k, v in figures.items()}, flush=True)
    columns = list(dict.fromkeys(key for found in rows.values() for key in found[0]))
    print(f"\n{len(pairs)} photos\n\n| method | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for method, found in rows.items():
        means = [np.mean([f[c] for f in found]) if c in found[0] else None for c in columns]
        cells = ["" if m is None else f"{m:.0f}" if m >= 10 else f"{m:.3f}" for m in means]
        print(f"| {method} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
