"""Annotations and their journal: every act is kept, undone acts come back, nothing is lost."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samlab.errors import FormatError, InputError
from samlab.view.annotate.journal import NAME, Journal
from samlab.view.annotate.state import Annotations, pack_vector
from tests.view.annotate.annotation_data import SIZE, add, square


def told(state: Annotations) -> Any:
    """All that a state says."""
    return (
        state.classes,
        {image: state.masks(image) for image in sorted(state.images())},
        dict(sorted(state.done.items())),
        sorted(state.filled),
    )


@st.composite
def acts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Acts, many of which do not fit what is there at their time."""
    one = st.one_of(
        st.sampled_from([{"act": "undo"}, {"act": "redo"}]),
        st.builds(
            lambda image, x, label, state, filled: add(
                image, {**square(x, x), "label": label, "state": state}, filled=filled
            ),
            st.sampled_from(["a.png", "b.png"]), st.integers(0, 20), st.integers(-1, 2),
            st.sampled_from(["kept", "asked"]), st.booleans(),
        ),
        st.builds(
            lambda image, i, label: {"act": "set", "image": image, "ids": [i], "label": label},
            st.sampled_from(["a.png", "b.png"]), st.integers(0, 6), st.integers(-1, 2),
        ),
        st.builds(
            lambda image, i: {"act": "drop", "image": image, "ids": [i]},
            st.sampled_from(["a.png", "b.png"]), st.integers(0, 6),
        ),
        st.builds(
            lambda label, into: {"act": "merge", "label": label, "into": into},
            st.integers(0, 2), st.integers(-1, 2),
        ),
        st.builds(
            lambda value: {"act": "done", "image": "a.png", "size": [*SIZE], "value": value},
            st.booleans(),
        ),
        st.builds(
            lambda names: {"act": "classes", "names": names},
            st.lists(st.sampled_from(["car", "tree", "sky"]), unique=True),
        ),
    )  # fmt: skip
    return draw(st.lists(one, max_size=25))


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(acts=acts(), cut=st.integers(0, 60))
def test_what_is_read_again_is_what_was_there(
    acts: list[dict[str, Any]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    history = [told(journal.annotations)]
    for act in acts:
        try:
            journal.do(act)
        except InputError:
            assert told(journal.annotations) == history[-1], "what does not fit changes nothing"
        else:
            history.append(told(journal.annotations))
    again = Journal(folder)
    assert told(again.annotations) == history[-1]
    assert again.note == ""
    assert again.annotations.can_undo == journal.annotations.can_undo
    # Killed while the last line was being written: that act is lost, and nothing else.
    data = journal.path.read_bytes()
    lines = data.splitlines(keepends=True)
    if len(lines) > 1:
        journal.path.write_bytes(b"".join(lines[:-1]) + lines[-1][: min(cut, len(lines[-1]) - 1)])
        short = Journal(folder)
        assert told(short.annotations) == history[-2]
        short.do(add("b.png", square(1, 1)))
        assert told(Journal(folder).annotations) == told(short.annotations)


@settings(deadline=None, max_examples=60)
@given(acts=acts())
def test_undoing_everything_leads_back_to_nothing_and_redoing_to_the_end(
    acts: list[dict[str, Any]],
) -> None:
    state = Annotations()
    for act in acts:
        try:
            state.apply(act)
        except InputError:
            continue
    while state.can_redo:
        state.apply({"act": "redo"})
    end, steps = told(state), 0
    while state.can_undo:
        state.apply({"act": "undo"})
        steps += 1
    assert told(state) == ((), {}, {}, [])
    for _ in range(steps):
        state.apply({"act": "redo"})
    assert told(state) == end
    with pytest.raises(InputError, match="Nothing to do again"):
        state.apply({"act": "redo"})


def test_a_mask_becomes_a_row_with_all_it_came_with() -> None:
    state = Annotations()
    state.apply({"act": "classes", "names": ["car", " big  tree "]})
    vector = np.linspace(-1, 1, 8).astype(np.float32)
    known = {
        "label": 1, "iou": 0.9, "stability": None, "point": [3, 4],
        "vector": pack_vector(vector), "weights": "abc", "unheard_of": 1,
    }  # fmt: skip
    state.apply(add("a.png", {**square(2, 3), **known}))
    state.apply(add("a.png", {**square(9, 9), "state": "asked"}))
    table = state.segments("a.png")
    assert len(table) == 1
    assert table.class_names == {0: "car", 1: "big tree"}
    assert table.labels.tolist() == [1]  # type: ignore[union-attr]
    assert table.points.tolist() == [[3, 4]]  # type: ignore[union-attr]
    assert np.isnan(table.stability_score).all()  # type: ignore[arg-type]
    np.testing.assert_allclose(table.embedding("sam")[0], vector, atol=1e-3)
    assert table.provenance == {"weights_sha256": "abc", "pooling": "coverage"}
    # Vectors of two models do not go into one table.
    state.apply(add("a.png", {**square(20, 9), **known, "weights": "other"}))
    assert state.segments("a.png").embeddings == {}
    assert state.segments("b.png").image_size == (0, 0)


def test_a_merge_moves_masks_of_all_pictures_and_is_undone_in_one_step() -> None:
    state = Annotations()
    state.apply({"act": "classes", "names": ["car", "tree", "bush"]})
    for image, label in (("a.png", 2), ("b.png", 2), ("b.png", 0), ("c.png", 1)):
        state.apply(add(image, {**square(1, 1), "label": label}))
    before = told(state)
    state.apply({"act": "merge", "label": 2, "into": 1})
    labels = [m.label for image in ("a.png", "b.png", "c.png") for m in state.masks(image)]
    assert labels == [1, 1, 0, 1]
    assert state.classes == ("car", "tree", "bush")
    state.apply({"act": "undo"})
    assert told(state) == before
    with pytest.raises(InputError, match="Expected a class from 0 to 2"):
        state.apply({"act": "merge", "label": 2, "into": 3})


def test_initial_classes_are_not_undone() -> None:
    state = Annotations()
    state.apply({"act": "classes", "names": ["car"], "fixed": True})
    with pytest.raises(InputError, match="Nothing to take back"):
        state.apply({"act": "undo"})


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            {"act": "dance"},
            "Expected an act out of classes, add, set, drop, merge, done; got 'dance'",
        ),
        ({"act": "classes", "names": ["car", "car"]}, "every class name once, got car twice"),
        ({"act": "classes", "names": ["  "]}, "at least one letter, got an empty one"),
        ({"act": "classes", "names": []}, "Expected at least the 1 classes there are, got 0"),
        ({"act": "set", "image": "a.png", "ids": [7], "label": 0}, "none with the ids \\[7\\]"),
        ({"act": "set", "image": "a.png", "ids": [0], "label": 1}, "from 0 to 0, or -1 for none"),
        ({"act": "set", "image": "a.png", "ids": [0], "state": "x"}, "'kept' or 'asked', got 'x'"),
        (add("a.png", {"size": [2, 2], "counts": "04"}), "masks of one size for 'a.png'"),
        (add("b.png", {**square(1, 1), "id": 0}), "a new id for a mask, 0 is in use"),
    ],
)
def test_acts_that_do_not_fit(act: dict[str, Any], message: str) -> None:
    state = Annotations()
    state.apply({"act": "classes", "names": ["car"]})
    state.apply(add("a.png", square(1, 1)))
    before = told(state)
    with pytest.raises(InputError, match=message):
        state.apply(act)
    assert told(state) == before


