"""The canvas as a widget."""

from __future__ import annotations

import numpy as np
import pytest

from samlab.view.canvas.canvas import Canvas
from samlab.view.widget import base
from tests.view.widget.test_scene import overlapping


def test_canvas_without_front_end_opens_no_channel_and_shows_page_and_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    canvas = Canvas(overlapping(), np.zeros((40, 47), np.uint8))
    assert canvas.comm is None
    assert set(canvas._repr_mimebundle_()[0]) == {"text/plain"}
    monkeypatch.setattr(base, "get_ipython", object)
    bundle = canvas._repr_mimebundle_()[0]
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert "<iframe srcdoc=" in bundle["text/html"]
