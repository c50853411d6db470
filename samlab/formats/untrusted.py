"""Paths that come out of other people's files, kept inside the folder they belong to."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from samlab.errors import FormatError


def image_folder(folder: str | Path) -> Path:
    """The folder, resolved; raises FormatError unless it exists."""
    path = Path(folder)
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise FormatError(
            f"Expected a folder of pictures, got '{path}', which {what}. "
            "Pass the folder that the file names in the labels are relative to."
        )
    return path.resolve()


def inside(folder: Path, name: str) -> Path | None:
    """The file `name` in `folder`, or None where the name leads out of it.

    Absolute names, drive letters, `..` that climbs out, and symbolic links that point out are all
    refused, so that a label file from a stranger cannot make us open any other file.

    Args:
        folder: A resolved folder, see `image_folder`.
        name: A relative name with forward slashes, as label files write it.

    Example:
        >>> inside(Path("/pictures"), "../etc/passwd") is None
        True
    """
    windows = PureWindowsPath(name)
    if not name or "\0" in name or windows.drive or windows.root or ".." in windows.parts[:1]:
        return None
    try:
        path = (folder / name).resolve()
    except (OSError, RuntimeError):  # a name too long for the file system, or a circle of links
        return None
    return path if path != folder and path.is_relative_to(folder) else None
