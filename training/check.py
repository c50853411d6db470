"""Look at boundaries on photos while training runs, and score them against people's outlines.

    SAMLAB_EVAL_DATA=data python -m training.check weights.safetensors --pictures coins.png

Photos serve for looking and measuring alone; nothing is learnt from them.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.io import loadmat
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize
from torch.nn import functional as F

from samlab.sam.tiny.net import PIXEL_MEAN, PIXEL_STD, TinyNet

THRESHOLDS = np.linspace(0.1, 0.9, 17)
TOLERANCE = 1.5
"""Cells of four pixels of the 1,024-pixel picture: about 0.6 % of the longer side."""


def load(path: Path) -> TinyNet:
    net = TinyNet()
    net.load_state_dict(load_file(path))
    return net.fuse()


@torch.no_grad()
def boundaries(
    net: TinyNet, image: NDArray[np.uint8], sides: tuple[int, ...] = (1024,)
) -> NDArray[np.float32]:
    """Probability of a boundary on a grid whose longer side has 256 cells, averaged over the
    picture scaled to each of `sides`; uint8 (H, W, 3) to float32 (h, w)."""
    longest = max(image.shape[:2])
    shape = tuple(max(1, round(256 * edge / longest)) for edge in image.shape[:2])
    total = np.zeros(shape, np.float32)
    for side in sides:
        zoom = side / max(image.shape[:2])
        how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        small = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=how)
        x = torch.from_numpy((small - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD))
        height, width = small.shape[:2]
        x = F.pad(x.permute(2, 0, 1)[None], (0, side - width, 0, side - height))
        logit = net(x)[1][0, 0, : (height + 3) // 4, : (width + 3) // 4]
        total += cv2.resize(logit.sigmoid().numpy(), shape[::-1], interpolation=cv2.INTER_LINEAR)
    return total / len(sides)


def _outlines(path: Path, shape: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """Each person's boundaries in a grid of `shape`."""
    drawn = []
    for person in loadmat(path)["groundTruth"][0]:
        labels = person["Segmentation"][0, 0].astype(np.int32)
        edge = np.zeros(labels.shape, np.float32)
        edge[:, :-1] = labels[:, :-1] != labels[:, 1:]
        edge[:-1] = np.maximum(edge[:-1], labels[:-1] != labels[1:])
        small = cv2.resize(edge, shape[::-1], interpolation=cv2.INTER_AREA)
        drawn.append(skeletonize(small > 0.15))
    return drawn


def score(probability: NDArray[np.float32], people: list[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Per threshold: hits and number of predicted cells, hits and number of drawn ones."""
    anyone = distance_transform_edt(~np.any(people, axis=0)) <= TOLERANCE
    counts = []
    for threshold in THRESHOLDS:
        thin = skeletonize(probability > threshold)
        near = distance_transform_edt(~thin) <= TOLERANCE if thin.any() else thin
        found = sum(int((near & person).sum()) for person in people)
        counts.append((int((thin & anyone).sum()), int(thin.sum()),
                       found, sum(int(person.sum()) for person in people)))  # fmt: skip
    return np.array(counts, float)


def f_measure(counts: NDArray[np.float64]) -> tuple[float, float]:
    """Best F over the thresholds, and where."""
    precision = counts[:, 0] / np.maximum(counts[:, 1], 1)
    recall = counts[:, 2] / np.maximum(counts[:, 3], 1)
    f = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return float(f.max()), float(THRESHOLDS[f.argmax()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--count", type=int, default=20, help="photos to score")
    parser.add_argument("--pictures", type=Path, nargs="*", default=[])
    parser.add_argument("--sheet", type=Path, help="write pictures and boundaries side by side")
    options = parser.parse_args()
    net = load(options.weights)
    data = Path(os.environ["SAMLAB_EVAL_DATA"]) / "bsds500" / "val"
    photos = sorted((data / "images").glob("*.jpg"))[:: max(1, 100 // max(1, options.count))]
    every = ((1024,), (512,), (1024, 512))
    totals = {sides: np.zeros((len(THRESHOLDS), 4)) for sides in every}
    for photo in photos[: options.count]:
        image = cv2.imread(str(photo))[:, :, ::-1]
        maps = {sides: boundaries(net, image, sides) for sides in every[:2]}
        maps[every[2]] = (maps[every[0]] + maps[every[1]]) / 2
        people = _outlines(data / "groundTruth" / f"{photo.stem}.mat", maps[every[0]].shape)
        for sides, p in maps.items():
            totals[sides] += score(p, people)
    for sides, total in totals.items():
        best, threshold = f_measure(total)
        print(sides, f"F {best:.3f} at {threshold:.2f}")
    if options.sheet:
        rows = []
        for picture in [*options.pictures, *photos[:6]]:
            image = cv2.imread(str(picture))
            p = boundaries(net, np.ascontiguousarray(image[:, :, ::-1]), (1024, 512))
            tiles = [cv2.resize(t, (420, 300), interpolation=cv2.INTER_AREA) for t in
                     (image, np.repeat(np.uint8(p * 255)[..., None], 3, 2))]  # fmt: skip
            rows.append(np.hstack(tiles))
        if len(rows) % 2:
            rows.append(np.zeros_like(rows[0]))
        sheet = [np.hstack(pair) for pair in zip(rows[::2], rows[1::2], strict=True)]
        cv2.imwrite(str(options.sheet), np.vstack(sheet))


if __name__ == "__main__":
    main()
