"""The HTML pages that samlab writes: Jinja templates over one shell, `page.html.j2`.

Every text is escaped on its way into a page. Only what we made ourselves, style sheets, scripts and
JSON, is marked `safe` in a template, where everybody can see it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import samlab


def render(template: str, **values: Any) -> str:
    """A page from a template, named by its path inside the package.

    Example:
        >>> "<title>&lt;b&gt;</title>" in render("view/page.html.j2", title="<b>")
        True
    """
    return _environment().get_template(template).render(values, version=samlab.__version__)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("samlab", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_proper,
    )


def _proper(value: Any) -> Any:
    """A file name that is no proper Unicode, as well as it can be shown."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value
