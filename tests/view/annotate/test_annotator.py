"""The annotator as the page sees it: messages in, state out, errors told, files written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets
from PIL import Image
from pycocotools.coco import COCO

from samlab.errors import InputError
from samlab.reports.page import outside_loads
from samlab.view.annotate.annotator import Annotator, annotate
from tests.view.annotate.annotation_data import disc, folder_of


@pytest.fixture(scope="module")
def sam():
    from samlab.sam.load import load_sam

    return load_sam("tiny")


@pytest.fixture
def annotator(tmp_path: Path, sam: Any) -> Annotator:
    return annotate(folder_of(tmp_path), out=tmp_path / "out", sam=sam, classes=["red", "green"])


class Page:
    """What the page sends, and what it is told."""

    def __init__(self, annotator: Annotator) -> None:
        self.annotator = annotator
        self.told: list[Any] = []
        annotator.send = lambda content, buffers=None: self.told.append(content)  # type: ignore[assignment]

    def __call__(self, kind: str, **more: Any) -> Any:
        self.annotator._receive(self.annotator, {"kind": kind, **more}, [])
        return self.told[-1]


def test_the_page_prompts_keeps_labels_and_goes_on(annotator: Annotator) -> None:
    page = Page(annotator)
    assert annotator.picture["name"] == "a.png"
    assert annotator.can == {"undo": False, "redo": False}
    for number in range(2):
        assert page("prompt", points=[[*disc(0, number), 1]], turn=number) == {"kind": "done"}
        assert annotator.answer["turn"] == number
        assert len(annotator.answer["masks"]) == 3
        page("keep", choice=2, label=number)
    assert [m["label"] for m in annotator.masks] == [0, 1]
    assert annotator.classes == [{"name": "red", "count": 1}, {"name": "green", "count": 1}]
    page("class", name="<script>blue</script>")
    page("label", ids=[annotator.masks[0]["id"]], label=2)
    page("rename", label=2, name="blue")
    assert annotator.segments.class_names == {0: "red", 1: "green", 2: "blue"}
    page("undo")
    page("redo")
    page("drop", ids=[annotator.masks[1]["id"]])
    assert [m["label"] for m in annotator.masks] == [2]
    page("done")
    assert annotator.picture["name"] == "b.png"
    assert annotator.queue["rows"][0] == {
        "index": 0, "name": "a.png", "here": False, "status": "done", "why": "", "count": 1,
    }  # fmt: skip
    page("go", step=1)
    assert annotator.picture["name"] == "c.png"
    page("open", index=0)
    assert annotator.queue["finished"]
    page("done")
    assert not annotator.queue["finished"]
    assert all(message == {"kind": "done"} for message in page.told)
    assert repr(annotator) == "Annotator(0 of 3 pictures done, 1 masks kept)"


def test_what_goes_wrong_is_told_and_nothing_changes(annotator: Annotator) -> None:
    page = Page(annotator)
    page("prompt", points=[[*disc(0, 0), 1]], turn=1)
    page("keep", choice=2, label=0)
    before = annotator.get_state()
    expected = {
        "dance": "Expected an act of the annotator, got 'dance'.",
        "keep": "Expected a choice below 0, got 0.",
        "redo": "Nothing to do again.",
    }
    for kind, text in expected.items():
        assert page(kind, choice=0, label=0) == {"kind": "error", "text": text}
    for kind, more, text in (
        ("rename", {"label": 1, "name": "red"}, "every class name once, got red twice"),
        ("label", {"ids": [99], "label": 0}, "it has none with the ids [99]"),
        ("label", {"ids": [annotator.masks[0]["id"]], "label": 7}, "a class from 0 to 1"),
        ("open", {"index": 9}, "Expected a picture from 0 to 2, got 9."),
        ("prompt", {"points": [[1, 1, 0]]}, "at least one foreground point or a box"),
    ):
        told = page(kind, **more)
        assert told["kind"] == "error"
        assert text in told["text"]
    after = annotator.get_state()
    for name in ("masks", "classes", "questions", "can", "picture"):
        assert after[name] == before[name]


def test_a_hand_is_not_needed(annotator: Annotator, tmp_path: Path) -> None:
    mask = annotator.add([(*disc(0, 0), 1)], label="red")
    assert (mask.label, mask.source, mask.state) == (0, "click", "kept")
    x, y = disc(0, 1)
    box = annotator.add(box=(x - 20, y - 20, x + 20, y + 20), label=" new  one ")
    assert (box.label, box.source) == (2, "box")
    assert annotator.finish() == "b.png"
    annotator.finish()
    report = annotator.to_coco(tmp_path / "coco.json")
    assert (report.pictures, report.segments) == (2, 2)
    assert {c["name"] for c in COCO(report).cats.values()} == {"red", "green", "new one"}
    assert annotator.segments.embedding("sam").shape == (2, 256)
    cut = annotator.export(tmp_path / "cut", "cutouts", soft=2)
    assert sorted(p.name for p in cut.path.iterdir()) == [
        "a_0000_red.png", "a_0001_new-one.png",
    ]  # fmt: skip
    yolo = annotator.export(tmp_path / "yolo", "yolo")
    assert (yolo.path / "images" / "train" / "b.png").is_file()
    page = Page(annotator)
    page("export")
    assert annotator.note.endswith("coco.json: 2 segments of 2 pictures.")


def test_semi_automatic_asks_and_the_answers_stay(tmp_path: Path, sam: Any) -> None:
    folder = folder_of(tmp_path, ("a.png",))
    options = {"sure_above": 1.0, "pred_iou_thresh": 0.8, "most_questions": 4}
    one = annotate(
        folder, out=tmp_path / "out", sam=sam, classes=["red"], stage="semi-automatic", **options
    )
    assert one.fill() == 4
    assert len(one.questions) == 4
    assert len(one.segments) == 0
    page = Page(one)
    first, second, third, _ = one.questions
    page("accept", ids=[first])
    page("label", ids=[second], label=0)
    page("drop", ids=[third])
    again = annotate(folder, out=tmp_path / "out", sam=sam, stage="semi-automatic", **options)
    assert again.fill() == 0
    assert len(again.questions) == 1
    assert again.segments.labels.tolist() == [-1, 0]  # type: ignore[union-attr]


def test_run_annotates_the_rest(tmp_path: Path, sam: Any) -> None:
    folder = folder_of(tmp_path, ("a.png", "b.png"))
    one = annotate(folder, out=tmp_path / "out", sam=sam, stage="automatic")
    assert one.run() == 2
    assert one.run() == 0
    assert one.queue["done"] == 2
    assert len(one.tables) == 2


def test_the_button_runs_in_the_background_and_tells_what_it_came_to(
    tmp_path: Path, sam: Any
) -> None:
    folder = folder_of(tmp_path, ("a.png", "b.png"))
    one = annotate(
        folder, out=tmp_path / "out", sam=sam, stage="automatic", stability_score_thresh=0.8
    )
    page = Page(one)
    page("run")
    wait_for(lambda: not one.running)
    groups = len(one.classes)
    assert groups >= 1
    assert one.note.startswith(
        f"Pictures done: 2. Masks in all: {len(one.segments)}. Those alike are"
    )
    assert f"in {groups} group" in one.note
    page("run")
    wait_for(lambda: not one.running)
    assert one.note == f"Pictures done: 0. Masks in all: {len(one.segments)}."


@pytest.mark.parametrize("stage", ["semi-automatic", "automatic"])
def test_a_model_that_fails_is_told_and_nothing_waits(tmp_path: Path, stage: Any) -> None:
    folder = folder_of(tmp_path, ("a.png",))
    one = annotate(folder, out=tmp_path / "out", sam="tiny", stage=stage)
    one.add([(*disc(0, 0), 1)], label="red")

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("weights are NaN")

    one.session.encoder.get = broken  # type: ignore[method-assign]
    told = "ValueError: weights are NaN. The annotations are as they were."
    if stage == "automatic":
        Page(one)("run")
        wait_for(lambda: not one.running)
        assert one.note == told
    else:
        one.session.encoder._encoded.clear()
        one._live = True
        one._prepare()
        wait_for(lambda: one.status == "failed")
        assert one.note == told
        assert "ValueError: weights are NaN" in Page(one)("prompt", points=[[1, 1, 1]])["text"]
    assert len(one.segments) == 1


def wait_for(condition: Any) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise TimeoutError


def test_a_written_file_needs_nothing_and_shows_what_was_kept(
    annotator: Annotator, tmp_path: Path
) -> None:
    annotator.add([(*disc(0, 0), 1)], label="</script><b>")
    text = annotator.write_html(tmp_path / "a.html").read_text(encoding="utf-8")
    assert outside_loads(text) == []
    assert "</script><b>" not in text
    assert "renderAnnotator" in text
    still = annotator._still()
    with Image.open(tmp_path / "photos" / "a.png") as image:
        pixels = np.asarray(image)
    assert still.shape == pixels.shape
    x, y = disc(0, 0)
    assert not (still[y, x] == pixels[y, x]).all()
    state = annotator._state()
    assert set(state) <= set(annotator.trait_names())
    json.dumps({name: value for name, value in state.items() if name != "picture"})
    assert isinstance(annotator.traits()["picture"], traitlets.Dict)


def test_a_folder_without_a_readable_picture_is_shown_as_such(tmp_path: Path, sam: Any) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"broken")
    one = annotate(folder, out=tmp_path / "out", sam=sam)
    assert one.status == "empty"
    assert one.queue["rows"][0]["status"] == "broken"
    assert "is not a picture" in one.queue["rows"][0]["why"]
    assert "Expected a picture that can be read" in Page(one)("prompt", points=[[1, 1, 1]])["text"]
    assert len(one.segments) == 0


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected limits out of pred_iou_thresh, .*; got speed"):
        annotate(tmp_path, out=tmp_path / "out", speed=3)
    with pytest.raises(InputError, match="Expected pictures in the folder"):
        annotate(tmp_path, out=tmp_path / "out")
