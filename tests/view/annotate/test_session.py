"""Queue, proposals and session: annotating without a page, on the embedded model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from samlab import masks
from samlab.bank.memory_bank import MemoryBank
from samlab.errors import ImageError, InputError
from samlab.segments import Segments
from samlab.view.annotate.journal import Journal
from samlab.view.annotate.proposals import (
    Limits,
    class_sureness,
    mask_sureness,
    sort_out,
)  # fmt: skip
from samlab.view.annotate.queue import Queue
from samlab.view.annotate.session import Session
from tests.view.annotate.annotation_data import add, disc, folder_of, square


@pytest.fixture(scope="module")
def sam():
    from samlab.sam.load import load_sam

    return load_sam("tiny")


def session(root: Path, sam: object, **options: object) -> Session:
    folder = root / "photos"
    if not folder.exists():
        folder_of(root)
    return Session(Queue(folder), Journal(root / "out"), sam, **options)  # type: ignore[arg-type]


def label_discs(one: Session, picture: int) -> None:
    """A click on each disc, kept with the class of its colour."""
    for number in range(3):
        proposals = one.ask([(*disc(picture, number), 1)])
        areas = [abs(p.area - np.pi * 18**2) for p in proposals]
        one.keep(int(np.argmin(areas)), number)


# -- queue ----------------------------------------------------------------------------------------


def test_a_folder_is_searched_with_all_in_it_but_not_the_results(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ("b.png", "sub/a.png", "out/x.png", ".hidden/y.png"))
    (folder / "notes.txt").write_text("no picture")
    queue = Queue(folder, skip=folder / "out")
    assert queue.names == ["b.png", "sub/a.png"]
    assert Queue([folder / "sub" / "a.png", folder / "b.png"]).names == ["sub/a.png", "b.png"]
    assert Queue([folder / "sub" / "a.png"] * 2).names == ["a.png"]


def test_the_next_picture_is_neither_done_nor_broken(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ("a.png", "b.png", "c.png", "d.png"))
    (folder / "b.png").write_bytes(b"<html>not found</html>")
    queue = Queue(folder)
    with pytest.raises(ImageError, match="is not a picture that samlab reads"):
        queue.read("b.png")
    assert queue.status("b.png", [], []) == "broken"
    assert queue.following(0, ["c.png"]) == 3
    assert queue.following(3, ["c.png"]) == 0
    assert queue.following(0, ["c.png"], step=-1) == 3
    assert queue.following(0, ["a.png", "c.png", "d.png"]) is None
    assert queue.following(0, ["c.png", "d.png"]) == 0


def test_bad_queues(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(InputError, match="found none"):
        Queue(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        Queue(tmp_path / "no")
    with pytest.raises(InputError, match="is a file: pass it in a list"):
        Queue(tmp_path / "x.txt")
    with pytest.raises(InputError, match="at least one picture, got an empty list"):
        Queue([])


# -- how sure -------------------------------------------------------------------------------------


def test_sureness_is_half_at_the_thresholds_and_the_worse_score_counts() -> None:
    limits = Limits(pred_iou_thresh=0.8, stability_score_thresh=0.9)
    table = Segments(
        [{"size": [1, 1], "counts": "01"}] * 5,
        predicted_iou=np.array([0.8, 0.84, 0.9, 0.5, np.nan]),
        stability_score=np.array([0.95, 0.99, 0.86, 1, np.nan]),
    )
    sure = mask_sureness(table, limits)
    np.testing.assert_allclose(sure, [0.5, 0.731, 0.119, 0.00055, 0.5], atol=1e-3)
    assert class_sureness(np.array([[3.0, 1.0, 1.0], [5.0, 5.0, 0.0]])).tolist() == [0.75, 0.5]
    assert class_sureness(np.array([[0.3]])).tolist() == [1.0]


def test_the_most_uncertain_are_asked_first_and_not_too_many() -> None:
    sure = np.array([0.95, 0.5, 0.69, 0.31, 0.05, 0.8, 0.45])
    taken, asked = sort_out(sure, Limits(most_questions=3))
    assert taken.tolist() == [0, 5]
    assert asked.tolist() == [1, 6, 2]
    assert [len(x) for x in sort_out(np.zeros(0), Limits())] == [0, 0]


def test_masks_of_a_model_that_samlab_did_not_load_name_its_weights(tmp_path: Path) -> None:
    from samlab.sam.checkpoints.catalogue import fetch
    from samlab.sam.provenance import weights_sha256
    from samlab.sam.tiny.model import build_tiny

    foreign = build_tiny(fetch("tiny").path).eval()
    one = session(tmp_path, foreign, classes=["red", "green", "blue"])
    label_discs(one, 0)
    one.fill("b.png")
    found = {mask.weights for name in ("a.png", "b.png") for mask in one.annotations.masks(name)}
    assert found == {weights_sha256(foreign)}


def test_a_bank_leaves_out_parts_of_the_same_class(tmp_path: Path, sam: object) -> None:
    one = session(tmp_path, sam, classes=["red", "green", "blue"])
    label_discs(one, 0)
    one.finish()
    bank = MemoryBank.from_segments(one.tables()[0])
    found = {}
    for parts in (False, True):
        again = Session(
            Queue(tmp_path / "photos"), Journal(tmp_path / f"out_{parts}"), sam,  # type: ignore[arg-type]
            stage="automatic", bank=bank, limits=Limits(parts=parts),
        )  # fmt: skip
        again.fill("b.png")
        found[parts] = again.annotations.masks("b.png")
    counts = {mask.counts for mask in found[False]}
    assert 0 < len(found[False]) <= len(found[True])
    assert counts <= {mask.counts for mask in found[True]}
    left_out = [mask for mask in found[True] if mask.counts not in counts]
    for part in left_out:
        mine = masks.decode(part.rle)
        assert any(
            (masks.decode(whole.rle) & mine).sum() >= 0.9 * mine.sum()
            for whole in found[True]
            if whole.label == part.label and whole.counts != part.counts
        )


# -- session --------------------------------------------------------------------------------------


def test_lost_names_of_classes_are_taken_from_those_given_again(
    tmp_path: Path, sam: object
) -> None:
    one = session(tmp_path, sam, classes=["red", "green"])
    for i, name in enumerate(("<blue>", "grey")):
        one.journal.do(add("a.png", {**square(9 * i, 1), "label": i}))
        one.add_classes([name])
        one.journal.do(add("a.png", {**square(9 * i, 20), "label": 2 + i}))
    lines = one.journal.path.read_bytes().splitlines(keepends=True)
    for number in (1, 3, 6):  # all lines that name classes
        assert b'"classes"' in lines[number]
        lines[number] = lines[number][:30] + b"\n"
    one.journal.path.write_bytes(b"".join(lines))
    again = session(tmp_path, sam, classes=["red", "green"])
    third, fourth = "class 3 (its name is lost)", "class 4 (its name is lost)"
    assert again.annotations.classes == ("red", "green", third, fourth)
    assert [mask.label for mask in again.annotations.masks("a.png")] == [0, 2, 1, 3]
    assert again.note == (
        f"Lines 2, 4 and 7 of '{one.journal.path}' are damaged and were left out; everything else "
        f"is there. Taken from classes=, in their order: red, green. To be named anew: {third}, "
        f"{fourth}."
    )
    again.rename(2, "blue")
    assert session(tmp_path, sam, classes=["red", "green"]).annotations.classes[2] == "blue"


def test_assisted_work_survives_a_new_start(tmp_path: Path, sam: object) -> None:
    one = session(tmp_path, sam, classes=["red", "green"])
    assert one.name == "a.png"
    one.add_classes(["blue"])
    label_discs(one, 0)
    assert one.finish()
    assert one.name == "b.png"
    label_discs(one, 1)
    again = session(tmp_path, sam, classes=["red"])
    assert again.name == "b.png"
    assert again.annotations.classes == ("red", "green", "blue")
    first, second = again.tables()
    assert [first.image_id, second.image_id] == ["a.png", "b.png"]
    for picture, table in enumerate((first, second)):
        assert table.labels.tolist() == [0, 1, 2]  # type: ignore[union-attr]
        yy, xx = np.mgrid[:120, :160]
        for i in range(3):
            x, y = disc(picture, i)
            truth = (xx - x) ** 2 + (yy - y) ** 2 < 18**2
            mask = table.mask(i)
            assert (mask & truth).sum() / (mask | truth).sum() > 0.8
    assert first.embedding("sam").shape == (3, 256)


def test_what_was_labelled_becomes_a_bank_that_labels_the_rest(tmp_path: Path, sam: object) -> None:
    one = session(tmp_path, sam, classes=["red", "green", "blue"])
    label_discs(one, 0)
    one.finish()
    bank = MemoryBank.from_segments(one.tables()[0])
    semi = session(tmp_path, sam, stage="semi-automatic", bank=bank, limits=Limits(sure_above=0.6))
    assert semi.name == "b.png"
    assert semi.fill() > 0
    assert semi.fill() == 0
    kept = semi.annotations.masks("b.png", "kept")
    asked = semi.questions()
    assert kept or asked
    assert all(mask.sure is not None and mask.sure >= 0.6 for mask in kept)
    distances = [abs(mask.sure - 0.5) for mask in asked if mask.sure is not None]
    assert distances == sorted(distances)
    assert len(semi.tables()[1]) == len(kept)
    if asked:
        semi.label([asked[0].id], 2)
        assert asked[0].id in {m.id for m in semi.annotations.masks("b.png", "kept")}
        semi.undo()
        assert semi.questions() == asked
        semi.accept([asked[0].id])
        semi.drop([mask.id for mask in asked[1:]])
        assert semi.questions() == []


def test_a_picture_is_filled_once_whoever_asks(tmp_path: Path, sam: object) -> None:
    one = session(tmp_path, sam, stage="semi-automatic")
    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(one.fill, ["a.png"] * 3))
    assert sorted(counts)[:2] == [0, 0]
    assert len(one.annotations.masks("a.png")) == max(counts) > 0


def test_automatic_work_needs_nobody_and_groups_without_a_bank(tmp_path: Path, sam: object) -> None:
    folder = folder_of(tmp_path)
    (folder / "b.png").write_bytes(b"broken")
    one = session(tmp_path, sam, stage="automatic")
    seen: list[tuple[int, int]] = []
    assert (
        one.run(progress=lambda done, total: seen.append((done, total)), stop=lambda: bool(seen))
        == 1
    )
    assert seen == [(1, 3)]
    again = session(tmp_path, sam, stage="automatic")
    assert again.run() == 1
    assert "b.png" in again.queue.broken
    assert set(again.annotations.done) == {"a.png", "c.png"}
    assert all(len(table) for table in again.tables())
    assert again.run() == 0
    assert all(name.startswith("group ") for name in again.annotations.classes)
    assert session(tmp_path, sam).note.endswith("All pictures are done.")


def test_broken_pictures_are_passed_over_and_a_folder_of_them_is_no_error(
    tmp_path: Path, sam: object
) -> None:
    folder = folder_of(tmp_path)
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"broken")
    one = session(tmp_path, sam)
    assert one.name == "c.png"
    assert one.note.startswith("Passed over: ")
    with pytest.raises(ImageError, match="is not a picture"):
        one.open(0)
    assert one.name == "c.png"
    assert not one.finish()
    (folder / "c.png").write_bytes(b"broken")
    none = Session(Queue(folder), Journal(tmp_path / "other"), sam)  # type: ignore[arg-type]
    assert none.at is None
    with pytest.raises(InputError, match="a picture that can be read, found none"):
        none.ask([(1, 1, 1)])


def test_undo_goes_to_its_picture_and_reopen_takes_done_back(tmp_path: Path, sam: object) -> None:
    one = session(tmp_path, sam, classes=["red"])
    label = one.ask([(*disc(0, 0), 1)])
    assert len(label) == 3
    number = one.keep(2, 0)
    one.finish()
    assert one.name == "b.png"
    one.undo()
    assert one.name == "a.png"
    assert not one.annotations.done
    one.undo()
    assert one.annotations.masks("a.png") == []
    one.undo(again=True)
    assert [mask.id for mask in one.annotations.masks("a.png")] == [number]
    one.finish()
    one.open(0)
    one.reopen()
    assert not one.annotations.done
    one.rename(0, "crimson")
    assert one.tables()[0].class_names == {0: "crimson"}


def test_bad_input(tmp_path: Path, sam: object) -> None:
    one = session(tmp_path, sam)
    with pytest.raises(InputError, match="Expected a choice below 0, got 0"):
        one.keep(0)
    with pytest.raises(InputError, match="Expected a picture from 0 to 2, got 3"):
        one.open(3)
    with pytest.raises(InputError, match="Expected a class from 0 to -1, got 0"):
        one.rename(0, "x")
    with pytest.raises(InputError, match="Expected a stage out of assisted"):
        session(tmp_path, sam, stage="manual")
    with pytest.raises(InputError, match="a list of class names, got the text 'car'"):
        session(tmp_path, sam, classes="car")
    empty = masks.encode(np.zeros((120, 160), bool))
    one._proposals = [type(one.ask([(30, 40, 1)])[0])(empty, 0, 0.5, float("nan"))]  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least one pixel, got an empty one"):
        one.keep(0)


def test_a_class_that_gets_the_name_of_another_gives_its_masks_to_it(
    tmp_path: Path, sam: object
) -> None:
    one = session(tmp_path, sam, classes=["red", "group 1", "group 2"])
    for i, image in enumerate(("a.png", "b.png")):
        one.journal.do(add(image, {**square(1, 1), "label": 1}, {**square(9, 9), "label": i}))
    one.rename(1, "  red ")
    assert one.note == "3 masks were moved from 'group 1' to 'red'."
    assert [m.label for i in ("a.png", "b.png") for m in one.annotations.masks(i)] == [0] * 4
    assert one.annotations.classes == ("red", "group 1", "group 2")
    one.undo()
    assert [m.label for i in ("a.png", "b.png") for m in one.annotations.masks(i)] == [1, 0, 1, 1]
    # There is nothing to move from a class without masks: then it is a slip of the hand.
    with pytest.raises(InputError, match="every class name once, got red twice"):
        one.rename(2, "red")
