// The annotator's state: what the kernel has set, and what is selected, asked and put off here.
// Nothing here touches the page.

import { toggled } from "../widget/scene.js";

/** @import { Model } from "../widget/types.d.ts" */
/** @import { AnnotatorMask, AnnotatorMode, AnnotatorPayload, AnnotatorValues } from "./types.d.ts" */

export class AnnotatorState {
  /** @type {Set<number>} */
  selected = new Set(); // ids of masks
  /** @type {number[]} */
  postponed = []; // ids of masks that are asked about last

  /**
   * @param {Model} model
   */
  constructor(model) {
    /** @type {AnnotatorPayload} */
    const payload = model.get("payload");
    this.model = model;
    this.stage = payload.stage;
    this.isStatic = Boolean(model.isStatic);
    /** @type {AnnotatorMode} */
    this.mode = this.stage === "automatic" || this.isStatic ? "select" : "mark";
    /** The class of what Enter keeps, or -1. */
    this.active = this.get("classes").length ? 0 : -1;
    this.picture = this.get("picture");
    this.masks = this.get("masks");
  }

  /**
   * What the kernel has set.
   * @template {keyof AnnotatorValues} K
   * @param {K} key
   * @returns {AnnotatorValues[K]}
   */
  get(key) {
    return this.model.get(key);
  }

  /** @param {number} label */
  nameOf(label) {
    return this.get("classes")[label]?.name ?? "no class";
  }

  /** Masks that were kept. */
  kept() {
    return this.masks.filter((m) => m.state === "kept");
  }

  // -- questions -----------------------------------------------------------------------------

  /** Ids of masks that are asked about, in the kernel's order, those put off last. */
  questions() {
    const open = this.get("questions");
    const { postponed } = this;
    return [...open.filter((id) => !postponed.includes(id)),
      ...postponed.filter((id) => open.includes(id))];
  }

  /**
   * The mask that is asked about now.
   * @param {boolean} prompting Whether a prompt was begun; then none is.
   * @returns {AnnotatorMask | null}
   */
  question(prompting) {
    if (prompting || this.selected.size) return null;
    const [first] = this.questions();
    return this.masks.find((m) => m.id === first) ?? null;
  }

  /** @param {number} id */
  postpone(id) {
    this.postponed = [...this.postponed.filter((other) => other !== id), id];
  }

  // -- changes -------------------------------------------------------------------------------

  /** Another picture is open. */
  openPicture() {
    this.picture = this.get("picture");
    this.masks = this.get("masks");
    this.selected = new Set();
    this.postponed = [];
  }

  /**
   * The masks have changed.
   * @returns {boolean} Whether they are of the picture that is shown; else that follows.
   */
  updateMasks() {
    this.masks = this.get("masks");
    if (this.get("picture").index !== this.picture.index) return false;
    this.selected = new Set([...this.selected].filter((id) => this.masks.some((m) => m.id === id)));
    return true;
  }

  /**
   * @param {number[]} ids
   * @param {boolean} add
   */
  select(ids, add) {
    this.selected = toggled(this.selected, ids, add);
  }

  /**
   * A mode chosen again gives way to marking.
   * @param {AnnotatorMode} mode
   */
  setMode(mode) {
    this.mode = this.mode === mode ? "mark" : mode;
  }

  /** The class that Enter keeps stays one that there is. */
  checkActive() {
    this.active = Math.min(this.active, this.get("classes").length - 1);
  }
}

/**
 * What the next act does, in words.
 * @param {AnnotatorState} state
 * @param {AnnotatorMask | null} asked
 */
export function hintText(state, asked) {
  if (state.selected.size) return "A class key changes the class, X drops.";
  if (asked) {
    const what = asked.label < 0 ? "A mask without a class" :
      `Proposed: ${state.nameOf(asked.label)}`;
    return `${what}, ${Math.round(100 * (asked.sure ?? 0.5))} % sure. A class key keeps it as ` +
      "that class.";
  }
  const { done, total } = state.get("queue");
  if (state.stage === "automatic" && !state.masks.length && done < total) {
    return state.get("running") ? "The model is at work; what it finds appears here." :
      "Run lets the model annotate all pictures that are left; then you correct what it did.";
  }
  if (state.mode === "move") return "Drag the picture; Ctrl and the wheel zoom.";
  if (state.mode === "select") return "Click a mask, Shift and click for more.";
  return "Click what you want, then press the key of its class. Shift and click marks what does " +
    "not belong to it. Drag for a box.";
}

/**
 * How far the work is, in words.
 * @param {AnnotatorState} state
 * @param {boolean} busy Whether a prompt is being answered.
 */
export function statusText(state, busy) {
  const queue = state.get("queue");
  const words = { encoding: "encoding the picture…", proposing: "looking for masks…", ready: "",
    failed: "could not encode the picture", empty: "no picture can be read" };
  return [`${queue.done} of ${queue.total} done`,
    queue.broken ? `${queue.broken} unreadable` : "", queue.finished ? "this one is done" : "",
    words[state.get("status")] || (busy ? "…" : "")].filter(Boolean).join(" · ");
}
