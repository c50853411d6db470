"""Loops that numba compiles, kept compiled where there is a folder for that.

numba keeps what it compiled beside the source, or in the user's cache folder, and refuses to
compile at all where neither can be written, as in a container with a read-only installation and no
home. Here such a loop is compiled anew in each process instead, which takes seconds, once.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from numba import config, njit
from numba.core.caching import FunctionCache

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """`numba.njit(cache=True, nogil=True)` that does without the cache where there is none.

    Args:
        **options: Further ones of `numba.njit`.

    Example:
        >>> @compiled()
        ... def double(x):
        ...     return 2 * x
        >>> double(21)
        42
    """

    def decorate(function: F) -> F:
        if cache_folder(function) is None:
            return njit(nogil=True, **options)(function)
        return njit(nogil=True, cache=True, **options)(function)

    return decorate


def cache_folder(function: Callable[..., Any]) -> str | None:
    """Where numba keeps what it compiled of a function; None where it finds no such folder."""
    try:
        return str(FunctionCache(function).cache_path)
    except (RuntimeError, OSError):  # "no locator available", or a disk that refuses the folder
        return None


def import_compiling(name: str) -> ModuleType:
    """Import a package whose own loops insist on a cache, also where there is no folder for it.

    There they get a temporary one, which goes with the process.
    """
    try:
        return import_module(name)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
    folder = tempfile.mkdtemp(prefix="samlab-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, folder
    try:
        return import_module(name)
    finally:
        settings.CACHE_DIR = before
