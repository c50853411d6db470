"""How good is the first answer, with everything at its default, on photos nobody tuned on?

    SAMLAB_EVAL_DATA=... python -m benchmarks.first_answer
    SAMLAB_EVAL_DATA=... python -m benchmarks.first_answer --others     # the photos to develop on
    python -m benchmarks.first_answer --pictures OUT                    # class maps to look at

Reads every third frame of `camvid/val` and every sixth photo of `bsds500/val` (`--others`: the
rest, and every sixth frame of `camvid/train`) and prints a Markdown table for each set:

- AMI: adjusted mutual information (Vinh et al., 2010) of the painted map with people's labels on
  15,000 pixels drawn at random, mean over annotators and pictures; pixels without a class are one
  more class, pixels that people left unlabelled are out;
- unassigned: share of the pixels without a class; classes: median of their number;
- covering (Arbelaez et al., 2011) of people's segments by disjoint regions, of all photos with
  `--covering`;
- masks: mean number of masks or regions.

Compared in the same run: `samlab.segment`, `samlab.partition` and `samlab.cluster` with defaults;
every region its own class, of ours and of a greedy choice; DBSCAN with an automatic radius on all
masks, painted smallest on top; every region the class that most of it has in people's labels (the
most that merging regions can reach); SLIC superpixels with k-means on their Lab colours; k-means on
the pixels' colours.

Segments are kept in `--cache` (a folder; for another model take another one).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.io import loadmat
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score

import samlab
from samlab import Segments

PIXELS = 15_000
UNLABELLED = 11  # in CamVid's label maps
SAMPLES = ("rocket", "immunohistochemistry", "astronaut", "chelsea", "coffee", "retina", "coins")


@dataclass(frozen=True)
class Photo:
    """A photo (H, W, 3) uint8 and people's label maps, int (H, W) with -1 for unlabelled."""

    name: str
    image: np.ndarray
    truths: list[np.ndarray]


def photos(root: Path, others: bool) -> dict[str, list[Path]]:
    """The pictures of each set: those that are judged by, or the others."""
    camvid = sorted((root / "camvid" / "val" / "images").iterdir())
    bsds = sorted((root / "bsds500" / "val" / "images").glob("*.jpg"))
    if not others:
        return {"CamVid val": camvid[::3], "BSDS500 val": bsds[::6]}
    train = sorted((root / "camvid" / "train" / "images").iterdir())
    return {
        "CamVid val": [p for i, p in enumerate(camvid) if i % 3],
        "CamVid train": train[::6],
        "BSDS500 val": [p for i, p in enumerate(bsds) if i % 6],
    }


def read_photo(path: Path) -> Photo:
    folder = path.parents[1]
    if (folder / "groundTruth").exists():
        cells = loadmat(folder / "groundTruth" / f"{path.stem}.mat")["groundTruth"][0]
        truths = [cell["Segmentation"][0, 0].astype(np.int64) for cell in cells]
    else:
        found = np.asarray(Image.open(folder / "labels" / f"{path.stem}.png")).astype(np.int64)
        truths = [np.where(found == UNLABELLED, -1, found)]
    return Photo(path.stem, np.asarray(Image.open(path).convert("RGB")), truths)


@lru_cache(maxsize=1)
def _sam(name: str) -> Any:
    return samlab.load_sam(name)


def segments_of(path: Path, image: np.ndarray, sam: str, cache: Path | None) -> Segments:
    file = None if cache is None else cache / f"{path.parents[2].name}_{path.stem}.parquet"
    if file is not None and file.exists():
        return Segments.from_parquet(file)
    segments = samlab.segment(image, _sam(sam), image_id=path.name)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        segments.to_parquet(file)
    return segments


# ---------------------------------------------------------------- measures


def ami(painted: np.ndarray, truths: list[np.ndarray]) -> float:
    pixels = np.random.default_rng(0).choice(painted.size, min(PIXELS, painted.size), False)
    ours, found = painted.ravel()[pixels], []
    for truth in truths:
        theirs = truth.ravel()[pixels]
        found.append(adjusted_mutual_info_score(theirs[theirs >= 0], ours[theirs >= 0]))
    return float(np.mean(found))


