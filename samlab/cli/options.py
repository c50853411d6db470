"""Options that several commands share."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from samlab.process.progress import WANTED

ModelOption = Annotated[
    str,
    typer.Option(
        "--sam", help="tiny (embedded), vit_b, vit_l, vit_h, ... (see samlab models), or a file."
    ),
]

QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but errors, and show no progress.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]
OpenOption = Annotated[bool, typer.Option("--open", help="Open the result in the browser.")]


def hush(quiet: bool) -> None:
    """Show no progress in this process, nor in those it starts."""
    if quiet:
        os.environ[WANTED] = "0"


def tell(lines: Sequence[str], facts: Mapping[str, Any], quiet: bool, as_json: bool) -> None:
    """Say a result as lines, as JSON, or not at all."""
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
    elif not quiet:
        for line in lines:
            typer.echo(line)
