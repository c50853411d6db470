"""Colours of classes: the same class has the same colour in every figure, file and widget."""

from __future__ import annotations

import numpy as np

# The first seven are Okabe and Ito's set for colour-blind readers (https://jfly.uni-koeln.de/color/)
# without its black. The rest were added one by one, each time a colour far, in OKLab, from all
# before it, as seen with normal, protan and deutan vision (Machado et al. 2009).
_BASE = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#7b3ff2",
    "#9c1860", "#30e89c", "#844800", "#d800c0", "#8478fc", "#b4cc00", "#fc3c6c", "#54f0fc",
    "#6c4884", "#fca8c0", "#00b450", "#cc003c", "#a85484", "#3048c8", "#cc60d8", "#90d890",
)  # fmt: skip

#: Colour of what belongs to no class (label -1).
NOISE = (150, 150, 150)


def _table() -> np.ndarray:
    base = np.array([[int(h[i : i + 2], 16) for i in (1, 3, 5)] for h in _BASE], np.float64)
    light = base + 0.5 * (255 - base)
    dark = 0.6 * base
    return np.concatenate([base, light, dark]).round().astype(np.uint8)


_TABLE = _table()


def class_colors(labels: np.ndarray) -> np.ndarray:
    """Colours of class labels.

    Args:
        labels: int, any shape; -1 (or any negative) is "no class".

    Returns:
        uint8 RGB of shape `(*labels.shape, 3)`. 72 different colours, then they repeat; the first
        dozen can be told apart with red-green colour blindness.

    Example:
        >>> class_colors(np.array([0, -1])).tolist()
        [[0, 114, 178], [150, 150, 150]]
    """
    labels = np.asarray(labels, dtype=np.int64)
    colors = np.array(_TABLE[labels % len(_TABLE)])  # of a single label it would be a view
    colors[labels < 0] = NOISE
    return colors


def hex_color(label: int) -> str:
    """The colour of one class as a CSS colour.

    Example:
        >>> hex_color(1)
        '#e69f00'
    """
    r, g, b = class_colors(np.array(label)).tolist()
    return f"#{r:02x}{g:02x}{b:02x}"


def segment_colors(n: int) -> np.ndarray:
    """Colours for n segments without classes, uint8 (n, 3): hues a golden angle apart.

    Neighbours in the list, which are often neighbours in the picture, differ most. Twelve
    neighbours repeat no hue, and lightness steps keep them apart for colour-blind readers too.
    """
    i = np.arange(n)
    hue = np.deg2rad((40 + 137.50776 * i) % 360)
    lightness = np.array([0.72, 0.60, 0.82])[i % 3]
    chroma = 0.15
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    return _oklab_to_srgb(lab)


def _oklab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """OKLab (..., 3) to uint8 sRGB, clipped (https://bottosson.github.io/posts/oklab/)."""
    to_lms = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728],
         [1, -0.0894841775, -1.2914855480]]
    )  # fmt: skip
    to_rgb = np.array(
        [[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
         [-0.0041960863, -0.7034186147, 1.7076147010]]
    )  # fmt: skip
    linear = np.clip((lab @ to_lms.T) ** 3 @ to_rgb.T, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (srgb * 255).round().astype(np.uint8)