def covering(regions: np.ndarray, truths: list[np.ndarray]) -> float:
    """Best IoU of any region for each of people's segments, weighted by its area."""
    ours = np.unique(regions, return_inverse=True)[1].ravel()
    found = []
    for truth in truths:
        theirs = truth.ravel()
        table = np.zeros((theirs.max() + 1, ours.max() + 1))
        known = theirs >= 0
        np.add.at(table, (theirs[known], ours[known]), 1)
        sizes = table.sum(axis=1)
        iou = table / np.maximum(sizes[:, None] + np.bincount(ours)[None] - table, 1)
        found.append(float((iou.max(axis=1) * sizes).sum() / sizes.sum()))
    return float(np.mean(found))


def filled(painted: np.ndarray) -> np.ndarray:
    """Pixels without a value take that of the nearest pixel that has one."""
    bare = painted < 0
    if bare.all() or not bare.any():
        return painted
    place = ndimage.distance_transform_edt(bare, return_distances=False, return_indices=True)
    return painted[tuple(place)]


# ---------------------------------------------------------------- what is compared


def greedy_regions(segments: Segments) -> np.ndarray:
    """Best predicted IoU first, larger first among equals, kept if at most half is covered."""
    rank = np.lexsort((-segments.areas, -np.round(segments.predicted_iou, 2)))
    out = np.full(segments.image_size, -1)
    for i in rank.tolist():
        mask = segments.mask(i)
        free = mask & (out < 0)
        if 2 * free.sum() >= mask.sum():
            out[free] = i
    return filled(out)


def slic_and_kmeans(image: np.ndarray, classes: int = 6) -> np.ndarray:
    from skimage.color import rgb2lab
    from skimage.segmentation import slic

    pieces = slic(image, n_segments=300, compactness=10, start_label=0)
    lab = rgb2lab(image).reshape(-1, 3)
    count = np.bincount(pieces.ravel())
    means = [np.bincount(pieces.ravel(), lab[:, c]) / count for c in range(3)]
    found = KMeans(classes, n_init=4, random_state=0).fit_predict(np.stack(means, 1))
    return found[pieces]


def colour_kmeans(image: np.ndarray, classes: int = 6) -> np.ndarray:
    from skimage.color import rgb2lab

    lab = rgb2lab(image).reshape(-1, 3)
    drawn = np.random.default_rng(0).choice(len(lab), min(10_000, len(lab)), False)
    model = KMeans(classes, n_init=4, random_state=0).fit(lab[drawn])
    return model.predict(lab).reshape(image.shape[:2])


