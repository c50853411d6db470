"""The explorer's state: clustering, undo, names, selection; run by node without a page."""

from __future__ import annotations

from typing import Any

from tests.view.javascript import needs_node, run_js

#: Four segments in three steps: all noise, two classes, one class.
NEW = """const sweep = { n: 4, parameter: "eps", values: [0.1, 0.2, 0.3], suggested: 0.2, start: 1,
  table: Int16Array.from([-1, -1, -1, -1, 0, 0, 1, 1, 0, 0, 0, 0]),
  filled: Int16Array.from([1, 1, 1, -1, 0, 0, 1, 1, 0, 0, 0, 0]), classes: [0, 2, 1],
  noise: [1, 0, 0], silhouette: [null, 0.5, null], settings: { embedding: "sam" } };
const first = { labels: [0, 0, 1, 1], step: 1, value: 0.2, records: [], hidden: [],
  base: [0, 0, 1, 1], pins: [] };
const state = new ExplorerState(first, sweep, []);
"""


def run(body: str) -> Any:
    return run_js(f"() => {{ {NEW} {body} }}")


@needs_node
def test_one_movement_of_the_slider_is_one_step_to_undo() -> None:
    found = run(
        """const moved = [state.slide(2), state.slide(0), state.slide(0)];
        state.sliding = false;
        const at = [state.now.labels, state.now.value, state.past.length];
        state.slide(2);
        return [moved, at, state.undo(), state.now.labels, state.undo(), state.now.labels,
          state.undo(), state.redo(), state.now.labels, state.future.length];"""
    )
    assert found == [
        [True, True, False], [[-1, -1, -1, -1], 0.1, 1],
        True, [-1, -1, -1, -1], True, [0, 0, 1, 1], False, True, [-1, -1, -1, -1], 1,
    ]  # fmt: skip


@needs_node
def test_a_change_after_undo_leaves_nothing_to_redo_and_cancel_neither() -> None:
    found = run(
        """state.edit([0, 0, 0, 0]);
        state.undo();
        const ahead = state.future.length;
        state.edit([1, 1, 1, 1]);
        const after = [state.future.length, state.now.pins.size];
        state.cancel();
        return [ahead, after, state.now, state.future.length, state.past.length];"""
    )
    assert found == [
        1, [0, 4],
        {"labels": [0, 0, 1, 1], "step": 1, "value": 0.2, "records": [], "hidden": {},
         "base": [0, 0, 1, 1], "pins": {}, "fill": False},
        0, 0,
    ]  # fmt: skip


@needs_node
def test_no_more_than_a_hundred_steps_are_kept() -> None:
    many = "for (let i = 0; i < 130; i++) state.edit([i, 0, 0, 0]);"
    assert run(f"{many} return state.past.length;") == 100


@needs_node
def test_names_and_hidden_classes_travel_to_the_kernel() -> None:
    found = run(
        """state.rename(1, " cup ");
        state.hide(0, true);
        const packed = state.packed();
        const again = new ExplorerState(packed, sweep, [2]);
        state.slide(0);
        const gone = state.nameOf(1);
        state.slide(1);
        return [packed, again.nameOf(1), again.nameOf(0), [...again.now.hidden], gone,
          state.nameOf(1), [...again.touched()]];"""
    )
    assert found[0] == {
        "labels": [0, 0, 1, 1], "step": 1, "value": 0.2, "hidden": [0],
        "base": [0, 0, 1, 1], "pins": [], "fill": False,
        "records": [{"label": 1, "name": "cup", "members": [2, 3]}], "names": {"1": "cup"},
    }  # fmt: skip
    assert found[1:] == ["cup", "class 0", [0], "class 1", "cup", [1]]


@needs_node
def test_a_class_picked_again_is_no_longer_selected() -> None:
    found = run(
        """const now = () => [...state.selected];
        const seen = [];
        for (const [label, add] of [[0, false], [0, false], [0, false], [1, true], [0, true]]) {
          state.pick(label, add);
          seen.push(now());
        }
        return seen;"""
    )
    assert found == [[0, 1], [], [0, 1], [0, 1, 2, 3], [2, 3]]


@needs_node
def test_what_the_page_says_about_it() -> None:
    found = run(
        """const palette = openPalette({ palette: ["#ff0000", "#00ff00"], noise: "#808080" });
        const texts = [summaryText(state)];
        state.edit([0, 0, 0, -1]);
        state.select([0, 3], false);
        texts.push(summaryText(state));
        const rows = classRows(state, palette, [10, 20, 30, 40], 1000);
        state.receive({ ...first, step: -1, value: null }, sweep);
        texts.push(summaryText(state));
        return [texts, rows, state.past.length];"""
    )
    assert found[0] == [
        "2 classes · 0 of 4 unassigned · silhouette 0.50",
        "1 class · 1 of 4 unassigned · edited",
        "2 classes · 0 of 4 unassigned · as given, by no eps",
    ]
    assert found[1] == [
        {"label": 0, "name": "class 0", "colour": "rgb(255 0 0)", "count": 3, "bar": 0.06 / 0.94,
         "share": 0.06, "hidden": False, "selected": 1 / 3},
        {"label": -1, "name": "unassigned", "colour": "rgb(128 128 128)", "count": 1,
         "bar": 1, "share": 0.94, "hidden": False, "selected": 1},
    ]  # fmt: skip
    assert found[2] == 2


@needs_node
def test_noise_takes_the_nearest_class_and_is_noise_again() -> None:
    found = run(
        """const seen = () => [state.now.labels, state.now.value, filledSegments(state)];
        state.change(withFill(state, true));
        const before = seen();
        state.slide(0);
        state.edit([1, 1, 5, -1]);
        const filled = [...seen(), state.packed().fill, summaryText(state)];
        state.change(withFill(state, false));
        const bare = seen();
        state.undo();
        return [before, filled, bare, state.now.fill, canFill(state)];"""
    )
    none = [False] * 4
    assert found[0] == [[0, 0, 1, 1], 0.2, none]
    assert found[1][:4] == [[1, 1, 5, -1], 0.1, [True, True, False, False], True]
    assert found[1][4] == "2 classes · 1 of 4 unassigned · 2 filled · edited"
    assert found[2] == [[-1, -1, 5, -1], 0.1, none]
    assert found[3:] == [True, True]


@needs_node
def test_a_silhouette_just_below_zero_is_zero() -> None:
    found = run(
        """state.now = { ...state.now, step: 0, pins: new Map() };
        state.sweep = { ...state.sweep, silhouette: [-0.001] };
        return [summaryText(state)];"""
    )
    assert found[0].endswith("silhouette 0.00")
