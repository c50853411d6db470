"""Reading JSON label files, with messages that say what is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samlab.errors import FormatError


def load_json(path: str | Path, kind: str) -> Any:
    """Parse a JSON file; `kind` names the format in messages, for example "COCO"."""
    path = Path(path)
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FormatError(f"No {kind} file at '{path}': it does not exist.") from None
    except IsADirectoryError:
        raise FormatError(f"Expected a {kind} file, got the folder '{path}'.") from None
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
