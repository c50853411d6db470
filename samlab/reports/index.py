"""The index of a folder of reports: one HTML page with thumbnails, and its data beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import samlab
from samlab.errors import FormatError, counted
from samlab.files import write_atomic
from samlab.reports.page import style_sheet
from samlab.view.page import render

PAGE = "index.html"
DATA = "index.json"
_FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """What the index knows of one picture. Paths are relative to the index, with slashes.

    Attributes:
        name: The picture, relative to the folder of pictures.
        picture: Its absolute path.
        report: Its last good report; "" where none was ever made.
        thumbnail: The picture of that report; "" without one.
        made: When that report was made, ISO 8601 with offset; "" without one.
        seconds: How long the last try took.
        segments: How many; None where the notebook does not tell. So are `classes` and `noise`.
        error: What went wrong at the last try; "" where it went well.
        failed: The notebook of the failed try, up to the failing cell; "" without one.
    """

    name: str
    picture: str
    report: str = ""
    thumbnail: str = ""
    made: str = ""
    seconds: float = 0.0
    segments: int | None = None
    classes: int | None = None
    noise: int | None = None
    error: str = ""
    failed: str = ""

    @property
    def ok(self) -> bool:
        """Whether the last try went well."""
        return not self.error


def after(earlier: Entry | None, now: Entry) -> Entry:
    """The entry to keep: after a failure, the last good report stays in the index.

    Example:
        >>> good = Entry("a.jpg", "/a.jpg", report="a.jpg.html", segments=3)
        >>> kept = after(good, Entry("a.jpg", "/a.jpg", error="cut short"))
        >>> kept.report, kept.segments, kept.error
        ('a.jpg.html', 3, 'cut short')
    """
    if now.ok or earlier is None:
        return now
    return replace(earlier, error=now.error, failed=now.failed, seconds=now.seconds)


def read_entries(folder: Path) -> dict[str, Entry]:
    """The entries of an earlier run into this folder, by name; {} where there was none.

    Entries whose files somebody removed lose them; those left with nothing are dropped.
    """
    path = folder / DATA
    if not path.exists():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        known = {field.name for field in fields(Entry)}
        rows = [Entry(**{k: v for k, v in row.items() if k in known}) for row in stored["reports"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(
            f"Expected '{path}' to be the data of an index of reports; it cannot be read: {error}. "
            "Delete it: the reports stay, and the index is made anew for the pictures of this run."
        ) from error
    kept = {}
    for row in rows:
        if row.report and not (folder / row.report).exists():
            row = replace(row, report="", thumbnail="", made="")
        if row.report or row.error:
            kept[row.name] = row
    return kept


def write_index(folder: Path, entries: Iterable[Entry], title: str, settings: str = "") -> Path:
    """Write `index.html` and `index.json`; each whole or not at all.

    Args:
        folder: Where the reports are.
        entries: In the order of the page.
        title: Of the page; any text.
        settings: The parameters of this run, as a line for the page.

    Returns:
        The path of the page.
    """
    rows = list(entries)
    data = {"format": _FORMAT, "samlab": samlab.__version__, "reports": [asdict(r) for r in rows]}
    write_atomic(folder / DATA, json.dumps(data, indent=1))
    write_atomic(folder / PAGE, index_page(rows, title, settings))
    return folder / PAGE


def index_page(entries: list[Entry], title: str, settings: str = "") -> str:
    """The HTML of the index: failures first, then a card per report. Texts are escaped."""
    failed = [entry for entry in entries if not entry.ok]
    reported = [entry for entry in entries if entry.report]
    said = [counted(len(reported), "report")]
    if failed:
        said.append(f"{len(failed)} failed")
    totals = [entry.segments for entry in reported if entry.segments is not None]
    if totals:
        said.append(counted(sum(totals), "segment"))
    byline = " · ".join([f"samlab {samlab.__version__}", *said])
    return render(
        "reports/index.html.j2", title=title, byline=byline, settings=settings, failed=failed,
        reported=reported, link=link, facts=_facts,
        style=style_sheet("report") + style_sheet("index"),
    )  # fmt: skip


def link(path: str | os.PathLike[str]) -> str:
    """A relative path as an address in HTML, whatever characters it has.

    Example:
        >>> link("a b/50%#1?.jpg.html")
        'a%20b/50%25%231%3F.jpg.html'
    """
    # A colon before the first slash would read as a scheme; "./" makes it a path.
    address = quote(os.fsencode(os.fspath(path)), safe="/")
    return f"./{address}" if ":" in address.split("/")[0] else address


def facts_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Out of a worker's answer, what an `Entry` keeps."""
    names = ("seconds", "segments", "classes", "noise", "error")
    return {name: answer[name] for name in names if answer.get(name) is not None}


def now() -> str:
    """The time as an `Entry` keeps it."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _facts(entry: Entry) -> list[str]:
    """What a card says about its report."""
    facts = []
    if entry.segments is not None:
        facts.append(counted(entry.segments, "segment"))
    if entry.classes is not None:
        facts.append(counted(entry.classes, "class"))
    if entry.noise:
        facts.append(f"{entry.noise:,} unassigned")
    return facts
