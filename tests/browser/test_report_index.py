"""A folder of pictures to reports by the command, opened from disk without network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


def test_index_leads_to_reports_whose_explorer_is_alive(tmp_path: Path, offline_page: Any) -> None:
    photos = tmp_path / "photos"
    (photos / "more cups").mkdir(parents=True)
    shutil.copy(ROOT / "data" / "coins.png", photos)
    shutil.copy(ROOT / "data" / "coffee.jpg", photos / "more cups" / "#1.jpg")
    (photos / "broken.jpg").write_bytes((ROOT / "data" / "coffee.jpg").read_bytes()[:2000])
    command = [
        sys.executable, "-m", "samlab.cli.main", "report", str(photos), "-o", str(tmp_path / "out"),
        "--jobs", "2", "-p", "points_per_side", "12",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "2 of 3 reports made" in done.stdout
    assert "broken.jpg" in done.stderr

    page = offline_page
    page.goto((tmp_path / "out" / "index.html").as_uri())
    assert page.locator("h1").inner_text() == "photos"
    assert "could not be decoded" in page.locator(".failed").inner_text()
    cards = page.locator(".card")
    assert cards.count() == 2
    for card in cards.all():
        card.scroll_into_view_if_needed()
        assert "segments" in card.locator(".facts").inner_text()
    page.wait_for_function(
        "() => [...document.images].every(image => image.complete && image.naturalWidth >= 300)"
    )
    for name in ("coins.png", "more cups/#1.jpg"):
        page.get_by_role("link", name=name).click()
        page.wait_for_url(lambda address: not address.endswith("/index.html"))
        assert page.locator("h1").inner_text() == name.split("/")[-1]
        frame = page.locator("iframe")
        frame.scroll_into_view_if_needed()
        inside = frame.content_frame
        inside.locator(".sl-row").first.wait_for()
        before = inside.locator(".sl-tune .sl-summary").inner_text()
        slider = inside.locator(".sl-tune .sl-slider")
        slider.fill(slider.get_attribute("max") or "")  # everything together
        assert inside.locator(".sl-tune .sl-summary").inner_text() != before
        page.go_back()
        page.locator(".card").first.wait_for()
    assert page.requests == []
