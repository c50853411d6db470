"""References that the tests compare with, made without samlab."""

from __future__ import annotations

import numpy as np
import skimage.data
from scipy import ndimage
from skimage.filters import sobel
from skimage.segmentation import watershed


def coin_masks() -> np.ndarray:
    """The 24 coins of `skimage.data.coins()`, bool (24, 303, 384), by marker watershed.

    Markers are the darkest and the brightest pixels, the relief is the Sobel gradient; holes are
    filled and specks dropped (the region-based segmentation of scikit-image's user guide).
    """
    image = skimage.data.coins()
    markers = np.zeros(image.shape, np.int32)
    markers[image < 30] = 1
    markers[image > 150] = 2
    coins = ndimage.binary_fill_holes(watershed(sobel(image), markers) == 2)
    labels, count = ndimage.label(coins)
    areas = ndimage.sum_labels(coins, labels, np.arange(1, count + 1))
    kept = np.flatnonzero(areas > 300) + 1
    return np.stack([labels == i for i in kept])
