"""Vectors, checked: what every function of `samlab.latent` does to its input first."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from samlab.errors import InputError
from samlab.segments import Segments

Metric: TypeAlias = Literal["cosine", "euclidean"]


def vectors_of(
    source: Segments | np.ndarray,
    embedding: str | None = None,
    *,
    metric: str = "cosine",
    what: str = "segment",
) -> np.ndarray:
    """Take vectors out of segments, or an array as it is, and refuse what has no direction.

    Args:
        source: Segments, or an array (N, D).
        embedding: Name of the vectors in `source.embeddings`; the first ones by default.
        metric: `"cosine"` or `"euclidean"`; under cosine a vector of length zero is refused.
        what: What one row is, for the error message.

    Returns:
        float32 (N, D), all finite. Segments without a single row and without vectors give (0, 0).

    Example:
        >>> vectors_of(np.ones((2, 3))).shape
        (2, 3)
    """
    if metric not in ("cosine", "euclidean"):
        raise InputError(f"Expected metric 'cosine' or 'euclidean', got {metric!r}.")
    if isinstance(source, Segments):
        if len(source) == 0 and (
            not source.embeddings if embedding is None else embedding not in source.embeddings
        ):
            return np.zeros((0, 0), np.float32)
        array = source.embedding(embedding)
    else:
        array = _floats(source, what)
    if array.ndim != 2:
        raise InputError(
            f"Expected vectors of shape (N, D), one row per {what}; got the shape {array.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise InputError(
            f"Expected finite vectors; {_named(bad, what)} contain NaN or infinity. Remove them "
            "(segments[ids]) or compute their embedding again."
        )
    if metric == "cosine":
        zero = np.flatnonzero(~array.any(axis=1)) if array.shape[1] else np.zeros(0, int)
        if len(zero):
            raise InputError(
                f"Expected vectors with a direction; {_named(zero, what)} are all zeros, so their "
                "cosine is undefined. Remove them (segments[ids]) or use metric='euclidean'."
            )
    return array


def _floats(source: Any, what: str) -> np.ndarray:
    """float32, out of whatever array; a tensor's gradients are left behind."""
    try:
        plain = source.detach().cpu() if hasattr(source, "detach") else source
        return np.asarray(plain, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"Expected vectors of shape (N, D), one row of numbers per {what}; got a "
            f"{type(source).__name__} that is no such array ({error})."
        ) from None


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale the rows of (N, D) to length one, in the same dtype. Rows must not be zero.

    Example:
        >>> unit(np.array([[3.0, 4.0]]))
        array([[0.6, 0.8]])
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True) if vectors.size else 1.0
    scaled = vectors / largest  # so that squares neither overflow nor vanish
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)


def _named(ids: np.ndarray, what: str) -> str:
    """List ids for a message, at most ten of them."""
    shown = ", ".join(str(i) for i in ids[:10])
    more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
    return f"{len(ids)} {what}(s) ({what} ids {shown}{more})"
