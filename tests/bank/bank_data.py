"""Segments with vectors whose classes are known."""

from __future__ import annotations

import numpy as np

from samlab import masks
from samlab.segments import Segments

NAMES = {0: "car", 1: "tree", 2: "bus", 3: "sky"}


def table(
    n: int = 200, *, classes: int = 4, width: int = 32, noise: float = 0.7, seed: int = 0
) -> Segments:
    """n segments of `classes` classes, Gaussian around one centre each, over several pictures."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(classes, width))
    labels = np.arange(n) % classes
    vectors = centres[labels] + noise * rng.normal(size=(n, width))
    return Segments(
        rles=masks.encode(rng.random((n, 8, 8)) < 0.5),
        labels=labels,
        embeddings={"sam": vectors},
        class_names={k: v for k, v in NAMES.items() if k < classes},
        image_ids=np.array([f"p{i // 7}" for i in range(n)], object),
        provenance={"weights_sha256": "ab" * 32, "pooling": "coverage"},
    )
