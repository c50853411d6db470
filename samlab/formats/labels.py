"""One door to all label formats, for the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from samlab.errors import FormatError, InputError
from samlab.formats.bdd100k import read_bdd100k
from samlab.formats.coco import read_coco
from samlab.formats.json_files import load_json
from samlab.formats.label_maps import read_label_maps
from samlab.formats.labelled import LabelledImages
from samlab.formats.voc import read_voc
from samlab.formats.yolo_reader import YAML, read_yolo

LabelFormat: TypeAlias = Literal["auto", "coco", "bdd100k", "voc", "yolo", "label-maps"]


def read_labels(
    labels: str | Path,
    images: str | Path,
    *,
    format: LabelFormat = "auto",
    classes: str | Path | None = None,
) -> LabelledImages:
    """Read labels of any known format.

    Args:
        labels: A JSON file (COCO or BDD100K), YOLO's data.yaml, or a folder of XML (VOC), text
            (YOLO) or PNG files (label maps).
        images: The folder of pictures.
        format: `"auto"` looks at the file's own structure.
        classes: A text file with one class name per line, needed for label maps; for YOLO where
            there is no data.yaml.

    Raises:
        FormatError: The format is not known, or the file is not what it claims.
    """
    path = Path(labels)
    kind = guess_format(path) if format == "auto" else format
    if kind == "coco":
        return read_coco(path, images)
    if kind == "bdd100k":
        return read_bdd100k(path, images)
    if kind == "voc":
        return read_voc(path, images)
    if kind == "yolo":
        return read_yolo(path, images, classes=classes)
    if kind != "label-maps":
        raise InputError(
            "Expected format 'auto', 'coco', 'bdd100k', 'voc', 'yolo' or 'label-maps', got "
            f"'{kind}'."
        )
    if classes is None:
        raise FormatError(
            "Label maps need their class names: pass a text file with one name per line."
        )
    return read_label_maps(path, images, classes)


def guess_format(path: Path) -> str:
    """`"coco"`, `"bdd100k"`, `"voc"`, `"yolo"` or `"label-maps"`, from what lies at `path`."""
    if path.is_dir():
        if any(path.glob("*.xml")):
            return "voc"
        if any(path.glob("*.png")):
            return "label-maps"
        if next(path.rglob("*.txt"), None):
            return "yolo"
        raise FormatError(
            "Expected a folder of XML files (Pascal VOC), text files (YOLO) or PNG files (label "
            f"maps), found none of them in '{path}'."
        )
    if path.suffix.lower() == ".xml":
        return "voc"
    if path.suffix.lower() in YAML:
        return "yolo"
    content = load_json(path, "COCO or BDD100K")
    if isinstance(content, Mapping) and "annotations" in content:
        return "coco"
    if isinstance(content, list) or (isinstance(content, Mapping) and "frames" in content):
        return "bdd100k"
    raise FormatError(
        f"'{path}' is neither COCO (it would have the field 'annotations') nor BDD100K (a list, "
        "or the field 'frames')."
    )
