"""How good are the masks of the embedded model, beside classical segmenters?

    SAMLAB_EVAL_DATA=... python benchmarks/embedded.py --limit 20 --processes 2

Everything is that of SAM's automatic mask generator and of the model's vectors at default settings.

BSDS500 (`bsds500/val`), a Markdown table:

- precision: share of the masks whose IoU with any segment of any person is at least 0.5; recall:
  share of all people's segments that a mask matches at 0.5 and 0.75; F of precision and recall;
- covering: for every human segment the best IoU of any mask, weighted by the segment's area,
  averaged over people and pictures (Arbelaez et al., 2011, "best covering", over a pool of masks);
- partition covering: the same for the disjoint regions of `judging.greedy_partition`;
- masks: mean number per picture; seconds: for one picture, everything included;
- click: for every human segment larger than 0.5 % of the picture, one click at its innermost
  point: the IoU of the best of three masks, and of the one that the model prefers.

Nuclei (`nuclei/val`) beside Otsu and watershed; the coins of scikit-image; CamVid's classes by the
nearest neighbours of the vectors beside colour and texture (`benchmarks/embedders.py`).
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.io import loadmat

from benchmarks.judging import found_things, innermost_points, measure, overlaps

FELZENSZWALB_SCALES = (30, 100, 300, 1000)
SLIC_SIZES = (10, 25, 50, 100, 200)


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


def tiny_masks(image: np.ndarray, weights: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Masks (N, H, W) and predicted IoU (N,)."""
    from samlab.sam.automatic.generator import MaskGenerator

    records = MaskGenerator(_tiny(weights)).generate(image)
    masks = [record["segmentation"] for record in records]
    scores = np.array([record["predicted_iou"] for record in records])
    return (np.stack(masks) if masks else np.zeros((0, *image.shape[:2]), bool)), scores


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


# ---------------------------------------------------------------- nuclei and coins


def otsu_watershed_masks(image: np.ndarray) -> np.ndarray:
    """The textbook's way to count cells: Otsu's threshold, the rarer side is the cells, touching
    ones cut by a watershed of the distance to the outside."""
    from skimage.color import rgb2gray
    from skimage.feature import peak_local_max
    from skimage.filters import gaussian, threshold_otsu
    from skimage.segmentation import watershed

    grey = gaussian(rgb2gray(image), 1)
    inside = grey > threshold_otsu(grey)
    inside = ~inside if inside.mean() > 0.5 else inside
    depth = gaussian(ndimage.distance_transform_edt(inside), 1)
    peaks = peak_local_max(depth, min_distance=5, labels=ndimage.label(inside)[0])
    seeds = np.zeros(inside.shape, int)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-depth, seeds, mask=inside)
    sizes = np.bincount(labels.ravel())
    return np.array([labels == k for k in range(1, len(sizes)) if sizes[k] >= 20]).reshape(
        -1, *inside.shape
    )


def nuclei_one(job: tuple[Path, Path, str | None]) -> dict[str, dict[str, float]]:
    picture, truth, weights = job
    image = np.asarray(Image.open(picture).convert("RGB"))
    raw = np.asarray(Image.open(truth))
    labels = np.searchsorted(np.union1d([0], np.unique(raw)), raw)
    masks = {"tiny": tiny_masks(image, weights)[0], "Otsu, watershed": otsu_watershed_masks(image)}
    return {name: found_things(found, labels) for name, found in masks.items()}


def print_nuclei(root: Path, options: argparse.Namespace) -> None:
    folder = root / "nuclei" / "val"
    pictures = sorted((folder / "images").iterdir())[: options.limit][:: options.every]
    truths = [folder / "labels" / f"{p.stem}.png" for p in pictures]
    with ProcessPoolExecutor(options.processes) as pool:
        rows = list(
            pool.map(
                nuclei_one, [(*p, options.weights) for p in zip(pictures, truths, strict=True)]
            )
        )
    print(f"\n{len(rows)} pictures of nuclei\n\n| method | recall | precision | masks | nuclei |")
    print("|---|---|---|---|---|")
    for name in rows[0]:
        total = {k: sum(row[name][k] for row in rows) for k in rows[0][name]}
        mean = {k: total[k] / len(rows) for k in ("masks", "things")}
        shares = total["found"] / total["things"], total["right"] / max(total["masks"], 1)
        print(f"| {name} | {shares[0]:.3f} | {shares[1]:.3f} | {mean['masks']:.0f} | "
              f"{mean['things']:.0f} |")  # fmt: skip


