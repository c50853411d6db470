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
    "ColourTexture",
    "MaskGenerator",
    "MemoryBank",
    "PatchEmbedder",
    "Run",
    "SamlabError",
    "Segments",
    "TransformersEmbedder",
    "__version__",
    "box_examples",
    "class_table",
    "cluster",
    "cluster_table",
    "clustering_scores",
    "compare_embedders",
    "cut_out",
    "embed",
    "encode",
    "explore",
    "export",
    "fit_projection",
    "heat_map",
    "inpainting_mask",
    "interactive_projection",
    "knn_accuracy",
    "label_from_map",
    "linear_probe_accuracy",
    "load_sam",
    "open_run",
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
    "probe",
    "project",
    "prompt",
    "read_bdd100k",
    "read_coco",
    "read_image",
    "read_label_maps",
    "read_sa1b",
    "read_voc",
    "run",
    "segment",
    "segment_boxes",
    "segment_masks",
    "segment_points",
    "similar",
    "similarity",
    "stability",
    "sweep",
    "train_head",
    "train_prototypes",
]

#: Public name -> module that defines it.
_HOME = {
    "Clustering": "samlab.latent.clusters",
    "ColourTexture": "samlab.latent.embedders",
    "MaskGenerator": "samlab.sam.amg",
    "MemoryBank": "samlab.bank.memory_bank",
    "PatchEmbedder": "samlab.latent.embedders",
    "Run": "samlab.runs.opened",
    "SamlabError": "samlab.errors",
    "Segments": "samlab.segments",
    "TransformersEmbedder": "samlab.latent.embedders",
    "box_examples": "samlab.bank.examples",
    "class_table": "samlab.view.tables",
    "cluster": "samlab.latent.clusters",
    "cluster_table": "samlab.latent.cluster_table",
    "clustering_scores": "samlab.latent.scores",
    "compare_embedders": "samlab.latent.compare",
    "cut_out": "samlab.formats.cutouts",
    "embed": "samlab.latent.embedders",
    "encode": "samlab.sam.encoder",
    "explore": "samlab.view.explorer",
    "export": "samlab.formats.export",
    "fit_projection": "samlab.latent.projection",
    "heat_map": "samlab.latent.similarity",
    "inpainting_mask": "samlab.formats.inpainting",
    "interactive_projection": "samlab.view.interactive",
    "knn_accuracy": "samlab.latent.scores",
    "label_from_map": "samlab.latent.scores",
    "linear_probe_accuracy": "samlab.latent.scores",
    "load_sam": "samlab.sam.load",
    "open_run": "samlab.runs.opened",
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
    "probe": "samlab.view.probe",
    "project": "samlab.latent.projection",
    "prompt": "samlab.view.prompter",
    "read_bdd100k": "samlab.formats.bdd100k",
    "read_coco": "samlab.formats.coco",
    "read_image": "samlab.images",
    "read_label_maps": "samlab.formats.label_maps",
    "read_sa1b": "samlab.formats.sa1b",
    "read_voc": "samlab.formats.voc",
    "run": "samlab.runs.folder",
    "segment": "samlab.pipeline",
    "segment_boxes": "samlab.sam.prompts",
    "segment_masks": "samlab.sam.prompts",
    "segment_points": "samlab.sam.prompts",
    "similar": "samlab.latent.similarity",
    "similarity": "samlab.latent.similarity",
    "stability": "samlab.latent.scores",
    "sweep": "samlab.latent.clusters",
    "train_head": "samlab.latent.head_training",
    "train_prototypes": "samlab.latent.head_training",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'samlab' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
