"""An executed notebook as one HTML page that loads nothing from anywhere."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from samlab.errors import FormatError
from samlab.view.page import render


def notebook_page(notebook: Any, title: str, byline: str = "") -> str:
    """Export an executed notebook as a self-contained HTML page without its code.

    Cells tagged `notebook-only` and printed text (progress bars, warnings) are left out; pictures,
    HTML outputs and prose stay.

    Args:
        notebook: An nbformat NotebookNode.
        title: Of the page; escaped.
        byline: A line below it; escaped.

    Returns:
        The whole page.

    Raises:
        FormatError: An output would load something from the network.
    """
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.output_type in _KEPT]
    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {"notebook-only"}
    exporter = HTMLExporter(
        template_name="basic", config=config, exclude_input=True, exclude_input_prompt=True,
        exclude_output_prompt=True,
    )  # fmt: skip
    # The template's own links to scripts are left empty too, should a version of it use them.
    exporter.mathjax_url = exporter.require_js_url = exporter.jquery_url = ""
    body, _ = exporter.from_notebook_node(notebook)
    page = render(
        "reports/report.html.j2", title=title, byline=byline, style=style_sheet("report"), body=body
    )
    loads = outside_loads(page)
    if loads:
        raise FormatError(
            "Expected a report without outside links; an output of the notebook loads "
            f"{', '.join(loads[:3])}. Embed it, for example as a data: address."
        )
    return page


def style_sheet(name: str) -> str:
    """A style sheet of this folder."""
    return files("samlab.reports").joinpath(f"{name}.css").read_text(encoding="utf-8")


_KEPT = {"display_data", "execute_result"}
_SCRIPT = re.compile(r"(<script\b[^>]*>).*?</script\s*>", re.S | re.I)
_LOADING = re.compile(
    r"<(?:script|img|iframe|link|source|video|audio|embed|object)\b[^>]*?"
    r"\b(?:src|href|data|srcset)\s*=\s*[\"']?\s*((?:https?:)?//[^\"'\s>]+)",
    re.I,
)


def outside_loads(html: str) -> list[str]:
    """Addresses that a browser would fetch to show this page: scripts, pictures, styles, frames.

    Plain links (`<a href>`) do not count, and neither does the text of scripts.

    Example:
        >>> outside_loads('<script src="https://cdn.example/x.js"></script><a href="https://a.b">')
        ['https://cdn.example/x.js']
    """
    return _LOADING.findall(_SCRIPT.sub(r"\1", html))
