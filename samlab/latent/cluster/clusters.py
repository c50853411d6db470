"""Segments to classes: the whole hierarchy where nobody has chosen, DBSCAN where somebody has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from samlab.errors import InputError, counted
from samlab.errors.arguments import checked_arguments
from samlab.latent.cluster import blockwise as neighbourhoods
from samlab.latent.cluster.distances import (
    auto_min_samples,
    default_eps,
    distance_matrix,
    matrix_bytes,
    silhouette,
)
from samlab.latent.cluster.eps import choose_eps, more_telling
from samlab.latent.cluster.filling import fill as fill_noise
from samlab.latent.cluster.hierarchy import Hierarchy
from samlab.latent.cluster.methods import hdbscan, k_means, leiden
from samlab.latent.cluster.regions import areas_of, carried_over, disjoint, merging
from samlab.latent.cluster.results import Clustering, Sweep
from samlab.latent.vectors import Metric, unit, vectors_of
from samlab.segments import Segments

Method = Literal["auto", "dbscan", "hdbscan", "ward", "kmeans", "leiden"]

DEFAULT_MEMORY = 2 * 2**30
"""Bytes that distances may take before samlab looks for another way: some 7,700 segments."""

MOST_NOISE = 0.95
"""A clustering with a larger share of the segments in no class says little. A few alike among many
that are not, such as coins on a cloth, are an answer."""


@checked_arguments
def cluster(
    segments: Segments | np.ndarray,
    eps: float | Literal["auto"] = "auto",
    min_samples: int | Literal["auto"] = "auto",
    metric: Literal["cosine", "euclidean"] = "cosine",
    method: Method = "auto",
    *,
    n_classes: int | None = None,
    fill: bool = False,
    wholes: bool = False,
    embedding: str | None = None,
    max_memory: int = DEFAULT_MEMORY,
) -> Clustering:
    """Group segments into classes by their vectors.

    Where neither `eps` nor `min_samples` nor a method is given, the segments of a picture are
    joined by Ward's method, and the classes are those that last longest while the joining goes on:
    the largest sum of area times the logarithm of the factor between the height at which a class
    appears and that at which it is swallowed (`samlab.latent.cluster.merging` has the sources).
    Two regions differ by their vectors, and by how rarely SAM's masks hold both, so that neighbours
    without an outline between them share a class. Segments that overlap are first cut into regions
    (`samlab.partition`); each then has the class in which most of its pixels lie.

    Args:
        segments: Segments with an embedding, or vectors (N, D).
        eps: For DBSCAN the radius of a neighbourhood, in units of the metric (cosine distance:
            0 .. 2); or `"auto"`, see `samlab.latent.cluster.eps`; where what that chooses puts more
            than 80 % into one class or 95 % into none, the radius with the most classes instead.
            For HDBSCAN the distance below which classes are not split further (its
            `cluster_selection_epsilon`), 0 with `"auto"`. For Ward the height of the cut, as a
            share of the cost of the last join, 0 .. 1.
        min_samples: Segments, itself included, that must lie within eps for a class to begin; or
            `"auto"`: sqrt(N) / 2 between 3 and 8, so that 8 is used from 256 segments on. Only for
            DBSCAN and HDBSCAN.
        metric: `"cosine"` ignores the vectors' length; `"euclidean"` does not.
        method: `"dbscan"`; `"hdbscan"`, which finds classes of different density; `"ward"`, joined
            regions; `"kmeans"`; `"leiden"`, communities of the graph of nearest neighbours (needs
            `samlab[graph]`); or `"auto"`: `"dbscan"` where eps or min_samples is given, for bare
            vectors and for several pictures, else `"ward"`.
        n_classes: For `"ward"` and `"kmeans"`: how many; those that last by default.
        fill: Give noise the class of the nearest segment, where that is nearer than classes are
            apart; `Clustering.filled` marks it.
        wholes: Only cluster segments that lie in no other (`Segments.parent`); the others have the
            class of the whole they lie in.
        embedding: Which vectors; the first ones by default.
        max_memory: Bytes that distances may take. Above, DBSCAN goes on blockwise with neighbours
            within eps only; other methods refuse.

    Returns:
        `Clustering`; `segments.with_labels(result.labels)` puts it into the table. No segments give
        no labels; fewer than min_samples give noise only.

    Example:
        >>> points = np.repeat(np.eye(3), 10, axis=0)
        >>> points += 0.01 * np.random.default_rng(0).random(points.shape)
        >>> cluster(points).n_clusters
        3
    """
    asked = _asked(segments, eps, min_samples, metric, method, n_classes, max_memory)
    if wholes and isinstance(segments, Segments):
        return _of_wholes(segments, asked, fill, embedding)
    vectors = vectors_of(segments, embedding, metric=metric)
    n = len(vectors)
    needed = _check_min_samples(min_samples, n)
    if n == 0:
        found = Clustering(
            labels=np.zeros(0, np.int64), eps=np.nan if asked.eps is None else asked.eps,
            min_samples=needed, k_distances=np.zeros(0), silhouette=np.nan,
            reason="there are no segments", metric=metric, method=asked.method,
        )  # fmt: skip
    elif matrix_bytes(n) > max_memory:
        found = _blockwise(vectors, asked, needed)
    else:
        found = _whole(segments, vectors, asked, needed, embedding)
    found = replace(found, areas=areas_of(segments))
    if not fill:
        return found
    labels = fill_noise(vectors, found.labels, metric)
    return replace(found, labels=labels, filled=labels != found.labels)


@dataclass(frozen=True)
class _Asked:
    """What `cluster` was asked, checked; the method is never `"auto"`, eps None for it."""

    eps: float | None
    min_samples: int | str
    metric: Metric
    method: str
    n_classes: int | None
    max_memory: int


def _asked(
    segments: Segments | np.ndarray,
    eps: Any,
    min_samples: Any,
    metric: Metric,
    method: str,
    n_classes: int | None,
    max_memory: int,
) -> _Asked:
    known = ("auto", "dbscan", "hdbscan", "ward", "kmeans", "leiden")
    if method not in known:
        raise InputError(f"Expected a method among {', '.join(known)}; got {method!r}.")
    radius = None if isinstance(eps, str) and eps == "auto" else float(_check_eps([eps])[0])
    if method == "auto":
        single = isinstance(segments, Segments) and len(set(segments.image_ids.tolist())) == 1
        untouched = radius is None and min_samples == "auto"
        fits = matrix_bytes(len(segments)) <= max_memory
        joined = n_classes is not None or (single and untouched and fits)
        method = "ward" if joined else "dbscan"
    if n_classes is not None:
        if method not in ("ward", "kmeans"):
            raise InputError(
                f"Expected n_classes with method='ward' or 'kmeans', got method='{method}', which "
                "finds the number of classes by itself."
            )
        if isinstance(n_classes, bool) or int(n_classes) != n_classes or n_classes < 1:
            raise InputError(f"Expected n_classes of 1 or more, got {n_classes!r}.")
    if radius is not None and (method in ("kmeans", "leiden") or n_classes is not None):
        raise InputError(
            f"Expected no eps with method='{method}'{'' if n_classes is None else ' and n_classes'}"
            f", got {radius:g}. eps is for 'dbscan', 'hdbscan' and 'ward'."
        )
    return _Asked(radius, min_samples, metric, method, n_classes, max_memory)


def _of_wholes(segments: Segments, asked: _Asked, fill: bool, embedding: str | None) -> Clustering:
    """Classes of the segments that lie in no other, handed down to those that lie in them."""
    top = np.arange(len(segments))
    for _ in range(len(segments)):
        above = segments.parent[top]
        if (above < 0).all():
            break
        top = np.where(above >= 0, above, top)
    kept = np.flatnonzero(segments.parent < 0)
    eps: Any = "auto" if asked.eps is None else asked.eps
    samples: Any = asked.min_samples
    method: Any = asked.method
    found = cluster(
        segments[kept], eps, samples, asked.metric, method, n_classes=asked.n_classes, fill=fill,
        embedding=embedding, max_memory=asked.max_memory,
    )  # fmt: skip
    place = np.searchsorted(kept, top)
    return replace(
        found,
        labels=found.labels[place],
        filled=found.filled[place],
        areas=np.where(segments.parent < 0, areas_of(segments), 0.0),
        reason=f"{found.reason}; of {counted(len(kept), 'whole')}",
    )


def _blockwise(vectors: np.ndarray, asked: _Asked, needed: int) -> Clustering:
    if asked.method != "dbscan":
        raise InputError(_too_large(len(vectors), asked.max_memory))
    labels, radius, curve, quality, reason = neighbourhoods.cluster_blockwise(
        vectors, asked.eps, needed, asked.metric, asked.max_memory
    )
    return Clustering(
        labels=labels, eps=radius, min_samples=needed, k_distances=curve, silhouette=quality,
        reason=reason, metric=asked.metric, method="dbscan",
    )  # fmt: skip


def _whole(
    segments: Segments | np.ndarray,
    vectors: np.ndarray,
    asked: _Asked,
    needed: int,
    embedding: str | None,
) -> Clustering:
    """From the distances of all pairs."""
    distances = distance_matrix(vectors, asked.metric)
    tree = Hierarchy(distances, needed)
    radius, reason = asked.eps, "given"
    if asked.method == "dbscan":
        if radius is None:
            radius, reason = _automatic(tree)
        labels = tree.cut(radius)
    elif asked.method == "hdbscan":
        labels = hdbscan(tree, max(needed, 2), radius or 0.0)
        reason = "HDBSCAN needs no eps" if radius is None else "given"
    elif asked.method == "leiden":
        labels = leiden(_points(vectors, asked.metric))
        reason = "the communities with the largest modularity of the graph of nearest neighbours"
    else:
        labels, radius, reason = _joined(segments, asked, embedding)
        if asked.method == "kmeans":
            count = int(labels.max(initial=0)) + 1
            labels = k_means(_points(vectors, asked.metric), areas_of(segments), count)
            radius, reason = None, f"k-means into {counted(count, 'class')}: {reason}"
    return Clustering(
        labels=labels, eps=np.nan if radius is None else radius, min_samples=needed,
        k_distances=_k_distances(tree), silhouette=silhouette(distances, labels), reason=reason,
        metric=asked.metric, method=asked.method,
    )  # fmt: skip


def _joined(
    segments: Segments | np.ndarray, asked: _Asked, embedding: str | None
) -> tuple[np.ndarray, float, str]:
    """Labels, height of the cut and reason of Ward's tree."""
    regions = disjoint(segments) if isinstance(segments, Segments) else segments
    if len(regions) == 0:
        return np.full(len(segments), -1, np.int64), np.nan, "all segments are empty"
    tree = merging(regions, embedding, asked.metric)
    if not tree.heights.any():
        same = "there is one segment" if len(segments) == 1 else "all segments are alike"
        return np.zeros(len(segments), np.int64), asked.eps or 1.0, same
    if asked.n_classes is not None:
        count, reason = min(int(asked.n_classes), len(tree)), "their number is given"
    elif asked.eps is not None:
        count, reason = tree.count(asked.eps), "given"
    else:
        count = tree.stable
        reason = f"{counted(count, 'class')} last longest while {len(tree)} regions are joined"
    labels = tree.into(count)
    height = tree.height(count) if asked.eps is None else asked.eps
    return carried_over(segments, regions, labels), height, reason


