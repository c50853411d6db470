"""Reports in narrow windows, in the dark, on paper; and what a screen reader meets in them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image

from samlab.reports.page import notebook_page
from samlab.view.explorer.explorer import explore
from samlab.view.scene import jpeg
from samlab.view.widget import html
from tests.browser.steps import blobs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report's page with an explorer between two headings."""
    segments, picture = blobs(36, 256)
    explorer = explore(segments, picture, points=np.zeros((36, 2)), eps=0.3)
    framed = html.frame(
        explorer.to_html(inline=True), 620, jpeg(explorer._small()), explorer._caption()
    )
    document = nbformat.v4.new_notebook()
    output = nbformat.v4.new_output("display_data", {"text/html": framed})
    document.cells = [
        nbformat.v4.new_markdown_cell("## Explore"),
        nbformat.v4.new_code_cell("", outputs=[output]),
        nbformat.v4.new_markdown_cell("## After"),
    ]
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(notebook_page(document, "discs.png"), encoding="utf-8")
    return file


@pytest.mark.parametrize("width", [1400, 768, 420])
def test_a_frame_is_as_high_as_what_is_in_it(offline_page: Any, report: Path, width: int) -> None:
    page = offline_page
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(report.as_uri())
    page.locator(".samlab-frame[data-drawn]").wait_for()
    frame = page.locator("iframe")
    inside = page.frame_locator("iframe")
    inside.locator(".sl-row").first.wait_for()
    page.wait_for_function(
        "() => { const h = document.querySelector('iframe').clientHeight; return h !== 620; }"
    )
    page.wait_for_timeout(300)
    content = inside.locator("html").evaluate("e => [e.scrollHeight, e.scrollWidth, innerWidth]")
    assert content[0] <= frame.bounding_box()["height"] + 1
    assert content[1] <= content[2]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".samlab-frame > img").is_hidden()


def test_a_report_and_its_frame_follow_a_dark_theme(offline_page: Any, report: Path) -> None:
    page = offline_page
    page.emulate_media(color_scheme="dark")
    page.goto(report.as_uri())
    page.locator(".samlab-frame[data-drawn]").wait_for()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(21, 24, 29)"
    inside = page.frame_locator("iframe")
    inside.locator(".sl-explorer[data-theme=dark]").wait_for()
    page.emulate_media(color_scheme="light")
    inside.locator(".sl-explorer[data-theme=light]").wait_for()


def test_on_paper_a_picture_stands_for_the_frame(
    offline_page: Any, report: Path, tmp_path: Path
) -> None:
    page = offline_page
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(report.as_uri())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("iframe").is_hidden()
    picture = page.locator(".samlab-frame > img")
    assert picture.is_visible()
    with Image.open(BytesIO(picture.screenshot())) as shown:
        assert np.asarray(shown.convert("RGB")).std() > 20
