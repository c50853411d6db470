"""What a picture file is, and which are meant by a folder, a list, a glob or a generator."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any, TypeAlias

import numpy as np

from samlab.errors import ImageError, InputError
from samlab.images import decode_image, read_bytes, read_image

#: Stands for the time 0 of files, which says nothing about when they were written.
NO_TIME = 1
_LONGEST_NAME = 4096  # of a path, in characters

PathLike: TypeAlias = str | os.PathLike[str]
Pictures: TypeAlias = PathLike | Iterable[PathLike] | Mapping[str, PathLike]

#: Endings of the files in a folder that are taken for pictures; name others in a list.
SUFFIXES = {".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm"}
SUFFIXES |= {".tif", ".tiff", ".webp"}


def is_picture(path: PathLike) -> bool:
    """Whether a file in a folder is taken for a picture: by its ending, and unless it is hidden.

    Example:
        >>> is_picture("a/b.JPG"), is_picture("a/.b.jpg"), is_picture("a/b.txt")
        (True, False, False)
    """
    name = PurePath(path).name
    return not name.startswith(".") and PurePath(name).suffix.lower() in SUFFIXES


def pictures_in(folder: PathLike, *, leave_out: PathLike | None = None) -> list[str]:
    """The pictures in a folder and in those below it, which is what a folder means everywhere.

    Hidden files and folders are not searched, nor are results of a run (known by their run.json).
    Links to folders are followed, once each.

    Args:
        folder: Where.
        leave_out: A folder inside it that is not searched, such as the one for results.

    Returns:
        Paths relative to the folder, with `/`, sorted.
    """
    root = os.fspath(folder)
    seen = {os.path.realpath(root)}
    if leave_out is not None:
        seen.add(os.path.realpath(leave_out))
    names: list[str] = []
    for place, below, files in os.walk(root, followlinks=True):
        fresh = []
        for name in sorted(below):
            whole = os.path.join(place, name)
            real = os.path.realpath(whole)
            results = os.path.exists(os.path.join(whole, "run.json"))
            if not (name.startswith(".") or results or real in seen):
                seen.add(real)
                fresh.append(name)
        below[:] = fresh
        names += [_relative(os.path.join(place, name), root) for name in files if is_picture(name)]
    return sorted(names)


@dataclass(frozen=True)
class Picture:
    """One picture of a run.

    Attributes:
        position: Its place in the order of the run, from 0.
        image_id: Its name in the run, different for every picture.
        path: Where it is: an absolute path on this machine, or a URL that fsspec opens.

    Both are text that every file can hold, also where the name of the file is none; see
    `escaped_name`.
    """

    position: int
    image_id: str
    path: str

    @property
    def file(self) -> str:
        """The path as the system knows it, to open the file with."""
        return unescaped_name(self.path)


@dataclass(frozen=True)
class PictureList:
    """Pictures in their order. `total` is None where it is known only at the end (a generator).

    Iterating makes the `Picture`s one by one, so that a million of them cost a million names.
    """

    source: Callable[[], Iterator[tuple[str, str]]]
    total: int | None

    def __iter__(self) -> Iterator[Picture]:
        pairs = enumerate(self.source())
        return (
            Picture(i, escaped_name(image_id), escaped_name(_absolute(path)))
            for i, (image_id, path) in pairs
        )


def list_pictures(pictures: Pictures) -> PictureList:
    """Find the pictures that a run is asked about.

    Args:
        pictures: A folder (with sub-folders; by name in a stable order), one file, a glob such as
            `"photos/**/*.jpg"`, a list or generator of paths, or a mapping from names to paths.
            URLs such as `s3://bucket/folder` go through fsspec.

    Returns:
        The list. Names (`image_id`): below a folder or a glob's fixed part, the relative path
        with `/`, so that equal file names in sub-folders differ; the key of a mapping; else the
        path as it was given. A path given twice counts once.

    Raises:
        InputError: There is no such folder, or no picture in it.

    Example:
        >>> [p.image_id for p in list_pictures(["a.jpg", "sub/a.jpg"])]
        ['a.jpg', 'sub/a.jpg']
    """
    if isinstance(pictures, (str, os.PathLike)):
        return _from_name(os.fspath(pictures))
    if isinstance(pictures, Mapping):
        pairs = [(str(name), _text(path)) for name, path in pictures.items()]
        _check_distinct(name for name, _ in pairs)
        return _known(pairs, "the mapping")
    if isinstance(pictures, Iterator):
        stream = pictures
        return PictureList(lambda: _once(_named(p) for p in stream), None)
    if isinstance(pictures, Iterable):
        return _known(list(_once(_named(path) for path in pictures)), "the list")
    raise InputError(
        "Expected a folder, a glob, a list or generator of paths, or a mapping from names to "
        f"paths; got {type(pictures).__name__}."
    )


def inside(folder: Path, name: str) -> Path | None:
    """The file `name` in `folder`, or None where the name leads out of it.

    Absolute names, drive letters, `..` that climbs out, and symbolic links that point out are all
    refused, so that a label file from a stranger cannot make us open any other file.

    Args:
        folder: A resolved folder, without links.
        name: A relative name with forward slashes, as label files write it.

    Example:
        >>> inside(Path("/pictures"), "../etc/passwd") is None
        True
    """
    if len(name) > _LONGEST_NAME:
        return None
    windows = PureWindowsPath(name)
    if not name or "\0" in name or windows.drive or windows.root or ".." in windows.parts[:1]:
        return None
    try:
        path = (folder / name).resolve()
    except (OSError, RuntimeError, ValueError):  # too long, a circle of links, half a character
        return None
    return path if path != folder and path.is_relative_to(folder) else None


def is_remote(path: str) -> bool:
    r"""Whether opening a path asks another machine: a URL, or a share of Windows (`\\host\a`).

    Example:
        >>> is_remote("ftp://host/a.png"), is_remote("/photos/a.png")
        (True, False)
    """
    return "://" in path or path.startswith(("\\\\", "//"))


def escaped_name(name: str) -> str:
    r"""A file's name as text that every file can hold.

    A name that is UTF-8 and has no `\x` in it stays as it is. In others each backslash becomes
    `\x5c` and each byte that is no UTF-8 `\xHH`, so that different names stay different.

    Example:
        >>> escaped_name("a.png"), escaped_name("b\udcff.png")
        ('a.png', 'b\\xff.png')
    """
    if "\\x" not in name and name.isascii():
        return name
    try:
        data = name.encode()
    except UnicodeEncodeError:
        # Bytes that are no UTF-8 came as lone surrogates; any others can be those of no file here.
        data = name.encode("utf-8", "surrogatepass")
        data = re.sub(rb"\xed([\xb2\xb3][\x80-\xbf])", _surrogate_byte, data)
    else:
        if "\\x" not in name:
            return name
    return data.replace(b"\\", b"\\x5c").decode("utf-8", "backslashreplace")


def unescaped_name(text: str) -> str:
    r"""The inverse of `escaped_name`: a name as the system knows it.

    Example:
        >>> unescaped_name(escaped_name("b\udcff.png")) == "b\udcff.png"
        True
    """
    if "\\x" not in text:
        return text
    parts = re.split(r"\\x([0-9a-f]{2})", text)
    data = [bytes([int(p, 16)]) if i % 2 else p.encode() for i, p in enumerate(parts)]
    return b"".join(data).decode("utf-8", "surrogateescape")


def _surrogate_byte(found: re.Match[bytes]) -> bytes:
    """The byte that the surrogate stands for: U+DC80 is 0x80."""
    code = ord(found.group().decode("utf-8", "surrogatepass"))
    return bytes([code - 0xDC00])


def read_picture(path: str) -> tuple[np.ndarray, int, str]:
    """A picture as uint8 (H, W, 3), the bytes of its file, and their SHA-256.

    Raises:
        ImageError: As `samlab.read_image`; also where a URL cannot be read.
    """
    # Hashed and decoded are the same bytes, also where the file is just being replaced.
    data = _read_remote(path) if "://" in path else read_bytes(path)
    return decode_image(data, path), len(data), hashlib.sha256(data).hexdigest()


def file_stamp(path: str) -> tuple[int, int]:
    """Size in bytes of a file on this machine and when it was written, in nanoseconds since 1970.

    Two zeros for a URL and where there is no file. A file of 1970 itself, as some archives have
    them, gets a 1: that time is known, but tells nothing.
    """
    try:
        found = None if "://" in path else os.stat(path)
    except OSError:
        found = None
    return (0, 0) if found is None else (found.st_size, found.st_mtime_ns or NO_TIME)


def file_sha256(path: str) -> str:
    """SHA-256 of a file; "" where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _read_remote(url: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(url, "rb") as file:
            data: bytes = file.read()
    except (OSError, ValueError, ImportError) as error:
        raise ImageError(f"'{url}' could not be read: {error}.") from error
    return data


# -- finding ------------------------------------------------------------------------------------


def _from_name(name: str) -> PictureList:
    if "://" in name and not name.startswith("file://"):
        return _from_url(name)
    name = os.path.expanduser(name.removeprefix("file://"))
    if os.path.isdir(name):
        pairs = [(below, os.path.join(name, below)) for below in pictures_in(name)]
        return _known(pairs, f"the folder '{name}'")
    if os.path.exists(name):
        return _known([(PurePath(name).name, name)], name)
    if glob.has_magic(name):
        root = _fixed_part(name)
        found = sorted(p for p in glob.iglob(name, recursive=True) if os.path.isfile(p))
        pairs = [(_relative(path, root), path) for path in found]
        return _known(pairs, f"the pattern '{name}'")
    raise InputError(f"Expected a folder, a picture or a glob; '{name}' does not exist.")


def _from_url(url: str) -> PictureList:
    from fsspec.core import url_to_fs

    try:
        filesystem, root = url_to_fs(url)
        found = sorted(map(str, filesystem.find(root)))
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"'{url}' cannot be opened: {error}. Install the fsspec package of that storage "
            "(s3fs, gcsfs, adlfs, ...) and check the address, or name a folder on this machine."
        ) from error
    scheme = url.split("://")[0]
    kept = [path for path in found if is_picture(path)]
    whole = {path: f"{scheme}://{path.lstrip('/')}" for path in kept}
    if scheme == "memory":
        whole = {path: f"memory://{path}" for path in kept}
    pairs = [(path.removeprefix(root).lstrip("/") or path, whole[path]) for path in kept]
    return _known(pairs, f"'{url}'")


