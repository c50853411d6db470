"""What a public function is called with, checked against its own type annotations.

One decorator, so that `sam=None`, `k="ten"`, `seed=-1` or a misspelt option is one sentence that
names the argument, in every function alike. Lists that stand for arrays become arrays. Shapes are
the functions' own matter.
"""

from __future__ import annotations

import builtins
import collections.abc as abc
import difflib
import inspect
import math
import operator
import os
import sys
import types
from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

import numpy as np

from samlab.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

_PLAIN = (type(None), bool, int, float, complex, str, bytes, list, tuple, dict, set, np.generic)
_WORDS = {
    type(None): "None", bool: "True or False", int: "a whole number", float: "a number",
    str: "a text", bytes: "bytes", np.ndarray: "an array of numbers",
}  # fmt: skip
_MOST_ITEMS = 100  # of a list are looked at; the rest is like them, or fails where it is used


def checked_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse arguments of the wrong kind and unknown names with an InputError.

    What an annotation cannot tell (Any, arrays' shapes) is not looked at, nor are defaults. NaN is
    no number here, but for `eps`, which is NaN where a clustering has no radius.

    Example:
        >>> @checked_arguments
        ... def double(k: int) -> int:
        ...     return 2 * k
        >>> double("two")
        Traceback (most recent call last):
        ...
        samlab.errors.InputError: Expected k of double to be a whole number, got 'two' (str).
    """
    signature = inspect.signature(function)

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise _unbound(function, signature, kwargs, str(error)) from None
        hints = _hints(function)
        for name, value in bound.arguments.items():
            hint = hints.get(name)
            if name == "eps" and isinstance(value, float) and math.isnan(value):
                continue  # what a Clustering without a radius has; the functions know what it means
            if hint is not None and value is not signature.parameters[name].default:
                check(value, hint, name, function)
                if isinstance(value, (list, tuple)) and hint in _ARRAYS:
                    bound.arguments[name] = np.asarray(value)
        return function(*bound.args, **bound.kwargs)

    return called


def checked_class(cls: C) -> C:
    """The same for what a class is made from."""
    cls.__init__ = checked_arguments(cls.__init__)  # type: ignore[misc]
    return cls


def check(value: Any, hint: Any, name: str, function: Callable[..., Any]) -> None:
    """Raise InputError unless a value fits a type hint."""
    if not _fits(value, hint):
        hint_of_list = f" Write [{value!r:.60}]." if _fits([value], hint) else ""
        raise InputError(
            f"Expected {name} of {_name(function)} to be {describe(hint)}, got {shown(value)}."
            f"{hint_of_list}"
        )
    if isinstance(value, (str, os.PathLike)) and _is_path(hint) and not can_be_file(value):
        raise InputError(
            f"Expected {name} of {_name(function)} as a path that a file can have, got "
            f"{shown(os.fspath(value))}."
        )


def check_values(function: Callable[..., Any], values: dict[str, Any]) -> None:
    """Raise InputError unless values fit a function's arguments of the same names.

    For values that are passed on to another process, which would say so only later.
    """
    hints = _hints(function)
    for name, value in values.items():
        default = inspect.signature(function).parameters[name].default
        if value == default:
            continue
        check(value, hints[name], name, function)
        known = _texts(hints[name])
        if isinstance(value, str) and known and value not in known:
            raise InputError(
                f"Expected {name} of {_name(function)} to be {describe(hints[name])}, got "
                f"{shown(value)}.{did_you_mean(value, known)}"
            )


def _texts(hint: Any) -> list[str]:
    """The texts that a hint and its alternatives list; [] where any text will do."""
    if get_origin(hint) is Literal:
        return [option for option in get_args(hint) if isinstance(option, str)]
    if get_origin(hint) in (Union, types.UnionType):
        return [] if str in get_args(hint) else [t for part in get_args(hint) for t in _texts(part)]
    return []


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question with the nearest known word, or "" where none is near.

    Example:
        >>> did_you_mean("points_per_sid", ["points_per_side", "seed"])
        " Did you mean 'points_per_side'?"
    """
    near = difflib.get_close_matches(word, list(known), 1)
    return f" Did you mean '{near[0]}'?" if near else ""


def shown(value: Any) -> str:
    """A value and its type in a few words, whatever it is."""
    kind = type(value).__name__
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    if isinstance(value, (type(None), bool)) or not isinstance(value, _PLAIN):
        return str(value) if isinstance(value, (type(None), bool)) else f"a {kind}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})"


def describe(hint: Any) -> str:
    """A type hint in words: "a text, a path or None"."""
    words = list(dict.fromkeys(_words(hint)))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _is_path(hint: Any) -> bool:
    kinds = [get_origin(part) or part for part in (*get_args(hint), hint)]
    return any(isinstance(kind, type) and issubclass(kind, os.PathLike) for kind in kinds)


def can_be_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file system could have a file of that name."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:  # half a character, as "\ud800"
        return False
    parts = name.replace(b"\\", b"/").split(b"/")
    return b"\0" not in name and len(name) <= 4096 and max(map(len, parts)) <= 255


def _words(hint: Any) -> list[str]:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return [word for part in args for word in _words(part)]
    if origin is Annotated:
        return [f"{describe(args[0])} {args[1]}"]
    if origin is Literal:
        return [repr(option) for option in args]
    if origin is np.ndarray:
        return ["an array of texts"]
    kind = origin or hint
    if kind is Any:
        return ["anything"]
    if kind in _WORDS:
        return [_WORDS[kind]]
    if isinstance(kind, type) and issubclass(kind, os.PathLike):
        return ["a path"]
    if kind is abc.Callable:
        return ["a function"]
    if isinstance(kind, type) and issubclass(kind, abc.Mapping):
        return ["a mapping"]
    if isinstance(kind, type) and issubclass(kind, abc.Iterable) and kind.__module__ in _LISTS:
        items = describe(args[0]) if args and args[0] is not Any else "values"
        return [f"a list ({items})"]
    name = getattr(kind, "__name__", str(kind))
    return [f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"]


_ARRAYS = (np.ndarray, np.ndarray | None)
_LISTS = ("builtins", "collections.abc", "typing")


def _fits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, (str, TypeVar)):
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in args)
    if origin is Annotated:
        return _fits(value, args[0]) and all(value in limits for limits in args[1:])
    if origin is Literal:
        # Which texts there are is told by the functions, in their own words.
        return any(type(value) is type(option) for option in args)
    if origin is np.ndarray:  # NDArray[np.object_], of names; without brackets it is of numbers
        return _is_list(value, abc.Sequence, ())
    kind = origin or hint
    if kind is None or kind is type(None):
        return value is None
    if kind in _SIMPLE:
        return _SIMPLE[kind](value)
    if kind is abc.Callable:
        return callable(value)
    if not isinstance(kind, type):
        return True
    if getattr(kind, "_is_protocol", False):
        return all(hasattr(value, part) for part in _members(kind))
    if issubclass(kind, _Unknown):
        return any(base.__name__ == kind.__name__ for base in value.__class__.__mro__)
    if issubclass(kind, os.PathLike):
        return isinstance(value, (str, os.PathLike))
    if issubclass(kind, abc.Mapping):
        return isinstance(value, abc.Mapping)
    if issubclass(kind, abc.Iterable) and kind.__module__ in _LISTS:
        return _is_list(value, kind, args)
    return isinstance(value, kind)


