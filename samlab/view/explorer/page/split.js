// Splitting classes: what the sweep says at a smaller eps, among the members of the classes only.
//
// DBSCAN's classes at a smaller eps lie inside those at a larger one, so the rows of the sweep that
// are there already are the clustering of a class on its own, and no kernel is needed. The same holds
// for the cuts of Ward's tree.

import { button, make } from "../../widget/dom.js";
import { counted, shortNumber } from "../../widget/text.js";
import { branchSteps } from "../ladder.js";
import { splitAlong } from "../labels.js";
import { sweepLabels } from "../sweep.js";

/** @import { ExplorerState } from "../state.js" */
/** @import { Branch } from "../types.d.ts" */

const MOST_TWIGS = 4;

/**
 * @typedef {object} SplitHooks
 * @property {(text: string) => void} say Why nothing can be split.
 * @property {() => void} changed Show the labels.
 * @property {() => void} commit Tell the kernel.
 * @property {() => void} cancel Back to before.
 * @property {Branch} branch Of the class ladder.
 */

/**
 * @param {HTMLElement} host
 * @param {ExplorerState} state
 * @param {SplitHooks} hooks
 */
export function createSplitting(host, state, hooks) {
  /** @type {number[]} */
  let before = []; // labels
  /** @type {number[]} */
  let classes = [];
  /** @type {number[]} */
  let twigs = []; // steps of the branch
  const title = make("b");
  const status = make("span", { class: "sl-summary", role: "status" });
  const slider = make("input", { type: "range", min: "0", step: "1", class: "sl-slider",
    "aria-label": "eps of the split", oninput: () => show(false), onchange: hooks.commit });
  const element = make("div", { class: "sl-split", role: "group", "aria-label": "Split",
    hidden: true, onkeydown: (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      hooks.cancel();
    } }, make("div", { class: "sl-tools" }, title, status), slider,
  make("div", { class: "sl-tools" }, button("Done", { class: "sl-primary", onclick: close }),
    button("Cancel", { onclick: hooks.cancel })));
  host.append(element);

  /** @param {boolean} undoable */
  function show(undoable) {
    const step = Number(slider.value);
    const ids = [...before.keys()].filter((i) => classes.includes(before[i]));
    state.edit(splitAlong(before, classes, sweepLabels(state.sweep, step)), undoable, ids);
    hooks.changed();
    status.textContent = splitText(state, before, classes, step);
    slider.setAttribute("aria-valuetext", status.textContent);
    hooks.branch.press(twigs.filter((twig) => step <= twig).length - 1);
  }
  /** @param {string} text What is split. @param {number} start */
  function openBranch(text, start) {
    twigs = branchSteps(before, classes, state.sweep, start, MOST_TWIGS);
    const shown = new Set([...before.keys()].filter((i) => classes.includes(before[i])));
    hooks.branch.open(`Branch of ${text}`, twigs.map((step) => {
      const labels = splitAlong(before, classes, sweepLabels(state.sweep, step));
      const parts = new Set([...shown].map((i) => labels[i]).filter((label) => label >= 0));
      return { labels, facts: [counted(parts.size, "class", "classes")], choose() {
        slider.value = String(step);
        show(false);
        hooks.commit();
      } };
    }), shown);
  }
  function close() {
    element.hidden = true;
    hooks.branch.close();
  }

  return {
    close,
    begin() {
      close();
      const chosen = [...state.touched()].filter((label) => label >= 0);
      const start = state.splitStart(chosen);
      const text = chosen.length === 1 ? state.nameOf(chosen[0]) : `${chosen.length} classes`;
      if (start < 0) {
        hooks.say(`No smaller eps on the slider parts ${text} in two. Select segments and press ` +
          '"New class" to take them out by hand.');
        return;
      }
      title.textContent = `Split ${text}`;
      slider.max = String(state.sweep.values.length - 1);
      slider.value = String(start);
      [before, classes] = [state.now.labels, chosen];
      element.hidden = false;
      openBranch(text, start);
      show(true);
      hooks.commit();
      slider.focus();
    },
  };
}

/**
 * What has become of the classes.
 * @param {ExplorerState} state
 * @param {number[]} before
 * @param {number[]} classes
 * @param {number} step
 */
function splitText({ now, sweep }, before, classes, step) {
  const labels = now.labels.filter((_, i) => classes.includes(before[i]));
  const parts = new Set(labels.filter((label) => label >= 0));
  const noise = labels.filter((label) => label < 0).length;
  return `eps ${shortNumber(sweep.values[step])}: ${counted(parts.size, "class", "classes")}, ` +
    `${noise} unassigned`;
}
