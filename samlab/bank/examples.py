"""Labelled pictures to labelled segments with vectors: the examples a bank is built from.

Every picture is encoded once. With a folder for it, each picture's examples are written there as
soon as they are computed, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm.auto import tqdm

from samlab.bank.boxes import (
    How,
    background_segments,
    masks_with_vectors,
    segment_with_boxes,
)
from samlab.errors import FormatError, ImageError, InputError
from samlab.errors.arguments import checked_arguments
from samlab.files import make_folder
from samlab.formats.labelled import LabelledImage, LabelledImages
from samlab.formats.registry import LabelFormat, guess_format
from samlab.images import read_image
from samlab.process.progress import hushed
from samlab.sam.fast import encode
from samlab.sam.load import load_sam
from samlab.sam.provenance import model_name, weights_sha256
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

BACKGROUND = "background"


@dataclass(frozen=True)
class ExampleOptions:
    """What decides a picture's examples, apart from the picture and its labels."""

    weights_sha256: str
    how: How
    masks: Literal["prompt", "labels"]
    parts: bool
    background: int

    def key(self, image: LabelledImage) -> str:
        """A name for this picture's examples; another option or label gives another one."""
        stat = image.path.stat()
        labels = [image.boxes.tolist(), image.class_names, image.masks]
        about = [vars(self), image.name, stat.st_size, stat.st_mtime_ns, image.image_size, labels]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


@checked_arguments
def box_examples(
    labelled: LabelledImages,
    sam: str | Path | Sam = "tiny",
    *,
    how: How = "coverage",
    masks: Literal["prompt", "labels"] = "prompt",
    parts: bool = False,
    background: int = 0,
    resume: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
) -> Segments:
    """One segment with a vector for every labelled object.

    Args:
        labelled: From `samlab.read_labels`, or from a reader of `samlab.read`.
        sam: A model from `load_sam`, or a name or path for it.
        how: Pooling, `"coverage"`, `"any"`, `"crop"` or `"token"`; see `samlab.pool`.
        masks: `"prompt"` asks SAM with each box; `"labels"` takes the labels' own masks, and asks
            SAM where an object has none.
        parts: Further examples from SAM's whole, part and sub-part of each box, with its class.
        background: So many segments per picture that touch no box, as the class "background".
        resume: A folder in which finished pictures are kept and looked up.
        device: Where to load the model when `sam` is a name or path.
        progress: Show a progress bar.

    Returns:
        N segments of all pictures, `labels` indexing `class_names` in the order of
        `labelled.class_names`. `provenance` holds weights, pooling, the labels' digest, and
        `notes` about pictures that could not be read and boxes without a mask.

    Raises:
        InputError: An option is unknown, or a class is named "background" already.
    """
    model = load_sam(sam, device=device) if isinstance(sam, (str, os.PathLike)) else sam
    options = _options(labelled, model, how, masks, parts, background)
    folder = _folder(resume)
    names = [*labelled.class_names, *([BACKGROUND] if background else [])]
    tables, notes = [], []
    pictures = tqdm(labelled, desc="examples", unit="picture", disable=not progress)
    for image in pictures:
        path = None if folder is None else folder / f"{options.key(image)}.parquet"
        table = _stored(path)
        if table is None:
            try:
                with hushed():  # the bar counts pictures
                    table = _examples_of(image, model, options, names)
            except ImageError as error:
                notes.append(f"Left out: {error}")
                continue
            if path is not None:
                table.to_parquet(path)
        notes += table.provenance.get("notes", [])
        tables.append(table)
    everything = Segments.concat(tables)
    about = {
        "weights_sha256": options.weights_sha256,
        "model": model_name(model),
        "pooling": how,
        "masks": masks,
        "parts": parts,
        "labels_sha256": labelled.digest(),
        "labels": labelled.report.source,
        "pictures": len(tables),
        "notes": notes,
    }
    return replace(everything, class_names=dict(enumerate(names)), provenance=about)


def masks_for(labels: str | Path, format: LabelFormat) -> Literal["prompt", "labels"]:
    """Label maps tell the masks; other labels get SAM's own, as segments to be classified have."""
    kind = guess_format(Path(labels)) if format == "auto" else format
    return "labels" if kind == "label-maps" else "prompt"


def _options(
    labelled: LabelledImages, sam: Sam, how: How, masks: Any, parts: bool, background: int
) -> ExampleOptions:
    if masks not in ("prompt", "labels"):
        raise InputError(f"Expected masks='prompt' or masks='labels', got {masks!r}.")
    if how not in ("coverage", "any", "crop", "token"):
        raise InputError(f"Expected how 'coverage', 'any', 'crop' or 'token', got {how!r}.")
    if background < 0:
        raise InputError(f"Expected background of 0 or more segments, got {background}.")
    if background and BACKGROUND in labelled.class_names:
        raise InputError(
            f"The labels have a class '{BACKGROUND}' of their own. Rename it with "
            f"labelled.rename({{'{BACKGROUND}': ...}}), or pass background=0."
        )
    return ExampleOptions(weights_sha256(sam), how, masks, parts, background)


def _folder(resume: str | Path | None) -> Path | None:
    if resume is None:
        return None
    return make_folder(resume)


def _stored(path: Path | None) -> Segments | None:
    """Examples of an earlier run; None where there are none, or the file is cut short."""
    if path is None or not path.is_file():
        return None
    try:
        return Segments.from_parquet(path)
    except (FormatError, OSError, ValueError):
        return None


def _examples_of(
    image: LabelledImage, sam: Sam, options: ExampleOptions, names: list[str]
) -> Segments:
    index = {name: i for i, name in enumerate(names)}
    labels = np.array([index[name] for name in image.class_names], np.int64)
    pixels = read_image(image.path)
    tables, notes = [], []
    given = np.array([rle is not None for rle in image.masks], bool)
    given &= options.masks == "labels"
    needed = len(image) or options.background
    encoded = encode(pixels, sam) if needed else None
    if given.any():
        rles = [rle for rle in image[given].masks if rle is not None]
        table = masks_with_vectors(pixels, rles, sam, how=options.how, features=encoded)
        tables.append(table.with_labels(labels[given]))
    if (~given).any():
        prompted = segment_with_boxes(
            pixels,
            image.boxes[~given],
            sam,
            how=options.how,
            parts=options.parts,
            features=encoded,
        )
        tables.append(prompted.segments.with_labels(labels[~given][prompted.box]))
        if len(prompted.empty):
            notes.append(
                f"{image.name}: the model gave no mask for {len(prompted.empty)} box(es); the box "
                "itself was taken."
            )
    if options.background:
        table = background_segments(
            pixels, image.boxes, sam, options.background, how=options.how, features=encoded
        )
        tables.append(table.with_labels(np.full(len(table), index[BACKGROUND])))
    out = Segments.concat(tables) if tables else Segments(image_size=image.image_size)
    about: Mapping[str, Any] = {"notes": notes}
    return replace(out.with_image_id(image.name), provenance=about)
