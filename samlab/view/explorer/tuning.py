"""The slider's clusterings: labels for every step, numbered so that a class keeps its colour."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from samlab.errors import InputError
from samlab.latent.cluster import (
    Clustering,
    Hierarchy,
    Joining,
    areas_of,
    cluster,
    default_eps,
    distance_matrix,
    fill,
    lasting_counts,
    lasting_steps,
    silhouette,
)
from samlab.latent.vectors import vectors_of
from samlab.segments import Segments
from samlab.view.scene import known

#: Above so many segments a silhouette per step would take longer than the clustering itself.
_SCORED = 1500

#: At most so many numbers of classes of Ward's tree are steps of the slider; from the second number
#: on not each, but evenly many of them.
_STEPS, _EACH = 60, 40


@dataclass(frozen=True)
class Settings:
    """How segments are clustered, but for eps."""

    embedding: str
    pooling: str
    method: str
    metric: str
    min_samples: int

    def changed(self, values: dict[str, Any]) -> Settings:
        """These settings with some values replaced, checked."""
        unknown = sorted(set(values) - set(asdict(self)))
        if unknown:
            raise InputError(f"Expected settings among {sorted(asdict(self))}, got {unknown}.")
        count = values.get("min_samples", self.min_samples)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(f"Expected min_samples of 1 or more, got {count!r}.")
        return replace(self, **values)


def match_labels(reference: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Renumber a clustering so that its classes carry the numbers of the classes they overlap.

    The pair with the most segments in common is matched first, each number is used once, and
    classes without a match get the lowest free numbers. The partition stays the same.

    Args:
        reference: int (N,), the clustering whose numbers to carry over; -1 is noise.
        labels: int (N,), the clustering to renumber.

    Returns:
        int64 (N,).

    Example:
        >>> match_labels(np.array([0, 0, 1, 1, 1]), np.array([1, 1, 0, 0, -1])).tolist()
        [0, 0, 1, 1, -1]
    """
    reference, labels = np.asarray(reference, np.int64), np.asarray(labels, np.int64)
    both = (reference >= 0) & (labels >= 0)
    pairs, shared = np.unique(
        np.stack([reference[both], labels[both]], axis=1), axis=0, return_counts=True
    )
    number: dict[int, int] = {}
    for i in np.argsort(-shared, kind="stable"):
        old, new = int(pairs[i, 0]), int(pairs[i, 1])
        if new not in number and old not in number.values():
            number[new] = old
    taken = set(number.values())
    free = (k for k in range(2 * len(labels) + 1) if k not in taken)
    for new in np.unique(labels[labels >= 0]).tolist():
        if new not in number:
            number[new] = next(free)
    return np.array([number.get(int(v), -1) for v in labels], np.int64)


def chain_labels(rows: np.ndarray, start: int) -> np.ndarray:
    """Renumber all rows of a sweep, int (S, N), outwards from row `start`, which stays as it is."""
    out = np.array(rows, dtype=np.int64, copy=True)
    for step in range(start + 1, len(out)):
        out[step] = match_labels(out[step - 1], out[step])
    for step in range(start - 1, -1, -1):
        out[step] = match_labels(out[step + 1], out[step])
    return out


