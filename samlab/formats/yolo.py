"""YOLO's segmentation labels: one text file per picture, one polygon per line, and data.yaml.

https://docs.ultralytics.com/datasets/segment/: `class x1 y1 x2 y2 ...`, coordinates divided by the
picture's width and height.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samlab import masks
from samlab.errors import ImageError, InputError
from samlab.files import whole_folder, write_whole
from samlab.formats.gather import (
    Gathered,
    Picture,
    SegmentsLike,
    WriteReport,
    distinct_stems,
    gather,
    report,
)  # fmt: skip
from samlab.formats.polygons import fill_pixels, pixel_polygon
from samlab.formats.untrusted import image_folder, inside

# Readers turn a number back into a pixel by rounding down or to the nearest one. A quarter of a
# pixel to the right and below, both find the pixel that was meant.
_SHIFT = 0.25


def write_yolo(
    segments: SegmentsLike,
    folder: str | Path,
    *,
    images: str | Path | None = None,
    val: float = 0.0,
    seed: int = 0,
    tolerance: float = 0.0,
    no_class: str | None = None,
    image_id: str | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Write segments as a YOLO segmentation data set: labels/, data.yaml, and images/ if wanted.

    YOLO has one polygon per object. The parts of a mask and its holes are joined to one line by
    bridges, as ultralytics' own converter joins parts. Painted by OpenCV, a mask in one piece
    without holes comes back as it was; a bridge outside the mask leaves a line one pixel wide.

    Args:
        segments: Of one or several pictures; see `samlab.export`.
        folder: Gets data.yaml, labels/train and, with `val`, labels/val.
        images: The folder of the pictures; they are copied to images/train and images/val, where
            YOLO's training looks for them. None copies nothing.
        val: Share of the pictures that go into the validation set.
        seed: Of the draw of these pictures.
        tolerance: Leave out points as long as the line stays this near, in pixels. 0 keeps all.
        no_class: Class of segments without one; None leaves them out, since a detector would learn
            them.
        image_id: File name for a picture that has none.
        overwrite: Write into a folder that has files already, replacing those of the same name.

    Returns:
        What was written; `.kept` is each mask's IoU with what is painted from its line.
    """
    if not 0 <= val < 1:
        raise InputError(f"Expected val as a share from 0 to below 1, got {val}.")
    if not 0 <= tolerance < np.inf:
        raise InputError(f"Expected a tolerance of 0 pixels or more, got {tolerance}.")
    gathered = gather(segments, no_class=no_class, image_id=image_id)
    distinct_stems(gathered.pictures)
    sets = _draw(len(gathered.pictures), val, seed)
    kept: list[float] = []
    with whole_folder(folder, overwrite) as staging:
        for picture, name in zip(gathered.pictures, sets, strict=True):
            lines, shares = _lines(picture, tolerance)
            kept += shares
            write_whole(staging / "labels" / name / f"{picture.stem}.txt", lines.encode("ascii"))
            if images is not None:
                _copy(picture, images, staging / "images" / name / picture.name)
        write_whole(staging / "data.yaml", _yaml(gathered, "val" in sets).encode("utf-8"))
    written = report(Path(folder), gathered, np.array(kept))
    if images is None:
        written.notes.append("Put the pictures into images/train (and images/val) beside labels/.")
    return written


def _lines(picture: Picture, tolerance: float) -> tuple[str, list[float]]:
    height, width = picture.size
    lines, shares = [], []
    for i in range(len(picture.segments)):
        mask = picture.segments.mask(i)
        polygon = pixel_polygon(mask, tolerance)
        back = fill_pixels(polygon, picture.size)
        shares.append(float(masks.iou([picture.segments.rles[i]], [_rle(back)])[0, 0]))
        relative = (polygon + _SHIFT) / (width, height)
        lines.append(f"{picture.classes[i]} " + " ".join(f"{v:.8g}" for v in relative.ravel()))
    return "".join(line + "\n" for line in lines), shares


def _rle(mask: np.ndarray) -> masks.Rle:
    return masks.encode(mask)  # type: ignore[return-value]


def _draw(count: int, val: float, seed: int) -> Sequence[str]:
    """ "train" or "val" for each picture; one at least is left for training."""
    chosen = np.random.default_rng(seed).permutation(count)[: min(round(val * count), count - 1)]
    return ["val" if i in set(chosen.tolist()) else "train" for i in range(count)]


def _copy(picture: Picture, images: str | os.PathLike[str], target: Path) -> None:
    file = inside(image_folder(Path(images)), picture.name)
    if file is None or not file.is_file():
        raise ImageError(f"No picture '{picture.name}' in the folder '{Path(images)}'.")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _yaml(gathered: Gathered, validates: bool) -> str:
    """JSON's texts are YAML's texts too, so that any class name may stand here."""
    lines = ["train: images/train", f"val: images/{'val' if validates else 'train'}", "names:"]
    names = [f"  {i}: {json.dumps(name)}" for i, name in enumerate(gathered.class_names)]
    return "\n".join([*lines, *(names or ["  {}"]), ""])
