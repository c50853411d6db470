"""All DBSCAN clusterings of the same segments at once.

DBSCAN (Ester et al. 1996) with radius eps is the cut at eps of a single-linkage tree over mutual
reachability distances (Campello et al. 2013), plus the border points. So the tree is made once, and
an eps is a cut; labels come out in scikit-learn's order.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform


class Hierarchy:
    """All DBSCAN clusterings of N segments for one min_samples: `cut(eps)` is one of them.

    Args:
        distances: float64 (N, N), symmetric, zero diagonal.
        min_samples: Neighbours, itself included, that make a core.
        core_distances: float64 (N,), each one's distance to its min_samples-th neighbour; computed
            by default, given where the N are a sample of something larger.
    """

    def __init__(
        self, distances: np.ndarray, min_samples: int, core_distances: np.ndarray | None = None
    ) -> None:
        self.distances = distances
        self.min_samples = min_samples
        n = len(distances)
        if core_distances is not None:
            self.core_distances = core_distances
        elif min_samples <= n:
            self.core_distances = np.partition(distances, min_samples - 1)[:, min_samples - 1]
        else:
            self.core_distances = np.full(n, np.inf)

    @cached_property
    def tree(self) -> np.ndarray:
        """scipy linkage (N - 1, 4) over mutual reachability distances."""
        reach = np.maximum(self.distances, self.core_distances[:, None])
        np.maximum(reach, self.core_distances, out=reach)
        np.fill_diagonal(reach, 0)
        reach[np.isinf(reach)] = np.finfo(float).max
        return linkage(squareform(reach, checks=False), "single")

    def cut(self, eps: float) -> np.ndarray:
        """Labels int64 (N,) as `sklearn.cluster.DBSCAN(eps, min_samples)` gives them."""
        n = len(self.distances)
        labels = np.full(n, -1, np.int64)
        core = np.flatnonzero(self.core_distances <= eps)
        if len(core) == 0:
            return labels
        if n == 1:
            return np.zeros(1, np.int64)
        parts = fcluster(self.tree, eps, "distance")[core]
        _, first, member = np.unique(parts, return_index=True, return_inverse=True)
        labels[core] = np.argsort(np.argsort(first))[member]  # in order of their first core
        rest = np.flatnonzero(labels == -1)
        if len(rest):  # a border point goes to the first class that reaches it
            near = self.distances[np.ix_(rest, core)] <= eps
            reached = np.where(near, labels[core], n).min(axis=1)
            labels[rest] = np.where(reached < n, reached, -1)
        return labels
