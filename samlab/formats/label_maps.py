"""Label maps: one PNG per picture whose pixel values are class numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from samlab import masks
from samlab.errors import FormatError, InputError
from samlab.formats.labelled import LabelledImages, RawObject, Reading
from samlab.formats.untrusted import image_folder
from samlab.masks import Rle

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"}
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def read_label_maps(
    labels: str | Path,
    images: str | Path,
    classes: str | Path | Sequence[str] | Mapping[int, str],
    *,
    ignore: Iterable[str] = (),
    min_pixels: int = 16,
    instances: bool = True,
) -> LabelledImages:
    """Read semantic label maps as objects with masks.

    A label map belongs to the picture with the same file name up to the ending.

    Args:
        labels: A folder of PNG files (palette, 8 or 16 bit grey) of the pictures' size.
        images: The folder of pictures.
        classes: Names by class number: a text file with one name per line, a list, or a dict.
            Numbers without a name (255, say) are left out without a word.
        ignore: Names to leave out, for example "unlabelled".
        min_pixels: Smaller objects are left out and counted.
        instances: True makes one object of each 8-connected component of a class, False one of
            each class in each picture.

    Returns:
        The pictures, sorted by name; each object has its mask, and that mask's box.

    Raises:
        FormatError: There is no label map, or no picture could be used.
    """
    folder, names = Path(labels), class_table(classes)
    unknown = sorted(set(ignore) - set(names.values()))
    if unknown:
        raise InputError(
            f"Expected names to ignore out of {', '.join(names.values())}; "
            f"got {', '.join(unknown)}."
        )
    names = {value: name for value, name in names.items() if name not in set(ignore)}
    files = sorted(folder.glob("*.png"))
    if not files:
        raise FormatError(f"Expected a folder with label maps as PNG, found none at '{folder}'.")
    pictures = {
        path.stem: path.name
        for path in sorted(image_folder(images).iterdir())
        if path.suffix.lower() in PICTURES
    }
    reading = Reading(folder, images)
    for file in files:
        if file.stem not in pictures:
            reading.report.leave_out("picture", "no picture of the same name", file.name)
            continue
        try:
            values = read_label_map(file)
        except FormatError as error:
            reading.report.leave_out("picture", str(error), file.name)
            continue
        found, small = objects_of(values, names, min_pixels, instances)
        for text in small:
            reading.report.leave_out("object", f"it has fewer than {min_pixels} pixels", text)
        reading.add(pictures[file.stem], found, values.shape)
    return reading.done(names.values())


def class_table(classes: str | Path | Sequence[str] | Mapping[int, str]) -> dict[int, str]:
    """Class number -> name, from a text file, a list or a dict; empty lines keep their number."""
    if isinstance(classes, Mapping):
        table = {int(value): str(name) for value, name in classes.items()}
    else:
        if isinstance(classes, (str, Path)):
            if not Path(classes).is_file():
                raise FormatError(
                    f"Expected a text file with one class name per line, found none at '{classes}'."
                )
            lines: Sequence[str] = Path(classes).read_text(encoding="utf-8").splitlines()
        else:
            lines = classes
        table = {i: line.strip() for i, line in enumerate(lines) if line.strip()}
    twice = sorted({n for n in table.values() if list(table.values()).count(n) > 1})
    if twice:
        raise InputError(
            f"Expected every class name once, got {', '.join(twice)} more than once. "
            "Give the numbers different names, or merge the classes in the bank afterwards."
        )
    return table


def read_label_map(file: Path) -> np.ndarray:
    """The class numbers of one PNG, int32 (H, W); a palette's colours are not looked at."""
    try:
        with Image.open(file) as image:
            values = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise FormatError("the label map is not a readable PNG") from None
    if values.ndim != 2 or values.dtype == bool:
        raise FormatError("the label map is not a grey or palette PNG of class numbers")
    return values.astype(np.int32)


def objects_of(
    values: np.ndarray, names: Mapping[int, str], min_pixels: int = 1, instances: bool = True
) -> tuple[list[RawObject], list[str]]:
    """Objects of a label map, by class number and then top to bottom; and the too small ones."""
    found, small = [], []
    for value, name in sorted(names.items()):
        here = values == value
        if not here.any():
            continue
        parts, count = ndimage.label(here, _EIGHT_NEIGHBOURS) if instances else (here, 1)
        areas = np.bincount(parts.ravel().astype(np.int64), minlength=count + 1)[1:]
        for i, area in enumerate(areas.tolist()):
            text = f"{name} {i}"
            if area < min_pixels:
                small.append(text)
                continue
            rle = masks.encode(parts == i + 1)
            found.append(RawObject(text, name, mask=partial(_as_it_is, rle)))  # type: ignore[arg-type]
    return found, small


def _as_it_is(rle: Rle, size: tuple[int, int]) -> Rle:
    return rle
