"""Label maps out: one PNG per picture whose pixel values are class numbers."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from samlab.errors import InputError
from samlab.files import whole_folder, write_whole
from samlab.formats.gather import (
    NO_CLASS,
    Gathered,
    Picture,
    SegmentsLike,
    WriteReport,
    distinct_stems,
    gather,
    report,
)  # fmt: skip
from samlab.palette import class_colors

_LARGEST = 65535


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
    `samlab.read_label_maps(folder, images, folder / "classes.txt")` reads them.

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
    gathered = gather(segments, no_class=no_class, image_id=image_id)
    distinct_stems(gathered.pictures)
    largest = _largest(gathered, values)
    kept = []
    with whole_folder(folder, overwrite) as staging:
        for picture in gathered.pictures:
            count = len(picture.segments)
            numbers = picture.classes if values == "class" else np.arange(count)
            painted = picture.segments.label_map(numbers + 1, background=0)
            kept.append(_seen(picture, painted if values == "segment" else None))
            write_whole(staging / f"{picture.stem}.png", _png(painted, largest))
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


def _seen(picture: Picture, index: np.ndarray | None) -> np.ndarray:
    """Share of each segment's pixels that no smaller segment hides, float64 (N,)."""
    count = len(picture.segments)
    if index is None:
        index = picture.segments.label_map(np.arange(1, count + 1), background=0)
    seen = np.bincount(index.ravel(), minlength=count + 1)[1:]
    return seen / np.maximum(picture.segments.areas, 1)


def _write_classes(folder: Path, names: Sequence[str]) -> None:
    clean = [" ".join(name.split()) for name in names]
    write_whole(folder / "classes.txt", "\n".join(["", *clean, ""]).encode("utf-8"))
    rows = ["value,name,red,green,blue", "0,background,0,0,0"]
    for value, (name, colour) in enumerate(
        zip(clean, palette(len(clean) + 1)[1:].tolist(), strict=True), 1
    ):
        quoted = '"' + name.replace('"', '""') + '"' if set(name) & set(',"') else name
        rows.append(f"{value},{quoted}," + ",".join(map(str, colour)))
    write_whole(folder / "classes.csv", "\n".join([*rows, ""]).encode("utf-8"))
