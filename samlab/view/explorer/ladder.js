// The class ladder: the clusterings that last, from few classes to many. Which they are, samlab.ladder
// says in the kernel; what is said of them, here. Nothing here touches the page.

import { sweepLabels } from "./sweep.js";

/** @import { Rung, Sweep } from "./types.d.ts" */

/**
 * @param {Pick<Sweep, "n" | "table" | "ladder">} sweep
 * @param {ArrayLike<number>} seen Pixels of each segment that are not covered by another.
 * @param {number} pixels All pixels.
 * @returns {Rung[]} The fewest classes first.
 */
export function ladderOf(sweep, seen, pixels) {
  return sweep.ladder.map((step) => {
    const labels = sweepLabels(sweep, step);
    const classes = new Set(labels.filter((label) => label >= 0)).size;
    const assigned = labels.reduce((sum, label, i) => sum + (label >= 0 ? seen[i] : 0), 0);
    return { ...equalSteps(sweep, step), step, classes, unassigned: 1 - assigned / pixels };
  });
}

/**
 * The first and the last step around one with the same labels.
 * @param {Pick<Sweep, "n" | "table">} sweep
 * @param {number} step
 */
function equalSteps({ n, table }, step) {
  let [first, last] = [step, step];
  while (first > 0 && equalRows(table, n, first)) first--;
  while ((last + 2) * n <= table.length && equalRows(table, n, last + 1)) last++;
  return { first, last };
}

/**
 * Whether a row of the table has the labels of the one before.
 * @param {Int16Array} table
 * @param {number} n
 * @param {number} step
 */
function equalRows(table, n, step) {
  for (let i = step * n; i < (step + 1) * n; i++) if (table[i] !== table[i - n]) return false;
  return true;
}

/**
 * How a split goes on below: of each number of parts, two or more, the step with the largest eps.
 * @param {number[]} labels
 * @param {number[]} classes Which are split.
 * @param {Pick<Sweep, "n" | "table">} sweep
 * @param {number} from The largest step.
 * @param {number} most
 * @returns {number[]} The fewest parts first.
 */
export function branchSteps(labels, classes, sweep, from, most) {
  const ids = [...labels.keys()].filter((i) => classes.includes(labels[i]));
  const known = new Set([0, 1]);
  const steps = [];
  for (let step = from; step >= 0 && steps.length < most; step--) {
    const row = sweepLabels(sweep, step);
    const parts = new Set(ids.map((i) => (row[i] < 0 ? "" : `${labels[i]} ${row[i]}`)));
    parts.delete("");
    if (parts.size <= Math.max(...known)) continue;
    known.add(parts.size);
    steps.push(step);
  }
  return steps;
}
