"""What every writer begins with: segments sorted into pictures, labels turned into one class list.

Segments of different pictures may give one number to different classes. Files know classes by
name, so that is how they are joined here.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import numpy as np

from samlab import masks
from samlab.errors import ImageError, InputError, counted
from samlab.formats.untrusted import image_folder, inside
from samlab.images import ImageLike, read_image
from samlab.pictures import unescaped_name
from samlab.segments import Segments, one_picture_each

SegmentsLike: TypeAlias = Segments | Sequence[Segments]
ImagesLike: TypeAlias = str | os.PathLike[str] | Mapping[str, ImageLike] | ImageLike

_LONGEST_FILE_NAME = 255  # bytes, on nearly every file system

#: The class of segments that have none, unless the caller names another.
NO_CLASS = "object"


@dataclass(frozen=True)
class GatheredPicture:
    """One picture's part of an export.

    Attributes:
        name: The file name that goes into the file, with forward slashes.
        size: (H, W) in pixels.
        segments: Its N segments; none of them is without pixels.
        classes: int64 (N,), index into the export's class names.
    """

    name: str
    size: tuple[int, int]
    segments: Segments
    classes: np.ndarray

    @property
    def stem(self) -> str:
        """The name without its ending, folders included."""
        return PurePosixPath(self.name).with_suffix("").as_posix()

    def file_with(self, ending: str) -> str:
        """The stem with another ending; cut, and told apart by a hash, where no disk takes it."""
        path = PurePosixPath(self.stem)
        room = _LONGEST_FILE_NAME - len(os.fsencode(ending))
        if len(os.fsencode(path.name)) <= room:
            return f"{self.stem}{ending}"
        mark = "-" + hashlib.sha256(os.fsencode(self.name)).hexdigest()[:8]
        short = os.fsencode(path.name)[: room - len(mark)].decode(errors="ignore")
        return path.with_name(f"{short}{mark}{ending}").as_posix()


@dataclass(frozen=True)
class Gathered:
    """Pictures in the order they came, and the classes of them all."""

    pictures: tuple[GatheredPicture, ...]
    class_names: tuple[str, ...]
    left_out: Counter[str]

    def __len__(self) -> int:
        return sum(len(picture.segments) for picture in self.pictures)


@dataclass
class WriteReport:
    """What a writer wrote. It may be used wherever a path is expected.

    Attributes:
        path: The file or folder.
        pictures: Pictures written, with or without segments.
        segments: Segments written.
        left_out: reason -> how many segments.
        kept: float64 (segments,), IoU between each mask and what a reader gets back; all 1 where
            the format loses nothing.
        notes: Whole sentences about the file.
    """

    path: Path
    pictures: int
    segments: int
    left_out: Counter[str] = field(default_factory=Counter)
    kept: np.ndarray = field(default_factory=lambda: np.zeros(0))
    notes: list[str] = field(default_factory=list)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        counts = counted(self.segments, "segment"), counted(self.pictures, "picture")
        lines = [f"{self.path}: {counts[0]} of {counts[1]}."]
        for reason, n in self.left_out.most_common():
            lines.append(f"Left out {counted(n, 'segment')}: {reason}.")
        lossy = self.kept[self.kept < 1]
        if len(lossy):
            lines.append(
                f"Changed on the way back, {counted(len(lossy), 'mask')}: "
                f"IoU {lossy.mean():.4f} on average, {lossy.min():.4f} for the worst."
            )
        return "\n".join(lines + self.notes)


def gather(
    segments: SegmentsLike,
    *,
    no_class: str | None = NO_CLASS,
    image_id: str | None = None,
    file_each: bool = False,
) -> Gathered:
    """Sort segments into pictures and number their classes.

    Args:
        segments: Segments of one picture or, after `concat`, of several; or a list of such.
        no_class: Class of the segments with the label -1 that have no name; None leaves all
            segments with the label -1 out.
        image_id: Name for a picture that has none.
        file_each: Whether each picture gets a file of its name with another ending.

    Returns:
        The pictures. Classes come in the order of their labels, also those that no segment has.

    Raises:
        InputError: A picture has no name, or one that leads out of a folder, or two sizes; or two
            pictures would get one file.
    """
    parts = [segments] if isinstance(segments, Segments) else list(segments)
    for part in parts:
        if not isinstance(part, Segments):
            raise InputError(
                "Expected segments as samlab's Segments, or a list of them; got a "
                f"{type(part).__name__} among them. Make them with samlab.segment."
            )
    one_picture_each([part.provenance for part in parts])
    names = _class_names(parts, no_class)
    left_out: Counter[str] = Counter()
    found: dict[str, list[tuple[Segments, np.ndarray]]] = {}
    for part in parts:
        for name, one in _split(part, image_id):
            labels = one.labels
            one = replace(one, areas=masks.area(one.rles))  # whatever was stated
            empty, classless = one.areas == 0, labels < 0
            left_out["it has no pixel"] += int(empty.sum())
            if no_class is None:
                left_out["it has no class"] += int((classless & ~empty).sum())
                empty = empty | classless
            one = one[~empty]
            numbers = [names.index(_name_of(one, v, no_class)) for v in one.labels.tolist()]
            found.setdefault(name, []).append((one, np.array(numbers, np.int64)))
    pictures = tuple(_picture(name, pieces) for name, pieces in found.items())
    if file_each:
        _distinct_stems(pictures)
    return Gathered(pictures, names, +left_out)


def report(path: Path, gathered: Gathered, kept: np.ndarray | None = None) -> WriteReport:
    """The report of a writer; `kept` is all ones where the format loses nothing."""
    share = np.ones(len(gathered)) if kept is None else kept
    return WriteReport(path, len(gathered.pictures), len(gathered), gathered.left_out, share)


def pixels_of(picture: GatheredPicture, images: ImagesLike) -> np.ndarray:
    """The picture itself, uint8 RGB (H, W, 3).

    Args:
        picture: Whose pixels are wanted.
        images: The folder that names are relative to, a dict from names to pictures, or, where
            there is but one picture, that picture.

    Raises:
        ImageError: It is missing, or of another size than the masks.
    """
    source: ImageLike
    if isinstance(images, Mapping):
        if picture.name not in images:
            raise ImageError(f"Expected the picture '{picture.name}' among the images given.")
        source = images[picture.name]
    elif isinstance(images, (str, os.PathLike)) and Path(images).is_dir():
        source = file_of(picture, images)
    else:
        source = images
    pixels = read_image(source)
    if pixels.shape[:2] != picture.size:
        raise ImageError(
            f"Expected the picture that the masks of '{picture.name}' were made from, "
            f"{picture.size} (H, W); got one of {pixels.shape[:2]}."
        )
    return pixels


def file_of(picture: GatheredPicture, folder: str | os.PathLike[str]) -> Path:
    """The picture's file in a folder; raises ImageError where it has none."""
    file = inside(image_folder(Path(folder)), unescaped_name(picture.name))
    if file is None or not file.is_file():
        raise ImageError(f"No picture '{picture.name}' in the folder '{Path(folder)}'.")
    return file


