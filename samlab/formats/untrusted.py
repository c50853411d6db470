"""Other people's files: JSON whose fields may be missing, and paths that may lead anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samlab.errors import FormatError
from samlab.pictures import inside as inside


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


def is_file(path: Path) -> bool:
    """Whether it is a file, also for names that no file system takes."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def clean_text(value: object) -> str:
    """Text that can be printed and written as UTF-8; half characters become their numbers.

    Example:
        >>> clean_text("caf\\u00e9 \\ud800") == "caf\\u00e9 \\\\ud800"
        True
    """
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def load_json(path: str | os.PathLike[str], kind: str) -> Any:
    """Parse a JSON file; `kind` names the format in messages, for example "COCO"."""
    path = Path(path)
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FormatError(f"No {kind} file at '{path}': it does not exist.") from None
    except IsADirectoryError:
        raise FormatError(f"Expected a {kind} file, got the folder '{path}'.") from None
    except OSError as error:
        raise FormatError(f"'{path}' cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        raise FormatError(
            f"'{path}' is not {kind}: it is not JSON ({error}). Is the download complete?"
        ) from None


def field_of(entry: Any, key: str, where: str, kind: str) -> Any:
    """`entry[key]`, or a FormatError that names the missing field and its place."""
    if not isinstance(entry, Mapping):
        raise FormatError(
            f"{where} is not {kind}: expected an object with the field '{key}', "
            f"got {type(entry).__name__}."
        )
    if key not in entry:
        have = ", ".join(f"'{name}'" for name in list(entry)[:12]) or "nothing"
        raise FormatError(f"{where} is not {kind}: the field '{key}' is missing. It has: {have}.")
    return entry[key]


def list_of(entry: Any, key: str, where: str, kind: str) -> Sequence[Any]:
    """Like `field_of`, for a field that must be a list."""
    value = field_of(entry, key, where, kind)
    if not isinstance(value, list):
        raise FormatError(
            f"{where} is not {kind}: expected a list in the field '{key}', "
            f"got {type(value).__name__}."
        )
    return value


def named_content(source: Any, kind: str, what: str) -> tuple[str, Any]:
    """How messages name a label file and what is in it; `what` names content given directly."""
    if isinstance(source, (str, os.PathLike)):
        return f"'{source}'", load_json(source, kind)
    return what, source