class Tuning:
    """Clusterings of segments over a range of eps, for one set of `Settings`.

    Args:
        source: Segments with the vectors that the settings name, or vectors, float32 (N, D).
        settings: How to cluster.
        reference: int (N,), classes whose numbers are taken over, if any: by the step that has the
            same classes, else by the suggested one.
        exact: Where some radius gives the classes of `reference`, have a step for it.

    Attributes:
        settings: How they were made.
        eps: float64 (S,), ascending; `suggested` is one of them. For Ward heights of the cut.
        labels: int64 (S, N), numbered by `chain_labels` from the suggested step on.
        suggested: The eps that `samlab.cluster` chooses by itself; None without segments.
        ladder: Steps that last, the fewest classes first; see `samlab.ladder`.
    """

    def __init__(
        self,
        source: Segments | np.ndarray,
        settings: Settings,
        reference: np.ndarray | None = None,
        *,
        exact: bool = False,
    ) -> None:
        self.settings = settings
        self._source = source
        vectors = self._vectors = vectors_of(
            source, settings.embedding or None, metric=settings.metric
        )
        n = len(vectors)
        if settings.method == "ward" and n:
            self._join(reference)
            return
        # For HDBSCAN the slider moves cluster_selection_epsilon over the same distances.
        first = cluster(vectors, "auto", settings.min_samples, settings.metric)  # type: ignore[arg-type]
        self.k_distances = first.k_distances
        # Rounded up: the knee is some segment's own k-distance, which must stay inside.
        self.suggested = _round_up(first.eps) if np.isfinite(first.eps) else None
        steps = 60 if n <= _SCORED else 30 if self._is_dbscan else 12
        grid = default_eps(first.k_distances, steps)
        if self.suggested is not None:
            grid = np.append(grid, self.suggested)
        self.eps = np.unique(np.array([_round_up(v) for v in grid], np.float64))
        distances = distance_matrix(vectors, settings.metric) if n else np.zeros((0, 0))
        tree = Hierarchy(distances, settings.min_samples)
        if n and exact and reference is not None and self._is_dbscan:
            own = radius_of(reference, tree)
            self.eps = self.eps if own is None else np.unique(np.append(self.eps, own))
        self.scores = np.full(len(self.eps), np.nan)
        rows = np.full((len(self.eps), n), -1, np.int64)
        if n:
            for i, value in enumerate(self.eps):
                rows[i] = tree.cut(value) if self._is_dbscan else self._cluster(value).labels
                if n <= _SCORED:
                    self.scores[i] = silhouette(distances, rows[i])
        areas = areas_of(source)
        self.ladder = [step for step, _ in lasting_steps(self.eps, rows, areas)]
        self._number(rows, reference)

    def _join(self, reference: np.ndarray | None) -> None:
        """The same for Ward's tree: each number of classes is a step."""
        self._joining = Joining(self._source, self.settings.embedding or None, self.settings.metric)
        tree = self._joining.tree
        self.k_distances = tree.heights
        heights = {count: tree.height(count) for count in _counts(len(tree))}
        counts = [count for count, height in heights.items() if tree.count(height) == count]
        counts.sort(reverse=True)
        self.eps = np.array([heights[count] for count in counts], np.float64)
        best = tree.stable if tree.heights.any() else 1
        self.suggested = heights.get(best)
        lasting = lasting_counts(tree) if tree.heights.any() else []
        self.ladder = [counts.index(count) for count in lasting if count in counts]
        rows = np.full((len(counts), len(self._vectors)), -1, np.int64)
        self.scores = np.full(len(counts), np.nan)
        distances = distance_matrix(self._vectors, self.settings.metric)
        for i, count in enumerate(counts):
            rows[i] = self._joining.into(count)
            if len(self._vectors) <= _SCORED:
                self.scores[i] = silhouette(distances, rows[i])
        self._number(rows, reference)

    def _number(self, rows: np.ndarray, reference: np.ndarray | None) -> None:
        """Take the rows as labels, with numbers that go on from step to step."""
        #: The step whose classes are those of `reference`, if any; the nearest to the suggested.
        self.given = _step_of(reference, rows, self.start)
        first_step = self.start if self.given is None else self.given
        if reference is not None and len(rows):
            rows[first_step] = match_labels(reference, rows[first_step])
        self.labels = chain_labels(rows, first_step)

    @property
    def _is_dbscan(self) -> bool:
        return self.settings.method == "dbscan"

    def _cluster(self, eps: float) -> Clustering:
        s = self.settings
        return cluster(self._vectors, eps, s.min_samples, s.metric, s.method)  # type: ignore[arg-type]

    def _labels_at(self, eps: float) -> np.ndarray:
        if self.settings.method == "ward":
            return self._joining.into(max(self._joining.tree.count(eps), 1))
        return self._cluster(eps).labels

    @property
    def start(self) -> int:
        """The step nearest to the suggested eps."""
        return self.step(self.suggested) if self.suggested is not None else 0

    def filled(self, labels: np.ndarray) -> np.ndarray:
        """Labels int64 (N,) where noise has taken the nearest class that is near enough."""
        return fill(self._vectors, labels, self.settings.metric)

    def step(self, eps: float) -> int:
        """Index of the step nearest to `eps`; 0 where there are no steps."""
        return int(np.abs(self.eps - eps).argmin()) if len(self.eps) else 0

    def at(self, eps: float) -> np.ndarray:
        """Labels int64 (N,) for exactly this eps, numbered like the nearest step's."""
        if not (np.isfinite(eps) and eps > 0):
            raise InputError(f"Expected eps above 0, got {eps}.")
        step = self.step(eps)
        if len(self.eps) == 0 or self.eps[step] == eps:
            return self.labels[step] if len(self.eps) else np.zeros(0, np.int64)
        return match_labels(self.labels[step], self._labels_at(eps))

    def _filled_rows(self) -> np.ndarray:
        """The table filled, int (S, N); (0, N) for more segments than a page waits for."""
        if not 0 < self.labels.shape[1] <= _SCORED:
            return self.labels[:0]
        return np.array([self.filled(row) for row in self.labels], np.int64)

    def payload(self) -> dict[str, Any]:
        """For the browser (`readSweep` in explorer.js): the label table as int16, and summaries."""
        n = self.labels.shape[1]
        noise = (self.labels < 0).sum(axis=1) / max(n, 1)
        return {
            "n": n,
            "parameter": "eps",
            "values": self.eps.tolist(),
            "suggested": self.suggested,
            "start": self.start,
            "table": self.labels.astype("<i2").tobytes(),
            "filled": self._filled_rows().astype("<i2").tobytes(),
            "distances": self.k_distances.astype("<f4").tobytes(),
            "ladder": self.ladder,
            "classes": [len(np.unique(row[row >= 0])) for row in self.labels],
            "noise": np.round(noise, 4).tolist(),
            "silhouette": known(self.scores),
            "settings": asdict(self.settings),
        }


