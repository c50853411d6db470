"""A map of segments: UMAP of their vectors, two numbers per segment."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Range, Seed, Share
from samlab.files import import_compiling
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments

FEWEST = 6
"""UMAP's spectral start needs more points than this many minus one; below, principal axes serve."""


@dataclass(frozen=True)
class Projection:
    """A fitted map.

    Attributes:
        points: float32 (N, 2), where the segments it was made from lie.
        metric: As given to `fit_projection`.
    """

    points: np.ndarray
    metric: str
    width: int
    _model: Any = field(repr=False)

    def transform(
        self, segments: Segments | np.ndarray, *, embedding: str | None = None
    ) -> np.ndarray:
        """Place other segments, with vectors of the same kind, into this map: float32 (M, 2)."""
        vectors = vectors_of(segments, embedding, metric=self.metric)
        if len(vectors) == 0:
            return np.zeros((0, 2), np.float32)
        if vectors.shape[1] != self.width:
            raise InputError(
                f"Expected vectors of {self.width} numbers, as the map was made from; got "
                f"{vectors.shape[1]}. Use the same embedding for both."
            )
        if isinstance(self._model, _Axes):
            return self._model.transform(vectors)
        with _quiet():
            return np.asarray(self._model.transform(vectors), np.float32)


@checked_arguments
def project(
    segments: Segments | np.ndarray,
    *,
    embedding: str | None = None,
    metric: Literal["cosine", "euclidean"] = "cosine",
    n_neighbors: Annotated[int, Range(2)] = 15,
    min_dist: Share = 0.1,
    seed: Seed = 0,
) -> np.ndarray:
    """Two coordinates per segment, float32 (N, 2): segments with similar vectors lie together.

    UMAP (McInnes et al. 2018), seeded, so the same input gives the same map. Fewer than 6 segments
    are laid out along their principal axes instead. No segments give (0, 2).

    Args:
        segments: Segments with an embedding, or vectors (N, D).
        embedding: Which vectors; the first ones by default.
        metric: `"cosine"` or `"euclidean"`.
        n_neighbors: How far UMAP looks: small shows detail, large the whole.
        min_dist: How close points may lie.
        seed: Of the random numbers.

    Example:
        >>> project(np.eye(3)).shape
        (3, 2)
    """
    return fit_projection(
        segments, embedding=embedding, metric=metric, n_neighbors=n_neighbors, min_dist=min_dist,
        seed=seed,
    ).points  # fmt: skip


@checked_arguments
def fit_projection(
    segments: Segments | np.ndarray,
    *,
    embedding: str | None = None,
    metric: Literal["cosine", "euclidean"] = "cosine",
    n_neighbors: Annotated[int, Range(2)] = 15,
    min_dist: Share = 0.1,
    seed: Seed = 0,
) -> Projection:
    """As `project`, but returns the map itself, into which other segments can be placed."""
    vectors = vectors_of(segments, embedding, metric=metric)
    n = len(vectors)
    if n < FEWEST:
        axes = _Axes(vectors, metric)
        return Projection(axes.transform(vectors), metric, vectors.shape[1], axes)
    with _quiet():
        umap = import_compiling("umap")  # seconds: it compiles
        model = umap.UMAP(
            n_components=2, metric=metric, n_neighbors=min(n_neighbors, n - 1), min_dist=min_dist,
            random_state=seed, init="spectral" if n > 2 * FEWEST else "random", n_jobs=1,
        )  # fmt: skip
        points = np.asarray(model.fit_transform(vectors), np.float32)
    return Projection(points, metric, vectors.shape[1], model)


class _Axes:
    """The two principal axes of a handful of vectors."""

    def __init__(self, vectors: np.ndarray, metric: str) -> None:
        self.metric = metric
        scaled = self._scaled(vectors)
        self.centre = scaled.mean(axis=0) if len(scaled) else np.zeros(vectors.shape[1])
        _, _, rows = np.linalg.svd(scaled - self.centre, full_matrices=False)
        self.axes = np.zeros((2, vectors.shape[1]))
        self.axes[: min(2, len(rows))] = rows[:2]

    def _scaled(self, vectors: np.ndarray) -> np.ndarray:
        double = vectors.astype(np.float64)
        return unit(double) if self.metric == "cosine" and len(double) else double

    def transform(self, vectors: np.ndarray) -> np.ndarray:
        return ((self._scaled(vectors) - self.centre) @ self.axes.T).astype(np.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what UMAP and its libraries say about choices made here on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tensorflow not installed")
        warnings.filterwarnings("ignore", message="n_jobs value .* overridden")
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        warnings.filterwarnings("ignore", message=".*force_all_finite")
        warnings.filterwarnings("ignore", message="Spectral initialisation failed")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="umap|numba")
        yield
