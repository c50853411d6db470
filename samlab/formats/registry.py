"""All formats: one door for reading labels and one for writing segments, whatever the format.

A new format is one file in this folder, and one line in `_READERS` or `_WRITERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from samlab.errors import FormatError, InputError
from samlab.errors.arguments import checked_arguments
from samlab.files import free_file
from samlab.formats.bdd100k import read_bdd100k
from samlab.formats.coco import read_coco, write_coco
from samlab.formats.cutouts import write_cutouts, write_inpainting_masks
from samlab.formats.gather import NO_CLASS, SegmentsLike, WriteReport, gather, report
from samlab.formats.label_maps import read_label_maps, write_label_maps
from samlab.formats.labelled import LabelledImages
from samlab.formats.sa1b import write_sa1b
from samlab.formats.untrusted import load_json
from samlab.formats.voc import read_voc
from samlab.formats.yolo import YAML, read_yolo, write_yolo
from samlab.segments import Segments

LabelFormat: TypeAlias = Literal["auto", "coco", "bdd100k", "voc", "yolo", "label-maps"]
ExportFormat: TypeAlias = Literal[
    "auto", "coco", "yolo", "label-maps", "sa-1b", "parquet", "cutouts", "inpainting"
]

_READERS: dict[str, Any] = {
    "coco": read_coco,
    "bdd100k": read_bdd100k,
    "voc": read_voc,
    "yolo": read_yolo,
    "label-maps": read_label_maps,
}
_WITH_CLASSES = ("yolo", "label-maps")  # whose names may stand in a file of their own


@checked_arguments
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
    if kind not in _READERS:
        known = ", ".join(map(repr, _READERS))
        raise InputError(f"Expected the format 'auto' or one of {known}; got '{kind}'.")
    if kind == "label-maps" and classes is None:
        raise FormatError(
            "Label maps need their class names: pass a text file with one name per line."
        )
    given = {"classes": classes} if kind in _WITH_CLASSES else {}
    labelled: LabelledImages = _READERS[kind](path, images, **given)
    return labelled


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


def write_parquet(
    segments: SegmentsLike,
    path: str | Path,
    *,
    no_class: str | None = NO_CLASS,
    image_id: str | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Write segments of any number of pictures to one Parquet file, vectors included.

    `samlab.Segments.from_parquet` reads all of it; pandas, DuckDB and others read the columns.
    Labels are numbered anew where pictures give one number to different classes. Segments without a
    class keep the label -1, unless `no_class` is None: then they are left out.
    """
    target = free_file(path, overwrite)
    gathered = gather(segments, no_class=no_class, image_id=image_id)
    parts = []
    for picture in gathered.pictures:
        old = picture.segments.labels
        part = picture.segments.with_labels(np.where(old < 0, -1, picture.classes))
        ids = np.full(len(part), picture.name, object)
        parts.append(replace(part, class_names={}, image_id=picture.name, image_ids=ids))
    joined = Segments.concat(parts)
    tables = [picture.segments for picture in gathered.pictures]
    given = {name for table in tables for label, name in table.class_names.items() if label >= 0}
    used = set(joined.labels.tolist())
    names = {i: n for i, n in enumerate(gathered.class_names) if n in given or i in used}
    for table in tables:
        names |= {label: name for label, name in table.class_names.items() if label < 0}
    replace(joined, class_names=names).to_parquet(target)
    return report(target, gathered)


_WRITERS: dict[str, Any] = {
    "coco": write_coco,
    "yolo": write_yolo,
    "label-maps": write_label_maps,
    "sa-1b": write_sa1b,
    "parquet": write_parquet,
    "cutouts": write_cutouts,
    "inpainting": write_inpainting_masks,
}
_BY_ENDING = {".json": "coco", ".parquet": "parquet", ".pq": "parquet"}


@checked_arguments
def export(
    segments: SegmentsLike, out: str | Path, format: ExportFormat = "auto", **options: Any
) -> WriteReport:
    """Write segments in a format that other tools read.

    | format | `out` | options of |
    | --- | --- | --- |
    | `"coco"` | a JSON file | `write_coco` |
    | `"yolo"` | a folder | `write_yolo` |
    | `"label-maps"` | a folder of PNGs | `write_label_maps` |
    | `"sa-1b"` | a folder of JSON files | `write_sa1b` |
    | `"parquet"` | a file | `write_parquet` |
    | `"cutouts"` | a folder of PNGs; needs `images` | `write_cutouts` |
    | `"inpainting"` | a folder of PNGs | `write_inpainting_masks` |

    Args:
        segments: Segments of one picture or, after `concat`, of several; or a list of such.
        out: The file or folder to write. It appears when it is complete, and what is there already
            is left alone unless `overwrite=True`.
        format: As above; `"auto"` takes COCO for `.json` and Parquet for `.parquet`.
        **options: `no_class` (the class of segments that have none, or None to leave them out),
            `image_id` (the file name of a picture that has none), `overwrite`, and the format's
            own.

    Returns:
        What was written, what was left out, and how much of each mask a reader gets back.

    Example:
        >>> import tempfile
        >>> one = Segments([{"size": [1, 2], "counts": "11"}], image_id="a.jpg")
        >>> export(one, Path(tempfile.mkdtemp()) / "a.json").pictures
        1
    """
    kind: str = format
    if kind == "auto":
        ending = Path(out).suffix.lower()
        if ending not in _BY_ENDING:
            raise InputError(
                f"Expected a format for '{out}', whose ending does not tell it. Pass format= one "
                f"of {', '.join(_WRITERS)}."
            )
        kind = _BY_ENDING[ending]
    if kind not in _WRITERS:
        raise InputError(f"Expected a format out of {', '.join(_WRITERS)}; got '{kind}'.")
    writer = _WRITERS[kind]
    known = list(signature(writer).parameters)[2:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"Expected options of format '{kind}' out of {', '.join(known)}; "
            f"got {', '.join(unknown)}."
        )
    if kind == "cutouts" and "images" not in options:
        raise InputError(
            "Cut-outs need the pictures: pass images= the folder they are in, or the picture."
        )
    written: WriteReport = writer(segments, out, **options)
    return written
