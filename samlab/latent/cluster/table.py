"""Classes at a glance: how large, how sure, which segment stands for each, which class is next."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from samlab.errors import InputError
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments

COLUMNS = (
    "label", "name", "size", "area_share", "predicted_iou", "medoid", "cohesion", "nearest",
    "nearest_similarity",
)  # fmt: skip


def cluster_table(
    segments: Segments, labels: np.ndarray | None = None, *, embedding: str | None = None
) -> pd.DataFrame:
    """One row per class, the largest first, noise last.

    Args:
        segments: N segments with an embedding.
        labels: int (N,), -1 for noise; the segments' own labels by default.
        embedding: Which vectors; the first ones by default.

    Returns:
        Data frame with the columns
        `label` and `name`;
        `size`, number of segments;
        `area_share`, their pixels as a share of all segments' pixels;
        `predicted_iou`, its mean, NaN where the model gave none;
        `medoid`, the row of the segment most similar to the rest of its class (-1 for noise);
        `cohesion`, mean cosine of the members with the class's mean direction (NaN for noise);
        `nearest` and `nearest_similarity`, the other class whose mean direction is most similar,
        and the cosine of the two (-1 and NaN where there is none).
        No segments give no rows.

    Example:
        >>> cluster_table(Segments()).shape
        (0, 9)
    """
    values = np.asarray(segments.labels if labels is None else labels)
    if values.shape != (len(segments),):
        raise InputError(
            f"Expected one label per segment, shape ({len(segments)},); got {values.shape}."
        )
    if len(segments) == 0:
        return pd.DataFrame({name: [] for name in COLUMNS})
    points = unit(vectors_of(segments, embedding).astype(np.float64))
    areas = np.asarray(segments.areas, np.float64)
    scores = np.asarray(segments.predicted_iou, np.float64)
    classes = np.unique(values[values >= 0])
    centres = np.array([points[values == c].mean(axis=0) for c in classes])
    directions = _directions(centres, points.shape[1])
    between = directions @ directions.T
    np.fill_diagonal(between, -np.inf)
    rows = []
    for i, label in enumerate(classes):
        ids = np.flatnonzero(values == label)
        fit = points[ids] @ directions[i]
        other = int(between[i].argmax())
        alone = len(classes) == 1
        rows.append(
            _row(segments, int(label), ids, areas, scores)
            | {
                "medoid": int(ids[fit.argmax()]),
                "cohesion": float(fit.mean()),
                "nearest": -1 if alone else int(classes[other]),
                "nearest_similarity": np.nan if alone else float(between[i, other]),
            }
        )
    rows.sort(key=lambda row: (-row["size"], row["label"]))
    noise = np.flatnonzero(values < 0)
    if len(noise):
        rows.append(_row(segments, -1, noise, areas, scores) | {"medoid": -1, "nearest": -1})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(
    segments: Segments, label: int, ids: np.ndarray, areas: np.ndarray, scores: np.ndarray
) -> dict[str, Any]:
    known = scores[ids][np.isfinite(scores[ids])]
    return {
        "label": label,
        "name": segments.class_name(label),
        "size": len(ids),
        "area_share": float(areas[ids].sum() / max(areas.sum(), 1)),
        "predicted_iou": float(known.mean()) if len(known) else np.nan,
    }


def _directions(centres: np.ndarray, width: int) -> np.ndarray:
    """Unit vectors of the class means; a class whose members cancel out has none: zeros."""
    if len(centres) == 0:
        return np.zeros((0, width))
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    return np.where(lengths > 1e-12, centres / np.maximum(lengths, 1e-12), 0.0)
