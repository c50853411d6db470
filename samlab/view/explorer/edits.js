// Edits by hand: segments pinned to a class, whatever the slider says of them. The same rules as in
// edits.py. Nothing here touches the page.

import { membersOf } from "./labels.js";

/** @import { ClassNames } from "../widget/types.d.ts" */
/** @import { Pins } from "./types.d.ts" */

/**
 * The classes of a clustering with the pinned segments where a person put them.
 *
 * A class of the clustering that has the number of a pinned one is the same class if a pinned
 * segment is in both; else it gets a free number, so that strangers do not join.
 * @param {number[]} base
 * @param {Pins} pins
 * @returns {number[]}
 */
export function withPins(base, pins) {
  if (pins.size === 0) return base;
  const pinned = new Set(pins.values());
  const taken = new Set([...base, ...pinned]);
  /** @type {Map<number, number>} */
  const moved = new Map();
  for (const [id, label] of pins) if (base[id] === label) moved.set(label, label);
  let fresh = 0;
  return base.map((label, i) => {
    const own = pins.get(i);
    if (own !== undefined) return own;
    if (label < 0 || !pinned.has(label)) return label;
    if (!moved.has(label)) {
      while (taken.has(fresh)) fresh++;
      taken.add(fresh);
      moved.set(label, fresh);
    }
    return /** @type {number} */ (moved.get(label));
  });
}

/**
 * What an edit touches: the segments whose class it changes, and all of the classes they are in now.
 * @param {number[]} before
 * @param {number[]} after
 */
export function touchedBy(before, after) {
  const classes = new Set(after.filter((label, i) => label !== before[i] && label >= 0));
  return [...after.keys()].filter((i) => after[i] !== before[i] || classes.has(after[i]));
}

/**
 * The pins with further segments where `labels` has them.
 * @param {Pins} pins
 * @param {number[]} ids
 * @param {number[]} labels
 * @returns {Pins}
 */
export function pinnedToo(pins, ids, labels) {
  return new Map([...pins, .../** @type {[number, number][]} */ (ids.map((i) => [i, labels[i]]))]);
}

/**
 * Python that makes the edits again after the clustering, whose numbers may be others: a class is
 * named by a segment in it. "" where nothing was edited or named.
 * @param {number[]} labels
 * @param {Pins} pins
 * @param {ClassNames} names
 */
export function editLines(labels, pins, names) {
  if (pins.size === 0 && Object.keys(names).length === 0) return "";
  const lines = [];
  const members = membersOf(labels);
  for (const [label, all] of members) {
    const ids = all.filter((i) => pins.has(i));
    if (ids.length === 0) continue;
    const free = all.find((i) => !pins.has(i));
    const target = label < 0 ? "-1" : free === undefined ? "labels.max() + 1" : `labels[${free}]`;
    lines.push(`labels[[${ids.join(", ")}]] = ${target}`);
  }
  const named = Object.entries(names).flatMap(([label, name]) => {
    const first = members.get(Number(label))?.[0];
    return first === undefined ? [] : [`labels[${first}]: ${JSON.stringify(name)}`];
  });
  return ["labels = clustering.labels.copy()", ...lines,
    `segments = segments.with_labels(labels${named.length ? `, {${named.join(", ")}}` : ""})`, ""]
    .join("\n");
}
