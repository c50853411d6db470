// The class ladder: the clusterings of the sweep that hold most of the picture over wide ranges of
// eps, as plain data, from few classes to many. Nothing here touches the page.

import { sweepLabels } from "./sweep.js";

/** @import { Rung, Sweep } from "./types.d.ts" */

const MOST_RUNGS = 6;

/**
 * For each number of classes the best stretch of the slider with the same labels, then the best of
 * these. One class of everything, or none, is no answer.
 * @param {Pick<Sweep, "n" | "table" | "values">} sweep
 * @param {ArrayLike<number>} seen Pixels of each segment that are not covered by another.
 * @param {number} pixels All pixels.
 * @returns {Rung[]} With ascending number of classes.
 */
export function ladderOf(sweep, seen, pixels) {
  /** @type {Map<number, Rung>} */
  const best = new Map();
  for (const [first, last] of equalRuns(sweep)) {
    const rung = rungOf(sweep, first, last, seen, pixels);
    const known = best.get(rung.classes);
    if (rung.classes > 0 && !rung.all && (!known || better(rung, known) < 0)) {
      best.set(rung.classes, rung);
    }
  }
  return [...best.values()].sort(better).slice(0, MOST_RUNGS)
    .sort((a, b) => a.classes - b.classes);
}

/**
 * First and last steps of the stretches of the slider with the same labels.
 * @param {Pick<Sweep, "n" | "table" | "values">} sweep
 * @returns {[number, number][]}
 */
function equalRuns({ n, table, values }) {
  /** @type {[number, number][]} */
  const runs = [];
  for (let step = 0; step < values.length; step++) {
    const same = step > 0 && equalRows(table, n, step);
    if (same) runs[runs.length - 1][1] = step;
    else runs.push([step, step]);
  }
  return runs;
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
 * @param {Pick<Sweep, "n" | "table" | "values">} sweep
 * @param {number} first
 * @param {number} last
 * @param {ArrayLike<number>} seen
 * @param {number} pixels
 * @returns {Rung}
 */
function rungOf(sweep, first, last, seen, pixels) {
  const step = (first + last) >> 1;
  const labels = sweepLabels(sweep, step);
  const classes = new Set(labels.filter((label) => label >= 0)).size;
  const assigned = labels.reduce((sum, label, i) => sum + (label >= 0 ? seen[i] : 0), 0);
  // Classes of this step begin at its own eps and end where the next step's begin.
  const end = sweep.values[Math.min(last + 1, sweep.values.length - 1)];
  return { first, last, step, classes, unassigned: 1 - assigned / pixels,
    all: classes === 1 && labels.every((label) => label >= 0),
    width: Math.log(end / sweep.values[first]) };
}

/**
 * First what puts more of the picture into classes over a wider range of eps: area times width, as
 * HDBSCAN weighs a cluster by its excess of mass (Campello et al. 2013).
 * @param {Rung} a
 * @param {Rung} b
 */
function better(a, b) {
  return b.width * (1 - b.unassigned) - a.width * (1 - a.unassigned);
}