def damaged(path: Path, line: int, how: str = "cut") -> None:
    """Damage one line of a journal, counted from 1, the way a disk or an editor does."""
    lines = path.read_bytes().splitlines(keepends=True)
    old = lines[line - 1]
    lines[line - 1] = {
        "cut": old[: len(old) // 2] + b"\n",
        "zeros": b"\0" * (len(old) - 1) + b"\n",
        "flipped": old.replace(b'"after"', b'"bfter"').replace(b'"version"', b'"wersion"'),
        "joined": old[:-1] + b"\x07",
        "empty": b"\n",
    }[how]
    path.write_bytes(b"".join(lines))


def test_a_damaged_line_is_left_out_and_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for x in (1, 5, 9):
        journal.do(add("a.png", square(x, x)))
    damaged(journal.path, 3)
    before = journal.path.read_bytes()
    again = Journal(tmp_path)
    assert [mask.id for mask in again.annotations.masks("a.png")] == [0, 2]
    assert again.note == (
        f"Line 3 of '{tmp_path / NAME}' is damaged and was left out (about 'a.png': look there); "
        "everything else is there."
    )
    assert journal.path.read_bytes() == before, "what is left of the line may still be of use"
    # Undoing goes back over what is missing, and takes back nothing else.
    for expected in ([0], [0], []):
        again.do({"act": "undo"})
        assert [mask.id for mask in again.annotations.masks("a.png")] == expected


@pytest.mark.parametrize("how", ["cut", "zeros", "flipped"])
def test_an_undo_after_a_damaged_line_takes_back_nothing_else(tmp_path: Path, how: str) -> None:
    journal = Journal(tmp_path)
    for x in (1, 5, 9):
        journal.do(add("a.png", square(x, x)))
    journal.do({"act": "undo"})
    journal.do({"act": "undo"})
    damaged(journal.path, 3, how)  # the second mask, which was then undone
    again = Journal(tmp_path)
    assert [mask.id for mask in again.annotations.masks("a.png")] == [0]
    assert "is damaged and was left out" in again.note


def test_a_damaged_undo_or_redo_does_not_change_what_follows(tmp_path: Path) -> None:
    for line in (3, 4):
        journal = Journal(tmp_path / str(line))
        journal.do(add("a.png", square(1, 1)))
        journal.do({"act": "undo"})
        journal.do({"act": "redo"})
        journal.do(add("a.png", square(9, 9)))
        damaged(journal.path, line)
        again = Journal(tmp_path / str(line))
        assert told(again.annotations) == told(journal.annotations)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    acts=acts(), line=st.integers(2, 20), how=st.sampled_from(["cut", "zeros", "flipped", "joined"])
)
def test_of_a_journal_with_a_damaged_line_nothing_else_is_lost(
    acts: list[dict[str, Any]], line: int, how: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    for act in acts:
        with suppress(InputError):
            journal.do(act)
    lines = [json.loads(text) for text in journal.path.read_text().splitlines()]
    if line >= len(lines):  # the last one is another matter: nothing tells what came after it
        return
    lost = lines[line - 1]
    damaged(journal.path, line, how)
    again = Journal(folder)
    if how == "joined":  # only the end of the line was damaged: it can be read
        assert told(again.annotations) == told(journal.annotations)
        return
    assert again.note.startswith(f"Line {line} of '{journal.path}' is damaged and was left out")
    assert again.note.endswith("everything else is there.")
    gone = {mask["id"] for mask in lost.get("masks", [])} | set(lost.get("ids", []))
    if lost["act"] == "merge":
        gone = {m.id for name in ("a.png", "b.png") for m in journal.annotations.masks(name)}
    for image in ("a.png", "b.png"):
        now = {mask.id: mask for mask in again.annotations.masks(image)}
        for mask in journal.annotations.masks(image):
            assert mask.id in gone or now.get(mask.id) == mask
        known = {mask.id for mask in journal.annotations.masks(image)}
        assert set(now) - known <= gone, "what was undone or dropped stays away"
    assert len(again.annotations.classes) >= len(journal.annotations.classes) - (
        len(lost["names"]) if lost["act"] == "classes" else 0
    )
    assert again.annotations.done == journal.annotations.done or lost["act"] == "done"
    # And it goes on from here.
    again.do(add("b.png", square(2, 2)))
    assert told(Journal(folder).annotations) == told(again.annotations)


def test_masks_stay_where_the_names_of_their_classes_are_lost(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.do({"act": "classes", "names": ["car", "tree"], "fixed": True})
    journal.do(add("a.png", {**square(1, 1), "label": 1}))
    damaged(journal.path, 2)
    again = Journal(tmp_path)
    assert [mask.label for mask in again.annotations.masks("a.png")] == [1]
    assert again.annotations.classes == ("class 1 (its name is lost)", "class 2 (its name is lost)")
    assert again.lost_names == (0, 1)


def test_a_damaged_first_line_and_empty_lines_do_no_harm(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.do(add("a.png", square(1, 1)))
    journal.do({"act": "done", "image": "a.png", "size": [*SIZE]})
    damaged(journal.path, 1)
    again = Journal(tmp_path)
    assert told(again.annotations) == told(journal.annotations)
    assert again.note.startswith(f"Line 1 of '{journal.path}' is damaged")
    journal.path.write_text(journal.path.read_text().replace("\n", "\n\n"))
    assert told(Journal(tmp_path).annotations) == told(journal.annotations)


def test_many_damaged_lines_are_one_sentence(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for x in range(10):
        journal.do(add(f"{x}.png", square(x, x)))
    for line in range(2, 9):
        damaged(journal.path, line, "zeros" if line < 7 else "cut")
    assert Journal(tmp_path).note == (
        f"Lines 2, 3, 4, 5, 6 and 2 more of '{journal.path}' are damaged and were left out (about "
        "'5.png' and '6.png': look there); everything else is there."
    )


def test_a_line_that_does_not_fit_is_told_with_its_reason(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with journal.path.open("a") as file:
        file.write('{"act": "set", "image": "a.png", "ids": [7], "label": 0}\n{"act": "x"}\n')
    assert Journal(tmp_path).note == (
        f"Line 2 of '{journal.path}' does not fit the lines before it and was left out: Expected "
        "masks of 'a.png', it has none with the ids [7]. Another one does not fit either."
    )


def test_a_half_written_line_is_taken_off_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.do(add("a.png", square(1, 1)))
    before = journal.path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", _full_disk)
        with pytest.raises(InputError, match="No space left on device"):
            journal.do(add("a.png", square(9, 9)))
    assert journal.path.read_bytes() == before
    journal.do(add("a.png", square(9, 9)))
    assert told(Journal(tmp_path).annotations) == told(journal.annotations)


def test_two_annotators_do_not_write_over_each_other(tmp_path: Path) -> None:
    first, second = Journal(tmp_path), Journal(tmp_path)
    second.do(add("a.png", square(1, 1)))
    before = told(first.annotations)
    with pytest.raises(InputError, match="was changed by another annotator"):
        first.do(add("a.png", square(9, 9)))
    assert told(first.annotations) == before
    assert len(Journal(tmp_path).annotations.masks("a.png")) == 1


def test_what_cannot_be_written_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.do(add("a.png", square(1, 1)))
    before = told(journal.annotations)
    monkeypatch.setattr(Path, "open", _full_disk)
    for act in (add("a.png", square(9, 9)), {"act": "undo"}):
        with pytest.raises(InputError, match=r"No space left on device. The last act was not kept"):
            journal.do(act)
        assert told(journal.annotations) == before
    assert not journal.annotations.can_redo


def _full_disk(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ('{"hello": 1}', "its first line is not theirs"),
        ('{"act": "journal", "version": 99}', "version 1 or lower .*, got 99: a newer samlab"),
    ],
)
def test_other_peoples_files_are_left_alone(tmp_path: Path, first: str, message: str) -> None:
    (tmp_path / NAME).write_text(first + "\n")
    with pytest.raises(FormatError, match=message):
        Journal(tmp_path)
    assert (tmp_path / NAME).read_text() == first + "\n"


def test_lines_are_json_that_stands_for_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "folder")
    journal.do(add("a.png", square(1, 1), square(9, 9)))
    header, line = journal.path.read_text().splitlines()
    assert header.startswith('{"act":"journal","version":1,"crc":')
    act = json.loads(line)
    assert [mask["id"] for mask in act["masks"]] == [0, 1]
    assert (act["n"], act["after"]) == (1, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Choose another folder as out="):
        Journal(tmp_path / "file")
