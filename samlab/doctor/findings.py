"""What the doctor says: one finding per thing looked at."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing looked at: "fail" stops samlab, "warn" costs something, the rest is for you.

    Attributes:
        name: What was looked at, one or two words.
        status: "ok", "warn", "fail" or "info".
        found: What was found.
        advice: What to do; empty where there is nothing to do.
    """

    name: str
    status: Literal["ok", "warn", "fail", "info"]
    found: str
    advice: str = ""


def format_findings(findings: list[Finding]) -> str:
    """The findings as text for a terminal or a notebook, 100 columns wide, advice below each.

    Example:
        >>> print(format_findings([Finding("Disk", "warn", "1 GB free", "Make room.")]))
        warn  Disk               1 GB free
                                 -> Make room.
        0 of 1 findings stop samlab, 1 should be looked at.
    """
    lines = []
    for finding in findings:
        head = f"{finding.status:<5} {finding.name:<19}"
        lines += textwrap.wrap(
            finding.found, 100, initial_indent=head, subsequent_indent=" " * 25
        ) or [head.rstrip()]
        lines += textwrap.wrap(
            finding.advice, 100, initial_indent=" " * 25 + "-> ", subsequent_indent=" " * 28
        )
    stopping = sum(finding.status == "fail" for finding in findings)
    looking = sum(finding.status == "warn" for finding in findings)
    lines.append(
        f"{stopping} of {len(findings)} findings stop samlab, {looking} should be looked at."
    )
    return "\n".join(lines)
