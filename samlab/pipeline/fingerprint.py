"""A hash of what an object holds: arrays, numbers, words, and objects made of these."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np


def fingerprint(value: Any) -> str:
    """SHA-256 over a value's contents, 64 hexadecimal digits.

    Equal contents give equal fingerprints, in every process. Of an object its attributes count, of
    a function its code and what it encloses, and of what is none of the above only its type.

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
    elif isinstance(value, MethodType):
        _feed(total, [value.__self__, value.__func__])
    elif isinstance(value, FunctionType):
        _feed_function(total, value)
    elif isinstance(value, partial):
        _feed(total, [value.func, value.args, value.keywords])
    elif hasattr(value, "detach") and hasattr(value, "numpy"):  # a tensor of torch
        _feed(total, value.detach().cpu().float().numpy())
    elif hasattr(value, "__dict__"):
        _feed(total, vars(value))
    total.update(b")")


def _feed_function(total: Any, function: FunctionType) -> None:
    code = function.__code__
    enclosed = inspect.getclosurevars(function).nonlocals
    cells = {name: value for name, value in enclosed.items() if value is not function}
    _feed(total, [function.__qualname__, code.co_code, code.co_names, *_constants(code), cells])
    _feed(total, [function.__defaults__, function.__kwdefaults__])


def _constants(code: CodeType) -> list[Any]:
    """The constants of some code; of functions inside it, their code and constants."""
    found: list[Any] = []
    for one in code.co_consts:
        found += [one.co_code, *_constants(one)] if isinstance(one, CodeType) else [one]
    return found
