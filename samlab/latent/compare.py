"""Which vectors carry the meaning: several embedders on the same masks, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Seed
from samlab.images import ImageLike
from samlab.latent.cluster import cluster
from samlab.latent.embed import Embedder, embed
from samlab.latent.scores import (
    clustering_scores,
    knn_accuracy,
    linear_probe_accuracy,
    stability,
)
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments
from samlab.segments.labels import class_ids

COLUMNS = (
    "dimensions", "segments", "knn_accuracy", "linear_accuracy", "cosine_within",
    "cosine_between", "clusters", "eps", "noise_fraction", "purity", "ari", "nmi", "miou",
    "silhouette", "stability",
)  # fmt: skip


@checked_arguments
def compare_embedders(
    segments: Segments | Sequence[Segments],
    images: ImageLike | Sequence[ImageLike] | None = None,
    embedders: Sequence[Embedder] = (),
    *,
    k: int = 5,
    eps: float | Literal["auto"] = "auto",
    min_samples: int | Literal["auto"] = "auto",
    seed: Seed = 0,
) -> pd.DataFrame:
    """Is SAM semantic enough for my pictures? One row per kind of vectors.

    Compares the vectors that the segments already have, and those that `embedders` add. The
    segments' labels are the truth (`samlab.metrics.label_from_map`, or by hand); -1 is unlabelled.
    Without labels the columns that need them are NaN.

    Args:
        segments: Segments of one picture, or a list with the segments of each picture.
        images: The pictures, one per entry of `segments`; needed for `embedders` only.
        embedders: `ColourTexture()`, `TransformersEmbedder(...)`, or your own.
        k: Neighbours of the kNN vote.
        eps, min_samples: As in `samlab.cluster`.
        seed: Of folds and subsets.

    Returns:
        Data frame indexed by the vectors' name, the best kNN accuracy first:
        `dimensions`, `segments`;
        `knn_accuracy`, `linear_accuracy`: of the labelled segments, from other pictures where there
        is more than one;
        `cosine_within`, `cosine_between`: mean cosine of pairs of one class, and of different
        classes;
        `clusters`, `eps`, `noise_fraction`: of DBSCAN on all segments;
        `purity`, `ari`, `nmi`, `miou`: of DBSCAN against the labels;
        `silhouette`, `stability`: of DBSCAN without labels.
        The row "(most frequent class)" holds what always answering that class would reach.
    """
    parts = [segments] if isinstance(segments, Segments) else list(segments)
    if embedders:
        pictures = _pictures(images, len(parts))
        for embedder in embedders:
            parts = [embed(i, s, embedder) for i, s in zip(pictures, parts, strict=True)]
    table = Segments.concat(parts)
    if not table.embeddings:
        raise InputError(
            "Expected segments with vectors, or embedders to make them; got neither. Pass "
            "embedders=[samlab.embedders.ColourTexture()] and the pictures, or use samlab.segment."
        )
    truth = table.labels
    pages = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    groups = pages if len(np.unique(pages[truth >= 0])) > 1 else None
    rows = {
        name: _row(table, name, truth, groups, k, eps, min_samples, seed)
        for name in table.embeddings
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
    frame = frame.sort_values("knn_accuracy", ascending=False, kind="stable", na_position="last")
    known = truth[truth >= 0]
    if len(known):
        share = np.bincount(known).max() / len(known)
        frame.loc["(most frequent class)", ["segments", "knn_accuracy", "linear_accuracy"]] = [
            len(truth), share, share,
        ]  # fmt: skip
    frame.index.name = "embedding"
    return frame


@checked_arguments
def class_cosines(vectors: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Mean cosine of all pairs within a class, and of all pairs of different classes.

    Args:
        vectors: (N, D).
        truth: int (N,), -1 for unlabelled.

    Returns:
        (within, between); NaN where there is no such pair.

    Example:
        >>> class_cosines(np.array([[1.0, 0], [1, 0], [0, 1]]), np.array([0, 0, 1]))
        (1.0, 0.0)
    """
    rows, truth = vectors_of(vectors), class_ids(truth)
    if truth.shape != (len(rows),):
        raise InputError(
            f"Expected truth as one class per vector, shape ({len(rows)},); got {truth.shape}."
        )
    known = truth >= 0
    points, truth = unit(rows[known].astype(np.float64)), truth[known]
    total, n = points.sum(axis=0), len(points)
    inside = pairs = 0.0
    for label in np.unique(truth):
        members = points[truth == label]
        inside += float((members.sum(axis=0) ** 2).sum()) - len(members)
        pairs += len(members) * (len(members) - 1)
    everything = float((total**2).sum()) - n
    across = n * (n - 1) - pairs
    return (
        inside / pairs if pairs else float("nan"),
        (everything - inside) / across if across else float("nan"),
    )


def _row(
    table: Segments,
    name: str,
    truth: np.ndarray,
    groups: np.ndarray | None,
    k: int,
    eps: float | Literal["auto"],
    min_samples: int | Literal["auto"],
    seed: int,
) -> dict[str, float]:
    vectors = table.embedding(name)
    found = cluster(vectors, eps, min_samples)
    within, between = class_cosines(vectors, truth)
    agreement = clustering_scores(truth, found.labels)
    steady = stability(vectors, found.eps, found.min_samples, seed=seed) if len(vectors) else np.nan
    return {
        "dimensions": vectors.shape[1],
        "segments": len(vectors),
        "knn_accuracy": knn_accuracy(vectors, truth, k, groups=groups),
        "linear_accuracy": linear_probe_accuracy(vectors, truth, groups=groups, seed=seed),
        "cosine_within": within,
        "cosine_between": between,
        "clusters": found.n_clusters,
        "eps": found.eps,
        "noise_fraction": found.noise_fraction,
        **{key: agreement[key] for key in ("purity", "ari", "nmi", "miou")},
        "silhouette": found.silhouette,
        "stability": steady,
    }


def _pictures(images: ImageLike | Sequence[ImageLike] | None, n: int) -> list[ImageLike]:
    if images is None:
        raise InputError("Embedders need the pictures: compare_embedders(segments, images, ...).")
    pictures: list[Any] = list(images) if isinstance(images, (list, tuple)) else [images]
    if len(pictures) != n:
        raise InputError(
            f"Expected one picture per table of segments, {n}; got {len(pictures)} picture(s)."
        )
    return pictures
