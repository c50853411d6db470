"""Kinds of numbers that public functions take, told in their annotations.

To a type checker `Seed` is an int. `checked_arguments` reads the range beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, TypeAlias


@dataclass(frozen=True)
class Range:
    """From the least to the most, both included unless `open`; infinity is in no range."""

    least: float
    most: float = math.inf
    open: bool = False  # whether the least is left out

    def __contains__(self, value: float) -> bool:
        over = value > self.least if self.open else value >= self.least
        return over and value <= self.most and value != math.inf

    def __str__(self) -> str:
        least = f"above {self.least}" if self.open else f"from {self.least}"
        if self.most < math.inf:
            return f"{least} to {self.most}"
        return least if self.open else f"{least} up"


Count: TypeAlias = Annotated[int, Range(1)]
Natural: TypeAlias = Annotated[int, Range(0)]
Seed: TypeAlias = Annotated[int, Range(0, 2**32 - 1)]
Share: TypeAlias = Annotated[float, Range(0, 1)]
Positive: TypeAlias = Annotated[float, Range(0, open=True)]
