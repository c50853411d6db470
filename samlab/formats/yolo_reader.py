"""YOLO: one text file per picture, one object per line, read as ultralytics reads it.

https://docs.ultralytics.com/datasets/detect/: `class x y w h`, the box's centre and size;
https://docs.ultralytics.com/datasets/segment/: `class x1 y1 x2 y2 x3 y3 ...`, an outline. All are
divided by the picture's width and height.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from samlab import masks
from samlab.errors import FormatError
from samlab.formats.label_maps import PICTURES, class_table
from samlab.formats.labelled import LabelledImages, RawObject, Reading, picture_size
from samlab.formats.polygons import fill_pixels
from samlab.formats.untrusted import image_folder, inside
from samlab.masks import Rle

YAML = {".yaml", ".yml"}
_NAMES = ("data.yaml", "dataset.yaml", "classes.txt")
_LEAST, _MOST = -0.01, 1.01  # what ultralytics lets pass; the rest was never divided by the size


def read_yolo(
    labels: str | Path,
    images: str | Path,
    *,
    classes: str | Path | Sequence[str] | Mapping[int, str] | None = None,
) -> LabelledImages:
    """Read YOLO detection or segmentation labels.

    A picture without a text file is a picture without objects, as YOLO has it. Outlines become
    masks by ultralytics' own painting: coordinates are rounded down to pixels, and the outline
    belongs to the mask.

    Args:
        labels: The folder of text files, which lie in it as the pictures lie in `images`; or
            `data.yaml`: then the text files are where YOLO looks for them, in the pictures' own
            path with its last `images` turned into `labels`.
        images: The folder of pictures, with its sub-folders.
        classes: Names by class number: `data.yaml`, a text file with one name per line, a list, or
            a dict. By default the `data.yaml`, `dataset.yaml` or `classes.txt` in the folder of
            labels or in one of the two above it.

    Returns:
        The pictures, sorted by name; `.report` counts lines that were left out.

    Raises:
        FormatError: There is no text file or no list of classes, or no picture could be used.
    """
    source = Path(labels)
    folder = image_folder(images)
    by_yaml = source.suffix.lower() in YAML
    names = yolo_classes(_classes_of(source) if classes is None else classes)
    root = source.resolve()
    if by_yaml:
        root = _beside(folder) if _beside(folder).is_dir() else folder
    if not root.is_dir():
        raise FormatError(f"Expected a folder of YOLO's text files, found none at '{root}'.")
    reading = Reading(source, folder)
    used: set[Path] = set()
    bare = 0
    for name in _pictures(folder):
        file = _label_file(folder, root, name, by_yaml)
        objects: list[RawObject] = []
        if file is not None and file.is_file():
            used.add(file)
            try:
                objects = _objects(file, names, picture_size(folder / name))
            except FormatError as error:
                reading.report.leave_out("picture", str(error), name)
                continue
        else:
            bare += 1
        reading.add(name, objects)
    _account(reading, root, used, bare)
    return reading.done(names.values())


def yolo_classes(classes: str | Path | Sequence[str] | Mapping[int, str]) -> dict[int, str]:
    """Class number -> name, also from a `data.yaml`, whose `names` are a list or a mapping."""
    if not isinstance(classes, (str, Path)) or Path(classes).suffix.lower() not in YAML:
        return class_table(classes)
    content = _load_yaml(Path(classes))
    found = content.get("names") if isinstance(content, Mapping) else None
    if isinstance(found, list):
        found = dict(enumerate(found))
    if not isinstance(found, Mapping):
        raise FormatError(
            f"'{classes}' is not the data.yaml of a YOLO data set: expected a list or a mapping of "
            "class names in the field 'names'."
        )
    if "kpt_shape" in content:
        raise FormatError(
            f"'{classes}' describes key points ('kpt_shape'), which samlab does not read. Expected "
            "a data set for detection or segmentation."
        )
    try:
        return class_table({int(number): str(name) for number, name in found.items()})
    except ValueError:
        raise FormatError(
            f"'{classes}' is not the data.yaml of a YOLO data set: expected whole numbers as keys "
            f"of 'names', got {', '.join(map(repr, list(found)[:5]))}."
        ) from None


# -- where things are ---------------------------------------------------------------------------


def _classes_of(source: Path) -> Path:
    if source.suffix.lower() in YAML:
        return source
    folder = source.resolve()
    for place in (folder, *folder.parents[:2]):
        for name in _NAMES:
            if (place / name).is_file():
                return place / name
    raise FormatError(
        f"Expected the class names of '{source}' in a data.yaml or classes.txt there or in the "
        "folders above, found none. Pass classes= a file with one name per line, or a list "
        "(--classes on the command line)."
    )


def _pictures(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _beside(folder: Path) -> Path:
    """`set/images/train` -> `set/labels/train`; the same folder where no part is `images`."""
    parts = list(folder.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _label_file(folder: Path, root: Path, name: str, by_yaml: bool) -> Path | None:
    """The text file of a picture, inside the folder it belongs to; None where it leads out."""
    relative = Path(name).with_suffix(".txt")
    if by_yaml and "images" in relative.parts[:-1]:  # the whole data set was given as its pictures
        return inside(folder, _beside(relative).as_posix())
    return inside(root, relative.as_posix())


def _account(reading: Reading, root: Path, used: set[Path], bare: int) -> None:
    """Say what text files have no picture, and how many pictures have no text file."""
    if not used:
        raise FormatError(
            f"Expected YOLO's text files for the pictures in '{reading.folder}', found none in "
            f"'{root}'. They have the pictures' names with the ending .txt."
        )
    for file in sorted(root.rglob("*.txt")):
        if file.resolve() not in used and file.name != "classes.txt":
            name = file.relative_to(root).as_posix()
            reading.report.leave_out("picture", "no picture of the same name", name)
    if bare:
        reading.report.notes.append(
            f"{bare:,} picture{'s have' if bare > 1 else ' has'} no text file, which means no "
            "object to YOLO."
        )


def _load_yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        raise FormatError(f"No data.yaml at '{path}': the file does not exist.") from None
    except (yaml.YAMLError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise FormatError(f"'{path}' is not YAML: {reason}") from None


# -- lines --------------------------------------------------------------------------------------


def _objects(file: Path, names: Mapping[int, str], size: tuple[int, int] | None) -> list[RawObject]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise FormatError("its label file is not a readable text file") from None
    return [
        _object(f"line {i}", line.split(), names, size)
        for i, line in enumerate(lines, 1)
        if line.strip()
    ]


def _object(
    where: str, words: list[str], names: Mapping[int, str], size: tuple[int, int] | None
) -> RawObject:
    """One line, or what is wrong with it."""
    try:
        number, *values = map(float, words)
    except ValueError:
        return _broken(where, "the line has something else than numbers")
    if number not in names:
        return _broken(where, f"there is no name for the class {words[0]}")
    name, shares = names[int(number)], np.array(values)
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        return _broken(
            where,
            "the line is neither a class and a box (5 numbers) nor one and an outline (7, 9, ...)",
            name,
        )
    if not ((shares >= _LEAST) & (shares <= _MOST)).all():  # NaN is neither
        return _broken(where, "its numbers are not shares of the picture's size, 0 to 1", name)
    height, width = size or (1, 1)  # a picture without a size is left out as a whole
    if len(values) == 4:
        x, y, w, h = shares * (width, height, width, height)
        return RawObject(where, name, [x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    points = shares.reshape(-1, 2) * (width, height)
    return RawObject(where, name, None, partial(_paint, points))


def _paint(points: np.ndarray, size: tuple[int, int]) -> Rle:
    limit = (size[1] - 1, size[0] - 1)
    pixels = np.floor(points).clip(0, limit).astype(np.int64)
    return masks.encode(fill_pixels(pixels, size))  # type: ignore[return-value]


def _broken(where: str, why: str, name: str = "") -> RawObject:
    return RawObject(where, name, problem=why)
