"""Where the embedded model works and where it fails: its masks on photos of scikit-image.

python benchmarks/embedded_pictures.py docs/embedded_examples.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

from samlab.sam.automatic.generator import MaskGenerator
from samlab.sam.tiny import build_tiny
from samlab.sam.tiny.ranking import probability_of

PHOTOS = ("coins", "coffee", "rocket", "astronaut", "chelsea", "hubble_deep_field")
SURE = 0.5  # least probability of a mask that is drawn in full colour


def draw(axes: plt.Axes, name: str, generator: MaskGenerator) -> None:
    """A photo with the outlines of its masks, largest first: green likely right, red less so."""
    image = getattr(data, name)()
    image = np.stack([image] * 3, axis=2) if image.ndim == 2 else image[:600, :700, :3]
    records = sorted(generator.generate(image), key=lambda r: -r["area"])
    axes.imshow(image)
    for record in records:
        sure = float(probability_of(record["predicted_iou"])) >= SURE
        colour, width = ("lime", 1.6) if sure else ("red", 0.7)
        axes.contour(record["segmentation"], [0.5], colors=colour, linewidths=width)
    axes.set_title(f"{name.replace('_', ' ')}: {len(records)} masks", fontsize=9)
    axes.axis("off")


def main(path: Path) -> None:
    generator = MaskGenerator(build_tiny())
    figure, axes = plt.subplots(2, 3, figsize=(12, 8), layout="constrained")
    for axis, name in zip(axes.ravel(), PHOTOS, strict=True):
        draw(axis, name, generator)
    figure.savefig(path, dpi=80, pil_kwargs={"quality": 80})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
