// The pictures around the open one, each with how far it is.

import { make } from "../../widget/dom.js";

/** @import { AnnotatorState } from "../state.js" */
/** @import { AnnotatorActions, QueueRow } from "../types.d.ts" */

const STATUS_TEXT = { new: "not begun", begun: "begun", done: "done", broken: "cannot be read" };

/**
 * @param {AnnotatorState} state
 * @param {AnnotatorActions} actions
 */
export function createQueueList(state, actions) {
  const element = make("div", { class: "sl-queue", role: "list", "aria-label": "Pictures" });
  /** @param {QueueRow} row */
  const item = (row) => make("button", { type: "button", class: `sl-pill sl-${row.status}`,
    role: "listitem", title: `${row.name}: ${row.why || STATUS_TEXT[row.status]}`,
    "aria-current": String(row.here), onclick: () => actions.send("open", { index: row.index }) },
  make("i"), make("span", { text: row.name }),
  make("b", { text: row.count ? String(row.count) : "" }));
  return {
    element,
    show() {
      element.replaceChildren(...state.get("queue").rows.map(item));
      const here = element.querySelector("[aria-current=true]");
      if (here instanceof HTMLElement) {
        element.scrollLeft = here.offsetLeft - element.clientWidth / 2;
      }
    },
  };
}
