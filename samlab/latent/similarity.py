"""Cosine similarity: of pairs, of a vector with a whole picture, of a query with many."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.latent.embed import PatchFeatures
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments

BLOCK = 65_536
"""Rows compared at once: 64 MB of float32 at 256 numbers each."""


@checked_arguments
def similarity(
    a: Segments | np.ndarray,
    b: Segments | np.ndarray | None = None,
    *,
    embedding: str | None = None,
) -> np.ndarray:
    """Cosine of every row of `a` with every row of `b` (with `a` itself by default).

    Args:
        a: Segments with an embedding, or vectors (N, D).
        b: The same, (M, D).
        embedding: Which vectors; the first ones by default.

    Returns:
        float32 (N, M), -1 .. 1.

    Example:
        >>> similarity(np.array([[1.0, 0.0], [0.0, 2.0]])).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    left = vectors_of(a, embedding)
    right = left if b is None else vectors_of(b, embedding)
    if len(left) == 0 or len(right) == 0:
        return np.zeros((len(left), len(right)), np.float32)
    _check_width(left, right)
    return np.clip(unit(left) @ unit(right).T, -1, 1)


@checked_arguments
def heat_map(
    features: PatchFeatures,
    query: Segments | np.ndarray,
    *,
    size: Literal["image", "grid"] = "image",
    name: str | None = None,
) -> np.ndarray:
    """How similar every patch of a picture is to a query.

    Args:
        features: The encoded picture.
        query: A vector (D,), or vectors (N, D) or segments, whose unit vectors are averaged. They
            may come from another picture, if the same model made them.
        size: `"image"` interpolates bilinearly between patch centres to the picture's size;
            `"grid"` returns the patches as they are.
        name: Which vectors of the segments; the first ones by default.

    Returns:
        float32 cosine, -1 .. 1: (H, W), or (rows, columns) of the patches that hold any of the
        picture, the padding cut off. A patch whose features are all zero gets 0.
    """
    vectors = query if isinstance(query, Segments) else np.atleast_2d(query)
    rows = vectors_of(vectors, name, what="query")
    if len(rows) == 0:
        raise InputError(
            "Expected a query to compare the picture with, got none. Pass a vector or segments."
        )
    grid = features.grid()
    if rows.shape[1] != len(grid):
        raise InputError(
            f"Expected a query of {len(grid)} numbers, as many as the picture's features have; got "
            f"{rows.shape[1]}. Pool the query from the same model: samlab.pool."
        )
    direction = unit(rows).mean(axis=0)
    length = float(np.linalg.norm(direction))
    if length < 1e-6:
        raise InputError("The query's vectors point in opposite directions and cancel out.")
    extent = tuple(
        cells * pixels / features.img_size
        for cells, pixels in zip(grid.shape[1:], features.input_size, strict=True)
    )
    valid = grid[:, : int(np.ceil(extent[0])), : int(np.ceil(extent[1]))]
    norms = np.linalg.norm(valid, axis=0)
    dots = np.tensordot(direction / length, valid, axes=1)
    cosine = np.clip(dots / np.where(norms > 0, norms, 1), -1, 1).astype(np.float32)
    if size == "grid":
        return cosine
    if size != "image":
        raise InputError(f"Expected size to be 'image' or 'grid', got {size!r}.")
    height, width = features.image_size
    down = _interpolation(height, extent[0], cosine.shape[0])
    across = _interpolation(width, extent[1], cosine.shape[1])
    return np.asarray(down @ cosine @ across.T, np.float32)


