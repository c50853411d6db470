"""Coordinates of segments on the explorer's map: at once by principal axes, then by UMAP."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from samlab.errors import InputError
from samlab.latent.projection import project


def principal_axes(vectors: np.ndarray, metric: str = "cosine") -> np.ndarray:
    """The two axes of largest variance, float32 (N, 2); vectors of length one under cosine.

    Example:
        >>> principal_axes(np.array([[0.0, 1.0], [1.0, 0.0]])).shape
        (2, 2)
    """
    n = len(vectors)
    out = np.zeros((n, 2), np.float32)
    if n < 2:
        return out
    points = np.asarray(vectors, np.float64)
    if metric == "cosine":
        points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    points = points - points.mean(axis=0)
    u, s, _ = np.linalg.svd(points, full_matrices=False)
    found = (u * s)[:, :2]
    out[:, : found.shape[1]] = found
    return out


def umap_later(
    vectors: np.ndarray, metric: str, done: Callable[[np.ndarray | None], None]
) -> threading.Thread:
    """Compute the UMAP beside other work and hand it to `done`; None where it cannot be made.

    UMAP compiles itself on first use, which takes many seconds; nobody should wait for that to
    see the picture.
    """

    def work() -> None:
        try:
            done(project(vectors, metric=metric))  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 (a thread has no one to tell; the axes stay)
            done(None)

    thread = threading.Thread(target=work, name="samlab-umap", daemon=True)
    thread.start()
    return thread


def checked_points(points: np.ndarray, n: int) -> np.ndarray:
    """Given map coordinates as float32 (N, 2), or InputError."""
    array = np.asarray(points, np.float32)
    if array.shape != (n, 2) or not np.isfinite(array).all():
        raise InputError(
            f"Expected finite map coordinates of shape ({n}, 2), one row per segment; "
            f"got {array.shape}."
        )
    return array
