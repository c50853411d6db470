"""A widget as one self-contained HTML file: the same JavaScript, its data inside, no network."""

from __future__ import annotations

import base64
import json
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
        "view/widget/templates/widget.html.j2",
        title=title, css=css, data=script_json(state), script=script, inline=inline,
    )  # fmt: skip


def frame(html: str, height: int, still: bytes, caption: str) -> str:
    """The page inside a frame that needs no second file, for the output of a notebook cell.

    The frame takes the height of its content, and the theme of the page around it.

    Args:
        html: The page.
        height: Of the frame in pixels, until its content tells its own.
        still: A JPEG that is seen until the page is drawn, on paper, and where scripts do not run.
        caption: What it shows.
    """
    return render(
        "view/widget/templates/frame.html.j2",
        html=html, height=height, still=_data(still), caption=caption,
    )  # fmt: skip


def stand_in(name: str, still: bytes, caption: str) -> str:
    """The picture that is seen where a notebook is opened without the kernel of its widget.

    Args:
        name: A class name; the page hides elements of this class while the widget is there.
        still: A JPEG.
        caption: What it shows.
    """
    template = "view/widget/templates/stand_in.html.j2"
    return render(template, name=name, still=_data(still), caption=caption)


def _data(still: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(still).decode('ascii')}"
