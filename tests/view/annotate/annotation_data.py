"""Pictures to annotate, and masks without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from samlab import masks

SIZE = (30, 40)


def square(x: int, y: int, side: int = 8) -> dict[str, Any]:
    """A mask as an act has it."""
    mask = np.zeros(SIZE, bool)
    mask[y : y + side, x : x + side] = True
    return dict(masks.encode(mask))  # type: ignore[arg-type]


def add(image: str, *found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"act": "add", "image": image, "masks": list(found), **more}


def folder_of(root: Path, names: tuple[str, ...] = ("a.png", "b.png", "c.png")) -> Path:
    """Pictures with three bright discs on dark ground, each picture in other places."""
    folder = root / "photos"
    yy, xx = np.mgrid[:120, :160]
    for i, name in enumerate(names):
        pixels = np.full((120, 160, 3), 40, np.uint8)
        for j, colour in enumerate([(230, 60, 60), (60, 220, 90), (80, 110, 240)]):
            x, y = disc(i, j)
            pixels[(xx - x) ** 2 + (yy - y) ** 2 < 18**2] = colour
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    return folder


def disc(picture: int, number: int) -> tuple[int, int]:
    """Centre (x, y) of one of the discs."""
    return 30 + 50 * number, 40 + 15 * ((picture + number) % 3)
