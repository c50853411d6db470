"""YOLO: one text file per picture, one object per line, read as ultralytics reads it.

https://docs.ultralytics.com/datasets/detect/: `class x y w h`, the box's centre and size;
https://docs.ultralytics.com/datasets/segment/: `class x1 y1 x2 y2 x3 y3 ...`, an outline. All are
divided by the picture's width and height.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from samlab import masks
from samlab.errors import FormatError, InputError
from samlab.errors.arguments import checked_arguments
from samlab.files import atomic_folder, write_atomic
from samlab.formats.gather import (
    Gathered,
    GatheredPicture,
    SegmentsLike,
    WriteReport,
    file_of,
    gather,
    report,
)
from samlab.formats.label_maps import names_by_number
from samlab.formats.labelled import LabelledImages, RawObject, Reading, picture_size
from samlab.formats.polygons import check_tolerance, fill_pixels, pixel_polygon
from samlab.formats.untrusted import image_folder, inside
from samlab.masks import Rle
from samlab.pictures import pictures_in

YAML = {".yaml", ".yml"}
_NAMES = ("data.yaml", "dataset.yaml", "classes.txt")
_LARGEST_YAML = 256 * 1024  # bytes; that of Objects365 has 9 KB
_LEAST, _MOST = -0.01, 1.01  # what ultralytics lets pass; the rest was never divided by the size
# Readers turn a number back into a pixel by rounding down or to the nearest one. A quarter of a
# pixel to the right and below, both find the pixel that was meant.
_SHIFT = 0.25


@checked_arguments
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
    for name in pictures_in(folder):
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
        return names_by_number(classes)
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
        return names_by_number({int(number): str(name) for number, name in found.items()})
    except (ValueError, TypeError, OverflowError):  # .inf, null and dates are YAML's keys too
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

    class Plain(yaml.SafeLoader):
        """Without aliases: 316 bytes of them are a list of a million million names."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it repeats parts by aliases (*name), which no YOLO set needs")
            return super().compose_node(parent, index)

    try:
        size = path.stat().st_size
        if size > _LARGEST_YAML:
            raise yaml.YAMLError(f"{size:,} bytes, expected at most {_LARGEST_YAML:,}")
        return yaml.load(path.read_bytes(), Plain)
    except FileNotFoundError:
        raise FormatError(f"No data.yaml at '{path}': the file does not exist.") from None
    except RecursionError:
        raise FormatError(f"'{path}' is not YAML of a data set: it is nested too deep.") from None
    except (yaml.YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
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
    return _painted(pixels, size)


def _painted(polygon: np.ndarray, size: tuple[int, int]) -> Rle:
    return masks.encode(fill_pixels(polygon, size))  # type: ignore[return-value]


def _broken(where: str, why: str, name: str = "") -> RawObject:
    return RawObject(where, name, problem=why)


# -- out ------------------------------------------------------------------------------------------


def write_yolo(
    segments: SegmentsLike,
    folder: str | Path,
    *,
    images: str | Path | None = None,
    val: float = 0.0,
    seed: int = 0,
    tolerance: float = 0.0,
    no_class: str | None = None,
    image_id: str | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Write segments as a YOLO segmentation data set: labels/, data.yaml, and images/ if wanted.

    YOLO has one polygon per object. The parts of a mask and its holes are joined to one line by
    bridges, as ultralytics' own converter joins parts. Painted by OpenCV, a mask in one piece
    without holes comes back as it was; a bridge outside the mask leaves a line one pixel wide.

    Args:
        segments: Of one or several pictures; see `samlab.export`.
        folder: Gets data.yaml, labels/train and, with `val`, labels/val.
        images: The folder of the pictures; they are copied to images/train and images/val, where
            YOLO's training looks for them. None copies nothing.
        val: Share of the pictures that go into the validation set.
        seed: Of the draw of these pictures.
        tolerance: Leave out points as long as the line stays this near, in pixels. 0 keeps all.
        no_class: Class of segments without one; None leaves them out, since a detector would learn
            them.
        image_id: File name for a picture that has none.
        overwrite: Write into a folder that has files already, replacing those of the same name.

    Returns:
        What was written; `.kept` is each mask's IoU with what is painted from its line.
    """
    if not 0 <= val < 1:
        raise InputError(f"Expected val as a share from 0 to below 1, got {val}.")
    check_tolerance(tolerance)
    gathered = gather(segments, no_class=no_class, image_id=image_id, file_each=True)
    sets = _draw(len(gathered.pictures), val, seed)
    kept: list[float] = []
    with atomic_folder(folder, overwrite) as staging:
        for picture, name in zip(gathered.pictures, sets, strict=True):
            lines, shares = _lines(picture, tolerance)
            kept += shares
            write_atomic(staging / "labels" / name / f"{picture.stem}.txt", lines.encode("ascii"))
            if images is not None:
                target = staging / "images" / name / picture.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file_of(picture, images), target)
        write_atomic(staging / "data.yaml", _yaml(gathered, "val" in sets).encode("utf-8"))
    written = report(Path(folder), gathered, np.array(kept))
    if images is None:
        written.notes.append("Put the pictures into images/train (and images/val) beside labels/.")
    return written


def _lines(picture: GatheredPicture, tolerance: float) -> tuple[str, list[float]]:
    height, width = picture.size
    lines, shares = [], []
    for i in range(len(picture.segments)):
        mask = picture.segments.mask(i)
        polygon = pixel_polygon(mask, tolerance)
        back = _painted(polygon, picture.size)
        shares.append(float(masks.iou([picture.segments.rles[i]], [back])[0, 0]))
        relative = (polygon + _SHIFT) / (width, height)
        lines.append(f"{picture.classes[i]} " + " ".join(f"{v:.8g}" for v in relative.ravel()))
    return "".join(line + "\n" for line in lines), shares


def _draw(count: int, val: float, seed: int) -> Sequence[str]:
    """ "train" or "val" for each picture; one at least is left for training."""
    chosen = np.random.default_rng(seed).permutation(count)[: min(round(val * count), count - 1)]
    return ["val" if i in set(chosen.tolist()) else "train" for i in range(count)]


def _yaml(gathered: Gathered, validates: bool) -> str:
    """JSON's texts are YAML's texts too, so that any class name may stand here."""
    lines = ["train: images/train", f"val: images/{'val' if validates else 'train'}", "names:"]
    names = [f"  {i}: {json.dumps(name)}" for i, name in enumerate(gathered.class_names)]
    return "\n".join([*lines, *(names or ["  {}"]), ""])
