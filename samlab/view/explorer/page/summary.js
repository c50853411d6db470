// What the explorer says about its state: the line above the slider, and the rows of the table.

import { filledSegments } from "../sweep.js";
import { counted } from "../../widget/text.js";

/** @import { Palette } from "../../widget/types.d.ts" */
/** @import { ClassRow } from "../types.d.ts" */
/** @import { ExplorerState } from "../state.js" */

/** @param {ExplorerState} state */
export function summaryText(state) {
  const { now, sweep, members } = state;
  const n = now.labels.length;
  const noise = members.get(-1)?.length ?? 0;
  const classes = members.size - Number(noise > 0);
  const edited = now.pins.size > 0;
  const filled = filledSegments(state).filter(Boolean).length;
  const score = edited || now.step < 0 ? null : sweep.silhouette[now.step];
  const origin = edited ? " · edited" :
    now.value === null && classes > 0 ? " · as given, by no eps" : "";
  const compact = score === null || score === undefined ? "" :
    ` · silhouette ${Number(score.toFixed(2)).toFixed(2)}`; // never -0.00
  return `${counted(classes, "class", "classes")} · ${noise} of ${n} unassigned` +
    (filled ? ` · ${filled} filled` : "") + compact + origin;
}

/**
 * One row per class, by the area it covers; last what is unassigned, with the whole rest of the
 * picture.
 * @param {ExplorerState} state
 * @param {Palette} palette
 * @param {ArrayLike<number>} seen Pixels of each segment that are not covered by another.
 * @param {number} pixels All pixels.
 * @returns {ClassRow[]}
 */
export function classRows(state, palette, seen, pixels) {
  const rows = [...state.members.entries()].map(([label, ids]) => ({
    label, name: state.nameOf(label), colour: palette.css(label), count: ids.length, bar: 0,
    share: ids.reduce((sum, id) => sum + seen[id], 0) / pixels,
    hidden: state.now.hidden.has(label),
    selected: ids.filter((id) => state.selected.has(id)).length / ids.length,
  }));
  const assigned = rows.reduce((sum, row) => sum + (row.label < 0 ? 0 : row.share), 0);
  for (const row of rows) if (row.label < 0) row.share = 1 - assigned;
  const widest = Math.max(1e-9, ...rows.map((row) => row.share));
  for (const row of rows) row.bar = row.share / widest;
  return rows.sort((a, b) => Number(a.label < 0) - Number(b.label < 0) || b.share - a.share ||
    a.label - b.label);
}
