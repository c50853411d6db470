"""The explorer as a written file, opened from disk without network."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samlab import masks
from samlab.segments import Segments
from samlab.view.explorer import explore

pytestmark = pytest.mark.browser

PAYLOADS = [
    "<script>window.hacked = 1</script>", "<img src=x onerror='window.hacked = 1'>",
    "</script><script>window.hacked = 1</script>", "\"><svg onload=window.hacked=1>",
    "javascript:window.hacked=1", "<!--<script>window.hacked=1//-->", "{{7*7}}${window.hacked=1}",
    "&lt;b&gt;", "<iframe srcdoc='<script>parent.hacked=1</script>'>",
    "\u2028'; window.hacked = 1; '",
]  # fmt: skip


#: Milliseconds from the slider's event to the painted frame, 20 times after 5 to warm up.
SLIDER_TIMES = """async () => {
  const slider = document.querySelector(".sl-slider");
  const stage = document.querySelector(".sl-picture-panel .sl-stage");
  const after = (ms) => new Promise((done) => setTimeout(done, ms));
  // A task posted in the frame's callback runs when the frame has been handed over.
  const task = () => new Promise((done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  });
  const times = [];
  for (let i = 0; i < 25; i++) {
    const painted = new Promise((done) =>
      stage.addEventListener("samlab-painted", done, { once: true }));
    slider.value = String(20 + (i * 7) % 40);
    const start = performance.now();
    slider.dispatchEvent(new Event("input"));
    await painted;
    await task();
    times.push(performance.now() - start);
    await after(30);
  }
  return times.slice(5);
}"""


def blobs(n: int = 300, side: int = 1024, groups: int = 6, seed: int = 0) -> tuple[Any, Any]:
    """A picture of n discs on a grid, in `groups` kinds that differ in colour and vector."""
    rng = np.random.default_rng(seed)
    picture = np.full((side, side, 3), 40, np.uint8)
    columns = int(np.ceil(np.sqrt(n)))
    cell = side / columns
    yy, xx = np.mgrid[:side, :side]
    centres = np.eye(groups, 32) * 4
    rles, vectors = [], []
    for i in range(n):
        cx, cy = ((i % columns) + 0.5) * cell, ((i // columns) + 0.5) * cell
        r = 0.42 * cell
        x0, y0 = max(0, int(cx - r - 1)), max(0, int(cy - r - 1))
        window = (slice(y0, int(cy + r + 2)), slice(x0, int(cx + r + 2)))
        disc = (xx[window] - cx) ** 2 + (yy[window] - cy) ** 2 < r * r
        mask = np.zeros((side, side), bool)
        mask[window] = disc
        picture[mask] = (np.array([70, 60, 90]) * (1 + i % groups) * 0.4).clip(0, 255)
        rles.append(masks.encode(mask))
        spread = 0.04 * (1 + 2 * (i % groups))
        vectors.append(centres[i % groups] + rng.normal(size=32) * spread)
    segments = Segments(
        rles=rles, embeddings={"sam": np.array(vectors, np.float32)}, image_id="discs.png"
    )
    return segments, picture


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
    offline_page.wait_for_timeout(300)
    yield offline_page
    assert offline_page.requests == []


def state(page: Any) -> Any:
    """Summary text and the count of each class, as the page shows them."""
    return page.evaluate(
        """() => ({ summary: document.querySelector(".sl-tune .sl-summary").textContent,
          rows: [...document.querySelectorAll(".sl-row:not([hidden])")].map((row) =>
            [row.querySelector(".sl-name").value,
             Number(row.querySelector(".sl-count").textContent), row.classList.contains("sl-on")]),
          selected: document.querySelector(".sl-classes .sl-summary").textContent })"""
    )


def set_slider(page: Any, step: int) -> None:
    page.evaluate(
        """step => { const s = document.querySelector(".sl-slider"); s.value = step;
          s.dispatchEvent(new Event("input")); s.dispatchEvent(new Event("change")); }""",
        step,
    )


def test_slider_changes_classes_and_undo_restores_them(explorer_page: Any) -> None:
    first = state(explorer_page)
    assert first["summary"].startswith("6 classes · 0 noise")
    set_slider(explorer_page, 0)
    assert state(explorer_page)["summary"].startswith("0 classes · 300 noise (100 %)")
    explorer_page.get_by_label("Undo").click()
    assert state(explorer_page) == first


def test_slider_paints_within_50_ms(explorer_page: Any) -> None:
    times = explorer_page.evaluate(SLIDER_TIMES)
    assert len(times) == 20
    assert statistics.median(times) <= 50, times


def drag(page: Any, points: list[tuple[float, float]]) -> None:
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


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
    assert after["summary"] == "5 classes · 0 noise (0 %) · edited"
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
    page.wait_for_selector(".sl-picture-panel .sl-tooltip:not([hidden])", timeout=5000)
    page.mouse.click(x, y)
    assert state(page)["selected"] == "1 selected"
    page.get_by_role("button", name="New class").click()
    assert state(page)["summary"].startswith("6 classes")
