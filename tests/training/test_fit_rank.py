"""Fitting the ranking: what counts as right, and that probabilities are honest."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from training import labelled
from training.fit_rank import Seen, calibrate, calibration_error, fit_right, fit_whole


def pictures(count: int, seed: int) -> list[Seen]:
    """Right by the logistic of the first figure; wholes have a large second one."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        x = rng.normal(size=(400, 4)).astype(np.float32)
        right = rng.random(400) < 1 / (1 + np.exp(-2 * x[:, 0] + 1))
        made.append(Seen(x, right, x[:, 1] > 0))
    return made


def test_probabilities_are_calibrated_on_pictures_not_seen():
    learnt, kept, new = pictures(12, 0), pictures(6, 1), pictures(12, 2)
    right = fit_right(learnt, seed=0, steps=300)
    curve = calibrate(kept, right)
    assert (np.diff(curve[1]) > 0).all()
    x = np.concatenate([p.features for p in new])
    y = np.concatenate([p.right for p in new])
    probability = np.interp(right(x), *curve)
    assert calibration_error(probability, y) < 0.05
    assert np.mean(probability[y]) > np.mean(probability[~y]) + 0.2
    whole = fit_whole(learnt, seed=0, steps=300)
    assert np.mean((whole(x) > 0.5) == (x[:, 1] > 0)) > 0.9


def test_calibration_error_by_hand():
    probability = np.array([0.1, 0.1, 0.9, 0.9])
    assert calibration_error(probability, np.array([0, 0, 1, 1])) == pytest.approx(0.1)
    assert calibration_error(probability, np.array([1, 1, 0, 0])) == pytest.approx(0.9)


def test_nuclei_are_wholes_before_a_background_that_is_nothing(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    labels = np.zeros((20, 30), np.uint16)
    labels[2:8, 3:9], labels[12:18, 20:28] = 7, 900
    Image.fromarray(np.full((20, 30, 3), 9, np.uint8)).save(tmp_path / "images" / "a.png")
    Image.fromarray(labels).save(tmp_path / "labels" / "a.png")
    (found,) = labelled.nuclei(tmp_path)
    assert found.parents.tolist() == [0, 0, 0]
    assert np.unique(found.leaf[labels == 900]).tolist() == [2]
    assert (found.leaf == 0).sum() == (labels == 0).sum()


def test_a_cut_has_the_aspect_of_a_photo_and_fitting_labels():
    leaf = np.arange(64 * 64).reshape(64, 64)
    image = np.stack([leaf % 256] * 3, 2).astype(np.uint8)
    for seed in range(5):
        picture, part = labelled.cut(image, leaf, np.random.default_rng(seed))
        assert picture.shape[:2] == part.shape
        assert max(part.shape) == 64
        assert 38 <= min(part.shape) <= 64
        np.testing.assert_array_equal(picture[..., 0], part % 256)


def test_reliability_curve_of_an_honest_probability_is_the_diagonal(tmp_path):
    from training.reliability import curve, plot

    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    right = (rng.random(20_000) < probability).astype(float)
    mean, share, count = curve(probability, right)
    assert count.sum() == 20_000
    np.testing.assert_allclose(mean, share, atol=0.04)
    errors = plot({"honest": (probability, right)}, tmp_path / "a.png")
    assert errors["honest"] < 0.02
    assert (tmp_path / "a.png").stat().st_size > 1000
