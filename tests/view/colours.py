"""All class colours on one picture, and how far two hues are apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from samlab import masks
from samlab.segments import Segments

#: Pictures of one colour, uint8 RGB.
GROUNDS = {
    "dark": (18, 14, 10),
    "bright": (250, 246, 235),
    "coloured": (200, 60, 20),
    "blue": (30, 60, 190),
}

#: Degrees. Fills are mixed with grey, which keeps the hue; what remains is rounding to 8 bits.
HUE_ANGLE = 3.0


def all_classes(ground: tuple[int, int, int]) -> tuple[Segments, np.ndarray, np.ndarray]:
    """72 squares, one of each class, on a picture of one colour; and their centres (x, y)."""
    picture = np.full((8 * 40, 9 * 40, 3), ground, np.uint8)
    rles: list[Any] = []
    centres = []
    for i in range(72):
        x, y = 40 * (i % 9), 40 * (i // 9)
        mask = np.zeros(picture.shape[:2], bool)
        mask[y + 4 : y + 36, x + 4 : x + 36] = True
        rles.append(masks.encode(mask))
        centres.append((x + 20, y + 20))
    segments = Segments(
        rles=rles, labels=np.arange(72), embeddings={"sam": np.eye(72, dtype=np.float32)}
    )
    return segments, picture, np.array(centres)


def hue(colours: np.ndarray) -> np.ndarray:
    """The hue angle of sRGB colours (N, 3), degrees, round the axis of greys."""
    rgb = colours.astype(np.float64)
    red, green, blue = rgb.T
    return np.rad2deg(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue))


def hue_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between hues, 0 to 180, of sRGB colours (N, 3)."""
    return np.abs((hue(a) - hue(b) + 180) % 360 - 180)
