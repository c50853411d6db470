"""A widget as one self-contained HTML file: the same JavaScript, its data inside, no network."""

from __future__ import annotations

import base64
import json
from html import escape
from typing import Any

from samlab.view.page import render


def pack(value: Any) -> Any:
    """Make a value ready for JSON: bytes become `{"$bytes": base64}`, tuples lists.

    Example:
        >>> pack({"a": b"xy", "b": (1, 2)})
        {'a': {'$bytes': 'eHk='}, 'b': [1, 2]}
    """
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dict):
        return {str(key): pack(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(item) for item in value]
    return value


def script_json(value: Any) -> str:
    """JSON that may stand inside a `<script>` element whatever the texts in it.

    `<`, `>` and `&` are written as escapes, so no text can end the element or open a comment.

    Example:
        >>> script_json("</script>")
        '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(pack(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def page(
    state: dict[str, Any], script: str, css: str, *, title: str = "samlab", inline: bool = False
) -> str:
    """The HTML of a widget.

    Args:
        state: The widget's traits by name, as its JavaScript reads them; bytes allowed.
        script: The JavaScript, which defines `mountStatic`.
        css: The style sheet.
        title: Title of the page; any text.
        inline: For a frame inside a report, which is on white: no margins, no dark theme.
    """
    return render(
        "view/widget/widget.html.j2",
        title=title, css=css, data=script_json(state), script=script, inline=inline,
    )  # fmt: skip


def frame(html: str, height: int, still: bytes = b"") -> str:
    """The page inside a frame that needs no second file, for the output of a notebook cell.

    Args:
        html: The page.
        height: Of the frame, in pixels.
        still: A JPEG that is seen until the page is drawn, and where it never is: browsers leave
            frames that nobody has scrolled to empty in print and in pictures of the whole page.
    """
    picture = base64.b64encode(still).decode("ascii")
    ground = f"background: url(data:image/jpeg;base64,{picture}) top / contain no-repeat; "
    return (
        f'<iframe srcdoc="{escape(html, quote=True)}" loading="lazy" '
        'sandbox="allow-scripts allow-downloads" allow="clipboard-write" '
        f'style="{ground if still else ""}width: 100%; height: {height}px; border: 0; '
        'display: block"></iframe>'
    )
