"""Which eps: the knee of the k-distance curve, checked against what it leads to.

The knee (Ester et al. 1996; found by Kneedle, Satopaa et al. 2011) separates segments that have
enough neighbours near by from those that have not. It says nothing about whether the classes that
come out are any good: where nothing is noise, or everything is, the curve has no telling knee. So
the result at the knee is scored, and so are cuts at other radii; the finest good one wins.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.metrics import silhouette_samples

from samlab.latent.cluster.hierarchy import Hierarchy

ABOUT_AS_GOOD = 0.1
"""Scores that differ by less say the same."""

MOST_IN_ONE_CLASS = 0.8
"""A clustering with a larger share of the segments in one class says little."""

MOST_SCORED = 1500
"""Silhouettes are taken of so many segments, drawn at random where there are more."""


def choose_eps(tree: Hierarchy) -> tuple[float, str]:
    """An eps and the reason for it, for N >= 1 segments."""
    n, needed = len(tree.distances), tree.min_samples
    if n < needed:
        return _floor(tree.distances), (
            f"{n} segments are fewer than min_samples ({needed}): no class can form"
        )
    curve = np.sort(tree.core_distances)
    if curve[-1] < 1e-9:
        return 1e-6, "all segments have the same vector"
    knee = find_knee(curve)
    best, best_score = _finest_good(tree)
    if knee is None:
        return best, _because("the k-distance curve has no knee", best_score)
    score = score_labels(tree.distances, tree.cut(knee))
    if best_score > score:
        return best, _because(
            f"the knee of the k-distance curve, {knee:.3g}, separates classes "
            f"less well (silhouette {score:.2f})",
            best_score,
        )
    return knee, (
        f"knee of the sorted distances to neighbour {needed} (silhouette with noise {score:.2f})"
    )


def more_telling(
    labels: np.ndarray,
    eps: float,
    most_noise: float,
    tried: Callable[[], tuple[np.ndarray, np.ndarray]],
) -> tuple[float, str] | None:
    """Where eps puts nearly all into one class, or none: the radius with the most classes, and why.

    Between all noise and all one their number has its peak. None where the peak is below two, or
    the clustering says something.

    Args:
        labels: int (N,) with N >= 1, what eps gives; -1 is noise.
        eps: The radius.
        most_noise: Share of the segments in no class above which a clustering says little.
        tried: Gives radii, ascending, and the number of classes at each; asked only where needed.
    """
    sizes = np.bincount(labels + 1)
    noise, one_class = sizes[0] / len(labels), sizes[1:].max(initial=0) / len(labels)
    if one_class <= MOST_IN_ONE_CLASS and noise <= most_noise:
        return None
    radii, counts = tried()
    most = int(counts.max(initial=0))
    if most < max(2, int(labels.max()) + 1):
        return None
    share, where = (noise, "no class") if noise >= one_class else (one_class, "one class")
    best = float(radii[np.flatnonzero(counts == most)[-1]])
    return best, f"the radius with the most classes; {eps:.3g} puts {share:.0%} into {where}"


def find_knee(curve: np.ndarray) -> float | None:
    """The value of an ascending curve where it turns upwards; None where it does not.

    Example:
        >>> curve = np.concatenate([np.linspace(0.01, 0.02, 40), np.linspace(0.1, 0.5, 10)])
        >>> bool(0.01 < find_knee(curve) < 0.11)
        True
    """
    from kneed import KneeLocator

    if len(curve) < 5 or curve[-1] - curve[0] < 1e-6 * max(curve[-1], 1e-12):
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No knee/elbow found")
        found = KneeLocator(
            np.arange(len(curve)), curve, S=1.0, curve="convex", direction="increasing"
        ).knee_y
    return None if found is None or not found > 0 else float(found)


def score_labels(distances: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette in which every noise segment is a class of its own and counts as 0.

    So noise is neither free nor fatal, and one class among noise has a score as well. -1 where no
    score exists: everything is one class, or everything is noise.
    """
    if len(labels) > MOST_SCORED:
        ids = np.random.default_rng(0).choice(len(labels), MOST_SCORED, replace=False)
        distances, labels = distances[np.ix_(ids, ids)], labels[ids]
    single = labels.copy()
    noise = single == -1
    single[noise] = labels.max() + 1 + np.arange(noise.sum())
    if not 2 <= len(np.unique(single)) < len(single):
        return -1.0
    return float(silhouette_samples(distances, single, metric="precomputed").mean())


def _finest_good(tree: Hierarchy, tries: int = 40) -> tuple[float, float]:
    """The eps of the finest clustering whose score is about as good as any, and its score.

    Classes that lie close together score a little better as one; what is worth telling apart should
    be told apart. Among neighbouring radii with the same number of classes the best is taken, and
    the middle one of equals.
    """
    radii = _candidates(tree, tries)
    labels = [tree.cut(r) for r in radii]
    scores = np.array([score_labels(tree.distances, row) for row in labels])
    first = int(np.flatnonzero(scores >= scores.max() - ABOUT_AS_GOOD)[0])
    last = first
    while last + 1 < len(radii) and labels[last + 1].max() == labels[first].max():
        last += 1
    run = np.arange(first, last + 1)
    top = run[scores[run] >= scores[run].max() - 1e-9]
    return float(radii[top[len(top) // 2]]), float(scores[run].max())


def _candidates(tree: Hierarchy, tries: int) -> np.ndarray:
    """Radii between the distances at which something changes, the widest gaps among them."""
    changes = np.concatenate([tree.tree[:, 2], tree.core_distances])
    changes = np.unique(np.round(changes[changes < 1e300], 9))
    steps = np.concatenate([changes[:1] * 0.5, changes, changes[-1:] * 1.5])
    middles = (steps[1:] + steps[:-1]) / 2
    middles, gaps = middles[middles > 0], np.diff(steps)[middles > 0]
    widest = np.argsort(-gaps / middles)[: tries // 2]
    spread = np.linspace(0, len(middles) - 1, tries // 2).round().astype(int)
    return middles[np.union1d(widest, spread)]


def _because(why: str, score: float) -> str:
    if score <= -1:
        return f"{why}, and no radius gives more than one class: all segments are one"
    return f"{why}: taken from a sweep, silhouette with noise {score:.2f}"


def _floor(distances: np.ndarray) -> float:
    return float(max(distances.max(initial=0.0), 1e-6))