def _fixed_part(pattern: str) -> str:
    """The folder of a glob before its first wildcard."""
    parts = []
    for part in PurePath(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return str(PurePath(*parts)) if parts else "."


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def _relative(path: str, root: str) -> str:
    return PurePath(os.path.relpath(path, root)).as_posix()


def _known(pairs: list[tuple[str, str]], where: str) -> PictureList:
    if not pairs:
        raise InputError(
            f"Expected at least one picture in {where}; found none. Files with these endings are "
            f"taken: {' '.join(sorted(SUFFIXES))}. Name others in a list of paths."
        )
    return PictureList(lambda: iter(pairs), len(pairs))


def _named(path: Any) -> tuple[str, str]:
    text = _text(path)
    return (text if "://" in text else PurePath(text).as_posix()), text


def _check_distinct(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(
                f"Expected a name of its own for each picture; '{name}' stands for two of the "
                "mapping. Names are text, so that 1 and '1' are the same."
            )
        seen.add(name)


def _once(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for name, path in pairs:
        if name not in seen:
            seen.add(name)
            yield name, path


def _text(path: Any) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(
            f"Expected the pictures of a run as paths, got {type(path).__name__}. A run names its "
            "pictures by their files; for arrays use samlab.segment."
        )
    return os.fsdecode(path)


def read_pictures(images: Any) -> list[np.ndarray]:
    """The pictures, uint8 RGB (H, W, 3), of one picture, a list of them, or a folder."""
    if isinstance(images, (str, os.PathLike)) and os.path.isdir(images):
        return [read_picture(picture.path)[0] for picture in list_pictures(images)]
    many = isinstance(images, (list, tuple))
    return [read_image(image) for image in (images if many else [images])]
