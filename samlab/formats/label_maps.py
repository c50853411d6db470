"""Label maps, in and out: one PNG per picture whose pixel values are class numbers."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from samlab import masks
from samlab.errors import FormatError, InputError
from samlab.errors.arguments import checked_arguments
from samlab.files import atomic_folder, write_atomic
from samlab.formats.gather import (
    NO_CLASS,
    Gathered,
    GatheredPicture,
    SegmentsLike,
    WriteReport,
    gather,
    report,
)  # fmt: skip
from samlab.formats.labelled import LabelledImages, RawObject, Reading
from samlab.formats.untrusted import clean_text, image_folder
from samlab.images import raster_formats
from samlab.masks import Rle
from samlab.palette import class_colors
from samlab.pictures import is_picture

_LARGEST = 65535  # of a 16-bit PNG
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


@checked_arguments
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
    folder, names = Path(labels), names_by_number(classes)
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
        path.stem: path.name for path in sorted(image_folder(images).iterdir()) if is_picture(path)
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


def names_by_number(classes: str | Path | Sequence[str] | Mapping[int, str]) -> dict[int, str]:
    """Class number -> name, from a text file, a list or a dict; empty lines keep their number."""
    if isinstance(classes, Mapping):
        try:
            table = {int(value): clean_text(name) for value, name in classes.items()}
        except (ValueError, TypeError, OverflowError):
            raise InputError(
                "Expected whole numbers as keys of classes, got "
                f"{', '.join(map(repr, list(classes)[:5]))}."
            ) from None
    else:
        if isinstance(classes, (str, Path)):
            if not Path(classes).is_file():
                raise FormatError(
                    f"Expected a text file with one class name per line, found none at '{classes}'."
                )
            try:
                lines: Sequence[str] = Path(classes).read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise FormatError(f"'{classes}' is no text file in UTF-8: {error}.") from None
        else:
            lines = classes
        named = [clean_text(line).strip() for line in lines]
        table = {i: name for i, name in enumerate(named) if name}
    twice = sorted(name for name, n in Counter(table.values()).items() if n > 1)
    if twice:
        raise InputError(
            f"Expected every class name once, got {', '.join(twice)} more than once. "
            "Give the numbers different names, or merge the classes in the bank afterwards."
        )
    return table


@checked_arguments
def read_label_map(file: Path) -> np.ndarray:
    """The class numbers of one PNG, int32 (H, W); a palette's colours are not looked at."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=raster_formats()) as image:
                values = np.asarray(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (decoders raise what they like; see samlab.images)
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


# -- out ------------------------------------------------------------------------------------------


def write_label_maps(
    segments: SegmentsLike,
    folder: str | Path,
    *,
    values: Literal["class", "segment"] = "class",
    no_class: str | None = NO_CLASS,
    image_id: str | None = None,
    overwrite: bool = False,
) -> WriteReport:
    """Write one PNG per picture: 0 is background, then the classes in the order of their labels.

    With up to 255 numbers the PNG has 8 bits and a palette, in the colours of samlab's figures, so
    that any viewer shows the classes; with more it has 16 bits of grey. Beside the PNGs:
    `classes.txt`, a name per line whose number is the pixel value (the line of 0 is empty), and
    `classes.csv` with value, name and colour.
    `samlab.read.label_maps(folder, images, folder / "classes.txt")` reads them.

    Where segments overlap, the smallest is on top; the report's `.kept` says what is left of each.

    Args:
        segments: Of one or several pictures; see `samlab.export`.
        folder: Gets NAME.png per picture.
        values: `"class"`, or `"segment"` for instance maps: segment i of the picture has i + 1.
        no_class: Class of segments without one; None leaves them out.
        image_id: File name for a picture that has none.
        overwrite: Write into a folder that has files already, replacing those of the same name.
    """
    if values not in ("class", "segment"):
        raise InputError(f"Expected values='class' or values='segment', got {values!r}.")
    gathered = gather(segments, no_class=no_class, image_id=image_id, file_each=True)
    largest = _largest(gathered, values)
    kept = []
    with atomic_folder(folder, overwrite) as staging:
        for picture in gathered.pictures:
            count = len(picture.segments)
            numbers = picture.classes if values == "class" else np.arange(count)
            painted = picture.segments.label_map(numbers + 1, background=0)
            kept.append(_seen(picture, painted if values == "segment" else None))
            write_atomic(staging / picture.file_with(".png"), _png(painted, largest))
        if values == "class":
            _write_classes(staging, gathered.class_names)
    return report(Path(folder), gathered, np.concatenate([np.zeros(0), *kept]))


def palette(count: int) -> np.ndarray:
    """Colours of the values 0 to count - 1, uint8 (count, 3): black, then those of the classes.

    Example:
        >>> palette(2).tolist()
        [[0, 0, 0], [0, 114, 178]]
    """
    colors = class_colors(np.arange(-1, count - 1))
    colors[:1] = 0
    return colors


def _largest(gathered: Gathered, values: str) -> int:
    counts = [len(picture.segments) for picture in gathered.pictures]
    largest = len(gathered.class_names) if values == "class" else max(counts, default=0)
    if largest > _LARGEST:
        raise InputError(
            f"Expected at most {_LARGEST:,} numbers, as many as a 16-bit PNG has; got {largest:,}."
        )
    return largest


def _png(painted: np.ndarray, largest: int) -> bytes:
    if largest > 255:
        image = Image.fromarray(painted.astype(np.uint16))
    else:
        image = Image.fromarray(painted.astype(np.uint8))
        image.putpalette(palette(256).tobytes())
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _seen(picture: GatheredPicture, index: np.ndarray | None) -> np.ndarray:
    """Share of each segment's pixels that no smaller segment hides, float64 (N,)."""
    count = len(picture.segments)
    if index is None:
        index = picture.segments.label_map(np.arange(1, count + 1), background=0)
    seen = np.bincount(index.ravel(), minlength=count + 1)[1:]
    return seen / np.maximum(picture.segments.areas, 1)


def _write_classes(folder: Path, names: Sequence[str]) -> None:
    clean = [" ".join(name.split()) for name in names]
    write_atomic(folder / "classes.txt", "\n".join(["", *clean, ""]).encode("utf-8"))
    rows = ["value,name,red,green,blue", "0,background,0,0,0"]
    for value, (name, colour) in enumerate(
        zip(clean, palette(len(clean) + 1)[1:].tolist(), strict=True), 1
    ):
        quoted = '"' + name.replace('"', '""') + '"' if set(name) & set(',"') else name
        rows.append(f"{value},{quoted}," + ",".join(map(str, colour)))
    write_atomic(folder / "classes.csv", "\n".join([*rows, ""]).encode("utf-8"))
