// The annotator's first lines: picture and progress, what a click does, undo, run, export, next.

import { button, iconButton, make } from "../../widget/dom.js";
import { statusText } from "../state.js";

/** @import { PromptState } from "../../prompter/state.js" */
/** @import { AnnotatorState } from "../state.js" */
/** @import { AnnotatorActions, AnnotatorMode } from "../types.d.ts" */

/**
 * @param {AnnotatorState} state
 * @param {AnnotatorActions} actions
 */
export function createHead(state, actions) {
  const title = make("b");
  const status = make("span", { class: "sl-status", role: "status" });
  const modes = modeButtons(state, actions);
  const undo = iconButton("undo", "Undo (Ctrl+Z)", actions.undo);
  const redo = iconButton("redo", "Redo (Ctrl+Shift+Z)", () => actions.send("redo"));
  const run = button("Run", { class: "sl-primary", onclick: () => actions.send("run"),
    title: "Annotate all pictures that are left" });
  const help = button("?", { title: "Show or hide the keys (?)", onclick: actions.toggleHelp });
  const done = button("Done, next", { class: "sl-primary", onclick: actions.finish,
    title: "Finish this picture and go on (N)" });
  const bar = make("i");
  const progress = make("div", { class: "sl-progress", role: "progressbar", "aria-valuemin": "0" },
    bar);
  const note = make("div", { class: "sl-note", hidden: true });
  const head = make("header", { class: "sl-head" },
    make("div", { class: "sl-title" }, title, status),
    make("div", { class: "sl-tools" }, modes.element, undo, redo, run, button("Export",
      { title: "Write COCO JSON beside the journal", onclick: () => actions.send("export") }), help),
    make("div", { class: "sl-tools" },
      iconButton("back", "The picture before (B)", () => actions.send("go", { step: -1 })),
      iconButton("forward", "The next picture, this one stays open (F)",
        () => actions.send("go", { step: 1 })), done));
  return {
    elements: [head, progress, note], help,
    /** @param {PromptState} prompt */
    show(prompt) {
      const queue = state.get("queue");
      const can = state.get("can");
      const running = state.get("running");
      title.textContent = state.picture.name || "No picture";
      status.textContent = statusText(state, prompt.busy);
      status.classList.toggle("sl-working", prompt.busy || running ||
        ["encoding", "proposing"].includes(state.get("status")));
      bar.style.width = `${(100 * queue.done) / Math.max(1, queue.total)}%`;
      progress.setAttribute("aria-valuemax", String(queue.total));
      progress.setAttribute("aria-valuenow", String(queue.done));
      modes.show();
      undo.disabled = !prompt.begun && !can.undo;
      redo.disabled = !can.redo;
      run.hidden = state.stage !== "automatic";
      run.textContent = running ? "Stop" : "Run";
      done.textContent = queue.finished ? "Open again" : "Done, next";
      note.textContent = state.isStatic ?
        "What was kept; annotating itself needs a running notebook." : state.get("note");
      note.hidden = !note.textContent;
    },
  };
}

/**
 * @param {AnnotatorState} state
 * @param {AnnotatorActions} actions
 */
function modeButtons(state, actions) {
  /** @type {[AnnotatorMode, string, string][]} */
  const modes = [["mark", "Mark", "A click or a box asks the model (S)"],
    ["select", "Select", "A click selects a mask (S)"], ["move", "Move", "Drag moves the picture (M)"]];
  const buttons = modes.map(([mode, text, title]) =>
    button(text, { title, onclick: () => actions.setMode(mode) }));
  return {
    element: make("span", { class: "sl-group", role: "group", "aria-label": "What a click does" },
      ...buttons),
    show: () => buttons.forEach((one, i) =>
      one.setAttribute("aria-pressed", String(modes[i][0] === state.mode))),
  };
}
