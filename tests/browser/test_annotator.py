"""The annotator in a real JupyterLab: what was labelled by clicks outlives its kernel."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from tests.browser.conftest import run_new_cell
from tests.browser.steps import click_picture
from tests.view.annotate.annotation_data import disc, folder_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIZE = (160, 120)


def cells(folder: Path, more: str = "") -> list[str]:
    return [
        "import samlab\n"
        f"annotator = samlab.annotate({str(folder)!r}, out={str(folder.parent / 'out')!r}, "
        f"classes=['red', 'green']{more})\nannotator"
    ]


def ready(page: Any) -> None:
    """Wait until the open picture can be prompted."""
    page.wait_for_selector(".sl-annotator .sl-picture-panel .sl-stage")
    page.wait_for_function(
        "() => !document.querySelector('.sl-annotator .sl-status.sl-working')"
        " && document.querySelector('.sl-annotator .sl-title b').textContent.endsWith('.png')"
    )


def title(page: Any) -> str:
    return str(page.locator(".sl-annotator .sl-title b").inner_text())


def kept(page: Any, count: int) -> None:
    """Wait until the list has so many masks."""
    text = "1 mask" if count == 1 else f"{count} masks"
    page.wait_for_function(
        "text => [...document.querySelectorAll('.sl-annotator .sl-summary')]"
        ".some((e) => e.textContent === text)",
        arg=text,
    )


def label_discs(page: Any, picture: int) -> None:
    """Click the three discs; a key keeps each as its class."""
    for number in range(3):
        click_picture(page, ".sl-annotator", disc(picture, number), SIZE)
        page.locator(".sl-annotator .sl-card").nth(2).wait_for()
        page.keyboard.press(str(number + 1))
        kept(page, number + 1)


def test_three_pictures_labelled_by_clicks_outlive_the_kernel(
    notebook: Any, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path)
    (folder / "0_broken.png").write_bytes(b"no picture")
    page = notebook(cells(folder), name="annotate.ipynb")
    ready(page)
    assert title(page) == "a.png"
    assert page.locator(".sl-annotator .sl-broken").inner_text().strip() == "0_broken.png"
    assert "Passed over" in page.locator(".sl-annotator .sl-note").inner_text()
    field = page.locator(".sl-annotator .sl-text")
    field.fill("<b>blue</b>")
    field.press("Enter")
    page.locator(".sl-annotator .sl-class").nth(2).wait_for()
    for picture, name in enumerate(("a.png", "b.png", "c.png")):
        ready(page)
        assert title(page) == name
        label_discs(page, picture)
        if picture < 2:
            page.keyboard.press("n")
            page.wait_for_function(
                "name => document.querySelector('.sl-annotator .sl-title b').textContent !== name",
                arg=name,
            )
    # The kernel dies as from a lack of memory: nothing is asked to finish.
    pid = int(run_new_cell(page, "import os; print(os.getpid())"))
    before = (tmp_path / "out" / "annotations.jsonl").read_bytes()
    os.kill(pid, signal.SIGKILL)
    assert (tmp_path / "out" / "annotations.jsonl").read_bytes() == before

    page = notebook(cells(folder), name="again.ipynb")
    ready(page)
    assert title(page) == "c.png", "the first picture that was not finished"
    kept(page, 3)
    page.get_by_role("button", name="Done, next").click()
    page.locator(".sl-annotator .sl-note").filter(has_text="All pictures are done").wait_for()
    page.get_by_role("button", name="Export").click()
    page.locator(".sl-annotator .sl-note").filter(has_text="9 segments of 3 pictures").wait_for()
    check_coco(tmp_path / "out" / "coco.json")


def check_coco(file: Path) -> None:
    """Every disc of every picture is there, with its class."""
    coco = COCO(file)
    assert [c["name"] for c in coco.cats.values()] == ["red", "green", "<b>blue</b>"]
    assert [i["file_name"] for i in coco.imgs.values()] == ["a.png", "b.png", "c.png"]
    yy, xx = np.mgrid[: SIZE[1], : SIZE[0]]
    for picture, image in enumerate(coco.imgs):
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image]))
        assert [a["category_id"] for a in found] == [1, 2, 3]
        for number, annotation in enumerate(found):
            x, y = disc(picture, number)
            truth = (xx - x) ** 2 + (yy - y) ** 2 < 18**2
            mask = coco.annToMask(annotation).astype(bool)
            assert (mask & truth).sum() / (mask | truth).sum() > 0.8


def test_questions_undo_and_errors_in_the_page(notebook: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ("a.png", "b.png"))
    # Everything is uncertain, so that there is something to ask.
    more = ", stage='semi-automatic', sure_above=1.0, pred_iou_thresh=0.8"
    page = notebook(cells(folder, more), name="semi.ipynb")
    ready(page)
    heading = page.locator(".sl-annotator .sl-side h3").first
    heading.filter(has_text="Is this right?").wait_for()
    asked = int(heading.inner_text().split("?")[1].split()[0])
    assert asked > 1
    page.locator(".sl-annotator .sl-stage").focus()
    page.keyboard.press("2")
    kept(page, 1)
    page.keyboard.press("x")
    heading.filter(has_text=f"{asked - 2} to answer").wait_for()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    heading.filter(has_text=f"{asked} to answer").wait_for()
    kept(page, 0)
    page.keyboard.press("Control+Shift+Z")
    kept(page, 1)
    code = "print(annotator.segments.class_name(1), len(annotator.segments))"
    assert run_new_cell(page, code) == "green 1"
    field = page.locator(".sl-annotator .sl-text")
    field.fill("red")
    field.press("Enter")
    assert page.locator(".sl-annotator .sl-class").count() == 2
    names = page.locator(".sl-annotator .sl-class .sl-name")
    names.nth(0).fill("green")  # a class without masks
    names.nth(0).press("Enter")
    banner = page.locator(".sl-annotator .sl-banner")
    banner.wait_for()
    assert banner.inner_text() == "Expected every class name once, got green twice."
    assert names.nth(0).input_value() == "red"
    kept(page, 1)
    lines = (tmp_path / "out" / "annotations.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["act"] == "redo"


def test_the_automatic_stage_runs_by_its_button_and_groups_become_classes(
    notebook: Any, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path)
    source = cells(folder, ", stage='automatic', stability_score_thresh=0.8")
    page = notebook(
        [source[0].replace("classes=['red', 'green']", "classes=[]")], name="auto.ipynb"
    )
    ready(page)
    hint = page.locator(".sl-annotator .sl-hint")
    assert hint.inner_text().startswith("Run lets the model annotate all pictures that are left")
    page.get_by_role("button", name="Run", exact=True).click()
    note = page.locator(".sl-annotator .sl-note")
    note.filter(has_text="Pictures done: 3.").wait_for()
    assert "name them under Classes" in note.inner_text()
    page.get_by_role("button", name="Run", exact=True).wait_for()
    rows = page.locator(".sl-annotator .sl-class")
    before = rows.locator(".sl-count").all_inner_texts()
    assert len(before) >= 1
    name = rows.locator(".sl-name").nth(0)
    name.fill("disc")
    name.press("Enter")
    total = run_new_cell(page, "print(len(annotator.segments))")
    code = "print(annotator.segments.to_pandas().class_name.value_counts()['disc'])"
    assert run_new_cell(page, code) == before[0]
    page.evaluate("() => document.querySelector('.sl-annotator').scrollIntoView()")
    # By keyboard: walk to a mask, select it, drop it, take it back.
    page.locator(".sl-annotator .sl-stage").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator(".sl-annotator .sl-side h3").first.filter(has_text="Selected").wait_for()
    page.keyboard.press("x")
    note_of = f"print(len(annotator.segments) == {total} - 1)"
    assert run_new_cell(page, note_of) == "True"
    page.locator(".sl-annotator .sl-stage").focus()
    page.keyboard.press("Control+z")
    assert run_new_cell(page, f"print(len(annotator.segments) == {total})") == "True"
