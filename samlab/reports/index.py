"""The index of a folder of reports: one HTML page with thumbnails, and its data beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import samlab
from samlab.errors import FormatError
from samlab.files import write_whole

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
    write_whole(folder / DATA, json.dumps(data, indent=1))
    write_whole(folder / PAGE, index_page(rows, title, settings))
    return folder / PAGE


def index_page(entries: list[Entry], title: str, settings: str = "") -> str:
    """The HTML of the index: failures first, then a card per report. Texts are escaped."""
    failed = [entry for entry in entries if not entry.ok]
    reported = [entry for entry in entries if entry.report]
    said = [_counted(len(reported), "report")]
    if failed:
        said.append(f"{len(failed)} failed")
    totals = [entry.segments for entry in reported if entry.segments is not None]
    if totals:
        said.append(_counted(sum(totals), "segment"))
    body = []
    if failed:
        body.append(f"<h2>Failed</h2><ul class='failed'>{''.join(map(_failure, failed))}</ul>")
    if reported:
        heading = "<h2>Reports</h2>" if failed else ""
        body.append(f"{heading}<div class='cards'>{''.join(map(_card, reported))}</div>")
    if not body:
        body.append("<p>No picture has been reported on yet.</p>")
    style = files("samlab.reports").joinpath("report.css").read_text(encoding="utf-8")
    byline = [f"samlab {samlab.__version__}", *said]
    return _PAGE.format(
        version=escape(samlab.__version__), title=_shown(title), style=style + _STYLE,
        byline=" · ".join(byline), settings=f"<p class='byline'>{_shown(settings)}</p>"
        if settings else "", body="\n".join(body),
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


def _card(entry: Entry) -> str:
    facts = []
    if entry.segments is not None:
        facts.append(_counted(entry.segments, "segment"))
    if entry.classes is not None:
        facts.append(_counted(entry.classes, "class"))
    if entry.noise:
        facts.append(f"{entry.noise:,} in no class")
    picture = (
        f"<img src='{link(entry.thumbnail)}' alt='' loading='lazy'>" if entry.thumbnail else ""
    )
    folder, _, file = entry.name.rpartition("/")
    where = f"<span class='folder'>{_shown(folder)}/</span>" if folder else ""
    old = "" if entry.ok else f"<span class='old'>last good report, {_when(entry.made)}</span>"
    return (
        f"<a class='card' href='{link(entry.report)}'><span class='thumb'>{picture}</span>"
        f"<span class='name'>{where}{_shown(file)}</span>"
        f"<span class='facts'>{' · '.join(facts)}</span>{old}</a>"
    )


def _failure(entry: Entry) -> str:
    links = []
    if entry.failed:
        links.append(f"<a href='{link(entry.failed)}'>notebook up to the failing cell</a>")
    if entry.report:
        links.append(f"<a href='{link(entry.report)}'>last good report, {_when(entry.made)}</a>")
    tail = f"<span class='links'>{' · '.join(links)}</span>" if links else ""
    return f"<li><b>{_shown(entry.name)}</b><span>{_shown(entry.error)}</span>{tail}</li>"


def _when(made: str) -> str:
    return _shown(made[:16].replace("T", " "))


def _shown(text: str) -> str:
    """Text for HTML; a file name that is no proper Unicode is shown as well as it can be."""
    return escape(text.encode("utf-8", "replace").decode("utf-8"))


def _counted(number: int, thing: str) -> str:
    plural = "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{'' if number == 1 else plural}"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' file:; \
style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="samlab {version}">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<header><h1>{title}</h1><p class="byline">{byline}</p>{settings}</header>
<main>
{body}
</main>
</body>
</html>
"""

_STYLE = """
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 1.4rem;
  margin-top: 1.6rem; }
.card { display: grid; gap: .15rem; color: inherit; text-decoration: none; align-content: start;
  border-radius: 8px; }
.card:hover .name, .card:focus-visible .name { color: #0072b2; text-decoration: underline; }
.card:focus-visible { outline: 2px solid #0072b2; outline-offset: 4px; }
.thumb { display: grid; place-items: center; aspect-ratio: 4 / 3; background: #f3f5f7;
  border-radius: 8px; overflow: hidden; margin-bottom: .3rem; }
.thumb img { width: 100%; height: 100%; object-fit: contain; }
.name { font-weight: 600; overflow-wrap: anywhere; line-height: 1.3; }
.folder { color: #667079; font-weight: 400; }
.facts { color: #667079; font-size: .88rem; }
.old, .failed b { color: #b3261e; font-size: .88rem; }
.failed { list-style: none; padding: 0; margin: .8rem 0 0; display: grid; gap: .8rem; }
.failed li { display: grid; gap: .1rem; border-left: 3px solid #b3261e;
  padding: .1rem 0 .1rem .9rem; }
.failed b { font-size: 1rem; overflow-wrap: anywhere; }
.failed span { overflow-wrap: anywhere; max-width: 60rem; }
.failed .links { font-size: .88rem; }
"""
