"""Classes at a glance: how large, how sure, which segment stands for each, which class is next."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments

SHARED = ("name", "segments", "pictures", "area_share", "predicted_iou")
COLUMNS = (*SHARED, "medoid", "cohesion", "nearest", "nearest_similarity")


@checked_arguments
def cluster_table(
    segments: Segments, labels: np.ndarray | None = None, *, embedding: str | None = None
) -> pd.DataFrame:
    """One row per class, by the area it covers, noise last.

    Args:
        segments: N segments with an embedding.
        labels: int (N,), -1 for noise; the segments' own labels by default.
        embedding: Which vectors; the first ones by default.

    Returns:
        Data frame indexed by `label`, with the columns of `class_sizes` and
        `medoid`, the row of the segment most similar to the rest of its class (-1 for noise);
        `cohesion`, mean cosine of the members with the class's mean direction (NaN for noise);
        `nearest` and `nearest_similarity`, the other class whose mean direction is most similar,
        and the cosine of the two (-1 and NaN where there is none).
        No segments give no rows.

    Example:
        >>> cluster_table(Segments()).shape
        (0, 9)
    """
    table = class_sizes(segments, labels)
    values = segments.labels if labels is None else np.asarray(labels)
    classes = np.unique(values[values >= 0])
    points = np.zeros((0, 0))
    if len(segments):
        points = unit(vectors_of(segments, embedding).astype(np.float64))
    centres = np.array([points[values == c].mean(axis=0) for c in classes])
    directions = _directions(centres, points.shape[1])
    between = directions @ directions.T
    np.fill_diagonal(between, -np.inf)
    found = {}
    for i, label in enumerate(classes.tolist()):
        ids = np.flatnonzero(values == label)
        fit = points[ids] @ directions[i]
        other, alone = int(between[i].argmax()), len(classes) == 1
        found[label] = (
            int(ids[fit.argmax()]),
            float(fit.mean()),
            -1 if alone else int(classes[other]),
            np.nan if alone else float(between[i, other]),
        )
    nothing = (-1, np.nan, -1, np.nan)
    rows = [found.get(label, nothing) for label in table.index.tolist()]
    further = pd.DataFrame(rows, columns=list(COLUMNS[len(SHARED) :]), index=table.index)
    return table.join(further)


def class_sizes(segments: Segments, labels: np.ndarray | None = None) -> pd.DataFrame:
    """What every table of classes begins with: one row per class, by area, noise last.

    Args:
        segments: N segments of one picture or of several.
        labels: int (N,), -1 for noise; the segments' own labels by default.

    Returns:
        Data frame indexed by `label`, with the columns
        `name`;
        `segments`, how many;
        `pictures`, in how many;
        `area_share`, 0 to 1, of the pixels of the pictures that the segments are of; a pixel
        counts for the smallest segment on it;
        `predicted_iou`, its mean, NaN where the model gave none.
        No segments give no rows.

    Raises:
        InputError: There is not one label per segment.
    """
    values = segments.labels if labels is None else np.asarray(labels)
    if values.shape != (len(segments),):
        raise InputError(
            f"Expected one label per segment, shape ({len(segments)},); got {values.shape}."
        )
    shares = _area_shares(segments, values)
    rows = []
    for label in np.unique(values).tolist():
        own = values == label
        scores = segments.predicted_iou[own]
        known = scores[np.isfinite(scores)]
        rows.append(
            {
                "label": label,
                "name": segments.class_name(label),
                "segments": int(own.sum()),
                "pictures": len(np.unique(segments.image_ids[own].astype(str))),
                "area_share": shares.get(label, 0.0),
                "predicted_iou": float(known.mean()) if len(known) else np.nan,
            }
        )
    rows.sort(key=lambda row: (row["label"] < 0, -row["area_share"], row["label"]))
    return pd.DataFrame(rows, columns=["label", *SHARED]).set_index("label")


def _area_shares(segments: Segments, values: np.ndarray) -> dict[int, float]:
    """Class -> share of all pictures' pixels; -2, which is no class, gets what nothing covers."""
    pixels: Counter[int] = Counter()
    names = segments.image_ids.astype(str)
    for name in np.unique(names):
        ids = names == name
        painted = segments[ids].label_map(values[ids], background=-2)
        top, counted = np.unique(painted, return_counts=True)
        pixels.update(dict(zip(top.tolist(), counted.tolist(), strict=True)))
    return {label: counted / pixels.total() for label, counted in pixels.items()}


def _directions(centres: np.ndarray, width: int) -> np.ndarray:
    """Unit vectors of the class means; a class whose members cancel out has none: zeros."""
    if len(centres) == 0:
        return np.zeros((0, width))
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    return np.where(lengths > 1e-12, centres / np.maximum(lengths, 1e-12), 0.0)