def _points(vectors: np.ndarray, metric: str) -> np.ndarray:
    double = vectors.astype(np.float64)
    return unit(double) if metric == "cosine" else double


@checked_arguments
def sweep(
    segments: Segments | np.ndarray,
    eps: Sequence[float] | np.ndarray | None = None,
    min_samples: int | Literal["auto"] = "auto",
    metric: Literal["cosine", "euclidean"] = "cosine",
    *,
    embedding: str | None = None,
    max_memory: int = DEFAULT_MEMORY,
) -> Sweep:
    """DBSCAN for many eps from one distance matrix; each row equals scikit-learn's own fit.

    Args:
        segments: Segments with an embedding, or vectors (N, D).
        eps: Radii (E,); by default 60 of them that span the k-distances geometrically.
        min_samples, metric, embedding, max_memory: As in `cluster`.

    Returns:
        `Sweep`; no segments give labels of shape (E, 0).
    """
    vectors = vectors_of(segments, embedding, metric=metric)
    n = len(vectors)
    needed = _check_min_samples(min_samples, n)
    if n and matrix_bytes(n) > max_memory:
        raise InputError(_too_large(n, max_memory))
    tree = Hierarchy(distance_matrix(vectors, metric), needed) if n else None
    if eps is None:
        radii = default_eps(_k_distances(tree)) if tree is not None else np.zeros(0)
    else:
        radii = _check_eps(eps)
    if tree is None:
        return Sweep(radii, np.zeros((len(radii), 0), np.int64), needed)
    labels = np.stack([tree.cut(r) for r in radii]) if len(radii) else np.zeros((0, n), np.int64)
    return Sweep(radii, labels, needed)


