"""A hash of what an object holds: arrays, numbers, words, and objects made of these."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def fingerprint(value: Any) -> str:
    """SHA-256 over a value's contents, 64 hexadecimal digits.

    Equal contents give equal fingerprints, in every process. Of an object its attributes count,
    and of what is none of the above only its type.

    Example:
        >>> fingerprint({"a": np.arange(3), "b": 1}) == fingerprint({"b": 1, "a": np.arange(3)})
        True
    """
    total = hashlib.sha256()
    _feed(total, value)
    return total.hexdigest()


def _feed(total: Any, value: Any) -> None:
    total.update(f"{type(value).__name__}(".encode())
    if isinstance(value, np.ndarray) and value.dtype != object:
        total.update(f"{value.dtype.str}{value.shape}".encode())
        total.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            _feed(total, key)
            _feed(total, value[key])
    elif isinstance(value, (list, tuple, np.ndarray)):
        for item in value:
            _feed(total, item)
    elif isinstance(value, bytes):
        total.update(value)
    elif isinstance(value, (str, int, float, bool, type(None), np.generic)):
        total.update(repr(value).encode())
    elif hasattr(value, "__dict__"):
        _feed(total, vars(value))
    total.update(b")")
