// A prompt in the making: points and box, the masks that answer it, which of them is chosen.
// Nothing here touches the page.

import { decodeMask } from "../widget/rle.js";

/** @import { Box } from "../widget/types.d.ts" */
/** @import { Answer, Prompt, Proposal } from "./types.d.ts" */

// Scores nearer than this to the best are as good.
const ALIKE = 0.02;
// A mask of more than this share of the picture is its background.
const MOST_OF_IT = 0.5;

/**
 * Of the masks that the model trusts about as much as the one it trusts most the largest, but for
 * what fills most of the picture: a click means the cat, not its eye, and not the wall behind it.
 * The same rule as `favourite` in prompter.py.
 * @param {Pick<Proposal, "area" | "iou">[]} proposals From large to small.
 * @param {number} pixels Of the picture.
 */
export function favourite(proposals, pixels) {
  const best = Math.max(...proposals.map((p) => p.iou));
  const alike = proposals.flatMap((p, i) => (p.area > 0 && p.iou > best - ALIKE ? [i] : []));
  return alike.find((i) => proposals[i].area <= MOST_OF_IT * pixels) ?? alike.at(-1) ?? 0;
}

/** @returns {Prompt} */
function emptyPrompt() {
  return { points: [], box: null };
}

export class PromptState {
  /** @type {Prompt} */
  prompt = emptyPrompt();
  /** @type {Prompt[]} */
  past = [];
  /** @type {Proposal[]} */
  proposals = [];
  choice = 0;
  /** While the kernel has not answered. */
  busy = false;

  /**
   * @param {number} [turn] Not from 0: another view of the widget, or this page before it was loaded
   *   again, may have asked the same, and an answer that equals the last one would not be sent.
   */
  constructor(turn = Math.floor(Math.random() * 1e9)) {
    this.turn = turn;
  }

  /** Whether something has been prompted: one press of undo then takes back the last point. */
  get begun() {
    return this.past.length > 0;
  }

  /**
   * The prompt with one more point.
   * @param {number} x
   * @param {number} y
   * @param {number} kind 1 for foreground, 0 for background.
   * @returns {Prompt}
   */
  withPoint(x, y, kind) {
    return { ...this.prompt, points: [...this.prompt.points, [x, y, kind]] };
  }

  /**
   * @param {Box} box
   * @returns {Prompt}
   */
  withBox(box) {
    return { ...this.prompt, box };
  }

  /**
   * Ask something else; what was asked before can be undone.
   * @param {Prompt} next
   */
  begin(next) {
    this.past.push(this.prompt);
    return this.message(next);
  }

  /**
   * @param {Prompt} prompt
   * @returns {object} The message that asks the kernel.
   */
  message(prompt) {
    this.prompt = prompt;
    this.busy = true;
    this.turn += 1;
    return { kind: "prompt", turn: this.turn, ...prompt };
  }

  /**
   * Take the last point or box back.
   * @returns {object | null} The message that asks the kernel, or null where nothing is left to ask.
   */
  undo() {
    const before = this.past.pop();
    if (!before) return null;
    if (before.points.length || before.box) return this.message(before);
    this.clear();
    return null;
  }

  clear() {
    this.prompt = emptyPrompt();
    this.past = [];
    this.proposals = [];
    this.busy = false;
    this.turn += 1;
  }

  /**
   * @param {Answer} answer
   * @param {number} pixels Of the picture.
   * @returns {boolean} Whether it answers the last question.
   */
  receive({ turn, masks }, pixels) {
    if (turn !== this.turn || !masks) return false;
    this.busy = false;
    this.proposals = masks.map((m) => ({ ...m, mask: decodeMask(m.counts) }));
    // A first prompt takes the model's favourite; a refined one keeps the level.
    if (this.past.length <= 1) this.choice = favourite(this.proposals, pixels);
    return true;
  }

  /** The kernel could not answer: back to the prompt before. */
  fail() {
    if (this.busy) this.prompt = this.past.pop() ?? emptyPrompt();
    this.busy = false;
  }

  /** @param {number} i */
  choose(i) {
    if (i < this.proposals.length) this.choice = i;
  }
}

/**
 * Why a prompt cannot be asked, or "".
 * @param {Prompt} prompt
 * @param {boolean} ready Whether the picture is encoded.
 */
export function objection(prompt, ready) {
  if (!ready) return "The picture is still being encoded; click again in a moment.";
  if (prompt.box || prompt.points.some((p) => p[2])) return "";
  return "Mark something that belongs to the mask first; Shift takes away.";
}
