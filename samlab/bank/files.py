"""The file of a memory bank: one safetensors file, numbers as tensors, words as JSON. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from samlab.bank.heads import Head
from samlab.errors import FormatError
from samlab.files import atomic_file

VERSION = 1
_KEY = "samlab.bank"
_HASH_KEY = "samlab.sha256"
_HEAD = "head."


def write(
    path: Path, tensors: Mapping[str, np.ndarray], words: Mapping[str, Any], head: Head | None
) -> Path:
    """Write arrays and words atomically: a reader finds the old file or the new one.

    Args:
        path: The file; its folder must exist.
        tensors: Arrays by name.
        words: JSON-able; `version` is added.
        head: The trained projection, or None.

    Raises:
        FormatError: There is no such folder.
        StorageError: It cannot be written to.
    """
    if not path.parent.is_dir():
        raise FormatError(
            f"Expected an existing folder to write the bank to, got '{path.parent}'. Make it first."
        )
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    if head is not None:
        arrays |= {_HEAD + name: value for name, value in head.tensors().items()}
    content = {"version": VERSION, **words, "head": None if head is None else head.about}
    text = json.dumps(content, default=str)
    metadata = {_KEY: text, _HASH_KEY: _contents(arrays, text)}
    try:
        with atomic_file(path) as temporary:
            save_file(arrays, temporary, metadata=metadata)
    except SafetensorError as error:
        raise FormatError(
            f"The bank could not be written to '{path}': {error}. Choose a folder that can be "
            "written and has room."
        ) from None
    return path


def read(path: Path, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any], Head | None]:
    """The arrays of these names, words and head of a file, of this version or an earlier one.

    Raises:
        FormatError: There is no such file, it is damaged or no bank, a newer samlab wrote it, or
            one of the arrays is missing.
    """
    if not path.is_file():
        raise FormatError(f"No memory bank at '{path}': the file does not exist.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    # ValueError and its like: kinds of numbers and text that NumPy or Python have no word for.
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(
            f"'{path}' is not a safetensors file, or is damaged: {error}. "
            "Write it again with MemoryBank.save."
        ) from None
    words = metadata.get(_KEY)
    if words is None:
        raise FormatError(
            f"'{path}' holds tensors but no memory bank (no '{_KEY}' in it). "
            "Expected a file written by MemoryBank.save."
        )
    if metadata.get(_HASH_KEY, _contents(tensors, words)) != _contents(tensors, words):
        raise FormatError(
            f"'{path}' is damaged: its contents do not have the hash that it states. Write it "
            "again with MemoryBank.save."
        )
    about = _words(path, words)
    missing = [name for name in names if name not in tensors]
    if missing:
        raise FormatError(f"'{path}' misses the tensors {', '.join(missing)} of a memory bank.")
    _check_fields(path, about)
    for name, value in tensors.items():
        if value.dtype.kind not in "fiu" or not np.isfinite(value).all():
            raise FormatError(
                f"Expected finite numbers in the tensor '{name}' of '{path}', got {value.dtype}"
                f"{' with NaN or infinity' if value.dtype.kind == 'f' else ''}."
            )
    head = None
    if about["head"] is not None:
        parts = {k.removeprefix(_HEAD): v for k, v in tensors.items() if k.startswith(_HEAD)}
        head = Head.from_tensors(parts, about["head"])
    return {name: tensors[name] for name in names}, about, head


def _words(path: Path, text: str) -> dict[str, Any]:
    """What is said of the bank; FormatError unless this version can read it."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"What '{path}' says of its bank is not JSON: {error}.") from None
    version = about.get("version") if isinstance(about, dict) else None
    if not isinstance(version, int):
        raise FormatError(f"Expected '{path}' to state its format version, got {version!r:.60}.")
    if version > VERSION:
        raise FormatError(
            f"Expected a bank of format version {VERSION} or lower, got {version}. "
            "The file was written by a newer samlab: upgrade samlab."
        )
    return about


def _check_fields(path: Path, about: Mapping[str, Any]) -> None:
    """Raise FormatError unless everything that is said is there and of its kind."""
    for name, fits in _FIELDS.items():
        if name not in about or not fits(about[name]):
            raise FormatError(
                f"'{path}' is not as MemoryBank.save writes it: its field '{name}' "
                + (f"is {about[name]!r:.60}." if name in about else "is missing.")
            )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_number(value: Any) -> bool:
    # -inf is allowed: it means that nothing is unknown.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "class_names": _is_names,
    "background": _is_names,
    "embedding": lambda value: isinstance(value, str),
    "unknown_below": _is_number,
    "provenance": lambda value: isinstance(value, dict),
    "notes": _is_names,
    "head": lambda value: value is None or isinstance(value, dict),
}


def _contents(tensors: Mapping[str, np.ndarray], words: str) -> str:
    """SHA-256 of names, kinds, shapes, numbers and words."""
    total = hashlib.sha256(words.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        array = tensors[name]
        total.update(f"\0{name}\0{array.dtype.str}{array.shape}\0".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