def majority(regions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Every region in the class that most of it has."""
    table = np.zeros((regions.max() + 1, truth.max() + 1))
    known = truth >= 0
    np.add.at(table, (regions[known], truth[known]), 1)
    return table.argmax(axis=1)[regions]


def measured(photo: Photo, segments: Segments) -> Iterator[tuple[str, dict[str, float]]]:
    """Name and figures of everything that is compared."""

    def row(painted: np.ndarray, **more: float) -> dict[str, float]:
        return {
            "AMI": ami(painted, photo.truths),
            "unassigned": float((painted < 0).mean()),
            "classes": float(len(np.unique(painted[painted >= 0]))),
            **more,
        }

    start = time.process_time()
    regions = samlab.partition(segments)
    clustering = samlab.cluster(regions)
    seconds = time.process_time() - start
    whole = samlab.partition(segments, unassigned="nearest")
    own = whole.label_map(np.arange(len(whole)))
    cover = {"covering": covering(own, photo.truths), "masks": len(regions)}
    yield "samlab", row(regions.label_map(clustering.labels), **cover, seconds=seconds)
    best = samlab.cluster(whole, fill=True)
    yield "samlab, filled", row(whole.label_map(best.labels), **cover)
    yield "every region its own class", row(own, **cover)
    greedy = greedy_regions(segments)
    cover = {"covering": covering(greedy, photo.truths), "masks": len(np.unique(greedy))}
    yield "greedy regions, each its own class", row(greedy, **cover)
    old = samlab.cluster(segments, method="dbscan")
    yield "DBSCAN, all masks", row(segments.label_map(old.labels), masks=len(segments))
    scores = [ami(majority(own, truth), [truth]) for truth in photo.truths]
    yield "regions merged by people's labels", {"AMI": float(np.mean(scores))}
    yield "SLIC (300), k-means (6)", row(slic_and_kmeans(photo.image))
    yield "colour, k-means (6)", row(colour_kmeans(photo.image))


# ---------------------------------------------------------------- pictures to look at


def picture_sheet(out: Path, sam: str, root: Path | None) -> None:
    """The photo, its regions and its classes, for each sample; those of scikit-image on one sheet,
    `class_maps.png`, as well."""
    import skimage.data

    out.mkdir(parents=True, exist_ok=True)
    images = {name: np.asarray(getattr(skimage.data, name)()) for name in SAMPLES}
    if root is not None:
        for file in sorted((root / "sam_images").glob("*.jpg")):
            images[file.stem] = np.asarray(Image.open(file).convert("RGB"))
    rows = []
    for name, image in images.items():
        array = samlab.read_image(image)
        regions = samlab.partition(samlab.segment(array, _sam(sam)))
        found = samlab.cluster(regions, fill=True)
        shown = [
            array,
            _coloured(regions.label_map(np.arange(len(regions)))),
            _coloured(regions.label_map(found.labels)),
        ]
        tiles = [Image.fromarray(tile) for tile in shown]
        for tile in tiles:
            tile.thumbnail((480, 480), Image.Resampling.NEAREST)
        sheet = Image.new("RGB", (sum(t.width for t in tiles) + 8, tiles[0].height), "white")
        left = 0
        for tile in tiles:
            sheet.paste(tile, (left, 0))
            left += tile.width + 4
        sheet.save(out / f"{name}.png")
        if name in SAMPLES:
            rows.append(sheet.resize((600, round(600 * sheet.height / sheet.width))))
        print(f"{name}: {len(regions)} regions; {found.reason}", flush=True)
    whole = Image.new("RGB", (600, sum(row.height + 4 for row in rows)), "white")
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height + 4
    whole.quantize(96, dither=Image.Dither.NONE).save(out / "class_maps.png", optimize=True)


def _coloured(painted: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    order = np.random.default_rng(1).permutation(int(painted.max(initial=0)) + 1)
    table = (np.asarray(colormaps["tab20"].colors)[order % 20] * 255).astype(np.uint8)  # type: ignore[attr-defined]
    return np.where(painted[..., None] < 0, 0, table[np.maximum(painted, 0)]).astype(np.uint8)


# ---------------------------------------------------------------- running it


def print_table(title: str, rows: dict[str, list[dict[str, float]]]) -> None:
    columns = ("AMI", "unassigned", "classes", "covering", "masks", "seconds")
    count = len(next(iter(rows.values())))
    print(f"\n{title}, {count} pictures\n\n| | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for name, found in rows.items():
        cells = []
        for column in columns:
            values = [one[column] for one in found if column in one]
            mean = np.median(values) if column == "classes" and values else np.mean(values or [0])
            digits = 0 if column in ("classes", "masks") else 3
            cells.append(f"{mean:.{digits}f}" if values else "")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sam", default="tiny", help="model, as for samlab.load_sam")
    parser.add_argument("--others", action="store_true", help="the pictures to develop on")
    parser.add_argument("--every", type=int, default=1, help="only every N-th of them")
    parser.add_argument("--cache", type=Path, help="folder where segments are kept")
    parser.add_argument("--covering", action="store_true", help="covering, all of BSDS500 val")
    parser.add_argument("--pictures", type=Path, help="write class maps of samples here instead")
    options = parser.parse_args()
    data = os.environ.get("SAMLAB_EVAL_DATA")
    root = Path(data) if data else None
    if options.pictures is not None:
        picture_sheet(options.pictures, options.sam, root)
        return
    if root is None:
        raise SystemExit("Set SAMLAB_EVAL_DATA to the folder that holds camvid/ and bsds500/.")
    for title, paths in photos(root, options.others).items():
        rows: dict[str, list[dict[str, float]]] = {}
        for path in paths[:: options.every]:
            photo = read_photo(path)
            segments = segments_of(path, photo.image, options.sam, options.cache)
            for name, figures in measured(photo, segments):
                rows.setdefault(name, []).append(figures)
        print_table(title, rows)
    if options.covering:
        found = []
        for path in sorted((root / "bsds500" / "val" / "images").glob("*.jpg")):
            photo = read_photo(path)
            segments = segments_of(path, photo.image, options.sam, options.cache)
            whole = samlab.partition(segments, unassigned="nearest")
            index = whole.label_map(np.arange(len(whole)))
            ours, theirs = (covering(x, photo.truths) for x in (index, greedy_regions(segments)))
            found.append((ours, theirs, len(whole)))
        ours, theirs, count = np.mean(found, axis=0)
        print(
            f"\nCovering, {len(found)} photos of BSDS500 val: {ours:.3f} with {count:.0f} regions"
        )
        print(f"of a greedy choice: {theirs:.3f}")


if __name__ == "__main__":
    main()
