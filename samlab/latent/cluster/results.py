"""What clustering gives: one set of classes, or one for each of many radii."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd


def _nothing() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True)
class Clustering:
    """Classes of N segments, and how they were found.

    Attributes:
        labels: int64 (N,); classes count from 0, -1 is noise.
        eps: The radius used; for `"ward"` the height of the cut, 0 .. 1; NaN where there is none
            (HDBSCAN without one, k-means, Leiden).
        min_samples: Neighbours (itself included) that make a segment a core of a class.
        k_distances: float64 (N,), ascending: each segment's distance to its min_samples-th
            neighbour, itself included. At `eps`, segments left of the crossing are cores.
        noise_fraction: Share of segments without a class, 0 .. 1; 0.0 without segments.
        silhouette: Mean silhouette of the segments that have a class, -1 .. 1; NaN with fewer than
            two classes.
        reason: Why these classes, in a sentence.
        metric: `"cosine"` or `"euclidean"`.
        method: `"dbscan"`, `"hdbscan"`, `"ward"`, `"kmeans"` or `"leiden"`.
        areas: float64 (N,), the weight of each segment: its pixels, or 1 for bare vectors.
        filled: bool (N,), segments that were noise and took the nearest class.
    """

    labels: np.ndarray
    eps: float
    min_samples: int
    k_distances: np.ndarray = field(repr=False)
    silhouette: float
    reason: str
    metric: str = "cosine"
    method: str = "dbscan"
    areas: np.ndarray = field(default_factory=_nothing, repr=False)
    filled: np.ndarray = field(default_factory=_nothing, repr=False)

    def __post_init__(self) -> None:
        n = len(self.labels)
        if len(self.areas) != n:
            object.__setattr__(self, "areas", np.ones(n))
        if len(self.filled) != n:
            object.__setattr__(self, "filled", np.zeros(n, bool))

    @property
    def n_clusters(self) -> int:
        return int(self.labels.max(initial=-1)) + 1

    @property
    def noise_fraction(self) -> float:
        return float(np.mean(self.labels == -1)) if len(self.labels) else 0.0

    @property
    def class_areas(self) -> np.ndarray:
        """Share of the segments' area in each class, float64 (n_clusters,); the rest is noise."""
        kept = self.labels >= 0
        sums = np.bincount(self.labels[kept], self.areas[kept], self.n_clusters)
        return np.asarray(sums / max(self.areas.sum(), 1e-300))

    @property
    def unassigned(self) -> float:
        """Share of the segments' area without a class, 0 .. 1."""
        return self._share(self.labels < 0)

    @property
    def unassigned_before_filling(self) -> float:
        """The same, with what took the nearest class counted as unassigned."""
        return self._share((self.labels < 0) | self.filled)

    def _share(self, which: np.ndarray) -> float:
        return float(self.areas[which].sum() / self.areas.sum()) if self.areas.sum() else 0.0


@dataclass(frozen=True)
class Sweep:
    """DBSCAN over many eps.

    Attributes:
        eps: float64 (E,).
        labels: int64 (E, N).
        min_samples: As in `Clustering`.
    """

    eps: np.ndarray
    labels: np.ndarray
    min_samples: int

    @property
    def n_clusters(self) -> np.ndarray:
        """int64 (E,)."""
        return self.labels.max(axis=1, initial=-1) + 1

    @property
    def noise_fraction(self) -> np.ndarray:
        """float64 (E,), 0.0 without segments."""
        n = max(self.labels.shape[1], 1)
        return np.asarray((self.labels == -1).sum(axis=1) / n)

    def to_pandas(self) -> pd.DataFrame:
        """One row per eps: eps, n_clusters, noise_fraction, largest (segments of its largest)."""
        largest = [np.bincount(row[row >= 0]).max(initial=0) for row in self.labels]
        return pd.DataFrame(
            {
                "eps": self.eps,
                "n_clusters": self.n_clusters,
                "noise_fraction": self.noise_fraction,
                "largest": np.asarray(largest, np.int64),
            }
        )
