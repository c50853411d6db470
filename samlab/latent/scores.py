"""How good a clustering or an embedding is, with a known truth and without.

Two conventions hold everywhere here. Rows whose true class is -1 (unlabelled) are left out. A row
whose predicted class is -1 (noise) counts as a class of its own, so that calling everything noise
is neither rewarded as one big class nor hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Range, Seed
from samlab.latent.cluster import Hierarchy, auto_min_samples, cluster, distance_matrix
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments
from samlab.segments.labels import class_ids

_BLOCK = 2048


@checked_arguments
def clustering_scores(
    truth: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Compare classes found with classes known.

    Args:
        truth: int (N,), -1 for unlabelled.
        labels: int (N,), -1 for noise.
        weights: float (N,), for example areas, for `purity` and `miou`; 1 each by default.

    Returns:
        `n` (rows with a truth), `classes`, `clusters`, `noise_fraction`; `purity` (share of the
        rows that have a cluster whose truth is their cluster's most frequent one); `ari` and `nmi`
        (adjusted Rand index, normalised mutual information); `miou` (after the best one-to-one
        matching of clusters to classes, mean over classes). NaN where nothing can be said.

    Example:
        >>> scores = clustering_scores(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2]))
        >>> scores["ari"], scores["miou"]
        (1.0, 1.0)
    """
    truth, labels, weights = _aligned(truth, labels, weights)
    known = truth >= 0
    truth, labels, weights = truth[known], labels[known], weights[known]
    found = labels >= 0
    scores = {
        "n": float(len(truth)),
        "classes": float(len(np.unique(truth))),
        "clusters": float(len(np.unique(labels[found]))),
        "noise_fraction": float((~found).mean()) if len(truth) else np.nan,
    }
    if len(truth) == 0:
        return scores | dict.fromkeys(("purity", "ari", "nmi", "miou"), np.nan)
    table, _, _ = _contingency(truth[found], labels[found], weights[found])
    alone = noise_alone(labels)
    return scores | {
        "purity": float(table.max(axis=0).sum() / table.sum()) if table.sum() else np.nan,
        "ari": float(adjusted_rand_score(truth, alone)),
        "nmi": float(normalized_mutual_info_score(truth, alone)),
        "miou": _mean_iou(truth, labels, weights),
    }


