// The annotator's keys: what they do, and the line below the picture that says so.

import { make, targetOf } from "../../widget/dom.js";

/** @import { AnnotatorActions } from "../types.d.ts" */

/** @type {[string, string][]} */
const ANNOTATOR_KEYS = [
  ["click", "mark a thing"], ["Shift click", "mark what is not part of it"], ["drag", "a box"],
  ["Arrows Space", "mark without a mouse"],
  ["W", "next of the three masks"], ["1–9", "keep as class, or change the class"],
  ["Enter", "keep, or yes"], ["X", "no, or drop"], ["L", "ask me later"], ["Esc", "clear"],
  ["S", "select instead of mark"], ["M", "move the picture"], ["N", "done, next picture"],
  ["F", "forward"], ["B", "back"], ["Ctrl Z", "undo"], ["Ctrl Shift Z", "redo"], ["?", "hide this"],
];

export function keyList() {
  return make("div", { class: "sl-keys" }, ...ANNOTATOR_KEYS.map(([keys, text]) =>
    make("span", {}, ...keys.split(" ").map((key) => make("kbd", { text: key })), text)));
}

/**
 * What a key does, or undefined.
 * @param {{ key: string, ctrlKey: boolean, metaKey: boolean, shiftKey: boolean }} event
 * @param {AnnotatorActions} actions
 * @returns {(() => void) | undefined}
 */
export function actionOf(event, actions) {
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    const redo = key === "y" || (key === "z" && event.shiftKey);
    return redo ? () => actions.send("redo") : key === "z" ? actions.undo : undefined;
  }
  if (/^[1-9]$/.test(key)) return () => actions.useClass(Number(key) - 1);
  /** @type {Record<string, () => void>} */
  const single = {
    w: actions.nextProposal, enter: actions.yes, x: actions.no, delete: actions.no,
    backspace: actions.no, l: actions.postpone, escape: actions.escape,
    s: () => actions.setMode("select"), m: () => actions.setMode("move"), n: actions.finish,
    f: () => actions.send("go", { step: 1 }), b: () => actions.send("go", { step: -1 }),
    "?": actions.toggleHelp,
  };
  return single[key];
}

/**
 * @param {HTMLElement} root
 * @param {AnnotatorActions} actions
 * @param {() => boolean} answerable Whether there is something to say yes to.
 */
export function listenToAnnotatorKeys(root, actions, answerable) {
  root.addEventListener("keydown", (event) => {
    if (targetOf(event).matches("input, select") || event.altKey) return;
    const action = actionOf(event, actions);
    if (!action) return;
    // With nothing to say yes to, Enter is the picture's own: it selects what the arrows found.
    if (event.key === "Enter" && (targetOf(event).matches("button") || !answerable())) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }, true);
}
