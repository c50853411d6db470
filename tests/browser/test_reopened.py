"""A saved notebook, opened again without its kernel: pictures stand where the widgets were."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.browser.steps import show
from tests.browser.test_notebook import EXPLORE, PROBE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: Pictures that are seen, as [width on the screen, pixels in the file].
SEEN = """() => [...document.querySelectorAll("figure img")]
  .filter((image) => image.checkVisibility({ visibilityProperty: true }))
  .map((image) => [image.getBoundingClientRect().width, image.naturalWidth])"""


def saved(notebook: Any, lab: tuple[str, Path], name: str) -> Any:
    """A notebook of two widgets, run in JupyterLab, saved, its kernel shut down."""
    page = notebook([EXPLORE, PROBE], name=name)
    show(page, ".sl-explorer")
    show(page, ".sl-probe")
    assert page.evaluate(SEEN) == [], "the pictures hide while the widgets are there"
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{lab[0]}/api/sessions", timeout=60) as answer:
        for session in json.load(answer):
            url = f"{lab[0]}/api/sessions/{session['id']}"
            direct.open(urllib.request.Request(url, method="DELETE"), timeout=60).close()
    return page


@pytest.mark.parametrize("trusted", [True, False])
def test_a_reopened_notebook_shows_a_picture_of_every_widget(
    notebook: Any, lab: tuple[str, Path], trusted: bool
) -> None:
    name = f"reopened-{trusted}.ipynb"
    page = saved(notebook, lab, name)
    file = lab[1] / name
    if not trusted:  # as one that came by mail: its signature is unknown
        document = nbformat.read(file, 4)
        document.cells[0].source += "\n# changed elsewhere"
        nbformat.write(document, file)
    page.goto(f"{lab[0]}/lab/workspaces/again-{trusted}/tree/{name}")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_function(f"() => ({SEEN})().length === 2")
    assert all(width > 200 and pixels > 200 for width, pixels in page.evaluate(SEEN))
    text = page.locator(".jp-Notebook").inner_text()
    assert "Error displaying widget" not in text
    assert "Explorer(" not in text
    assert "Run this cell for the live one" in text


def test_a_saved_notebook_is_exported_with_the_pictures(
    notebook: Any, lab: tuple[str, Path]
) -> None:
    page = saved(notebook, lab, "exported.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(lab[1] / "exported.ipynb")]
    subprocess.run(command, check=True, capture_output=True)
    page.goto((lab[1] / "exported.html").as_uri())
    page.wait_for_function(f"() => ({SEEN})().length === 2")
    assert "Explorer(" not in page.locator("body").inner_text()