@checked_arguments
def match_classes(
    truth: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> dict[int, int]:
    """The one-to-one matching of clusters to true classes of the largest total IoU.

    Args: as for `clustering_scores`.

    Returns:
        cluster -> class; clusters left over are missing. Hungarian method (Kuhn 1955).
    """
    truth, labels, weights = _aligned(truth, labels, weights)
    known = truth >= 0
    pairs, _ = _matched(truth[known], labels[known], weights[known])
    return pairs


@checked_arguments
def knn_accuracy(
    vectors: Segments | np.ndarray,
    truth: np.ndarray,
    k: int = 5,
    *,
    groups: np.ndarray | NDArray[np.object_] | None = None,
    embedding: str | None = None,
) -> float:
    """How often the k nearest other segments (cosine) vote for the right class, 0 .. 1.

    Args:
        vectors: Segments with an embedding, or (N, D).
        truth: int (N,), -1 for unlabelled.
        k: Neighbours that vote, each with the weight 1 + cosine.
        groups: (N,) names of pictures: neighbours are then taken from other pictures only, which
            tells recognising a class from recognising a picture.
        embedding: Which vectors; the first ones by default.

    Returns:
        NaN with fewer than two labelled segments or classes, or fewer than two groups.
    """
    if k < 1:
        raise InputError(f"Expected k of 1 or more neighbours, got {k}.")
    rows, truth, groups = _labelled(vectors, truth, groups, embedding)
    classes, target = np.unique(truth, return_inverse=True)
    if len(classes) < 2 or (groups is not None and len(np.unique(groups)) < 2):
        return float("nan")
    points = unit(rows)
    right = 0
    for start in range(0, len(points), _BLOCK):
        here = np.arange(start, min(start + _BLOCK, len(points)))
        cosine = points[here] @ points.T
        if groups is None:
            cosine[np.arange(len(here)), here] = -np.inf
        else:
            cosine[groups[here][:, None] == groups[None]] = -np.inf
        near = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        weight = np.maximum(1 + np.take_along_axis(cosine, near, 1), 0)
        votes = np.zeros((len(here), len(classes)))
        np.add.at(votes, (np.arange(len(here))[:, None], target[near]), weight)
        right += int((votes.argmax(axis=1) == target[here]).sum())
    return right / len(points)


@checked_arguments
def linear_probe_accuracy(
    vectors: Segments | np.ndarray,
    truth: np.ndarray,
    *,
    groups: np.ndarray | NDArray[np.object_] | None = None,
    embedding: str | None = None,
    folds: Annotated[int, Range(2)] = 5,
    seed: Seed = 0,
) -> float:
    """Accuracy of a logistic regression on the vectors, cross-validated, 0 .. 1.

    Args: as for `knn_accuracy`; with `groups` no picture is in both halves of a fold.

    Returns:
        NaN with fewer than two classes of at least two segments each, or fewer than two groups.
        Segments of rarer classes are left out.
    """
    rows, truth, groups = _labelled(vectors, truth, groups, embedding)
    if len(rows):
        values, counts = np.unique(truth, return_counts=True)
        kept = np.isin(truth, values[counts >= 2])
        rows, truth = rows[kept], truth[kept]
        groups = None if groups is None else groups[kept]
    values, counts = np.unique(truth, return_counts=True)
    smallest = int(counts.min(initial=len(truth)))
    parts = smallest if groups is None else len(np.unique(groups))
    if len(values) < 2 or parts < 2:
        return float("nan")
    parts = min(folds, parts)
    splitter = (
        StratifiedKFold(parts, shuffle=True, random_state=seed)
        if groups is None
        else GroupKFold(parts)
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    answer = cross_val_predict(model, rows, truth, cv=splitter, groups=groups)
    return float((answer == truth).mean())


@checked_arguments
def stability(
    segments: Segments | np.ndarray,
    eps: float | Literal["auto"] = "auto",
    min_samples: int | Literal["auto"] = "auto",
    metric: Literal["cosine", "euclidean"] = "cosine",
    *,
    embedding: str | None = None,
    share: float = 0.8,
    rounds: int = 10,
    seed: Seed = 0,
) -> float:
    """Whether the same classes come out when a part of the segments is missing.

    DBSCAN with the same eps on random subsets (min_samples shrinks with them), compared with the
    whole by the adjusted Rand index; the mean over `rounds`, about 0 (by chance) .. 1 (the same).

    Args: as for `samlab.cluster`; `share` of the segments in each of `rounds` subsets.

    Returns:
        NaN where there is no class at all.
    """
    if not 0 < share < 1 or rounds < 1:
        raise InputError(f"Expected 0 < share < 1 and rounds >= 1, got {share} and {rounds}.")
    vectors = vectors_of(segments, embedding, metric=metric)
    whole = cluster(vectors, eps, min_samples, metric)
    if whole.n_clusters == 0:
        return float("nan")
    needed = auto_min_samples(len(vectors)) if min_samples == "auto" else int(min_samples)
    distances = distance_matrix(vectors, metric)
    rng = np.random.default_rng(seed)
    agreements = []
    for _ in range(rounds):
        ids = np.sort(rng.choice(len(vectors), max(int(share * len(vectors)), 1), replace=False))
        part = Hierarchy(distances[np.ix_(ids, ids)], max(round(share * needed), 1)).cut(whole.eps)
        agreements.append(adjusted_rand_score(noise_alone(whole.labels[ids]), noise_alone(part)))
    return float(np.mean(agreements))


@checked_arguments
def label_from_map(
    segments: Segments,
    label_map: np.ndarray,
    names: Mapping[int, str] | None = None,
    *,
    ignore: Iterable[int] = (),
    min_share: float = 0.5,
) -> Segments:
    """Give each segment the true class that fills most of it.

    Args:
        segments: N segments of one picture.
        label_map: int (H, W), class numbers from 0; negative ones are unlabelled.
        names: class -> name.
        ignore: Class numbers that mean "unlabelled".
        min_share: Part of the segment's pixels that the class must fill, 0 .. 1; below it the
            segment gets -1, as it does where most of it is unlabelled.

    Returns:
        The segments with these labels.
    """
    label_map = class_ids(label_map)  # wide enough for -1 and for 255 + 1
    if len(segments) and label_map.shape != tuple(segments.image_size):
        raise InputError(
            f"Expected a label map of the segments' size {tuple(segments.image_size)} (H, W), got "
            f"{label_map.shape}."
        )
    shifted = np.where(np.isin(label_map, list(ignore)) | (label_map < 0), -1, label_map) + 1
    labels = np.full(len(segments), -1, np.int64)
    for i, box in enumerate(segments.boxes.astype(int)):
        window = slice(box[1], box[3]), slice(box[0], box[2])
        counts = np.bincount(shifted[window][segments.mask(i)[window]])
        if counts.sum() and counts.max() >= min_share * counts.sum():
            labels[i] = int(counts.argmax()) - 1
    return segments.with_labels(labels, names)


def noise_alone(labels: np.ndarray) -> np.ndarray:
    """Labels in which every noise row is a class of its own, int64 (N,).

    Example:
        >>> noise_alone(np.array([0, -1, 1, -1])).tolist()
        [0, 2, 1, 3]
    """
    out = np.array(labels, np.int64)
    noise = out == -1
    out[noise] = out.max(initial=-1) + 1 + np.arange(noise.sum())
    return out


def _contingency(
    truth: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    classes, row = np.unique(truth, return_inverse=True)
    clusters, column = np.unique(labels, return_inverse=True)
    table = np.zeros((len(classes), len(clusters)))
    np.add.at(table, (row, column), weights)
    return table, classes, clusters


def _matched(
    truth: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[dict[int, int], dict[int, float]]:
    """cluster -> class, and class -> IoU for the matched ones. Noise is never matched."""
    table, classes, clusters = _contingency(truth, labels, weights)
    union = table.sum(axis=0) + table.sum(axis=1)[:, None] - table
    iou = np.where(union > 0, table / np.where(union > 0, union, 1), 0)[:, clusters >= 0]
    clusters = clusters[clusters >= 0]
    rows, columns = linear_sum_assignment(-iou)
    kept = [(r, c) for r, c in zip(rows, columns, strict=True) if iou[r, c] > 0]
    return (
        {int(clusters[c]): int(classes[r]) for r, c in kept},
        {int(classes[r]): float(iou[r, c]) for r, c in kept},
    )


def _mean_iou(truth: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    _, iou = _matched(truth, labels, weights)
    return float(sum(iou.values()) / len(np.unique(truth)))


def _aligned(
    truth: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth, labels = class_ids(truth), class_ids(labels)
    weights = np.ones(len(truth)) if weights is None else np.asarray(weights, np.float64)
    if truth.ndim != 1 or not truth.shape == labels.shape == weights.shape:
        raise InputError(
            "Expected truth, labels and weights of one length (N,), got the shapes "
            f"{truth.shape}, {labels.shape} and {weights.shape}."
        )
    return truth, labels, weights


def _labelled(
    vectors: Segments | np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray | NDArray[np.object_] | None,
    embedding: str | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    rows, truth = vectors_of(vectors, embedding), class_ids(truth)
    groups = None if groups is None else np.array([str(group) for group in groups])
    if truth.shape != (len(rows),) or (groups is not None and groups.shape != (len(rows),)):
        raise InputError(
            f"Expected one true class (and one group) per segment, shape ({len(rows)},); got "
            f"{truth.shape}{'' if groups is None else f' and {groups.shape}'}."
        )
    known = truth >= 0
    return rows[known], truth[known], None if groups is None else groups[known]
