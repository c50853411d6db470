// Class labels as plain data: a label per segment, -1 is noise. Nothing here touches the page.

/** @import { ClassNames } from "../widget/types.d.ts" */
/** @import { NameRecord } from "./types.d.ts" */

/**
 * Members per class, in order of label, noise last.
 * @param {number[]} labels
 * @returns {Map<number, number[]>}
 */
export function membersOf(labels) {
  const sorted = [...grouped(labels.keys(), (i) => labels[i]).entries()];
  return new Map(sorted.sort((a, b) => Number(a[0] < 0) - Number(b[0] < 0) || a[0] - b[0]));
}

/**
 * @param {Iterable<number>} ids
 * @param {(id: number) => number} keyOf
 * @returns {Map<number, number[]>}
 */
function grouped(ids, keyOf) {
  /** @type {Map<number, number[]>} */
  const found = new Map();
  for (const id of ids) {
    const members = found.get(keyOf(id));
    if (members) members.push(id);
    else found.set(keyOf(id), [id]);
  }
  return found;
}

/**
 * All classes that the given segments belong to become the first (lowest) of them; noise is no
 * class, so only the selected noise segments join.
 * @param {number[]} labels
 * @param {number[]} ids
 */
export function mergeClasses(labels, ids) {
  const classes = new Set(ids.map((i) => labels[i]).filter((label) => label >= 0));
  if (classes.size === 0) return splitClass(labels, ids);
  const target = Math.min(...classes);
  const chosen = new Set(ids);
  return labels.map((label, i) => (classes.has(label) || chosen.has(i) ? target : label));
}

/**
 * The given segments leave their classes and form a new one, with the lowest free label.
 * @param {number[]} labels
 * @param {number[]} ids
 */
export function splitClass(labels, ids) {
  const chosen = new Set(ids);
  const used = new Set(labels.filter((_, i) => !chosen.has(i)));
  let fresh = 0;
  while (used.has(fresh) || labels.includes(fresh)) fresh++;
  return labels.map((label, i) => (chosen.has(i) ? fresh : label));
}

/**
 * The classes are parted as `row`, other labels of the same segments, parts them. The largest part
 * of a class keeps its label, the others get free ones; what `row` calls noise is noise.
 * @param {number[]} labels
 * @param {number[]} classes
 * @param {number[]} row
 */
export function splitAlong(labels, classes, row) {
  const next = labels.slice();
  const used = new Set(labels);
  let fresh = 0;
  for (const label of classes) {
    const members = [...labels.keys()].filter((i) => labels[i] === label);
    const parts = grouped(members, (i) => row[i]);
    const bySize = [...parts.entries()].filter(([part]) => part >= 0)
      .sort((a, b) => b[1].length - a[1].length || a[0] - b[0]);
    for (const i of parts.get(-1) ?? []) next[i] = -1;
    for (const [, ids] of bySize.slice(1)) {
      while (used.has(fresh)) fresh++;
      used.add(fresh);
      for (const i of ids) next[i] = fresh;
    }
  }
  return next;
}

/**
 * @param {number[]} labels
 * @param {number[]} ids
 */
export function toNoise(labels, ids) {
  const chosen = new Set(ids);
  return labels.map((label, i) => (chosen.has(i) ? -1 : label));
}

/**
 * Names given by a person stay with what was named: a record holds for a class of its label while
 * at least half of the smaller of the two sets is in both. So a name that vanishes on the way of
 * the slider is back when the slider is.
 * @param {NameRecord[]} records
 * @param {Map<number, number[]>} members
 */
export function namesFor(records, members) {
  /** @type {ClassNames} */
  const names = {};
  for (const record of records) {
    const now = members.get(record.label);
    if (!now) continue;
    const then = new Set(record.members);
    const shared = now.filter((i) => then.has(i)).length;
    if (2 * shared >= Math.min(now.length, then.size)) names[record.label] = record.name;
  }
  return names;
}

/**
 * The records with another name for a class; an empty one takes the name away.
 * @param {NameRecord[]} records
 * @param {number} label
 * @param {string} name
 * @param {number[]} members
 */
export function rename(records, label, name, members) {
  const rest = records.filter((record) => record.label !== label);
  const text = name.trim();
  return text ? [...rest, { label, name: text, members }] : rest;
}
