"""A small labelled set made by a program, for notebooks, tests and first tries without a download.

Objects of four kinds lie on a table: patches of brick, grass and gravel (photographs that come with
scikit-image, tinted about as such things are) and smooth balloons in four colours, so that a red
balloon must be told from a brick by its surface.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from samlab import masks
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Count, Seed
from samlab.files import write_atomic

__all__ = ["CLASSES", "SampleSet", "write_sample_set"]

CLASSES = ("balloon", "brick", "grass", "gravel")
SIZE = (240, 320)
_TINTS = {"brick": (165, 95, 75), "grass": (95, 140, 65), "gravel": (140, 138, 132)}
_BALLOONS = ((75, 95, 190), (190, 80, 150), (205, 185, 80), (190, 65, 60))
_TINT_SPREAD = 18.0


@dataclass(frozen=True)
class SampleSet:
    """Where the files of a sample set lie.

    Attributes:
        images: Folder of pictures.
        coco: The labels as COCO JSON, with masks as run lengths.
        bdd100k: The same boxes as a BDD100K frame list.
        label_maps: Folder of label maps, 0 to 3 in the order of `CLASSES`, 255 elsewhere.
    """

    images: Path
    coco: Path
    bdd100k: Path
    label_maps: Path


@checked_arguments
def write_sample_set(folder: str | Path, pictures: Count = 12, *, seed: Seed = 0) -> SampleSet:
    """Make pictures with labels; the same seed makes the same ones.

    Args:
        folder: Made where it does not exist.
        pictures: How many, each 320 x 240 with four to seven objects.
        seed: Pictures of another seed serve as a test set.
    """
    root = Path(folder)
    files = SampleSet(root / "images", root / "coco.json", root / "bdd100k.json", root / "maps")
    for path in (files.images, files.label_maps):
        path.mkdir(parents=True, exist_ok=True)
    textures = _textures()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    frames: list[dict[str, Any]] = []
    for i in range(pictures):
        picture, label_map, objects = _scene(np.random.default_rng([seed, i]), textures)
        name = f"scene_{seed}_{i:03d}.png"
        Image.fromarray(picture).save(files.images / name)
        Image.fromarray(label_map).save(files.label_maps / name)
        images.append({"id": i, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        frame: dict[str, Any] = {"name": name, "labels": []}
        for kind, rle in objects:
            x0, y0, x1, y1 = (float(v) for v in masks.boxes([rle])[0])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": kind,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": int(masks.area([rle])[0]),
                    "iscrowd": 0,
                    "segmentation": rle,
                }
            )
            box = {"x1": x0, "y1": y0, "x2": x1, "y2": y1}
            frame["labels"].append({"category": CLASSES[kind], "box2d": box})
        frames.append(frame)
    categories = [{"id": kind, "name": name} for kind, name in enumerate(CLASSES)]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    write_atomic(files.coco, json.dumps(coco))
    write_atomic(files.bdd100k, json.dumps(frames))
    return files


def _textures() -> dict[str, np.ndarray]:
    """float64 grey (512, 512), mean 0 and deviation 1, of the classes that have one."""
    import skimage.data

    out = {}
    for name in ("brick", "grass", "gravel"):
        photo = getattr(skimage.data, name)().astype(np.float64)
        half = photo.reshape(256, 2, 256, 2).mean(axis=(1, 3))
        wide = np.pad(half, ((0, 256), (0, 256)), mode="symmetric")
        out[name] = (wide - wide.mean()) / wide.std()
    return out


def _scene(
    rng: np.random.Generator, textures: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, masks.Rle]]]:
    height, width = SIZE
    y, x = np.mgrid[:height, :width]
    slope = rng.uniform(-0.15, 0.15, 2)
    table = (
        rng.uniform(90, 170, 3)
        * (1 + slope[0] * (x / width - 0.5) + slope[1] * (y / height - 0.5))[..., None]
    )
    picture = table + rng.normal(size=(height, width, 1)) * 2
    label_map = np.full(SIZE, 255, np.uint8)
    objects: list[tuple[int, masks.Rle]] = []
    taken = np.zeros(SIZE, bool)
    wanted = rng.integers(4, 8)
    for _ in range(200):
        if len(objects) == wanted:
            break
        kind = int(rng.integers(len(CLASSES)))
        shape = _shape(rng, CLASSES[kind])
        if (ndimage.binary_dilation(shape, iterations=4) & taken).any() or shape.sum() < 600:
            continue
        taken |= shape
        picture[shape] = _surface(rng, CLASSES[kind], shape, textures)[shape]
        label_map[shape] = kind
        objects.append((kind, masks.encode(shape)))  # type: ignore[arg-type]
    picture = ndimage.gaussian_filter(picture, (0.5, 0.5, 0))
    return picture.clip(0, 255).astype(np.uint8), label_map, objects


def _shape(rng: np.random.Generator, name: str) -> np.ndarray:
    """A mask (H, W): an ellipse for a balloon, a ragged polygon for a patch."""
    height, width = SIZE
    cx, cy = rng.uniform(30, width - 30), rng.uniform(30, height - 30)
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    if name == "balloon":
        rx, ry = rng.uniform(18, 42, 2)
        draw.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=1)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
        radius = rng.uniform(28, 55) * rng.uniform(0.75, 1, 7)
        points = np.stack([cx + radius * np.cos(angles), cy + radius * np.sin(angles)], 1)
        draw.polygon([(float(px), float(py)) for px, py in points], fill=1)
    return np.asarray(canvas).astype(bool)


def _surface(
    rng: np.random.Generator, name: str, shape: np.ndarray, textures: dict[str, np.ndarray]
) -> np.ndarray:
    """float64 (H, W, 3): what the object looks like, everywhere."""
    height, width = SIZE
    if name != "balloon":
        tint = rng.normal(_TINTS[name], _TINT_SPREAD)
        top, left = rng.integers(0, 512 - height), rng.integers(0, 512 - width)
        part = textures[name][top : top + height, left : left + width]
        return tint * (1 + 0.3 * part[..., None])
    tint = rng.normal(_BALLOONS[rng.integers(len(_BALLOONS))], _TINT_SPREAD)
    y, x = np.nonzero(shape)
    cy, cx, radius = y.mean() - 6, x.mean() - 6, np.sqrt(len(y) / np.pi)
    yy, xx = np.mgrid[:height, :width]
    light = np.exp(-((yy - cy) ** 2 + (xx - cx) ** 2) / radius**2)
    return tint * (0.7 + 0.6 * light[..., None])
