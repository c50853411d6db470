"""Readers of other people's labels, one per format; `samlab.read_labels` guesses the format.

`coco`, `yolo`, `voc`, `bdd100k` and `label_maps` give `LabelledImages`: pictures with the boxes,
masks and classes that people gave them. `sa1b` gives `Segments`, `label_map` one array.
"""

from __future__ import annotations

from samlab.formats.bdd100k import read_bdd100k as bdd100k
from samlab.formats.coco import read_coco as coco
from samlab.formats.label_maps import read_label_map as label_map
from samlab.formats.label_maps import read_label_maps as label_maps
from samlab.formats.labelled import LabelledImage, LabelledImages
from samlab.formats.sa1b import read_sa1b as sa1b
from samlab.formats.voc import read_voc as voc
from samlab.formats.yolo import read_yolo as yolo

__all__ = [
    "LabelledImage",
    "LabelledImages",
    "bdd100k",
    "coco",
    "label_map",
    "label_maps",
    "sa1b",
    "voc",
    "yolo",
]
