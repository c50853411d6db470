"""The base of all widgets: who asks for them, and what is sent."""

from __future__ import annotations

import re
from typing import Any

import pytest

from samlab.process import front_end
from samlab.view.widget import base


@pytest.mark.parametrize(
    ("message", "forced", "expected"),
    [
        ("8f14e45f-ea5e-4b2b-9c1d-3a1f0a7c2b11", "", True),
        ("d0c1f2aa-71bb0d0d7ac2bd7d5d4d3c9e_4711_12", "", False),
        ("d0c1f2aa-71bb0d0d7ac2bd7d5d4d3c9e_4711_12", "0", True),
        ("8f14e45f-ea5e-4b2b-9c1d-3a1f0a7c2b11", "1", False),
    ],
)
def test_front_end_is_told_by_the_name_of_the_request(
    monkeypatch: pytest.MonkeyPatch, message: str, forced: str, expected: bool
) -> None:
    class Kernel:
        def get_parent(self, channel: str) -> dict[str, Any]:
            return {"header": {"msg_id": message}}

    class Shell:
        kernel = Kernel()

    monkeypatch.setattr(front_end, "shell", Shell)
    monkeypatch.setenv("SAMLAB_STATIC", forced)
    assert front_end.has_front_end() is expected


def test_script_has_no_import_and_no_address() -> None:
    text = base.script()
    assert "import(" not in text
    assert "fetch(" not in text
    assert "innerHTML" not in text
    addresses = {"http://www.w3.org/2000/svg", "https://github.com/cocodataset/cocoapi"}
    assert set(re.findall(r"https?://[\w./-]+", text)) <= addresses
