"""The camera: any scene becomes a picture."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from training.camera import photograph


@pytest.mark.parametrize("seed", [0, 223, 224, 267, 285])
def test_the_hardest_contrasts_stay_numbers(seed: int) -> None:
    """Sharpened, black and white overshoot far below 0, where noise has no strength."""
    y, x = np.indices((48, 48)) // 6
    board = np.repeat(255 * ((x + y) % 2)[..., None], 3, axis=2).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = photograph(np.random.default_rng(seed), board)
    assert picture.shape == board.shape
    assert picture.dtype == np.uint8
    assert picture.std() > 10
