"""How good vectors, classes and painted maps are, measured against labels that people gave."""

from __future__ import annotations

from samlab.latent.compare import class_cosines, compare_embedders
from samlab.latent.evaluation import map_iou
from samlab.latent.scores import (
    clustering_scores,
    knn_accuracy,
    label_from_map,
    linear_probe_accuracy,
    match_classes,
    stability,
)

__all__ = [
    "class_cosines",
    "clustering_scores",
    "compare_embedders",
    "knn_accuracy",
    "label_from_map",
    "linear_probe_accuracy",
    "map_iou",
    "match_classes",
    "stability",
]
