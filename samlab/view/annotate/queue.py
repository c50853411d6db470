"""The pictures to annotate, and where one is among them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from samlab.errors import ImageError, InputError
from samlab.images import read_image
from samlab.pictures import pictures_in

PictureStatus: TypeAlias = Literal["new", "begun", "done", "broken"]


class Queue:
    """Pictures in order, by name; each is read when its turn comes.

    Args:
        source: A folder, searched with all folders in it, or a list of files.
        skip: A folder to leave out, such as the one for results.

    Attributes:
        names: The file names, relative to the folder, or to the deepest folder of all files.
        broken: Name of each picture that could not be read -> why.
    """

    def __init__(
        self, source: str | Path | Iterable[str | Path], *, skip: str | Path | None = None
    ) -> None:
        if isinstance(source, (str, os.PathLike)):
            self.root, files = _in_folder(Path(source), None if skip is None else Path(skip))
        else:
            self.root, files = _listed([Path(item) for item in source])
        self.names: list[str] = [file.relative_to(self.root).as_posix() for file in files]
        self.broken: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.names)

    def path(self, name: str) -> Path:
        """The picture's file."""
        return self.root / name

    def read(self, name: str) -> np.ndarray:
        """The picture, uint8 RGB (H, W, 3); where that fails it is listed as broken.

        Raises:
            ImageError: It cannot be read.
        """
        try:
            pixels = read_image(self.path(name))
        except (ImageError, OSError) as error:
            self.broken[name] = str(error)
            raise ImageError(str(error)) from error
        self.broken.pop(name, None)
        return pixels

    def following(self, at: int, done: Iterable[str], step: int = 1) -> int | None:
        """The next picture that is neither finished nor broken, from index `at` on; or None.

        Looked for to the end and then from the beginning; `at` itself comes last.
        """
        closed = {*done, *self.broken}
        for i in range(1, len(self) + 1):
            index = (at + step * i) % len(self)
            if self.names[index] not in closed:
                return index
        return None

    def status(self, name: str, done: Iterable[str], begun: Iterable[str]) -> PictureStatus:
        """How far a picture is."""
        if name in self.broken:
            return "broken"
        if name in done:
            return "done"
        return "begun" if name in begun else "new"


def _in_folder(folder: Path, skip: Path | None) -> tuple[Path, list[Path]]:
    if not folder.is_dir():
        what = "is a file: pass it in a list" if folder.exists() else "does not exist"
        raise InputError(f"Expected a folder of pictures or a list of files, '{folder}' {what}.")
    root = folder.resolve()
    away = None if skip is None or skip.resolve() == root else skip
    files = [root / name for name in pictures_in(root, leave_out=away)]
    if not files:
        raise InputError(f"Expected pictures in the folder '{folder}', found none.")
    return root, files


def _listed(files: Sequence[Path]) -> tuple[Path, list[Path]]:
    if not files:
        raise InputError("Expected at least one picture, got an empty list.")
    absolute = list(dict.fromkeys(file.absolute() for file in files))
    return Path(os.path.commonpath([file.parent for file in absolute])), absolute
