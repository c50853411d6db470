"""Plots: `samlab.plot.segments`, `samlab.plot.classes` and all the others.

Each returns a matplotlib figure; `interactive_projection` returns a plotly one. In
`samlab.view.plots`, where they are made, their names begin with `plot_`.
"""

from __future__ import annotations

from samlab.runs.classes import plot_matches as matches
from samlab.view.plots import Strip, interactive_projection
from samlab.view.plots import plot_bank_ways as bank_ways
from samlab.view.plots import plot_boxes as boxes
from samlab.view.plots import plot_class_panels as class_panels
from samlab.view.plots import plot_classes as classes
from samlab.view.plots import plot_confusion as confusion
from samlab.view.plots import plot_costs as costs
from samlab.view.plots import plot_coverage as coverage
from samlab.view.plots import plot_doubtful as doubtful
from samlab.view.plots import plot_embedding as embedding
from samlab.view.plots import plot_funnel as funnel
from samlab.view.plots import plot_heat_map as heat_map
from samlab.view.plots import plot_k_distances as k_distances
from samlab.view.plots import plot_ladder as ladder
from samlab.view.plots import plot_maps as maps
from samlab.view.plots import plot_matrix as matrix
from samlab.view.plots import plot_models as models
from samlab.view.plots import plot_projection as projection
from samlab.view.plots import plot_prompt as prompt
from samlab.view.plots import plot_segments as segments
from samlab.view.plots import plot_sheet as sheet
from samlab.view.plots import plot_stability as stability
from samlab.view.plots import plot_suppression as suppression
from samlab.view.plots import plot_sweep as sweep

__all__ = [
    "Strip",
    "bank_ways",
    "boxes",
    "class_panels",
    "classes",
    "confusion",
    "costs",
    "coverage",
    "doubtful",
    "embedding",
    "funnel",
    "heat_map",
    "interactive_projection",
    "k_distances",
    "ladder",
    "maps",
    "matches",
    "matrix",
    "models",
    "projection",
    "prompt",
    "segments",
    "sheet",
    "stability",
    "suppression",
    "sweep",
]
