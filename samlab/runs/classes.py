"""Classes and search across all pictures of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure

from samlab.errors import ImageError, InputError, counted
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Count, Natural, Seed
from samlab.files import write_atomic
from samlab.latent.cluster import (
    SAMPLE,
    AcrossClustering,
    VectorBlocks,
    cluster_across,
    nearest_across,
)
from samlab.latent.projection import fit_projection
from samlab.latent.vectors import unit, vectors_of
from samlab.palette import hex_color
from samlab.runs.results import Run
from samlab.segments import Segments
from samlab.segments.tables import to_parquet_bytes
from samlab.view.explorer import Explorer, explore
from samlab.view.plots import Strip, cut_square, plot_sheet

if TYPE_CHECKING:
    from samlab.latent.cluster import Clustering

COLUMNS = ("name", "segments", "pictures", "area_share", "medoid", "cohesion")


@dataclass(frozen=True, eq=False)
class RunClasses:
    """The segments of a run in classes; see `cluster_run`.

    Attributes:
        run: The run.
        labels: int64 (N,), in the order of `run.table()`; -1 is noise.
        sample: int64 (S,): the rows that were clustered; the others were assigned.
        fit: The clustering of the sample: eps, why this eps, k-distances, silhouette.
        embedding: Name of the vectors.
        names: Class -> name, where one was given.
    """

    run: Run
    labels: np.ndarray
    sample: np.ndarray
    fit: Clustering
    embedding: str
    names: Mapping[int, str] = field(default_factory=dict)
    _vectors: np.ndarray = field(repr=False, default_factory=lambda: np.zeros((0, 0), np.float32))

    # -- tables ---------------------------------------------------------------------------------

    @cached_property
    def _rows(self) -> pd.DataFrame:
        return self.run.table(["image_id", "segment", "area"]).to_pandas()

    @property
    def table(self) -> pd.DataFrame:
        """One row per class, the largest first, noise last, indexed by `label`.

        Columns: `name`; `segments` and `pictures`, how many; `area_share`, its segments' pixels as
        a share of the run's (where segments overlap each counts, so that the shares may add up to
        more than 1); `medoid`, the row of the sampled segment most similar to the rest of its
        class (-1 for noise); `cohesion`, mean cosine of sampled members with the class's mean
        direction.
        """
        rows = self._rows.assign(label=self.labels)
        pictures = self.run.pictures
        total = max(int((pictures["width"] * pictures["height"]).sum()), 1)
        found = []
        for label, own in rows.groupby("label"):
            order, cosines = self._typical(int(str(label)))
            found.append(
                {
                    "label": int(str(label)),
                    "name": self.class_name(int(str(label))),
                    "segments": len(own),
                    "pictures": own["image_id"].nunique(),
                    "area_share": own["area"].sum() / total,
                    "medoid": int(order[0]) if len(order) else -1,
                    "cohesion": float(cosines.mean()) if len(order) else np.nan,
                }
            )
        found.sort(key=lambda row: (row["label"] < 0, -row["segments"], row["label"]))
        return pd.DataFrame(found, columns=["label", *COLUMNS]).set_index("label")

    def to_pandas(self) -> pd.DataFrame:
        """One row per segment of the run, with these classes and their names."""
        names = {label: self.class_name(label) for label in np.unique(self.labels).tolist()}
        frame = self.run.to_pandas().assign(label=self.labels)
        return frame.assign(class_name=frame["label"].map(names))

    def to_parquet(self, path: str | os.PathLike[str]) -> Path:
        """Write image_id, segment, label and class_name of every segment; whole or not at all."""
        frame = self.to_pandas()[["image_id", "segment", "label", "class_name"]]
        table = pa.Table.from_pandas(frame, preserve_index=False)
        write_atomic(Path(path), to_parquet_bytes(table))
        return Path(path)

    def class_name(self, label: int) -> str:
        """The name of a class, else "class 3", or "unassigned" for -1."""
        return self.names.get(label, "unassigned" if label < 0 else f"class {label}")

    def with_names(self, names: Mapping[int, str]) -> RunClasses:
        """The same classes with names for some of them."""
        unknown = sorted(set(names) - set(self.labels.tolist()))
        if unknown:
            have = sorted(set(self.labels.tolist()) - {-1})
            raise InputError(f"Expected names of the classes {have}, got one for {unknown[0]}.")
        return replace(self, names={**self.names, **names})

    # -- pictures -------------------------------------------------------------------------------

    def segments(self, image_id: str) -> Segments:
        """The segments of one picture with the run's classes and names."""
        found = self.run.segments(image_id)
        own = (self._rows["image_id"] == image_id).to_numpy()
        return found.with_labels(self.labels[own], dict(self.names))

    def explore(self, image_id: str, **options: Any) -> Explorer:
        """`samlab.explore` on one picture, beginning with the run's classes.

        Args:
            image_id: The picture.
            **options: As for `samlab.explore`.
        """
        chosen = {"metric": self.fit.metric, "embedding": self.embedding, **options}
        return explore(self.segments(image_id), self.run.image(image_id), **chosen)

    def project(self) -> tuple[np.ndarray, np.ndarray]:
        """A map of the sampled segments, UMAP: points float32 (S, 2) and their labels (S,)."""
        metric: Any = self.fit.metric
        return fit_projection(self._vectors, metric=metric).points, self.labels[self.sample]

    def project_all(self) -> np.ndarray:
        """All segments on the map of the sampled ones, float32 (N, 2), block by block.

        UMAP's own transform takes about as long per segment as its fit; for a look at the map,
        `project` does.
        """
        metric: Any = self.fit.metric
        fitted = fit_projection(self._vectors, metric=metric)
        points = np.zeros((len(self.labels), 2), np.float32)
        for rows, block in run_vectors(self.run, self.embedding).read():
            points[rows] = fitted.transform(block)
        points[self.sample] = fitted.points
        return points

    def examples(self, label: int, n: int = 8) -> np.ndarray:
        """Rows of up to n sampled segments typical of a class, one per picture where it can be."""
        order, _ = self._typical(label)
        pictures = self._rows["image_id"].to_numpy()[order]
        _, first = np.unique(pictures, return_index=True)
        leading = np.sort(first)
        others = np.setdiff1d(np.arange(len(order)), leading)
        return np.asarray(order[np.concatenate([leading, others])[:n]], np.int64)

    def plot_table(self, *, max_classes: Natural = 12, columns: Count = 8) -> Figure:
        """The largest classes, each with cut-outs of segments typical of it from several pictures.

        Args:
            max_classes: How many classes.
            columns: Cut-outs of each.
        """
        shown = self.table[self.table.index >= 0].head(max_classes)
        chosen = {label: self.examples(label, columns) for label in shown.index.tolist()}
        rows = np.concatenate([np.zeros(0, np.int64), *chosen.values()])
        cuts = cut_rows(self.run, self._rows, rows)
        strips = [
            Strip(
                str(row["name"]),
                f"{row['segments']:,} in {counted(row['pictures'], 'picture')}",
                hex_color(label),
                [cuts[i] for i in chosen[label].tolist()],
            )
            for label, row in shown.iterrows()
        ]
        more = int((self.table.index >= 0).sum()) - len(shown)
        title = "Classes of the run" + (f" ({more} smaller ones not shown)" if more else "")
        return plot_sheet(strips, columns=columns, title=title)

    def __repr__(self) -> str:
        noise = float(np.mean(self.labels < 0)) if len(self.labels) else 0.0
        return (
            f"RunClasses({len(self.labels):,} segments, {self.fit.n_clusters} classes, "
            f"{100 * noise:.0f} % unassigned, from a sample of {len(self.sample):,})"
        )

    # -- inside ---------------------------------------------------------------------------------

    def _typical(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a class's sampled members, the most typical first, and their cosines."""
        own = np.flatnonzero(self.labels[self.sample] == label)
        if label < 0 or len(own) == 0:
            return np.zeros(0, np.int64), np.zeros(0)
        points = unit(self._vectors[own].astype(np.float64))
        cosines = points @ points.mean(axis=0)
        cosines /= max(float(np.linalg.norm(points.mean(axis=0))), 1e-12)
        order = np.argsort(-cosines, kind="stable")
        return self.sample[own[order]], cosines[order]


@checked_arguments
def cluster_run(
    run: Run,
    eps: float | Literal["auto"] = "auto",
    min_samples: int | Literal["auto"] = "auto",
    metric: Literal["cosine", "euclidean"] = "cosine",
    method: Literal["dbscan", "hdbscan"] = "dbscan",
    *,
    embedding: str | None = None,
    sample: Count = SAMPLE,
    seed: Seed = 0,
) -> RunClasses:
    """Group the segments of all pictures of a run into classes.

    A sample is clustered, the rest assigned to the classes found; the vectors are read file by
    file, so a run may be larger than memory is. The result does not depend on how the run was
    interrupted.

    Args:
        run: A run, as `samlab.run` and `samlab.open_run` give it.
        eps, min_samples, metric, method, sample, seed: As in
            `samlab.latent.cluster.sampled.cluster_across`.
        embedding: Which vectors; the first ones by default.

    Returns:
        `RunClasses`: `.table`, `.plot_table()`, `.explore(image_id)`, `.to_parquet(path)`.

    Example:
        >>> classes = cluster_run(samlab.open_run("out"))  # doctest: +SKIP
        >>> classes.plot_table()  # doctest: +SKIP
    """
    name = _embedding(run, embedding)
    found: AcrossClustering = cluster_across(
        run_vectors(run, name), eps, min_samples, metric, method, sample=sample, seed=seed
    )
    return RunClasses(run, found.labels, found.sample, found.fit, name, _vectors=found.vectors)


@checked_arguments
def search_run(
    run: Run,
    query: Segments | np.ndarray | tuple[str, int],
    k: Count = 10,
    *,
    embedding: str | None = None,
) -> pd.DataFrame:
    """The k segments of a run that are most similar to a query, the most similar first.

    Exact, one file at a time. `samlab.plot.matches` shows them.

    Args:
        run: A run.
        query: Segments, a vector (D,) or vectors (Q, D), or a segment of the run itself as
            `(image_id, segment)`, which finds itself first.
        k: How many per query.
        embedding: Which vectors; the first ones of the run by default.

    Returns:
        Data frame with a row per match: `query`, `rank` (from 0), `image_id`, `segment`,
        `similarity` (cosine) and `row`, its position in `run.table()`.

    Example:
        >>> search_run(samlab.open_run("out"), ("a.jpg", 3), k=5)  # doctest: +SKIP
    """
    name = _embedding(run, embedding)
    if isinstance(query, tuple):
        one = run.segments(query[0])
        query = one[[query[1]]]
    vectors = query if isinstance(query, Segments) else np.atleast_2d(query)
    asked = vectors_of(vectors, name, what="query")
    rows, scores = nearest_across(asked, run_vectors(run, name), k)
    found = rows.shape[1]
    named = run.table(["image_id", "segment"]).take(pa.array(rows.ravel())).to_pandas()
    return pd.DataFrame(
        {
            "query": np.repeat(np.arange(len(rows)), found),
            "rank": np.tile(np.arange(found), len(rows)),
            "image_id": named["image_id"].astype(str),
            "segment": named["segment"].to_numpy(np.int64),
            "similarity": scores.ravel(),
            "row": rows.ravel(),
        }
    )


@checked_arguments
def plot_matches(run: Run, matches: pd.DataFrame, *, columns: Count = 8) -> Figure:
    """Cut-outs of what `search_run` found, a row per query, with the similarity below each."""
    cuts = cut_rows(run, run.table(["image_id", "segment"]).to_pandas(), matches["row"].to_numpy())
    strips = []
    for query, own in matches.groupby("query"):
        own = own.sort_values("rank").head(columns)
        strips.append(
            Strip(
                f"query {query}",
                f"from {counted(own['image_id'].nunique(), 'picture')}",
                "",
                [cuts[row] for row in own["row"].tolist()],
                [f"{score:.3f}" for score in own["similarity"].tolist()],
            )
        )
    return plot_sheet(strips, columns=columns, title="Most similar segments")


def run_vectors(run: Run, embedding: str) -> VectorBlocks:
    """The vectors of a run, read file by file; rows are those of `run.table()`."""
    counts = run.pictures["n_segments"].to_numpy(np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    first = dict(zip(run.pictures["image_id"], starts[:-1].tolist(), strict=True))
    column = f"embedding_{embedding}"

    def read() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for table in run.tables(["image_id", "segment", column]):
            offsets = np.array([first[i] for i in table["image_id"].to_pylist()], np.int64)
            rows = offsets + table["segment"].to_numpy().astype(np.int64)
            flat = table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            yield rows, flat.reshape(len(rows), -1)

    return VectorBlocks(int(starts[-1]), read)


def cut_rows(run: Run, table: pd.DataFrame, rows: Sequence[int] | np.ndarray) -> dict[int, Any]:
    """Cut-outs uint8 (S, S, 3) of rows of a run's table, each picture read once.

    A picture that is gone or broken gives grey squares.
    """
    wanted = table.iloc[np.unique(np.asarray(rows, np.int64))]
    cuts: dict[int, Any] = {}
    for image_id, own in wanted.groupby("image_id", sort=False):
        try:
            pixels = run.image(str(image_id))
        except ImageError:
            cuts.update(dict.fromkeys(own.index.tolist(), np.full((8, 8, 3), 200, np.uint8)))
            continue
        segments = run.segments(str(image_id))
        for row, number in zip(own.index.tolist(), own["segment"].tolist(), strict=True):
            cuts[row] = cut_square(segments, int(number), pixels)
    return cuts


def _embedding(run: Run, name: str | None) -> str:
    have = run.embeddings
    if run.n_segments == 0 or (name is None and have):
        return name or next(iter(have), "")
    if name is None or name not in have:
        wanted = "vectors" if name is None else f"the vectors '{name}'"
        raise InputError(
            f"Expected a run with {wanted}; it has {', '.join(map(repr, have)) or 'none'}. "
            "samlab.run(..., embed=(...)) decides which are made."
        )
    return name
