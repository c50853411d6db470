"""The explorer as a written file, opened from disk without network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samlab.view.explorer.explorer import explore
from tests.browser.steps import blobs, drag, set_slider, show, slider_to_frame, state

pytestmark = pytest.mark.browser

PAYLOADS = [
    "<script>window.hacked = 1</script>", "<img src=x onerror='window.hacked = 1'>",
    "</script><script>window.hacked = 1</script>", "\"><svg onload=window.hacked=1>",
    "javascript:window.hacked=1", "<!--<script>window.hacked=1//-->", "{{7*7}}${window.hacked=1}",
    "&lt;b&gt;", "<iframe srcdoc='<script>parent.hacked=1</script>'>",
    "\u2028'; window.hacked = 1; '",
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    segments, picture = blobs()
    points = np.stack([np.arange(300) % 6, np.arange(300) // 6], axis=1)
    explorer = explore(segments, picture, points=points, eps=0.3)
    return explorer.write_html(tmp_path_factory.mktemp("file") / "explorer.html")


@pytest.fixture
def explorer_page(offline_page: Any, written: Path) -> Any:
    offline_page.goto(written.as_uri())
    offline_page.wait_for_selector(".sl-row")
    show(offline_page, ".sl-explorer")
    yield offline_page
    assert offline_page.requests == []


def test_slider_changes_classes_and_undo_restores_them(explorer_page: Any) -> None:
    first = state(explorer_page)
    assert first["summary"].startswith("6 classes · 0 of 300 unassigned")
    set_slider(explorer_page, 0)
    assert state(explorer_page)["summary"].startswith("0 classes · 300 of 300 unassigned")
    explorer_page.get_by_label("Undo").click()
    assert state(explorer_page) == first


def test_every_move_of_the_slider_paints_a_frame(explorer_page: Any) -> None:
    assert len(slider_to_frame(explorer_page)) == 20


def test_lasso_on_the_map_selects_on_picture_and_in_table(explorer_page: Any) -> None:
    box = explorer_page.locator(".sl-map").bounding_box()
    x, y, bottom = box["x"], box["y"] + 44, box["y"] + box["height"] - 5
    # The map's left column holds class 0: fence it in.
    drag(explorer_page, [(x + 5, y), (x + 60, y), (x + 60, bottom), (x + 5, bottom)])
    after = state(explorer_page)
    assert after["selected"] == "50 selected"
    assert [row[2] for row in after["rows"]].count(True) == 1


def test_classes_are_merged_named_and_split_and_a_click_selects(explorer_page: Any) -> None:
    page = explorer_page
    rows = page.locator(".sl-row")
    rows.nth(0).locator(".sl-bar").click()
    rows.nth(1).locator(".sl-bar").click(modifiers=["Shift"])
    assert state(page)["selected"] == "100 selected"
    page.get_by_role("button", name="Merge").click()
    after = state(page)
    assert after["summary"] == "5 classes · 0 of 300 unassigned · edited"
    assert after["rows"][0][1] == 100
    for text in PAYLOADS:
        field = rows.nth(0).locator(".sl-name")
        field.fill(text)
        field.press("Enter")
        page.wait_for_timeout(30)
        assert state(page)["rows"][0][0] == text[:80].strip()
    assert page.evaluate("() => window.hacked") is None
    stage = page.locator(".sl-picture-panel .sl-stage")
    box = stage.bounding_box()
    # 18 discs in a row of 560 pixels: the middle of the tenth, in the tenth row.
    x, y = box["x"] + box["width"] / 2 + 15, box["y"] + box["height"] / 2 + 15
    page.mouse.move(x, y)
    page.wait_for_selector(".sl-picture-panel .sl-tooltip:not([hidden])")
    page.mouse.click(x, y)
    assert state(page)["selected"] == "1 selected"
    page.get_by_role("button", name="New class").click()
    assert state(page)["summary"].startswith("6 classes")


def test_a_class_is_split_by_a_smaller_eps_and_by_keyboard(explorer_page: Any) -> None:
    page = explorer_page
    rows = page.locator(".sl-row")
    for i in (0, 1):
        rows.nth(i).locator(".sl-bar").click(modifiers=["Shift"] if i else [])
    page.get_by_role("button", name="Merge").click()
    first = state(page)
    assert first["summary"] == "5 classes · 0 of 300 unassigned · edited"
    rows.nth(0).locator(".sl-swatch").focus()
    page.keyboard.press("Enter")
    assert state(page)["selected"] == "", "the whole class was selected already"
    page.keyboard.press("Enter")
    assert state(page)["selected"] == "100 selected"
    page.get_by_role("button", name="Split", exact=True).click()
    split = page.get_by_role("group", name="Split")
    assert re.match(r"Split class 0\s*eps [\d.]+: 2 classes, 0 unassigned", split.inner_text())
    at_first = state(page)
    assert at_first["summary"].startswith("6 classes · 0 of 300 unassigned")
    for _ in range(int(page.locator(".sl-tune .sl-slider").get_attribute("max"))):
        page.keyboard.press("ArrowLeft")  # the handle has the focus
    assert state(page)["summary"].startswith("4 classes · 100 of 300 unassigned")
    page.get_by_role("button", name="Cancel").click()
    assert split.is_hidden()
    assert state(page)["summary"] == first["summary"]
    page.get_by_role("button", name="Split", exact=True).click()
    page.get_by_role("button", name="Done").click()
    assert split.is_hidden()
    assert state(page)["summary"] == at_first["summary"]
    page.get_by_label("Undo").click()
    assert state(page)["summary"] == first["summary"]
    # What was merged stays so until it is let go.
    set_slider(page, 0)
    assert state(page)["summary"].startswith("1 class ·")
    assert page.get_by_text("100 segments edited by hand").is_visible()
    page.get_by_role("button", name="Let go").click()
    assert page.get_by_text("edited by hand").is_hidden()
    assert page.get_by_role("button", name="Split", exact=True).is_disabled()


def test_a_split_is_a_branch_of_the_ladder(offline_page: Any, tmp_path: Path) -> None:
    segments, picture = blobs()
    explorer = explore(segments, picture, points=np.eye(300, 2), method="ward")
    page = offline_page
    page.goto(explorer.write_html(tmp_path / "ward.html").as_uri())
    page.wait_for_selector(".sl-row")
    show(page, ".sl-explorer")
    page.locator(".sl-rung").first.click()
    before = state(page)["summary"]
    branch = page.locator(".sl-branch")
    assert branch.is_hidden()
    page.locator(".sl-row").first.locator(".sl-bar").click()
    page.get_by_role("button", name="Split", exact=True).click()
    assert branch.get_attribute("aria-label").startswith("Branch of class ")
    twigs = branch.locator(".sl-rung")
    assert 1 <= twigs.count() <= 4
    others = int(before.split()[0]) - 1
    for i in reversed(range(twigs.count())):
        twigs.nth(i).click()
        parts = int(twigs.nth(i).get_attribute("aria-label").split()[0])
        assert parts >= 2
        assert state(page)["summary"].startswith(f"{others + parts} classes")
        assert branch.locator("[aria-pressed=true]").count() == 1
        assert twigs.nth(i).get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Cancel").click()
    assert branch.is_hidden()
    assert state(page)["summary"] == before


def test_a_rung_of_the_ladder_puts_the_slider_there(explorer_page: Any) -> None:
    page = explorer_page
    rungs = page.locator(".sl-rung")
    assert 2 <= rungs.count() <= 6
    at = page.get_by_role("group", name="Class ladder").locator("[aria-pressed=true]")
    for i in range(rungs.count()):
        rungs.nth(i).click()
        classes, unassigned = rungs.nth(i).get_attribute("aria-label").split(", ")
        assert state(page)["summary"].startswith(f"{classes} · ")
        assert at.get_attribute("aria-label") == f"{classes}, {unassigned}"
        step = int(page.locator(".sl-tune .sl-slider").input_value())
        eps = page.evaluate("() => Number(document.querySelector('.sl-number').value)")
        values = page.evaluate(
            "() => JSON.parse(document.getElementById('samlab-data').textContent).sweep.values"
        )
        assert eps == pytest.approx(values[step], rel=1e-3)
    set_slider(page, 0)
    assert at.count() == 0


def test_fill_gives_what_is_unassigned_the_nearest_class_and_takes_it_back(
    explorer_page: Any,
) -> None:
    page = explorer_page
    page.locator(".sl-rung").nth(1).click()
    before = state(page)["summary"]
    fill = page.get_by_role("button", name="Fill", exact=True)
    fill.click()
    after = re.match(
        r"(\d+ classes) · (\d+) of 300 unassigned .*· (\d+) filled", state(page)["summary"]
    )
    bare = re.match(r"(\d+ classes) · (\d+) of 300 unassigned", before)
    assert after[1] == bare[1]
    assert int(after[2]) + int(after[3]) == int(bare[2])
    assert int(after[3]) > 0
    page.get_by_role("button", name="Copy settings").click()
    assert "fill=True" in page.locator(".sl-menu textarea").input_value()
    page.get_by_role("button", name="Copy settings").click()
    fill.click()
    assert state(page)["summary"] == before


WHITE = """() => { const c = document.querySelector("canvas.sl-overlay");
  const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let n = 0;
  for (let i = 0; i < d.length; i += 4) n += Math.min(d[i], d[i + 1], d[i + 2], d[i + 3]) > 200;
  return n; }"""


def test_a_switch_shows_the_outlines_of_all_masks(offline_page: Any, tmp_path: Path) -> None:
    segments, picture = blobs(20)
    explorer = explore(segments, picture, points=np.eye(20, 2), masks=segments[:10])
    page = offline_page
    page.goto(explorer.write_html(tmp_path / "masks.html").as_uri())
    page.wait_for_selector(".sl-row")
    switch = page.get_by_role("button", name="All masks")
    seen = []
    for _ in range(3):
        page.wait_for_timeout(200)
        seen.append(page.evaluate(WHITE))
        switch.click()
    assert seen[0] == seen[2] == 0
    assert seen[1] > 10 * 60  # ten outlines


def test_settings_are_copied_as_code_and_as_parameters(explorer_page: Any) -> None:
    page = explorer_page
    set_slider(page, 12)
    eps = page.evaluate("() => Number(document.querySelector('.sl-number').value)")
    page.get_by_role("button", name="Copy settings").click()
    text = page.locator(".sl-menu textarea")
    assert text.input_value().startswith("clustering = samlab.cluster(\n    segments, eps=")
    shown = float(text.input_value().split("eps=")[1].split(",")[0])
    assert shown == pytest.approx(eps, rel=1e-3)
    page.get_by_role("button", name="Parameters cell").click()
    names: dict[str, Any] = {}
    exec(text.input_value(), names)
    assert (names["eps"], names["method"], names["metric"]) == (shown, "dbscan", "cosine")
    page.get_by_role("button", name="papermill options").click()
    assert text.input_value().startswith(f"-p eps {names['eps']} -p min_samples 8 ")


WHITE = """() => { const canvas = document.querySelector(".sl-picture-panel .sl-overlay");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let white = 0;
  for (let i = 0; i < data.length; i += 4) {
    white += data[i] > 250 && data[i + 1] > 250 && data[i + 2] > 250 && data[i + 3] > 250;
  }
  return white; }"""


def test_a_selection_of_many_unassigned_segments_is_seen_in_the_picture(explorer_page: Any) -> None:
    page = explorer_page
    set_slider(page, 0)  # all are unassigned
    assert page.evaluate(WHITE) < 100
    page.locator(".sl-row .sl-bar").first.click()
    assert state(page)["selected"] == "300 selected"
    page.wait_for_function(f"() => ({WHITE})() > 3000")


def test_a_new_class_is_named_at_once(explorer_page: Any) -> None:
    page = explorer_page
    box = page.locator(".sl-picture-panel .sl-stage").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2 + 15, box["y"] + box["height"] / 2 + 15)
    page.get_by_role("button", name="New class").click()
    page.keyboard.type("button")
    page.keyboard.press("Enter")
    assert "button" in [row[0] for row in state(page)["rows"]]


def test_a_point_of_the_map_shows_what_it_stands_for(explorer_page: Any) -> None:
    page = explorer_page
    box = page.locator(".sl-map").bounding_box()
    page.mouse.move(box["x"] + 26, box["y"] + box["height"] - 26)
    page.locator(".sl-map .sl-tooltip .sl-cut").wait_for()


def test_a_message_moves_nothing(explorer_page: Any) -> None:
    page = explorer_page
    before = page.locator(".sl-tune").bounding_box()
    number = page.locator(".sl-slider-row .sl-number")
    number.fill("-1")
    number.press("Enter")
    page.locator(".sl-banner").wait_for()
    assert page.locator(".sl-tune").bounding_box() == before
