"""The file of a memory bank: one safetensors file, numbers as tensors, words as JSON. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
    metadata = {_KEY: json.dumps(content, default=str)}
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
            words = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise FormatError(
            f"'{path}' is not a safetensors file, or is damaged: {error}. "
            "Write it again with MemoryBank.save."
        ) from None
    if words is None:
        raise FormatError(
            f"'{path}' holds tensors but no memory bank (no '{_KEY}' in it). "
            "Expected a file written by MemoryBank.save."
        )
    about = json.loads(words)
    if about["version"] > VERSION:
        raise FormatError(
            f"Expected a bank of format version {VERSION} or lower, got {about['version']}. "
            "The file was written by a newer samlab: upgrade samlab."
        )
    missing = [name for name in names if name not in tensors]
    if missing:
        raise FormatError(f"'{path}' misses the tensors {', '.join(missing)} of a memory bank.")
    head = None
    if about["head"] is not None:
        parts = {k.removeprefix(_HEAD): v for k, v in tensors.items() if k.startswith(_HEAD)}
        head = Head.from_tensors(parts, about["head"])
    return {name: tensors[name] for name in names}, about, head
