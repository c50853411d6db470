"""Without a mouse: everything has a name, shows its focus, and can be done with keys."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import run_new_cell

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: What has the focus: its accessible name as far as attributes give it, and whether a ring shows.
FOCUSED = """() => { const e = document.activeElement; const s = getComputedStyle(e);
  const name = e.getAttribute("aria-label") || e.title || e.textContent ||
    e.closest("label")?.textContent || e.placeholder || "";
  return [Boolean(e.closest(".samlab")), name.trim(), s.outlineStyle, parseFloat(s.outlineWidth)];
}"""
PROMPT = """
import skimage.data, samlab
prompter = samlab.prompt(skimage.data.coins(), "tiny")
prompter
"""
EXPLORE = """
import numpy as np, samlab
from tests.browser.steps import blobs
segments, picture = blobs(36, 256)
explorer = samlab.explore(segments, picture, points=np.zeros((36, 2)), eps=0.3)
explorer
"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_every_control_has_a_name_and_shows_its_focus(notebook: Any, theme: str) -> None:
    page = notebook([EXPLORE], name="names.ipynb", theme=theme)
    page.locator(".sl-explorer .sl-row").first.wait_for()
    page.wait_for_function(
        "theme => document.querySelector('.sl-explorer').dataset.theme === theme",
        arg=theme.split()[1].lower(),
    )
    page.locator(".sl-opacity").focus()
    names = []
    for _ in range(100):
        inside, name, style, width = page.evaluate(FOCUSED)
        if not inside:
            break
        names.append(name)
        assert name, f"after {names[-2:]}"
        assert style != "none", name
        assert width >= 1.5, name
        page.keyboard.press("Tab")
    for expected in (
        "Draw outlines",
        "Copy settings",
        "Picture with",
        "Map of",
        "eps",
        "Select class",
    ):
        assert any(name.startswith(expected) for name in names), expected


def test_a_coin_is_marked_and_kept_with_keys_alone(notebook: Any) -> None:
    page = notebook([PROMPT], name="keys.ipynb")
    page.wait_for_function("() => document.querySelector('.sl-status')?.textContent === 'ready'")
    stage = page.locator(".sl-prompter .sl-stage")
    stage.focus()
    # From the middle, which lies between coins, to the left onto one.
    page.keyboard.press("ArrowUp")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    page.locator(".sl-card").nth(2).wait_for()
    page.keyboard.press("Enter")
    page.locator(".sl-kept").wait_for()
    assert (
        run_new_cell(page, "print(len(prompter.segments), len(prompter.kept[0]['point']))") == "1 2"
    )