@checked_arguments
def similar(
    query: Segments | np.ndarray,
    segments: Segments | np.ndarray,
    k: int = 10,
    *,
    embedding: str | None = None,
) -> pd.DataFrame:
    """The k most similar segments for each query, the most similar first.

    Exact, in blocks: a million vectors of 256 numbers take a gigabyte and a few seconds per
    query batch. Beyond that, or for many users at once, hand the vectors (`segments.embedding()`)
    to an approximate index such as FAISS, hnswlib or LanceDB.

    Args:
        query: Segments, vectors (Q, D), or one vector (D,).
        segments: Where to look: segments of one or many pictures (`Segments.concat`), or (N, D). A
            query that is among them finds itself first.
        k: How many per query; fewer come back if there are fewer.
        embedding: Which vectors; the first ones by default.

    Returns:
        Data frame with a row per match: `query`, `rank` (from 0), `segment` (row in `segments`),
        `similarity`, and `image_id` and `label` where `segments` is a table.
    """
    wanted = query if isinstance(query, Segments) else np.atleast_2d(query)
    asked = vectors_of(wanted, embedding, what="query")
    if not isinstance(segments, Segments):
        stored = vectors_of(segments, what="row")
    elif len(segments):
        stored = segments.embedding(embedding)
    else:
        stored = np.zeros((0, asked.shape[1]), np.float32)
    ids, scores = nearest(asked, stored, k)
    found = ids.shape[1]
    frame = pd.DataFrame(
        {
            "query": np.repeat(np.arange(len(ids)), found),
            "rank": np.tile(np.arange(found), len(ids)),
            "segment": ids.ravel(),
            "similarity": scores.ravel(),
        }
    )
    if isinstance(segments, Segments):
        frame["image_id"] = segments.image_ids[frame["segment"]].astype(str)
        frame["label"] = segments.labels[frame["segment"]]
    return frame


def nearest(query: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of `vectors` with the largest cosine, per query; exact, in blocks.

    Args:
        query: (Q, D).
        vectors: (N, D); may be a memory map, of which one block at a time is read.
        k: 1 or more.

    Returns:
        ids int64 and cosine float32, both (Q, min(k, N)), descending.
    """
    if k < 1:
        raise InputError(f"Expected k of 1 or more, got {k}.")
    query = vectors_of(query, what="query")
    if vectors.ndim != 2:
        raise InputError(f"Expected vectors of shape (N, D), got the shape {vectors.shape}.")
    if len(query) and len(vectors):
        _check_width(query, vectors)
    directions = unit(query)
    ids = np.zeros((len(query), 0), np.int64)
    scores = np.zeros((len(query), 0), np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = np.asarray(vectors[start : start + BLOCK], np.float32)
        norms = np.sqrt(np.einsum("nd,nd->n", block, block))
        if not (np.isfinite(norms).all() and norms.all()):
            _name_bad_row(block, start)
        cosine = (directions @ block.T) / norms
        here = _top(cosine, k)
        scores = np.concatenate([scores, np.take_along_axis(cosine, here, 1)], axis=1)
        ids = np.concatenate([ids, here + start], axis=1)
        best = _top(scores, k)
        ids, scores = np.take_along_axis(ids, best, 1), np.take_along_axis(scores, best, 1)
    return ids, np.clip(scores, -1, 1)


def _top(values: np.ndarray, k: int) -> np.ndarray:
    """Column numbers of the k largest values per row, descending; the first of equals first."""
    if values.shape[1] > k:
        part = np.sort(np.argpartition(-values, k - 1, axis=1)[:, :k], axis=1)
    else:
        part = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    order = np.argsort(-np.take_along_axis(values, part, 1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(part, order, 1))


def _name_bad_row(block: np.ndarray, start: int) -> None:
    """Say which rows are unusable; rows that only overflow or vanish when squared pass."""
    for bad, kind in (
        (~np.isfinite(block).all(axis=1), "contain NaN or infinity"),
        (~block.any(axis=1), "are all zeros"),
    ):
        ids = np.flatnonzero(bad) + start
        if len(ids):
            raise InputError(
                f"Expected vectors with a direction; {len(ids)} {kind} (rows "
                f"{', '.join(map(str, ids[:10]))}). Remove them before searching."
            )
    raise InputError(
        f"Vectors in rows {start} to {start + len(block) - 1} are too long or too short for "
        "float32. Scale them to unit length first."
    )


def _interpolation(length: int, extent: float, cells: int) -> np.ndarray:
    """(length, cells): bilinear weights from patch centres to pixel centres, one axis."""
    at = np.clip((np.arange(length) + 0.5) * (extent / length) - 0.5, 0, cells - 1)
    low = np.minimum(at.astype(np.int64), max(cells - 2, 0))
    weights = np.zeros((length, cells), np.float32)
    weights[np.arange(length), low] = 1 - (at - low)
    weights[np.arange(length), np.minimum(low + 1, cells - 1)] += at - low
    return weights


def _check_width(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"Expected vectors of equal width, got {a.shape[1]} and {b.shape[1]} numbers. Use the "
            "same embedding for both."
        )