def radius_of(reference: np.ndarray, tree: Hierarchy) -> float | None:
    """A radius at which DBSCAN parts segments as `reference`, int (N,), does; None where none does.

    As the radius grows, noise never gets more, and while it stays the same classes only merge. So
    the radius is found by halving; of those that give it, one of few digits is taken.
    """
    wanted = _rank(reference)
    low, high = 0.0, float(tree.distances.max(initial=0.0)) * 1.01
    for _ in range(60):
        middle = (low + high) / 2
        rank = _rank(tree.cut(middle))
        if rank == wanted:
            near = [float(f"{middle:.{digits}g}") for digits in (2, 3, 4)]
            return next((v for v in [*near, middle] if _parts_as(reference, tree.cut(v))), None)
        low, high = (middle, high) if rank < wanted else (low, middle)
    return None


def _rank(labels: np.ndarray) -> tuple[int, int]:
    """What grows with the radius: first that noise is little, then that classes are few."""
    return -int((labels < 0).sum()), -len(np.unique(labels[labels >= 0]))


def _parts_as(reference: np.ndarray, labels: np.ndarray) -> bool:
    """Whether two labellings make the same classes, whatever their numbers."""
    return bool(
        ((labels < 0) == (reference < 0)).all()
        and len(np.unique(labels)) == len(np.unique(reference))
        and (match_labels(reference, labels) == reference).all()
    )


def _step_of(reference: np.ndarray | None, rows: np.ndarray, start: int) -> int | None:
    """The row of a sweep, int (S, N), that parts as `reference` does; the nearest to `start`."""
    if reference is None:
        return None
    same = [step for step, row in enumerate(rows) if _parts_as(reference, row)]
    return min(same, key=lambda step: abs(step - start), default=None)


def _round_up(value: float, digits: int = 4) -> float:
    """The next number of four significant digits, so that a person can read and copy it."""
    if value <= 0:
        return float(value)
    unit = 10.0 ** (np.floor(np.log10(value)) - digits + 1)
    return float(f"{np.ceil(value / unit * (1 - 1e-12)) * unit:.{digits}g}")


def _counts(regions: int) -> list[int]:
    """Numbers of classes that are steps of the slider."""
    some = np.geomspace(_EACH, max(regions, _EACH), _STEPS - _EACH + 1).round().astype(int)
    return sorted({*range(1, min(regions, _EACH) + 1), *some[some <= regions].tolist()})
