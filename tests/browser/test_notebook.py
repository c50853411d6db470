"""The widgets in a real JupyterLab, with a kernel behind them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import run_new_cell
from tests.browser.steps import (
    click_picture,
    drag,
    drag_slider,
    set_slider,
    show,
    slider_to_frame,
    state,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EXPLORE = """
import numpy as np, samlab
from tests.browser.steps import blobs
segments, picture = blobs()
points = np.stack([np.arange(300) % 6, np.arange(300) // 6], axis=1)
explorer = samlab.explore(segments, picture, points=points, eps=0.3)
explorer
"""


def test_explorer_and_kernel_follow_each_other(notebook: Any) -> None:
    page = notebook([EXPLORE])
    show(page, ".sl-explorer")
    assert state(page)["summary"].startswith("6 classes · 0 of 300 unassigned")

    box = page.locator(".sl-map").bounding_box()
    x, y, bottom = box["x"], box["y"] + 44, box["y"] + box["height"] - 5
    drag(page, [(x + 5, y), (x + 60, y), (x + 60, bottom), (x + 5, bottom)])
    assert state(page)["selected"] == "50 selected"
    assert run_new_cell(page, "print(explorer.selected == list(range(0, 300, 6)))") == "True"

    field = page.locator(".sl-row .sl-name").nth(0)
    field.fill("<b>coin</b>")
    field.press("Enter")
    code = "print(explorer.segments.to_pandas().class_name.value_counts()['<b>coin</b>'])"
    assert run_new_cell(page, code) == "50"

    set_slider(page, 0)
    assert run_new_cell(page, "print((explorer.labels == -1).all())") == "True"
    assert run_new_cell(page, "explorer.eps = 0.3; print(explorer.class_names)") == (
        "{0: '<b>coin</b>'}"
    )
    page.wait_for_function(
        "() => document.querySelector('.sl-tune .sl-summary').textContent.startsWith('6 classes')"
    )
    run_new_cell(page, "explorer.select([3, 4]); print('done')")
    page.wait_for_function(
        "() => document.querySelector('.sl-classes .sl-summary').textContent === '2 selected'"
    )

    # Keys in the widget are the widget's: arrows move its slider, A does not insert a cell.
    slider = page.locator(".sl-tune .sl-slider")
    at, cells = slider.input_value(), page.locator(".jp-Notebook .jp-Cell").count()
    slider.focus()
    for key in ("ArrowLeft", "a", "x", "ArrowRight"):
        page.keyboard.press(key)
        if key == "ArrowLeft":
            assert slider.input_value() == str(int(at) - 1)
    assert slider.input_value() == at
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells

    before = state(page)
    samples = page.get_by_label("Min samples")
    samples.fill("0")
    samples.press("Tab")
    banner = page.locator(".sl-explorer .sl-banner")
    banner.wait_for()
    assert banner.inner_text() == "Expected min_samples of 1 or more, got 0."
    assert state(page) == before
    assert samples.input_value() == "8"
    samples.fill("4")
    samples.press("Tab")
    banner.wait_for(state="hidden")
    assert run_new_cell(page, "print(explorer.settings['min_samples'])") == "4"


def test_every_move_of_the_slider_paints_a_frame_in_the_notebook(notebook: Any) -> None:
    page = notebook([EXPLORE])
    show(page, ".sl-explorer")
    assert len(slider_to_frame(page)) == 20


def test_the_first_notebook_answers_the_slider(notebook: Any) -> None:
    page = notebook(Path(__file__).parents[2] / "notebooks" / "00_start_here.ipynb")
    show(page, ".sl-explorer")
    first = state(page)
    classes = int(re.match(r"\d+", first["summary"])[0])
    assert sum(row[1] for row in first["rows"]) == int(
        run_new_cell(page, "print(len(explorer.segments))")
    )
    assert run_new_cell(page, "print(explorer.segments.labels.max() + 1)") == str(classes)
    paint = """() => {
      const canvas = [...document.querySelectorAll(".sl-picture-panel canvas")].at(-1);
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let sum = 0; for (let i = 0; i < data.length; i += 97) sum += data[i] * (i % 1009);
      return sum; }"""
    painted = page.evaluate(paint)
    drag_slider(page, 0.05)
    after = state(page)
    assert int(re.match(r"\d+", after["summary"])[0]) != classes
    assert after["summary"] != first["summary"]
    page.wait_for_function(f"before => ({paint})() !== before", arg=painted)
    told = run_new_cell(page, "print(len(set(explorer.labels.tolist()) - {-1}), explorer.eps)")
    count, eps = told.split()
    assert after["summary"].startswith(f"{count} class")
    shown = float(page.locator(".sl-slider-row .sl-number").input_value())
    assert float(eps) == pytest.approx(shown, rel=1e-3)


PROMPT = """
import numpy as np, skimage.data, samlab
prompter = samlab.prompt(skimage.data.coins(), "tiny", image_id="coins.png")
prompter
"""
CHECK = """
from scipy import ndimage
labels, _ = ndimage.label(ndimage.binary_fill_holes(skimage.data.coins() > 118))
coin, mask = labels == labels[52, 103], prompter.segments.mask(0)
print((coin & mask).sum() / (coin | mask).sum() >= 0.8, prompter.segments.class_names)
"""


def test_prompter_gives_a_coin_and_a_background_point_takes_away(notebook: Any) -> None:
    page = notebook([PROMPT])
    page.wait_for_function("() => document.querySelector('.sl-status')?.textContent === 'ready'")

    def click(x: float, y: float) -> None:
        click_picture(page, ".sl-prompter", (x, y), (384, 303))

    click(103, 52)
    page.locator(".sl-card").nth(2).wait_for()
    page.locator(".sl-text").fill("coin")
    page.get_by_role("button", name="Keep").click()
    page.locator(".sl-kept").wait_for()
    assert run_new_cell(page, CHECK) == "True {0: 'coin'}"
    click(200, 210)
    page.locator(".sl-card").nth(2).wait_for()
    # A place in the largest mask that is far from the click.
    far = """
from samlab import masks
ys, xs = np.nonzero(masks.decode(prompter._proposals[0].rle))
far = np.argmax((xs - 200) ** 2 + (ys - 210) ** 2)
x, y = int(xs[far]), int(ys[far])
print(x, y)"""
    x, y = map(int, run_new_cell(page, far).split())
    turn = int(run_new_cell(page, "print(prompter.answer['turn'])"))
    page.keyboard.down("Shift")
    click(x + 0.5, y + 0.5)
    page.keyboard.up("Shift")
    # The kernel takes the click's message before the next cell, in the order they were sent.
    code = "print(any(masks.decode(p.rle)[y, x] for p in prompter._proposals), "
    assert run_new_cell(page, code + "prompter.answer['turn'])") == f"False {turn + 1}"


def test_two_views_of_a_prompter_that_ask_the_same_are_both_answered(notebook: Any) -> None:
    page = notebook([PROMPT, "prompter"])
    for cell in range(2):
        view = f".jp-CodeCell[data-windowed-list-index='{cell}'] .sl-prompter"
        page.locator(f"{view} .sl-status", has_text="ready").wait_for()
        click_picture(page, view, (103, 52), (384, 303))
        page.locator(f"{view} .sl-card").nth(2).wait_for()


PROBE = """
import samlab
from tests.browser.steps import blobs
segments, picture = blobs(36, 256)
probe = samlab.probe(segments, picture)
probe
"""
PATCHES = """
import skimage.data
coins = skimage.data.coins()
embedding = samlab.encode(coins, samlab.load_sam())
found = samlab.segment(coins, points_per_side=8)
probe = samlab.probe(found, coins, features=embedding, others=found, pictures=lambda name: coins)
probe
"""


def test_probe_ranks_what_is_similar_and_its_threshold_selects(notebook: Any) -> None:
    page = notebook([PROBE])
    show(page, ".sl-probe")
    assert "Click a segment" in page.locator(".sl-probe .sl-hint").inner_text()
    # Six discs in a row, the kinds in columns: the first of the third row.
    click_picture(page, ".sl-probe", (256 / 12, 256 * 5 / 12), (256, 256))
    rows = page.locator(".sl-probe .sl-match")
    rows.nth(4).wait_for()
    assert run_new_cell(page, "print(probe.query)") == "12"
    shown = [int(text[1:]) for text in rows.locator(".sl-share").all_inner_texts()]
    scores = [float(text) for text in rows.locator(".sl-count").all_inner_texts()]
    assert sorted(shown[:5]) == [0, 6, 18, 24, 30]
    assert scores == sorted(scores, reverse=True)
    code = f"print([round(float(probe.similarities[i]), 3) for i in {shown[:5]}])"
    assert run_new_cell(page, code) == str(scores[:5])

    drag_slider(page, 0.5, ".sl-probe .sl-slider")
    summary = page.locator(".sl-probe .sl-panel-head .sl-summary")
    assert summary.inner_text().startswith("6 selected")
    assert run_new_cell(page, "print(sorted(probe.selected.tolist()))") == "[0, 6, 12, 18, 24, 30]"
    rows.nth(0).click()
    assert run_new_cell(page, "print(probe.query)") == str(shown[0])


def test_probe_shows_heat_over_the_picture_and_thumbnails_of_others(notebook: Any) -> None:
    page = notebook(["import samlab", PATCHES])
    show(page, ".sl-probe")
    paint = """() => { const canvas = document.querySelector(".sl-probe .sl-stage canvas");
      const { width, height } = canvas;
      const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
      let red = 0; for (let i = 0; i < data.length; i += 4) red += data[i] - data[i + 2] > 60;
      return red / (width * height); }"""
    grey = page.evaluate(paint)
    run_new_cell(page, "probe.query = int(found.areas.argmin()); print('asked')")
    page.locator(".sl-probe .sl-match").first.wait_for()
    assert page.get_by_role("button", name="Heat map").get_attribute("aria-pressed") == "true"
    # inferno is orange where the cosine is high; the picture is grey.
    page.wait_for_function(f"limit => ({paint})() > limit", arg=grey + 0.05)
    thumbs = page.locator(".sl-probe .sl-other canvas")
    thumbs.first.wait_for()
    assert thumbs.count() >= 1
    assert float(page.locator(".sl-other b").first.inner_text()) == pytest.approx(1, abs=2e-3)
