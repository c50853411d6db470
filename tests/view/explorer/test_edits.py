"""Edits by hand outlive the slider, the same in the page and in the kernel; run by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import samlab
from samlab.view.explorer.edits import edit_lines, with_pins
from samlab.view.explorer.explorer import Explorer, explore
from tests.view.explorer.test_explorer import strips
from tests.view.explorer.test_state import run
from tests.view.javascript import needs_node, run_js


@needs_node
def test_an_edit_stays_when_the_slider_moves_until_it_is_let_go() -> None:
    found = run(
        """state.edit(splitClass(state.now.labels, [1]));
        const made = state.now.labels;
        state.slide(2);
        state.sliding = false;
        const moved = state.now.labels;
        state.slide(0);
        const bottom = [state.now.labels, summaryText(state)];
        state.slide(1);
        state.sliding = false;
        const back = state.now.labels;
        state.letGo();
        const free = [state.now.labels, state.now.pins.size];
        state.undo();
        return [made, moved, bottom, back, free, state.now.labels];"""
    )
    assert found == [
        [0, 2, 1, 1], [0, 2, 0, 0], [[-1, 2, -1, -1], "1 class · 3 of 4 unassigned · edited"],
        [0, 2, 1, 1], [[0, 0, 1, 1], 0], [0, 2, 1, 1],
    ]  # fmt: skip


@needs_node
def test_what_an_edit_touches() -> None:
    found = run_js(
        """() => [touchedBy([0, 0, 1, 1, -1], [0, 2, 1, 1, -1]),
          touchedBy([0, 0, 1, 1, -1], [0, 0, 0, 0, -1]),
          touchedBy([0, 0, 1, 1, -1], [0, -1, 1, 1, -1])]"""
    )
    assert found == [[1], [0, 1, 2, 3], [1]]


def cases() -> list[dict[str, Any]]:
    """Clusterings, edits and names by chance."""
    rng = np.random.default_rng(0)
    made = []
    for n in rng.integers(1, 12, 300).tolist():
        ids = np.flatnonzero(rng.random(n) < 0.4).tolist()
        pins = [[i, int(rng.integers(-1, 5))] for i in ids]
        base = rng.integers(-1, 4, n).tolist()
        made.append({"base": base, "pins": pins, "names": {"1": 'a "cup"', "3": "dish"}})
    return made


@needs_node
def test_page_and_kernel_follow_the_same_rules() -> None:
    found = run_js(
        """(input) => input.cases.map(({ base, pins, names }) => {
          const labels = withPins(base, new Map(pins));
          return [labels, editLines(labels, new Map(pins), names)];
        })""",
        cases=cases(),
    )
    for case, (labels, lines) in zip(cases(), found, strict=True):
        pins = dict(case["pins"])
        names = {int(label): name for label, name in case["names"].items()}
        expected = with_pins(np.array(case["base"]), pins)
        assert labels == expected.tolist()
        assert lines == edit_lines(expected, pins, names)


@needs_node
def test_the_way_there_and_back_gives_the_same_classes() -> None:
    rng = np.random.default_rng(1)
    tables = rng.integers(-1, 4, (200, 2, 9)).tolist()
    acts = [
        [
            [int(kind), np.flatnonzero(rng.random(9) < 0.3).tolist()]
            for kind in rng.integers(0, 3, 3)
        ]
        for _ in tables
    ]
    found = run_js(
        """({ tables, acts }) => tables.map((table, k) => {
          const sweep = { n: 9, values: [0.1, 0.2], table: Int16Array.from(table.flat()) };
          const state = new ExplorerState({ labels: table[0], step: 0, value: 0.1, records: [],
            hidden: [], base: table[0], pins: [] }, sweep, []);
          for (const [kind, ids] of acts[k]) {
            if (ids.length === 0) continue;
            state.edit([mergeClasses, splitClass, toNoise][kind](state.now.labels, ids));
          }
          const made = state.now.labels;
          state.slide(1);
          state.slide(0);
          return [made, state.now.labels];
        })""",
        tables=tables,
        acts=acts,
    )
    for made, back in found:
        assert [label < 0 for label in made] == [label < 0 for label in back]
        assert adjusted_rand_score(made, back) == 1.0


def edited() -> Explorer:
    """30 segments in three classes; a person took two out, and named what they are."""
    segments, picture = strips(30)
    explorer = explore(segments, picture, eps=0.2, points=np.zeros((30, 2)))
    labels = explorer.labels
    labels[[0, 3]] = 7
    labels[[5]] = -1
    pins = [[0, 7], [3, 7], [5, -1]]
    records = [{"label": 7, "name": "odd", "members": [0, 3]}]
    explorer.state = {
        **explorer.state, "labels": labels.tolist(), "pins": pins, "records": records,
        "names": {"7": "odd"},
    }  # fmt: skip
    return explorer


def test_edits_stay_in_the_kernel_until_they_are_let_go() -> None:
    explorer = edited()
    for change in (lambda: setattr(explorer, "eps", 1.9), lambda: explorer._handle(
        {"kind": "recluster", "settings": {"metric": "euclidean"}})):  # fmt: skip
        change()
        labels = explorer.labels
        assert np.flatnonzero(labels == 7).tolist() == [0, 3]
        assert labels[5] == -1
        assert explorer.class_names == {7: "odd"}
    explorer.let_go()
    assert explorer.edits == {}
    assert 7 not in explorer.labels
    assert explorer.class_names == {}


@pytest.mark.parametrize("eps", [0.2, 1.9, 1e-6])
def test_the_code_makes_the_edits_again(eps: float) -> None:
    explorer = edited()
    explorer.eps = eps
    names: dict[str, Any] = {"samlab": samlab, "segments": strips(30)[0]}
    exec(explorer.code(), names)
    again = names["segments"]
    assert ((again.labels < 0) == (explorer.labels < 0)).all()
    assert adjusted_rand_score(again.labels, explorer.labels) == 1.0
    assert [again.class_name(label) for label in again.labels[[0, 3]]] == ["odd", "odd"]
