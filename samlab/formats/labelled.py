"""Labelled pictures: what every reader gives, whatever the file looked like.

A reader hands each picture's raw objects to a `Reading`, which checks paths, pictures, boxes and
masks, keeps what is sound and counts what is not.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from samlab import masks
from samlab.errors import FormatError, InputError
from samlab.formats.untrusted import clean_text, image_folder, inside, is_file
from samlab.images import raster_formats
from samlab.masks import Rle
from samlab.segments import Segments

_EXAMPLES = 5
_PNG_EXIF = {"exif", "Raw profile type exif"}
_ORIENTATION = 0x0112  # EXIF; 5 to 8 are turned by 90 degrees


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One picture and the objects that someone marked in it.

    Attributes:
        path: The picture's file, inside the image folder.
        name: The file relative to the image folder, with forward slashes.
        image_size: (H, W) in pixels, EXIF orientation applied.
        boxes: float32 (N, 4), XYXY pixels, half-open, clipped to the picture, never empty. N may
            be 0.
        class_names: N names.
        masks: N masks as COCO RLE of size (H, W), None where the file has only a box.
    """

    path: Path
    name: str
    image_size: tuple[int, int]
    boxes: np.ndarray
    class_names: tuple[str, ...]
    masks: tuple[Rle | None, ...]

    def __len__(self) -> int:
        return len(self.class_names)

    def __getitem__(self, ids: Any) -> LabelledImage:
        """The same picture with some of its objects: a boolean mask (N,), ids or a slice."""
        chosen = np.arange(len(self))[ids]
        return replace(
            self,
            boxes=self.boxes[chosen],
            class_names=tuple(self.class_names[i] for i in chosen),
            masks=tuple(self.masks[i] for i in chosen),
        )


