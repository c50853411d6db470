// What is asked now: which of three masks, whether a mask is right, what to do with a selection.

import { button, make } from "../../widget/dom.js";
import { panelHead } from "../../widget/frame.js";
import { hintText } from "../state.js";

/** @import { Prompting } from "../../prompter/prompting.js" */
/** @import { AnnotatorState } from "../state.js" */
/** @import { AnnotatorActions, AnnotatorMask } from "../types.d.ts" */

/**
 * @param {AnnotatorState} state
 * @param {Prompting} prompting
 * @param {AnnotatorActions} actions
 */
export function createQuestion(state, prompting, actions) {
  const title = make("h3", { text: "Mark" });
  const hint = make("p", { class: "sl-hint" });
  const cards = make("div", { class: "sl-cards", role: "radiogroup", "aria-label": "Masks" });
  const answers = make("div", { class: "sl-tools sl-keep" });
  return {
    elements: [panelHead("", title), make("div", { class: "sl-ask" }, hint, cards, answers)],
    /** @param {AnnotatorMask | null} asked */
    show(asked) {
      const choosing = prompting.state.proposals.length > 0;
      cards.replaceChildren(...prompting.cards());
      cards.hidden = !choosing;
      title.textContent = choosing ? "Which mask?" : titleText(state, asked);
      hint.hidden = choosing;
      hint.textContent = hintText(state, asked);
      const buttons = choosing ? choiceButtons(state, actions) :
        state.selected.size ? selectionButtons(state, actions) :
          asked ? questionButtons(actions) : [];
      answers.hidden = buttons.length === 0;
      answers.replaceChildren(...buttons);
    },
  };
}

/**
 * @param {AnnotatorState} state
 * @param {AnnotatorMask | null} asked
 */
function titleText(state, asked) {
  if (state.selected.size) return "Selected";
  if (asked) return `Is this right? ${state.questions().length} to answer`;
  return { mark: "Mark", select: "Select", move: "Move" }[state.mode];
}

/**
 * @param {AnnotatorState} state
 * @param {AnnotatorActions} actions
 */
function choiceButtons(state, actions) {
  return [button(`Keep as ${state.nameOf(state.active)}`, { class: "sl-primary sl-grow",
    title: "Keep the chosen mask (Enter)", onclick: actions.yes }),
  button("Clear", { title: "Begin anew (Escape)", onclick: actions.escape })];
}

/**
 * @param {AnnotatorState} state
 * @param {AnnotatorActions} actions
 */
function selectionButtons({ selected }, actions) {
  return [button(selected.size > 1 ? `Drop ${selected.size}` : "Drop",
    { title: "Drop (X)", onclick: actions.no }),
  button("Deselect", { title: "Escape", onclick: actions.escape })];
}

/** @param {AnnotatorActions} actions */
function questionButtons(actions) {
  return [button("Yes", { class: "sl-primary sl-grow", title: "Keep it (Enter)",
    onclick: actions.yes }),
  button("No", { title: "Drop it (X)", onclick: actions.no }),
  button("Later", { title: "Ask the others first (L)", onclick: actions.postpone })];
}
