"""MemoryBank: the bank of prototypes, built straight from labelled pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from samlab.bank.base import PrototypeBank
from samlab.formats.bdd100k import read_bdd100k
from samlab.formats.coco import read_coco
from samlab.formats.label_maps import read_label_maps
from samlab.formats.labelled import LabelledImages
from samlab.formats.voc import read_voc
from samlab.formats.yolo import read_yolo

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

Bank = TypeVar("Bank", bound="MemoryBank")
_OF_EXAMPLES = ("how", "masks", "parts", "background", "resume", "device", "progress")


class MemoryBank(PrototypeBank):
    """Per-class prototypes that classify segments by cosine; see `PrototypeBank` for the rest.

    Example:
        >>> import numpy as np
        >>> bank = MemoryBank(np.eye(2), np.arange(2), ("car", "tree"))
        >>> bank.classify(np.array([[0.2, 0.9]])).names()
        ['tree']
    """

    @classmethod
    def from_labelled(
        cls: type[Bank], labelled: LabelledImages, sam: str | Path | Sam = "tiny", **options: Any
    ) -> Bank:
        """Build a bank from labelled pictures: masks by box prompts, vectors, KMeans per class.

        Args:
            labelled: From `samlab.read_labels`, or from a reader of `samlab.read`.
            sam: A model from `load_sam`, or a name or path for it.
            **options: Those of `box_examples` (how, masks, parts, background, resume, device,
                progress) and of `from_segments` (per_class, class_weights, head, seed).
        """
        from samlab.bank.examples import BACKGROUND, box_examples

        making = {name: options.pop(name) for name in _OF_EXAMPLES if name in options}
        examples = box_examples(labelled, sam, **making)
        if making.get("background") and BACKGROUND in _used(examples):
            options = {"background": [BACKGROUND], **options}
        return cls.from_segments(examples, **options)

    @classmethod
    def from_coco(
        cls: type[Bank],
        annotations: str | Path | Mapping[str, Any],
        images: str | Path,
        sam: str | Path | Sam = "tiny",
        **options: Any,
    ) -> Bank:
        """Build a bank from COCO labels; see `samlab.read.coco` and `from_labelled`."""
        return cls.from_labelled(read_coco(annotations, images), sam, **options)

    @classmethod
    def from_bdd100k(
        cls: type[Bank],
        frames: str | Path | list[Any],
        images: str | Path,
        sam: str | Path | Sam = "tiny",
        **options: Any,
    ) -> Bank:
        """Build a bank from BDD100K labels; see `samlab.read.bdd100k` and `from_labelled`."""
        return cls.from_labelled(read_bdd100k(frames, images), sam, **options)

    @classmethod
    def from_voc(
        cls: type[Bank],
        annotations: str | Path,
        images: str | Path,
        sam: str | Path | Sam = "tiny",
        **options: Any,
    ) -> Bank:
        """Build a bank from Pascal VOC labels; see `samlab.read.voc` and `from_labelled`."""
        return cls.from_labelled(read_voc(annotations, images), sam, **options)

    @classmethod
    def from_yolo(
        cls: type[Bank],
        labels: str | Path,
        images: str | Path,
        sam: str | Path | Sam = "tiny",
        *,
        classes: str | Path | Sequence[str] | Mapping[int, str] | None = None,
        **options: Any,
    ) -> Bank:
        """Build a bank from YOLO labels; see `samlab.read.yolo` and `from_labelled`."""
        return cls.from_labelled(read_yolo(labels, images, classes=classes), sam, **options)

    @classmethod
    def from_label_maps(
        cls: type[Bank],
        labels: str | Path,
        images: str | Path,
        classes: str | Path | Sequence[str] | Mapping[int, str],
        sam: str | Path | Sam = "tiny",
        **options: Any,
    ) -> Bank:
        """Build a bank from label maps, whose own masks are taken unless `masks="prompt"`.

        See `samlab.read.label_maps` and `from_labelled`.
        """
        options = {"masks": "labels", **options}
        return cls.from_labelled(read_label_maps(labels, images, classes), sam, **options)


def _used(examples: Any) -> set[str]:
    return {examples.class_name(int(label)) for label in set(examples.labels.tolist())}