def print_coins(weights: str | None) -> None:
    from skimage import data
    from skimage.filters import sobel
    from skimage.segmentation import watershed

    grey = data.coins()
    seeds = np.where(grey < 30, 1, np.where(grey > 150, 2, 0))
    labels, _ = ndimage.label(ndimage.binary_fill_holes(watershed(sobel(grey), seeds) == 2))
    sizes = np.bincount(labels.ravel())
    coins = np.where(sizes > 500, np.cumsum(sizes > 500) - 1, 0)[labels]
    masks, _ = tiny_masks(np.stack([grey] * 3, axis=2), weights)
    best = overlaps(masks, coins)[:, 1:].max(0)
    print(f"\ncoins: {len(masks)} masks; {(best >= 0.9).sum()} of {len(best)} at IoU 0.9")


def print_boxes(root: Path, weights: str | None, pictures: int = 12) -> None:
    """Mean IoU with CamVid's labelled objects, each asked for by its box."""
    from segment_anything import SamPredictor

    from benchmarks.embedders import scenes
    from samlab import masks

    predictor = SamPredictor(_tiny(weights))
    found, filled = [], []
    for file, objects in zip(*scenes(root, pictures)[:2], strict=True):
        predictor.set_image(np.asarray(Image.open(file).convert("RGB")))
        for box, rle in zip(np.asarray(objects.boxes, float), objects.rles, strict=True):
            truth = masks.decode(rle)
            answer, _, _ = predictor.predict(box=box, multimask_output=False)
            found.append(_iou(answer[0], truth))
            x0, y0, x1, y1 = np.round(box).astype(int)
            whole = np.zeros_like(truth)
            whole[y0:y1, x0:x1] = True
            filled.append(_iou(whole, truth))
    print(f"\nboxes: {len(found)} objects, mean IoU {np.mean(found):.3f}; "
          f"of the boxes themselves {np.mean(filled):.3f}")  # fmt: skip


# ---------------------------------------------------------------- running it


def run_one(job: tuple[Path, Path, str, str | None]) -> tuple[str, str, dict[str, float]]:
    """Measure one method on one photo."""
    picture, truth, method, weights = job
    photo = read_photo(picture, truth)
    began = time.perf_counter()
    if method == "tiny":
        masks, scores = tiny_masks(photo.image, weights)
        seconds = time.perf_counter() - began
        figures = measure(masks, photo.truths, scores) | tiny_clicks(photo, weights)
    else:
        masks = CLASSICAL[method](photo.image)
        seconds = time.perf_counter() - began
        figures = measure(masks, photo.truths)
    figures["seconds"] = seconds
    return method, photo.name, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, help="only the first N photos")
    parser.add_argument("--every", type=int, default=1, help="only every N-th photo")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=["tiny", *CLASSICAL])
    parser.add_argument("--weights", help="other weights than the shipped ones")
    parser.add_argument("--per-photo", action="store_true", help="also a line per photo")
    parser.add_argument("--first", type=int, default=0, help="leave out the first N photos")
    parser.add_argument("--data", nargs="+", default=["bsds", "nuclei", "coins", "camvid", "boxes"])
    options = parser.parse_args()
    root = Path(os.environ.get("SAMLAB_EVAL_DATA", "."))
    if "bsds" in options.data:
        print_bsds(root, options)
    if "nuclei" in options.data:
        print_nuclei(root, options)
    if "coins" in options.data:
        print_coins(options.weights)
    if "boxes" in options.data:
        print_boxes(root, options.weights)
    if "camvid" in options.data:
        from benchmarks.embedders import compare

        compare(_tiny(options.weights), root, pictures=24)


def print_bsds(root: Path, options: argparse.Namespace) -> None:
    pairs = read_photos(root, options.limit)[options.first :: options.every]
    jobs = [(*pair, method, options.weights) for method in options.methods for pair in pairs]
    rows: dict[str, list[dict[str, float]]] = {method: [] for method in options.methods}
    with ProcessPoolExecutor(options.processes) as pool:
        for method, name, figures in pool.map(run_one, jobs):
            rows[method].append(figures)
            if options.per_photo:
                print(method, name, {k: round(v, 3) for k, v in figures.items()}, flush=True)
    columns = list(dict.fromkeys(key for found in rows.values() for key in found[0]))
    print(f"\n{len(pairs)} photos\n\n| method | F | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for method, found in rows.items():
        means = {c: np.mean([f[c] for f in found]) for c in columns if c in found[0]}
        p, r = means["precision@0.5"], means["recall@0.5"]
        cells = [f"{2 * p * r / max(p + r, 1e-9):.3f}"]
        for c in columns:
            cells.append("" if c not in means else f"{means[c]:.{0 if means[c] >= 10 else 3}f}")
        print(f"| {method} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
