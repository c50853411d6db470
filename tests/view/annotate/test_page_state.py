"""The annotator's state and actions in the page, run by node without a page."""

from __future__ import annotations

from typing import Any

from tests.view.javascript import needs_node, run_js

NEW = """
const mask = (id, state, sure = null, label = 0) => ({ id, state, sure, label, area: 1 });
const values = { payload: { stage: "semi-automatic" }, picture: { index: 0, name: "a.png" },
  masks: [mask(1, "kept"), mask(2, "asked", 0.6, 1), mask(3, "asked", 0.9, -1)],
  classes: [{ name: "red" }, { name: "green" }], questions: [2, 3],
  can: { undo: true, redo: false },
  queue: { done: 1, total: 3, broken: 1, finished: false }, status: "ready", running: false };
const sent = [];
const model = { get: (key) => values[key], send: (message) => sent.push(message) };
const state = new AnnotatorState(model);
const prompt = new PromptState(0);
const prompting = { state: prompt, clear: () => prompt.clear(), undo: () => prompt.undo(),
  choose: (i) => prompt.choose(i) };
const actions = createAnnotatorActions(state, prompting,
  { show: () => {}, hideError: () => {}, toggleHelp: () => {} });
const key = (name, more = {}) => actionOf({ key: name, ctrlKey: false, metaKey: false,
  shiftKey: false, ...more }, actions)?.();
const asked = () => state.question(prompt.begun)?.id ?? null;
const mark = () => {
  prompt.begin(prompt.withPoint(1, 1, 1));
  prompt.receive({ turn: prompt.turn, masks: [{ counts: "4", area: 4, iou: 0.9 }] }, 16);
};
"""


def run(body: str) -> Any:
    return run_js(f"() => {{ {NEW} {body} }}")


@needs_node
def test_questions_are_answered_by_keys_and_put_off() -> None:
    found = run(
        """const seen = [asked(), hintText(state, state.question(false))];
        key("l");
        seen.push(asked(), hintText(state, state.question(false)));
        key("Enter");
        key("x");
        key("2");
        key("9");
        return [seen, sent, state.active];"""
    )
    assert found[0] == [
        2, "Proposed: green, 60 % sure. A class key keeps it as that class.",
        3, "A mask without a class, 90 % sure. A class key keeps it as that class.",
    ]  # fmt: skip
    assert found[1] == [
        {"kind": "accept", "ids": [3]}, {"kind": "drop", "ids": [3]},
        {"kind": "label", "ids": [3], "label": 1},
    ]  # fmt: skip
    assert found[2] == 1


@needs_node
def test_a_prompt_goes_before_a_selection_and_that_before_a_question() -> None:
    found = run(
        """actions.select([1], false);
        const hint = hintText(state, state.question(false));
        key("2");
        key("x");
        mark();
        const during = asked();
        key("Enter");
        const after = asked();
        mark();
        key("x");
        return [hint, during, after, sent, prompt.begun];"""
    )
    assert found == [
        "A class key changes the class, X drops.", None, 2,
        [{"kind": "label", "ids": [1], "label": 1}, {"kind": "drop", "ids": [1]},
         {"kind": "keep", "choice": 0, "label": 1}],
        False,
    ]  # fmt: skip


@needs_node
def test_undo_takes_back_the_prompt_first_and_redo_is_the_kernels() -> None:
    found = run(
        """mark();
        key("z", { ctrlKey: true });
        const begun = prompt.begun;
        key("z", { ctrlKey: true });
        key("z", { metaKey: true, shiftKey: true });
        key("y", { ctrlKey: true });
        key("2", { ctrlKey: true });
        values.can.undo = false;
        key("z", { ctrlKey: true });
        return [begun, sent];"""
    )
    assert found == [False, [{"kind": "undo"}, {"kind": "redo"}, {"kind": "redo"}]]


@needs_node
def test_modes_pictures_and_what_the_page_says() -> None:
    found = run(
        """const seen = [state.mode];
        for (const name of ["s", "s", "m"]) {
          key(name);
          seen.push(state.mode);
        }
        const text = statusText(state, true);
        state.selected = new Set([1, 3]);
        values.masks = [mask(1, "kept")];
        const same = [state.updateMasks(), [...state.selected]];
        values.picture = { index: 1, name: "b.png" };
        const other = state.updateMasks();
        state.postponed = [3];
        state.openPicture();
        values.classes = [];
        state.checkActive();
        return [seen, text, same, other, state.picture.name, state.postponed, state.active,
          state.nameOf(state.active)];"""
    )
    assert found == [
        ["mark", "select", "mark", "move"], "1 of 3 done · 1 unreadable · …",
        [True, [1]], False, "b.png", [], -1, "no class",
    ]  # fmt: skip
