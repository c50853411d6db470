"""A memory bank as one safetensors file: numbers as tensors, words as JSON. No pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from samlab.bank.heads import Head
from samlab.errors import FormatError
from samlab.files import whole_file

if TYPE_CHECKING:
    from samlab.bank.base import PrototypeBank

    Bank = TypeVar("Bank", bound=PrototypeBank)

_VERSION = 1
_KEY = "samlab.bank"
_COLUMNS = ("prototypes", "labels", "sizes", "weights")
_HEAD = "head."


def save(bank: PrototypeBank, path: Path) -> Path:
    """Write the bank; whole or not at all. Returns the path."""
    tensors = {name: getattr(bank, name) for name in _COLUMNS}
    if bank.head is not None:
        tensors.update({_HEAD + name: value for name, value in bank.head.tensors().items()})
    words = {
        "version": _VERSION,
        "class_names": bank.class_names,
        "background": bank.background,
        "embedding": bank.embedding,
        "unknown_below": bank.unknown_below,
        "provenance": dict(bank.provenance),
        "notes": bank.notes,
        "head": None if bank.head is None else bank.head.about,
    }
    if not path.parent.is_dir():
        raise FormatError(
            f"Expected an existing folder to write the bank to, got '{path.parent}'. Make it first."
        )
    try:
        with whole_file(path) as temporary:
            save_file(tensors, temporary, metadata={_KEY: json.dumps(words, default=str)})
    except SafetensorError as error:
        raise FormatError(
            f"The bank could not be written to '{path}': {error}. Choose a folder that can be "
            "written and has room."
        ) from None
    return path


def load(cls: type[Bank], path: Path) -> Bank:
    """Read a file written by `save`."""
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
    if about["version"] > _VERSION:
        raise FormatError(
            f"Expected a bank of format version {_VERSION} or lower, got {about['version']}. "
            "The file was written by a newer samlab: upgrade samlab."
        )
    missing = [name for name in _COLUMNS if name not in tensors]
    if missing:
        raise FormatError(f"'{path}' misses the tensors {', '.join(missing)} of a memory bank.")
    head = None
    if about["head"] is not None:
        parts = {k.removeprefix(_HEAD): v for k, v in tensors.items() if k.startswith(_HEAD)}
        head = Head.from_tensors(parts, about["head"])
    return cls(
        **{name: tensors[name] for name in _COLUMNS},
        class_names=tuple(about["class_names"]),
        background=tuple(about["background"]),
        embedding=about["embedding"],
        unknown_below=about["unknown_below"],
        head=head,
        provenance=about["provenance"],
        notes=tuple(about["notes"]),
    )
