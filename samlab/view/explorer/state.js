// The explorer's state: the clustering that is shown, what was before, and what is selected.
//
// What came from the kernel stays in `sweep` (labels for each step of the slider). Everything a
// person changes is in `now`, which is replaced, never edited, so that undo is a list of old ones.
// Nothing here touches the page.

import { toggled } from "../widget/scene.js";
import { className } from "../widget/text.js";
import { pinnedToo, touchedBy, withPins } from "./edits.js";
import { membersOf, namesFor, rename } from "./labels.js";
import { opened, packed } from "./packing.js";
import { labelsAt, splitStep } from "./sweep.js";

/** @import { ClassNames } from "../widget/types.d.ts" */
/** @import { Clustering, PackedClustering, Sweep } from "./types.d.ts" */
/** @typedef {{ now: Clustering, sweep: Sweep }} Snapshot */

const MOST_UNDONE = 100;

export class ExplorerState {
  /** @type {Snapshot[]} */
  past = [];
  /** @type {Snapshot[]} */
  future = [];
  /** @type {Map<number, number[]>} */
  members = new Map();
  /** @type {ClassNames} */
  names = {};
  /** While the slider moves, its steps are one to undo. */
  sliding = false;

  /**
   * @param {PackedClustering} packed
   * @param {Sweep} sweep
   * @param {number[]} selected
   */
  constructor(packed, sweep, selected) {
    this.sweep = sweep;
    this.selected = new Set(selected);
    this.now = opened(packed);
    this.show(this.now);
  }

  /** @param {Clustering} now */
  show(now) {
    this.now = now;
    this.members = membersOf(now.labels);
    this.names = namesFor(now.records, this.members);
  }

  /** For the kernel. */
  packed() {
    return packed(this.now, this.names);
  }

  /** @param {number} label */
  nameOf(label) {
    return className(this.names, label);
  }

  /** Labels of the selected segments. */
  touched() {
    return new Set([...this.selected].map((id) => this.now.labels[id]));
  }

  // -- changes -------------------------------------------------------------------------------

  /**
   * @param {Partial<Clustering>} next
   * @param {boolean} [undoable]
   */
  change(next, undoable = true) {
    if (undoable) {
      this.past.push({ now: this.now, sweep: this.sweep });
      if (this.past.length > MOST_UNDONE) this.past.shift();
      this.future.length = 0;
    }
    this.show({ ...this.now, ...next });
  }

  /**
   * Classes changed by hand. What that touches stays there, wherever the slider goes.
   * @param {number[]} labels
   * @param {boolean} [undoable]
   * @param {number[]} [ids] What is touched, where it is more than what changes.
   */
  edit(labels, undoable = true, ids = touchedBy(this.now.labels, labels)) {
    this.change({ labels, pins: pinnedToo(this.now.pins, ids, labels) }, undoable);
  }

  /** Segments put somewhere by hand go where the clustering has them. */
  letGo() {
    this.change({ labels: this.now.base, pins: new Map() });
  }

  /**
   * The classes at a step of the slider, but for what is pinned.
   * @param {number} step
   * @returns {boolean} Whether that changes anything.
   */
  slide(step) {
    if (step === this.now.step) return false;
    const base = labelsAt(this.sweep, step, this.now.fill);
    this.change({ labels: withPins(base, this.now.pins), base, step,
      value: this.sweep.values[step] }, !this.sliding);
    this.sliding = true;
    return true;
  }

  /**
   * @param {number} label
   * @param {string} text
   */
  rename(label, text) {
    this.change({ records: rename(this.now.records, label, text, this.members.get(label) ?? []) });
  }

  /**
   * @param {number} label
   * @param {boolean} hide
   */
  hide(label, hide) {
    const hidden = new Set(this.now.hidden);
    if (hide) hidden.add(label);
    else hidden.delete(label);
    this.change({ hidden });
  }

  // All three tell whether there was something to go back or forward to.
  undo() {
    return this.exchange(this.past, this.future);
  }

  redo() {
    return this.exchange(this.future, this.past);
  }

  /** Back to before the last change, which cannot be redone. */
  cancel() {
    return this.exchange(this.past, []);
  }

  /**
   * @param {Snapshot[]} from
   * @param {Snapshot[]} to
   */
  exchange(from, to) {
    const snapshot = from.pop();
    if (!snapshot) return false;
    to.push({ now: this.now, sweep: this.sweep });
    this.sweep = snapshot.sweep;
    this.show(snapshot.now);
    return true;
  }

  /**
   * What the kernel has set.
   * @param {PackedClustering} packed
   * @param {Sweep} sweep
   */
  receive(packed, sweep) {
    this.past.push({ now: this.now, sweep: this.sweep });
    this.sweep = sweep;
    this.show(opened(packed));
  }

  // -- selection -----------------------------------------------------------------------------

  /**
   * @param {number[]} ids
   * @param {boolean} add
   */
  select(ids, add) {
    this.selected = toggled(this.selected, ids, add);
  }

  /**
   * Select a class; picked again it is no longer selected.
   * @param {number} label
   * @param {boolean} add
   */
  pick(label, add) {
    const ids = this.members.get(label) ?? [];
    const same = !add && ids.length === this.selected.size &&
      ids.every((id) => this.selected.has(id));
    this.select(same ? [] : ids, add);
  }

  // -- splitting -----------------------------------------------------------------------------

  /**
   * The largest step below the present one that parts one of the classes in two, or -1.
   * @param {number[]} classes
   */
  splitStart(classes) {
    const from = this.now.step < 0 ? this.sweep.values.length - 1 : this.now.step;
    return splitStep(this.now.labels, classes, this.sweep, from);
  }
}
