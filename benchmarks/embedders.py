"""Is the latent space semantic on driving scenes? The table of `compare_embedders` on CamVid.

    SAMLAB_EVAL_DATA=/path/to/data python benchmarks/embedders.py [pictures] [model]

`$SAMLAB_EVAL_DATA/camvid/{train,val}` holds the Cambridge-driving Labeled Video Database (Brostow
et al. 2009) as label maps. All embedders get the same masks: the labelled objects themselves,
8-connected components of a class, so that the table compares vectors and not mask generators.
Neighbours and probes come from other pictures than the segment asked about.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

import samlab
from samlab import masks

SMALLEST = 150  # pixels; a patch of SAM's grid is 56 pixels of a 480 x 360 picture


def objects(label_map: np.ndarray, names: list[str], image_id: str) -> samlab.Segments:
    """Connected components of each class as labelled segments; "unlabelled" is left out."""
    dense, labels = [], []
    for value, name in enumerate(names):
        if name.lower() in ("unlabelled", "void"):
            continue
        parts, n = ndimage.label(label_map == value, np.ones((3, 3)))
        for part in range(1, n + 1):
            mask = parts == part
            if mask.sum() >= SMALLEST:
                dense.append(mask)
                labels.append(value)
    rles = masks.encode(np.stack(dense)) if dense else []
    return samlab.Segments(
        rles=rles, labels=labels, image_size=label_map.shape, image_id=image_id,
        class_names=dict(enumerate(names)),
    )  # fmt: skip


def scenes(data: Path, pictures: int) -> tuple[list[Path], list[samlab.Segments], list[str]]:
    """Paths of `pictures` of the data set, evenly chosen, their labelled objects, all classes."""
    root = data / "camvid"
    names = (root / "classes.txt").read_text().split()
    files = [
        p for split in ("train", "val") for p in sorted((root / split / "images").glob("*.jpg"))
    ]
    files = files[:: max(len(files) // pictures, 1)][:pictures]
    tables = [
        objects(np.asarray(Image.open(f.parent.parent / "labels" / f"{f.stem}.png")), names, f.name)
        for f in files
    ]
    return files, tables, names


def compare(model: Any, data: Path, pictures: int) -> None:
    """Print the table for an opened model on `pictures` of the data set, evenly chosen."""
    files, tables, names = scenes(data, pictures)
    embedders = [
        samlab.embedders.PatchEmbedder(lambda image: samlab.encode(image, model), "sam"),
        samlab.embedders.ColourTexture(),
    ]
    table = samlab.metrics.compare_embedders(tables, files, embedders)
    labels = np.concatenate([t.labels for t in tables])
    print(f"{len(files)} pictures, {len(labels)} labelled objects")
    counts = np.bincount(labels, minlength=len(names))
    print(", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=True) if c))
    with pd.option_context("display.width", 100, "display.max_columns", None):
        print(table.T.round(3).to_string())


def main() -> None:
    data = os.environ.get("SAMLAB_EVAL_DATA")
    if not data:
        sys.exit("Set SAMLAB_EVAL_DATA to the folder that holds camvid/.")
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    compare(samlab.load_sam(sys.argv[2] if len(sys.argv) > 2 else "tiny"), Path(data), wanted)


if __name__ == "__main__":
    main()