@dataclass
class ReadReport:
    """What a reader kept and what it left out, and why.

    Attributes:
        source: The file or folder that was read.
        pictures: Pictures kept, with or without objects.
        objects: Objects kept.
        left_out: (what, reason) -> how many; `what` is "picture", "object" or "mask".
        changed: reason -> how many boxes were kept, but clipped.
        examples: (what, reason) -> the first few, by name.
        notes: Whole sentences about the file.
    """

    source: str
    pictures: int = 0
    objects: int = 0
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, what: str, reason: str, example: str) -> None:
        """Count one thing that is left out."""
        example = _shortened(example)
        self.left_out[what, reason] += 1
        shown = self.examples.setdefault((what, reason), [])
        if len(shown) < _EXAMPLES:
            shown.append(example)

    def to_pandas(self) -> pd.DataFrame:
        """One row per reason: what, reason, count, examples."""
        rows = [
            {"what": what, "reason": reason, "count": n, "examples": ", ".join(self.examples[key])}
            for key, n in self.left_out.most_common()
            for what, reason in [key]
        ]
        return pd.DataFrame(rows, columns=["what", "reason", "count", "examples"])

    def __str__(self) -> str:
        lines = [f"{self.source}: {self.pictures:,} pictures with {self.objects:,} objects."]
        for (what, reason), n in self.left_out.most_common():
            shown = ", ".join(self.examples[what, reason])
            more = ", ..." if n > _EXAMPLES else ""
            lines.append(f"Left out {n:,} {what}{'s' * (n > 1)}: {reason} ({shown}{more}).")
        lines += [f"Changed {n:,} box{'es' * (n > 1)}: {why}." for why, n in self.changed.items()]
        return "\n".join(lines + self.notes)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """A sequence of `LabelledImage`, and the report of what was left out.

    Attributes:
        images: The pictures, in the order of the file.
        class_names: Every class that the file declares or uses, also those without an object.
        report: See `ReadReport`.
    """

    images: tuple[LabelledImage, ...]
    class_names: tuple[str, ...]
    report: ReadReport

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[LabelledImage]:
        return iter(self.images)

    def __getitem__(self, index: int | slice) -> LabelledImage | LabelledImages:
        """One picture by its number, or a sequence of them by a slice."""
        if isinstance(index, slice):
            return replace(self, images=self.images[index])
        return self.images[index]

    def counts(self) -> dict[str, int]:
        """Class -> number of objects, 0 for a class that is only declared."""
        found = Counter(name for image in self.images for name in image.class_names)
        return {name: found[name] for name in self.class_names}

    def only(self, classes: Iterable[str]) -> LabelledImages:
        """The same pictures with the objects of some classes; pictures without any stay."""
        wanted = list(dict.fromkeys(classes))
        unknown = [name for name in wanted if name not in self.class_names]
        if unknown:
            raise InputError(
                f"Expected classes out of {', '.join(self.class_names)}; got {', '.join(unknown)}."
            )
        chosen = tuple(
            image[np.array([name in wanted for name in image.class_names], bool)]
            for image in self.images
        )
        return replace(self, images=chosen, class_names=tuple(wanted))

    def rename(self, names: Mapping[str, str]) -> LabelledImages:
        """The same objects under other class names; two classes given one name become one.

        Example:
            >>> labels = LabelledImages((), ("rider", "car"), ReadReport("none"))
            >>> labels.rename({"rider": "bicyclist"}).class_names
            ('bicyclist', 'car')
        """
        unknown = [name for name in names if name not in self.class_names]
        if unknown:
            raise InputError(
                f"Expected classes out of {', '.join(self.class_names)}; got {', '.join(unknown)}."
            )
        renamed = tuple(
            replace(image, class_names=tuple(names.get(n, n) for n in image.class_names))
            for image in self.images
        )
        declared = tuple(dict.fromkeys(names.get(n, n) for n in self.class_names))
        return replace(self, images=renamed, class_names=declared)

    def to_segments(self) -> list[Segments]:
        """The masks as segments, one table per picture, for `samlab.export`, plots and banks.

        Objects that have only a box are left out: SAM makes masks of them with
        `samlab.bank.box_examples`.

        Returns:
            As many tables as pictures, perhaps empty ones; `class_names` is the same in all.

        Raises:
            InputError: There are objects, and none has a mask.
        """
        if len(self) and any(len(image) for image in self.images):
            masked = any(mask is not None for image in self.images for mask in image.masks)
            if not masked:
                raise InputError(
                    f"Expected labels with masks, '{self.report.source}' has only boxes. Let SAM "
                    "make masks of them: samlab.bank.box_examples(labels)."
                )
        numbers = {name: i for i, name in enumerate(self.class_names)}
        tables = []
        for image in self.images:
            found = [(m, c) for m, c in zip(image.masks, image.class_names, strict=True) if m]
            tables.append(
                Segments(
                    rles=[mask for mask, _ in found],
                    labels=np.array([numbers[name] for _, name in found], np.int64),
                    image_size=image.image_size,
                    image_id=image.name,
                    class_names=dict(enumerate(self.class_names)),
                )
            )
        return tables

    def digest(self) -> str:
        """SHA-256 of picture names, boxes and classes, whatever their order in the file."""
        total = hashlib.sha256()
        for image in sorted(self.images, key=lambda image: image.name):
            rows = sorted(zip(image.class_names, image.boxes.tolist(), strict=True))
            total.update(repr((image.name, image.image_size, rows)).encode())
        return total.hexdigest()


@dataclass(frozen=True)
class RawObject:
    """An object as a file tells it, not yet checked.

    Attributes:
        where: How to name it in the report, for example "annotation 17".
        class_name: Its class.
        box: Four numbers XYXY, or anything broken; None to take the mask's box.
        mask: Given the picture's (H, W), makes the mask; raises FormatError where it cannot.
        problem: Why it cannot be used, where the reader knows already.
    """

    where: str
    class_name: str
    box: Any = None
    mask: Callable[[tuple[int, int]], Rle] | None = None
    problem: str = ""


