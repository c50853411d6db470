"""A few vectors that stand for many: prototypes of one class on the unit sphere."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from samlab.errors import InputError
from samlab.latent.vectors import unit


def prototypes(
    vectors: np.ndarray, count: int, *, sizes: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Group unit vectors by KMeans and take the direction of each group's mean.

    Among unit vectors the squared Euclidean distance is 2 - 2 cosine, so that KMeans groups by
    cosine. With at most `count` different vectors, all of them are kept.

    Args:
        vectors: (N, D), any length but zero.
        count: At most so many prototypes.
        sizes: How many examples each row stands for, int (N,); one each by default.
        seed: Of KMeans' start. The same rows in the same order give the same answer.

    Returns:
        float32 (P, D) of length one, P <= count, and int64 (P,): examples behind each.

    Example:
        >>> int(prototypes(np.eye(3), 2)[1].sum())
        3
    """
    if count < 1:
        raise InputError(f"Expected at least one prototype per class, got per_class={count}.")
    directions = unit(np.asarray(vectors, np.float64))
    weight = np.ones(len(directions), np.int64) if sizes is None else np.asarray(sizes, np.int64)
    rows, which = np.unique(directions.astype(np.float32), axis=0, return_inverse=True)
    which = which.reshape(-1)  # NumPy 2.0 answers (N, 1)
    if len(rows) <= count:
        return rows, np.bincount(which, weight, minlength=len(rows)).astype(np.int64)
    means = KMeans(count, n_init=4, random_state=seed)
    with threadpool_limits(1):  # threads add up in any order, and the last bits would differ
        group = means.fit_predict(directions, sample_weight=weight)
    kept, index = np.unique(group, return_inverse=True)
    index = index.reshape(-1)
    sums = np.zeros((len(kept), directions.shape[1]))
    np.add.at(sums, index, directions * weight[:, None])
    opposed = np.linalg.norm(sums, axis=1) < 1e-9  # members that cancel out: take the first one
    for i in np.flatnonzero(opposed):
        sums[i] = directions[np.flatnonzero(index == i)[0]]
    return unit(sums).astype(np.float32), np.bincount(index, weight).astype(np.int64)
