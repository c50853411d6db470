"""samlab: a notebook workbench for the latent space of Meta's Segment Anything Model.

Importing samlab is cheap: names are looked up on first use, and torch is imported only by what
needs a model.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "Clustering",
    "SamlabError",
    "Segments",
    "__version__",
    "class_table",
    "cluster",
    "explore",
    "fit_projection",
    "heat_map",
    "interactive_projection",
    "overlay",
    "plot_class_panels",
    "plot_classes",
    "plot_embedding",
    "plot_heat_map",
    "plot_k_distances",
    "plot_projection",
    "plot_segments",
    "plot_sweep",
    "pool",
    "project",
    "read_bdd100k",
    "read_coco",
    "read_image",
    "read_label_maps",
    "read_voc",
    "similar",
    "similarity",
    "sweep",
]

#: Public name -> module that defines it.
_HOME = {
    "Clustering": "samlab.latent.clusters",
    "SamlabError": "samlab.errors",
    "Segments": "samlab.segments",
    "class_table": "samlab.view.tables",
    "cluster": "samlab.latent.clusters",
    "explore": "samlab.view.explorer",
    "fit_projection": "samlab.latent.projection",
    "heat_map": "samlab.latent.similarity",
    "interactive_projection": "samlab.view.interactive",
    "overlay": "samlab.view.overlay",
    "plot_class_panels": "samlab.view.plots",
    "plot_classes": "samlab.view.plots",
    "plot_embedding": "samlab.view.latent_plots",
    "plot_heat_map": "samlab.view.plots",
    "plot_k_distances": "samlab.view.latent_plots",
    "plot_projection": "samlab.view.latent_plots",
    "plot_segments": "samlab.view.plots",
    "plot_sweep": "samlab.view.latent_plots",
    "pool": "samlab.latent.embeddings",
    "project": "samlab.latent.projection",
    "read_bdd100k": "samlab.formats.bdd100k",
    "read_coco": "samlab.formats.coco",
    "read_image": "samlab.images",
    "read_label_maps": "samlab.formats.label_maps",
    "read_voc": "samlab.formats.voc",
    "similar": "samlab.latent.similarity",
    "similarity": "samlab.latent.similarity",
    "sweep": "samlab.latent.clusters",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'samlab' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