class Reading:
    """Gathers a reader's pictures, checks them, and counts what is left out."""

    def __init__(self, source: str | Path, folder: str | Path) -> None:
        self.folder = image_folder(folder)
        self.report = ReadReport(str(source))
        self.images: list[LabelledImage] = []

    def add(
        self, name: Any, objects: Iterable[RawObject], size: tuple[int, int] | None = None
    ) -> None:
        """Take one picture and its objects; `size` is the (H, W) that the label file tells."""
        if not isinstance(name, str) or (path := inside(self.folder, name)) is None:
            self.report.leave_out(
                "picture", "the file name leads out of the image folder", repr(name)
            )
            return
        if not is_file(path):
            self.report.leave_out("picture", "no such file in the image folder", name)
            return
        found = picture_size(path)
        if found is None:
            self.report.leave_out("picture", "not a readable picture", name)
            return
        if size is not None and size != found:
            self.report.leave_out(
                "picture",
                "the labels were made for another size",
                f"{name}: labels {size[1]} x {size[0]}, picture {found[1]} x {found[0]}",
            )
            return
        kept = [item for raw in objects if (item := self._object(raw, name, found)) is not None]
        boxes = np.array([box for _, box, _ in kept], np.float32).reshape(-1, 4)
        boxes.flags.writeable = False
        self.images.append(
            LabelledImage(
                path=path,
                name=path.relative_to(self.folder).as_posix(),
                image_size=found,
                boxes=boxes,
                class_names=tuple(class_name for class_name, _, _ in kept),
                masks=tuple(mask for _, _, mask in kept),
            )
        )

    def _object(
        self, raw: RawObject, name: str, size: tuple[int, int]
    ) -> tuple[str, np.ndarray, Rle | None] | None:
        where, mask = f"{raw.where} of {name}", None
        if raw.problem:
            self.report.leave_out("object", raw.problem, where)
            return None
        if raw.mask is not None:
            try:
                mask = raw.mask(size)
            except FormatError as error:
                self.report.leave_out("mask", str(error), where)
        given = raw.box
        if given is None and mask is not None:
            given = masks.boxes([mask])[0]
        if given is None:
            self.report.leave_out("object", "it has no box", where)
            return None
        box, problem = clip_box(given, size)
        if box is None:
            self.report.leave_out("object", problem, where)
            return None
        if problem:
            self.report.changed[problem] += 1
        return clean_text(raw.class_name), box, mask

    def done(self, class_names: Iterable[str] = ()) -> LabelledImages:
        """Close the reading; raises FormatError where there were pictures and none is left."""
        self.report.pictures = len(self.images)
        self.report.objects = sum(len(image) for image in self.images)
        if not self.images and any(what == "picture" for what, _ in self.report.left_out):
            reasons = str(self.report).split("\n", 1)[1].replace("\n", " ")
            raise FormatError(
                f"Expected pictures in '{self.folder}' for the labels in '{self.report.source}', "
                f"found none that can be used. {reasons} Is it the right image folder?"
            )
        used = sorted({name for image in self.images for name in image.class_names})
        declared = tuple(dict.fromkeys([*map(clean_text, class_names), *used]))
        return LabelledImages(tuple(self.images), declared, self.report)


def _shortened(text: str) -> str:
    """A name for a report, whatever somebody called a file."""
    text = clean_text(text)
    return text if len(text) <= 120 else f"{text[:80]}... ({len(text):,} characters)"


def clip_box(value: Any, size: tuple[int, int]) -> tuple[np.ndarray | None, str]:
    """Clip a box XYXY to a picture of (H, W).

    Returns:
        float32 (4,) and "", or a note where it was clipped; None and the reason where nothing of
        it is left or it never was a box.
    """
    if not isinstance(value, (list, tuple, np.ndarray)) or len(value) != 4:
        return None, "its box is not four numbers"
    try:
        box = np.array([float(v) for v in value], np.float64)
    except (TypeError, ValueError, OverflowError):
        return None, "its box is not four numbers"
    if not np.isfinite(box).all():
        return None, "its box has NaN or infinity"
    if box[2] < box[0] or box[3] < box[1]:
        return None, "its box is inverted (x1 < x0 or y1 < y0)"
    if box[2] == box[0] or box[3] == box[1]:
        return None, "its box has zero size"
    limit = np.array([size[1], size[0], size[1], size[0]], np.float64)
    inner = np.clip(box, 0, limit).astype(np.float32)
    if inner[2] <= inner[0] or inner[3] <= inner[1]:
        return None, "its box lies outside the picture"
    # Label tools round; a box that sticks out by less than a pixel is no news.
    far_out = bool((np.abs(box - inner) >= 1).any())
    return inner, "it stuck out of the picture and was clipped" if far_out else ""


def picture_size(path: Path) -> tuple[int, int] | None:
    """(H, W) from a picture's header, EXIF orientation applied; None where it is no picture."""
    try:
        with warnings.catch_warnings():
            # Size limits are read_image's business, when the pixels are decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=raster_formats()) as image:
                width, height = image.size
                # Pillow decodes a whole PNG in search of EXIF data, which hardly any has.
                silent = image.format == "PNG" and not {*image.info} & _PNG_EXIF
                turned = not silent and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception:  # noqa: BLE001  (decoders raise what they like; see samlab.images)
        return None
    return (width, height) if turned else (height, width)
