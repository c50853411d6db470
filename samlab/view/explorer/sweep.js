// The slider's clusterings: labels for each of its steps, made by the kernel in one go.

import { numbers } from "../widget/model.js";

/** @import { Sweep } from "./types.d.ts" */

/**
 * @param {any} packed A sweep as the kernel sends it.
 * @returns {Sweep}
 */
export function readSweep(packed) {
  return { ...packed, table: numbers(packed.table, Int16Array),
    distances: numbers(packed.distances, Float32Array) };
}

/**
 * Labels at a step of the sweep.
 * @param {Pick<Sweep, "n" | "table">} sweep
 * @param {number} step
 */
export function sweepLabels({ n, table }, step) {
  return Array.from(table.subarray(step * n, (step + 1) * n));
}

/**
 * @param {number[]} values
 * @param {number} value
 */
export function nearestStep(values, value) {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (Math.abs(values[i] - value) < Math.abs(values[best] - value)) best = i;
  }
  return best;
}

/**
 * The step of the sweep nearest below `from` (itself first) that parts one of the classes in two;
 * -1 where none does.
 * @param {number[]} labels
 * @param {number[]} classes
 * @param {Pick<Sweep, "n" | "table">} sweep
 * @param {number} from
 */
export function splitStep(labels, classes, sweep, from) {
  for (let step = from; step >= 0; step--) {
    const row = sweepLabels(sweep, step);
    for (const label of classes) {
      const parts = new Set(row.filter((part, i) => labels[i] === label && part >= 0));
      if (parts.size > 1) return step;
    }
  }
  return -1;
}
