"""A prompt in the making, run by node without a page."""

from __future__ import annotations

from samlab.view.prompter import Proposal, favourite
from tests.view.javascript import needs_node, run_js

#: The kernel's answers: the counts, of an empty mask, do not matter.
ANSWER = """const masks = (...ious) => ious.map((iou, i) => ({ counts: "4", area: 9 - i, iou }));
"""


@needs_node
def test_points_and_boxes_are_asked_and_taken_back_one_by_one() -> None:
    found = run_js(
        """() => {
          const state = new PromptState(10);
          const first = state.begin(state.withPoint(1, 2, 1));
          const second = state.begin(state.withBox([0, 0, 3, 4]));
          const begun = state.begun;
          const back = state.undo();
          const none = state.undo();
          return [first, second, begun, back, none, state.begun, state.prompt, state.turn,
            state.undo()];
        }"""
    )
    assert found == [
        {"kind": "prompt", "turn": 11, "points": [[1, 2, 1]], "box": None},
        {"kind": "prompt", "turn": 12, "points": [[1, 2, 1]], "box": [0, 0, 3, 4]},
        True,
        {"kind": "prompt", "turn": 13, "points": [[1, 2, 1]], "box": None},
        None, False, {"points": [], "box": None}, 14, None,
    ]  # fmt: skip


@needs_node
def test_a_first_answer_chooses_a_refined_one_keeps_the_level_and_a_late_one_is_ignored() -> None:
    found = run_js(
        f"""() => {{
          {ANSWER}
          const state = new PromptState(0);
          state.begin(state.withPoint(1, 2, 1));
          const seen = [state.busy];
          seen.push(state.receive({{ turn: 0, masks: masks(1, 1, 1) }}, 100), state.busy);
          seen.push(state.receive({{ turn: 1, masks: masks(0.9, 0.89, 0.5) }}, 100), state.choice);
          state.choose(2);
          state.choose(3);
          state.begin(state.withPoint(3, 3, 0));
          seen.push(state.receive({{ turn: 2, masks: masks(0.9, 0.1, 0.1) }}, 100), state.choice);
          return seen;
        }}"""
    )
    assert found == [True, False, True, True, 0, True, 2]


@needs_node
def test_a_prompt_that_failed_is_taken_back() -> None:
    found = run_js(
        """() => {
          const state = new PromptState(0);
          state.begin(state.withPoint(1, 2, 1));
          state.receive({ turn: 1, masks: [] }, 100);
          state.begin(state.withPoint(5, 5, 0));
          state.fail();
          const once = [state.prompt.points, state.busy];
          state.fail();
          return [once, state.prompt.points];
        }"""
    )
    assert found == [[[[1, 2, 1]], False], [[1, 2, 1]]]


@needs_node
def test_why_a_prompt_cannot_be_asked() -> None:
    found = run_js(
        """() => [objection({ points: [[1, 1, 1]], box: null }, false),
          objection({ points: [[1, 1, 0]], box: null }, true),
          objection({ points: [], box: [0, 0, 1, 1] }, true)]"""
    )
    assert found == [
        "The picture is still being encoded; click again in a moment.",
        "Mark something that belongs to the mask first; Shift takes away.",
        "",
    ]


@needs_node
def test_of_masks_trusted_alike_the_largest_that_is_not_the_background() -> None:
    cases: list[tuple[list[tuple[float, int]], int]] = [
        ([(0.9, 200), (0.9, 50), (0.9, 1)], 1),  # the wall, the cat, its eye
        ([(0.89, 50), (0.9, 20), (0.9, 1)], 0),
        ([(0.7, 50), (0.9, 20), (0.95, 1)], 2),
        ([(0.9, 200), (0.5, 50), (0.5, 1)], 0),
        ([(0.9, 0), (0.9, 0), (0.9, 0)], 0),
    ]
    for masks, expected in cases:
        given = [{"iou": iou, "area": area} for iou, area in masks]
        assert run_js("({ given }) => favourite(given, 240)", given=given) == expected
        proposals = [Proposal({}, area, iou, 1.0) for iou, area in masks]
        assert favourite(proposals, 240) == expected