def _is_list(value: Any, kind: type, args: tuple[Any, ...]) -> bool:
    if isinstance(value, (str, bytes, abc.Mapping)) or not hasattr(type(value), "__iter__"):
        return False
    if getattr(value, "ndim", 1) == 0 or (
        kind is not abc.Iterable and not hasattr(value, "__len__")
    ):
        return False
    if kind is tuple and args and args[-1] is not Ellipsis:
        return len(value) == len(args) and all(map(_fits, value, args))
    if not args or not isinstance(value, (list, tuple)):
        return True
    return all(_fits(item, args[0]) for item in value[:_MOST_ITEMS])


def _is_bool(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_))


def _is_whole(value: Any) -> bool:
    if _is_bool(value) or getattr(value, "ndim", 0) != 0:
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def _is_number(value: Any) -> bool:
    if _is_bool(value) or getattr(value, "ndim", 0) != 0 or not hasattr(value, "__float__"):
        return False
    try:
        return not math.isnan(float(value))
    except (TypeError, ValueError, OverflowError):  # 10**400 is no float
        return False


def _is_array(value: Any) -> bool:
    """An array of numbers, or what NumPy makes one of; its shape is for the function to say."""
    if not isinstance(value, (list, tuple)):
        dtype = getattr(value, "dtype", None)
        numbers = not isinstance(dtype, np.dtype) or dtype.kind in "biufc"
        return hasattr(value, "__array__") and numbers
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except (ValueError, RuntimeError):  # rows of several lengths; tensors with gradients
        return False


_SIMPLE: dict[Any, Callable[[Any], bool]] = {
    bool: _is_bool, int: _is_whole, float: _is_number, np.ndarray: _is_array,
    str: lambda value: isinstance(value, str),
}  # fmt: skip


# -- what annotations mean -----------------------------------------------------------------------


class _Named(type):
    """A class that cannot be looked up, being imported for type checkers only; so its parts."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Named(name, (_Unknown,), {})

    def __getitem__(cls, _: Any) -> Any:
        return cls


class _Unknown(metaclass=_Named):
    """What an annotation means that is not imported: known by the class's name alone."""


class _Names(dict[str, Any]):
    """The names of a module, and a class of its own for each that is missing."""

    def __missing__(self, name: str) -> Any:
        found = getattr(builtins, name, None)
        return _Named(name, (_Unknown,), {}) if found is None else found


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    names = _Names(vars(sys.modules[function.__module__]))
    skipped = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        hint = parameter.annotation
        if isinstance(hint, str):  # as `from __future__ import annotations` leaves it
            hint = eval(hint, {}, names)
        if parameter.kind not in skipped and hint is not inspect.Parameter.empty:
            found[name] = hint
    return found


@cache
def _members(protocol: type) -> tuple[str, ...]:
    return tuple(
        name
        for name in (*vars(protocol), *getattr(protocol, "__annotations__", ()))
        if name == "__call__" or not name.startswith("_")
    )


def _name(function: Callable[..., Any]) -> str:
    return function.__qualname__.removesuffix(".__init__").rpartition("<locals>.")[2]


def _unbound(
    function: Callable[..., Any], signature: inspect.Signature, given: Any, said: str
) -> InputError:
    """What is wrong with a call that has too few, too many or unknown arguments."""
    known = [name for name in signature.parameters if name != "self"]
    unknown = [name for name in given if name not in known]
    if unknown:
        near = did_you_mean(unknown[0], known) or f" It has {', '.join(known)}."
        return InputError(f"{_name(function)} has no argument '{unknown[0]}'.{near}")
    return InputError(f"{_name(function)} cannot be called like this: {said}.")
