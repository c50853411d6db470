// A clustering as the page has it, and as it travels to the kernel and back.

/** @import { ClassNames } from "../widget/types.d.ts" */
/** @import { Clustering, PackedClustering } from "./types.d.ts" */

/**
 * @param {PackedClustering} packed
 * @returns {Clustering}
 */
export function opened({ labels, step, value, records, hidden, base, pins, fill = false }) {
  return { labels: Array.from(labels), step, value, records, hidden: new Set(hidden),
    base: Array.from(base), pins: new Map(pins), fill };
}

/**
 * Its keys are in the order of `_state` in explorer.py.
 * @param {Clustering} now
 * @param {ClassNames} names
 * @returns {PackedClustering}
 */
export function packed({ labels, step, value, records, hidden, base, pins, fill }, names) {
  return { labels, step, value, records, hidden: [...hidden], base,
    pins: [...pins].sort((a, b) => a[0] - b[0]), fill, names };
}
