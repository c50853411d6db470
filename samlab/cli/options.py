"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

ModelOption = Annotated[
    str,
    typer.Option(
        "--sam", help="tiny (embedded), vit_b, vit_l, vit_h, ... (see samlab models), or a file."
    ),
]
