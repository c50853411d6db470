// Numbers and names as the page writes them.

/** @import { ClassNames, Scene, TipLine } from "./types.d.ts" */

/**
 * Mirrors Segments.class_name in Python.
 * @param {ClassNames} names
 * @param {number} label
 */
export function className(names, label) {
  return names[label] ?? (label === -1 ? "unassigned" : `class ${label}`);
}

/**
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
export function shortNumber(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(digits)));
}

/** @param {number} share */
export function percent(share) {
  const value = 100 * share;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} many
 */
export function counted(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}

/**
 * What a tooltip says about a segment.
 * @param {Scene} scene
 * @param {number} id
 * @param {string} name Of its class.
 * @param {number[]} stack The segments under the pointer.
 * @returns {TipLine[]}
 */
export function segmentFacts(scene, id, name, stack) {
  const share = percent(scene.areas[id] / (scene.width * scene.height));
  /** @type {TipLine[]} */
  const lines = [name, ["segment", String(id)],
    ["area", `${scene.areas[id].toLocaleString("en")} px · ${share}`]];
  if (scene.iou[id] !== null) lines.push(["predicted IoU", shortNumber(scene.iou[id], 2)]);
  if (scene.stability[id] !== null) lines.push(["stability", shortNumber(scene.stability[id], 2)]);
  if (stack.length > 1) lines.push(`${stack.length} levels here: click again for the next one out`);
  return lines;
}