def _distinct_stems(pictures: Sequence[GatheredPicture]) -> None:
    """Raise InputError where two pictures would write to one file."""
    seen: dict[str, str] = {}
    for picture in pictures:
        other = seen.setdefault(picture.stem, picture.name)
        if other != picture.name:
            raise InputError(
                f"Expected pictures whose names differ up to the ending, got '{other}' and "
                f"'{picture.name}', which would write to one file. Rename one of them."
            )


def _class_names(parts: Sequence[Segments], no_class: str | None) -> tuple[str, ...]:
    pairs: list[tuple[int, str]] = []
    for part in parts:
        labels = {*part.class_names, *part.labels.tolist()} - {-1}
        pairs += [(label, part.class_name(label)) for label in labels if label >= 0]
    names = [name for _, name in sorted(dict.fromkeys(pairs), key=lambda pair: pair[0])]
    if no_class is not None:
        names += [_name_of(part, -1, no_class) for part in parts if (part.labels < 0).any()]
    return tuple(dict.fromkeys(names))


def _name_of(part: Segments, label: int, no_class: str | None) -> str:
    if label < 0:
        return part.class_names.get(-1) or no_class or NO_CLASS
    return part.class_name(label)


def _split(part: Segments, image_id: str | None) -> list[tuple[str, Segments]]:
    """One picture after the other, with its name."""
    if len(part) == 0:
        if part.image_size == (0, 0):
            return []
        return [(_checked_name(part.image_id or image_id), part)]
    ids = part.image_ids
    return [
        (_checked_name(str(name) or image_id), part[ids == name])
        for name in dict.fromkeys(ids.tolist())
    ]


def _checked_name(name: str | None) -> str:
    if not name:
        raise InputError(
            "Expected segments that know the file name of their picture, got some without. "
            'Pass image_id="photo.jpg", or segment the file instead of an array.'
        )
    if inside(Path("/pictures"), name) is None:
        raise InputError(
            f"Expected the picture's name as a path inside a folder, like 'photo.jpg' or "
            f"'street/1.jpg'; got '{name}'."
        )
    return name


def _picture(name: str, pieces: list[tuple[Segments, np.ndarray]]) -> GatheredPicture:
    sizes = {one.image_size for one, _ in pieces if len(one)} or {pieces[0][0].image_size}
    if len(sizes) > 1 or (0, 0) in sizes:
        raise InputError(
            f"Expected one size for the picture '{name}', got masks of several. Give different "
            "pictures different names."
        )
    joined = Segments.concat([one for one, _ in pieces])
    return GatheredPicture(
        name, sizes.pop(), joined, np.concatenate([numbers for _, numbers in pieces])
    )
