// The slider's clusterings: labels for each of its steps, made by the kernel in one go.

import { numbers } from "../widget/model.js";
import { withPins } from "./edits.js";

/** @import { Clustering, Sweep } from "./types.d.ts" */
/** @typedef {{ now: Clustering, sweep: Sweep }} Shown */

/**
 * @param {any} packed A sweep as the kernel sends it.
 * @returns {Sweep}
 */
export function readSweep(packed) {
  return { ...packed, table: numbers(packed.table, Int16Array),
    filled: numbers(packed.filled, Int16Array),
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
 * The same; with fill, what is noise there takes the nearest class where that is near enough.
 * @param {Pick<Sweep, "n" | "table" | "filled">} sweep
 * @param {number} step
 * @param {boolean} fill
 */
export function labelsAt({ n, table, filled }, step, fill) {
  return sweepLabels({ n, table: fill ? filled : table }, step);
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

// -- noise that takes the nearest class, where that is near enough ------------------------------

/**
 * Whether noise can: at a step of the slider.
 * @param {Shown} state
 */
export function canFill({ now, sweep }) {
  return now.step >= 0 && sweep.filled.length > 0;
}

/**
 * What changes when noise does, or is noise again.
 * @param {Shown} state
 * @param {boolean} fill
 * @returns {Partial<Clustering>}
 */
export function withFill({ now, sweep }, fill) {
  const base = labelsAt(sweep, now.step, fill);
  return { fill, base, labels: withPins(base, now.pins), value: sweep.values[now.step] };
}

/**
 * Which segments took the nearest class.
 * @param {Shown} state
 */
export function filledSegments({ now, sweep }) {
  if (!now.fill || !canFill({ now, sweep })) return now.base.map(() => false);
  const bare = sweepLabels(sweep, now.step);
  return now.base.map((label, i) => label >= 0 && bare[i] < 0 && !now.pins.has(i));
}
