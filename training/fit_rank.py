"""Fit which regions a person would outline: right or not, a whole or a part, and how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from samlab.sam.tiny.ranking import candidate_features
from samlab.sam.tiny.scores import Perceptron
from training.fitting import fit

Array = NDArray[np.float64]

RIGHT = 0.5
"""IoU with a true segment from which a region is right."""


@dataclass(frozen=True)
class Seen:
    """The candidates of one picture: features (n, F), whether each is right (n,), and whether the
    segment it is nearest to is a whole (n,)."""

    features: Array
    right: NDArray[np.bool_]
    whole: NDArray[np.bool_]


def seen(
    features: Array,
    areas: Array,
    iou: Array,
    quality: Array,
    truth: Array,
    depth: NDArray[np.int64],
) -> Seen:
    """What the ranking sees of a picture, and what is true.

    features, areas, iou, quality: of its n regions; truth (n, K): IoU with each true segment;
    depth (K,): 1 for wholes, more for parts.
    """
    index, found = candidate_features(features, areas, iou, quality)
    if truth.shape[1] == 0:
        none = np.zeros(len(index), bool)
        return Seen(found, none, none)
    nearest = truth[index].argmax(1)
    return Seen(found, truth[index].max(1) >= RIGHT, depth[nearest] == 1)


def fit_right(pictures: Sequence[Seen], seed: int, steps: int = 3000) -> Perceptron:
    """How likely a candidate is right; every picture counts the same."""
    weights = np.concatenate([np.full(len(p.right), 1 / len(p.right)) for p in pictures])
    features = np.concatenate([p.features for p in pictures])
    right = np.concatenate([p.right for p in pictures]).astype(np.float64)
    return fit(features, right, (48, 24), seed, weights=weights, steps=steps, decay=1e-2)


def fit_whole(pictures: Sequence[Seen], seed: int, steps: int = 1500) -> Perceptron:
    """How likely a right candidate is a whole and not a part."""
    features = np.concatenate([p.features[p.right] for p in pictures])
    whole = np.concatenate([p.whole[p.right] for p in pictures]).astype(np.float64)
    return fit(features, whole, (24,), seed, steps=steps, decay=1e-2)


def calibrate(pictures: Sequence[Seen], right: Perceptron) -> Array:
    """(2, n): answer of `right` to the share that is right, by isotonic regression on pictures not
    used to fit it, with a slight slope where that is flat, so that no two regions are equal."""
    x = np.concatenate([right(p.features) for p in pictures])
    y = np.concatenate([p.right for p in pictures]).astype(np.float64)
    isotonic = IsotonicRegression(y_min=0, y_max=1).fit(x, y)
    knots = np.unique(np.r_[0, np.quantile(x, np.linspace(0, 1, 33)), 1])
    level = np.clip(isotonic.predict(np.clip(knots, x.min(), x.max())), 0.002, 0.99)
    return np.stack([knots, level + np.linspace(-0.001, 0.001, len(knots))])


def calibration_error(probability: Array, right: Array, bins: int = 15) -> float:
    """Expected calibration error (Naeini et al., 2015): the mean distance between probability and
    share of hits in bins of equal width, weighted by their size."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.bincount(place, probability, bins) - np.bincount(place, right, bins)
    return float(np.abs(gap).sum() / count.sum())
