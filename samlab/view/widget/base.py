"""What all widgets share: the script, the error banner, the written file, the static twin.

A widget is shown in one of two ways. Where a notebook's front end asked for the cell, it is a live
anywidget, below a picture that hides while the widget is there and is left when the notebook is
opened again without its kernel. Where none did (papermill, nbconvert --execute, a test), it opens
no channel to a browser and its output is the self-contained HTML page in a frame, beside a plain
picture; so a report made from it stays alive without kernel and network.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import anywidget
import numpy as np
import traitlets
from IPython.core.getipython import get_ipython
from IPython.display import publish_display_data
from PIL import Image

from samlab.errors import SamlabError
from samlab.files import write_atomic
from samlab.palette import NOISE, hex_color
from samlab.process.front_end import has_front_end
from samlab.process.progress import hushed
from samlab.view.scene import jpeg
from samlab.view.widget import html
from samlab.view.widget.script import bundle, styles

_VIEW = Path(__file__).parents[1]
_VIEW_TYPE = "application/vnd.jupyter.widget-view+json"


@cache
def script() -> str:
    """All JavaScript of the widgets as one text without imports or exports."""
    return bundle(_VIEW / "mount.js")


@cache
def style() -> str:
    """The style sheets of the widgets."""
    return styles(_VIEW)


def colors() -> dict[str, Any]:
    """The class palette for the browser: 72 CSS colours, and the one of noise."""
    noise = "#{:02x}{:02x}{:02x}".format(*NOISE)
    return {"palette": [hex_color(i) for i in range(72)], "noise": noise}


class BaseWidget(anywidget.AnyWidget):
    """Base class of samlab's widgets; see the module's docstring."""

    _esm = script() + "\nexport default { render };\n"
    _css = style()
    kind = traitlets.Unicode().tag(sync=True)
    payload = traitlets.Dict().tag(sync=True)
    #: Names the picture that stands in for the widget, so that the page can hide it.
    stand_in = traitlets.Unicode().tag(sync=True)
    #: Names of the traits that a written file carries.
    _written: ClassVar[tuple[str, ...]] = ("kind", "payload")

    def __init__(self, **traits: Any) -> None:
        self._live = has_front_end()
        super().__init__(stand_in=f"samlab-{uuid4().hex}", **traits)
        self.on_msg(self._receive)

    def open(self) -> None:
        """Open the channel to the browser, if there is one."""
        if self._live:
            super().open()

    # -- messages from the page -----------------------------------------------------------------

    def _receive(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Handle a message; what goes wrong is told in the page, and the old state stays."""
        if not isinstance(content, dict):
            return
        try:
            with hushed():  # the page says that it waits
                self._handle(content)
        except SamlabError as error:
            self.send({"kind": "error", "text": str(error)})
        except Exception as error:  # noqa: BLE001 (a callback has no one else to tell)
            text = f"{type(error).__name__}: {error}. The widget keeps its last state."
            self.send({"kind": "error", "text": text})
        else:
            self.send({"kind": "done"})

    def _handle(self, content: dict[str, Any]) -> None:
        """Act on a message from the page; subclasses override this."""

    # -- without a front end --------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        """What a written file carries: trait values by name."""
        return {name: getattr(self, name) for name in self._written}

    def _still(self) -> np.ndarray:
        """A picture that stands for the widget, uint8 RGB (h, w, 3); subclasses override this."""
        return np.full((1, 1, 3), 255, np.uint8)

    def _height(self) -> int:
        """Height in pixels of the frame that shows the widget in a report."""
        return 620

    def to_html(self, *, inline: bool = False) -> str:
        """The widget as a self-contained HTML page; `inline` for a frame inside a report."""
        title = str(self.payload.get("title") or "samlab")
        return html.page(self._state(), script(), style(), title=title, inline=inline)

    def write_html(self, path: str | Path) -> Path:
        """Write the widget as one self-contained HTML file that needs no network and no kernel.

        Args:
            path: The file to write; an existing one is replaced.

        Returns:
            The path.
        """
        return write_atomic(path, self.to_html())

    def _ipython_display_(self, **_: Any) -> None:
        """Show itself in IPython, whatever ipywidgets: version 7 asks for no MIME bundle."""
        data, metadata = self._repr_mimebundle_()
        if _VIEW_TYPE in data:
            # A front end takes the widget where it has several forms, even without its kernel, and
            # then says "model not found". So the picture is an output of its own.
            still = html.stand_in(self.stand_in, jpeg(self._small(), quality=85), self._caption())
            publish_display_data({"text/html": still, "text/plain": repr(self)})
            data = {**data, "text/html": "", "text/plain": ""}
        publish_display_data(data, metadata)

    def _repr_mimebundle_(self, **_: Any) -> Any:
        plain = {"text/plain": repr(self)}
        if self._live:
            bundle = super()._repr_mimebundle_()
            data, metadata = bundle if isinstance(bundle, tuple) else (bundle or plain, {})
            return data, metadata
        if get_ipython() is None:
            return plain, {}
        still = self._small()
        framed = html.frame(
            self.to_html(inline=True), self._height(), jpeg(still, quality=80), self._caption()
        )
        return {"text/html": framed, "image/png": _png(still), **plain}, {}

    def _caption(self) -> str:
        """What the still picture shows, for those who do not see it."""
        title = self.payload.get("title")
        return f"{type(self).__name__} of {title}" if title else type(self).__name__

    def _small(self) -> np.ndarray:
        """The still picture, at most 1,000 pixels wide and high."""
        picture = Image.fromarray(self._still())
        picture.thumbnail((1000, 1000))
        return np.asarray(picture)


def _png(pixels: np.ndarray) -> str:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return b64encode(buffer.getvalue()).decode("ascii")
