"""A journal read again, whatever has become of some of its lines.

A kernel that is killed damages nothing but the last line. A full disk, a failing one, a power cut
or an editor may damage any. Then all other lines are to mean what they meant: each has a checksum,
and tells which act it came after (state.py).
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samlab.errors import FormatError
from samlab.view.annotate.state import Act, Annotations, lost_name

VERSION = 1


@dataclass
class Damage:
    """What of a journal could not be used.

    Attributes:
        lines: Numbers of the lines that could not be read, from 1.
        images: The pictures they were about, as far as that can be told.
        unfit: (line number, why) of acts that can be read and do not fit what is before them.
        labels: Classes that are used and that no line names.
    """

    lines: list[int] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    unfit: list[tuple[int, str]] = field(default_factory=list)
    labels: set[int] = field(default_factory=set)

    def lost_names(self, state: Annotations) -> tuple[int, ...]:
        """The classes that still have no name."""
        return tuple(i for i in sorted(self.labels) if state.classes[i] == lost_name(i))

    def summary(self, path: Path) -> str:
        """A sentence for a person, "" where there is nothing to tell."""
        if self.lines:
            images = [f"'{image}'" for image in dict.fromkeys(self.images)]
            about = f" (about {_listed(images)}: look there)" if images else ""
            if len(self.lines) == 1:
                what = f"Line {self.lines[0]} of '{path}' is damaged and was"
            else:
                what = f"Lines {_listed(self.lines)} of '{path}' are damaged and were"
            return f"{what} left out{about}; everything else is there."
        if self.unfit:
            number, why = self.unfit[0]
            others = len(self.unfit) - 1
            more = f" {others} more do not fit either." if others > 1 else ""
            more = " Another one does not fit either." if others == 1 else more
            return (
                f"Line {number} of '{path}' does not fit the lines before it and was left out: "
                f"{why}{more}"
            )
        return ""


def line_of(act: Act) -> bytes:
    """An act as a line of the journal, with a checksum at its end.

    Example:
        >>> line_of({"act": "undo", "after": 3})
        b'{"act":"undo","after":3,"crc":2260908696}\\n'
    """
    return (_json({**act, "crc": zlib.crc32(_json(act).encode())}) + "\n").encode()


def replayed(data: bytes, path: Path) -> tuple[Annotations, Damage]:
    """All acts of a journal, one after the other, and what could not be used of it.

    Raises:
        FormatError: It is not a journal, or one of a newer version.
    """
    state, damage = Annotations(), Damage()
    known = False  # whether anything in the file was written by an annotator
    for number, line in enumerate(data.splitlines(), 1):
        # Where the end of a line was damaged, two acts stand on one.
        for part in re.split(rb'(?=\{"act":)', line):
            act = _read(part)
            if act is None:
                if part.strip():
                    damage.lines.append(number)
                    damage.images += _image_in(part)
            elif act["act"] == "journal":
                _check_version(act, path)
                known = True
            elif not known and not damage.lines:
                raise _foreign(path)
            else:
                known = True
                _take(state, act, number, damage)
    if not known and data.strip():
        raise _foreign(path)
    damage.lines = list(dict.fromkeys(damage.lines))
    return state, damage


def _read(part: bytes) -> Act | None:
    """An act, or None where this is none or its checksum is not right."""
    try:
        act, _ = json.JSONDecoder().raw_decode(part.decode("utf-8"))
        if not isinstance(act, dict) or not isinstance(act.get("act"), str):
            return None
        crc = act.pop("crc", None)
        text = _json(act).encode()  # no Infinity, no NaN, nothing nested without end
    except (ValueError, RecursionError):
        return None
    return None if crc is not None and crc != zlib.crc32(text) else act


def _take(state: Annotations, act: Act, number: int, damage: Damage) -> None:
    try:
        if "after" in act and act["after"] != state.last:
            state.return_to(int(act["after"]))
        act = _fitting(state, act, damage) if damage.lines else act
        # Without a mask left to change, an act is still one that can be undone.
        state.apply(act)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        damage.unfit.append((number, str(error)))


def _fitting(state: Annotations, act: Act, damage: Damage) -> Act:
    """The act as far as what it is about is there."""
    used = [act.get("label", -1), *(mask.get("label", -1) for mask in act.get("masks", ()))]
    missing = range(len(state.classes), max(used) + 1)
    if missing:
        damage.labels |= set(missing)
        state.name_up_to(max(used))
    if "ids" in act:
        there = {mask.id for mask in state.masks(str(act["image"]))}
        return {**act, "ids": [i for i in act["ids"] if i in there]}
    return act


def _check_version(act: Act, path: Path) -> None:
    version = act.get("version")
    if not isinstance(version, int):
        raise _foreign(path)
    if version > VERSION:
        raise FormatError(
            f"Expected annotations of version {VERSION} or lower in '{path}', got {version}: a "
            "newer samlab wrote them. Upgrade samlab."
        )


def _foreign(path: Path) -> FormatError:
    return FormatError(
        f"Expected annotations of samlab in '{path}', its first line is not theirs. Choose "
        "another folder as out=."
    )


def _image_in(part: bytes) -> list[str]:
    """The name of the picture in what is left of a line, if it can be found."""
    found = re.search(rb'"image":("(?:[^"\\]|\\.)*")', part)
    try:
        return [str(json.loads(found[1]))] if found else []
    except (ValueError, RecursionError):
        return []


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _listed(items: list[Any]) -> str:
    """1, 2 and 3; of many only the first."""
    words = [str(item) for item in items[:5]]
    if len(items) > 5:
        words.append(f"{len(items) - 5} more")
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