def _automatic(tree: Hierarchy) -> tuple[float, str]:
    """What `choose_eps` chooses, or what tells more."""
    eps, reason = choose_eps(tree)

    def tried() -> tuple[np.ndarray, np.ndarray]:
        radii = default_eps(_k_distances(tree))
        return radii, np.array([tree.cut(r).max(initial=-1) + 1 for r in radii], np.int64)

    return more_telling(tree.cut(eps), eps, MOST_NOISE, tried) or (eps, reason)


def _k_distances(tree: Hierarchy) -> np.ndarray:
    """Ascending; with fewer segments than min_samples, the distance to the farthest one."""
    if tree.min_samples > len(tree.distances):
        return np.sort(tree.distances.max(axis=1))
    return np.sort(tree.core_distances)


def _check_min_samples(value: int | str, n: int) -> int:
    if value == "auto":
        return auto_min_samples(n)
    if isinstance(value, str) or int(value) != value or value < 1:
        raise InputError(f"Expected min_samples to be 'auto' or 1 or more, got {value!r}.")
    return int(value)


def _check_eps(values: Any) -> np.ndarray:
    try:
        eps = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        eps = np.array([np.nan])
    if not (np.isfinite(eps).all() and (eps > 0).all()):
        raise InputError(
            f"Expected eps to be 'auto' or above 0, got {_said(values)}. Cosine distances lie in "
            "0 .. 2."
        )
    return eps


def _said(values: Any) -> str:
    """A single radius is shown as it was given."""
    single = isinstance(values, (list, np.ndarray)) and len(values) == 1
    return repr(values[0] if single else values)


def _too_large(n: int, max_memory: int) -> str:
    return (
        f"The distances of {n} segments take {matrix_bytes(n) / 2**30:.1f} GiB, more than "
        f"max_memory allows ({max_memory / 2**30:.1f} GiB). Cluster a sample "
        "(segments[::10]), use method='dbscan' of samlab.cluster, which then works blockwise, or "
        "raise max_memory."
    )
