// What a person does in the annotator: the kernel is told, or the page painted anew.

/** @import { Prompting } from "../prompter/prompting.js" */
/** @import { AnnotatorState } from "./state.js" */
/** @import { AnnotatorActions } from "./types.d.ts" */

/**
 * @param {AnnotatorState} state
 * @param {Prompting} prompting
 * @param {{ show(): void, hideError(): void, toggleHelp(): void }} page
 * @returns {AnnotatorActions}
 */
export function createAnnotatorActions(state, prompting, page) {
  const prompt = prompting.state;
  const question = () => state.question(prompt.begun);
  /** @param {string} kind @param {object} [more] */
  function send(kind, more = {}) {
    page.hideError();
    state.model.send({ kind, ...more });
  }
  /** @param {number} label */
  function keep(label) {
    if (!prompt.proposals.length || prompt.busy) return;
    send("keep", { choice: prompt.choice, label });
    prompting.clear();
  }
  return {
    send, toggleHelp: page.toggleHelp,
    useClass(label) {
      if (label >= state.get("classes").length) return;
      const asked = question();
      if (prompt.proposals.length) keep(label);
      else if (state.selected.size) send("label", { ids: [...state.selected], label });
      else if (asked) send("label", { ids: [asked.id], label });
      state.active = label;
      page.show();
    },
    yes() {
      const asked = question();
      if (prompt.proposals.length) keep(state.active);
      else if (asked) send("accept", { ids: [asked.id] });
    },
    no() {
      const asked = question();
      if (prompt.begun) prompting.clear();
      else if (state.selected.size) send("drop", { ids: [...state.selected] });
      else if (asked) send("drop", { ids: [asked.id] });
      state.selected = new Set();
    },
    postpone() {
      const asked = question();
      if (!asked) return;
      state.postpone(asked.id);
      page.show();
    },
    escape() {
      state.selected = new Set();
      prompting.clear();
    },
    undo() {
      if (prompt.begun) prompting.undo();
      else if (state.get("can").undo) send("undo");
    },
    setMode(mode) {
      state.setMode(mode);
      if (state.mode !== "mark") prompting.clear();
      page.show();
    },
    finish() {
      prompting.clear();
      send("done");
    },
    select(ids, add) {
      state.select(ids, add);
      page.show();
    },
    addClass(text) {
      const name = text.trim();
      if (!name) return;
      state.active = state.get("classes").length;
      send("class", { name });
    },
    nextProposal() {
      prompting.choose((prompt.choice + 1) % Math.max(1, prompt.proposals.length));
    },
  };
}
