// The panel "Classes": what can be done with the selected segments, and the table.

import { button, make } from "../../widget/dom.js";
import { panelHead } from "../../widget/frame.js";
import { mergeClasses, splitClass, toNoise } from "../labels.js";
import { createSplitting } from "./split.js";
import { createTable } from "./table.js";

/** @import { ClassRow } from "../types.d.ts" */
/** @import { SplitHooks } from "./split.js" */
/** @import { ExplorerState } from "../state.js" */
/** @import { TableHooks } from "./table.js" */

/** @typedef {TableHooks & SplitHooks & { edit(labels: number[]): void }} ClassHooks */

/**
 * @param {HTMLElement} host
 * @param {ExplorerState} state
 * @param {ClassHooks} hooks
 */
export function createClasses(host, state, hooks) {
  /** @param {(labels: number[], ids: number[]) => number[]} change */
  const edit = (change) => () => hooks.edit(change(state.now.labels, [...state.selected]));
  const merge = button("Merge", { title: "Merge the classes of the selected segments into one",
    onclick: edit(mergeClasses) });
  const split = button("Split", { onclick: () => splitting.begin(),
    title: "Cluster the selected segments' classes again, with a smaller eps" });
  const fresh = button("New class", { onclick: () => {
    const [first] = state.selected;
    hooks.edit(splitClass(state.now.labels, [...state.selected]));
    table.typeName(state.now.labels[first]);
  },
    title: "Take the selected segments out into a class of their own" });
  const noise = button("Unassign", { title: "The selected segments belong to no class",
    onclick: edit(toNoise) });
  const selection = make("span", { class: "sl-summary" });
  host.append(panelHead("", make("h3", { text: "Classes" }), selection,
    make("div", { class: "sl-tools" }, merge, split, fresh, noise)));
  const splitting = createSplitting(host, state, hooks);
  const table = createTable(host, hooks);
  return {
    closeSplit: splitting.close,
    /** @param {ClassRow[]} rows */
    show(rows) {
      const { size } = state.selected;
      const touched = state.touched();
      table.set(rows);
      selection.textContent = size === 0 ? "" : `${size} selected`;
      merge.disabled = size < 2 || touched.size < 2;
      split.disabled = [...touched].every((label) => label < 0);
      fresh.disabled = size === 0;
      noise.disabled = size === 0;
    },
  };
}
