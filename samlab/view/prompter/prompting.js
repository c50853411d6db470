// Points and boxes about a picture, and the masks that answer them: what prompter and annotator
// share.

import { createCards } from "./cards.js";
import { createPromptPainter } from "./painting.js";
import { objection, PromptState } from "./state.js";

/** @import { Camera } from "../canvas/types.d.ts" */
/** @import { Box } from "../widget/types.d.ts" */
/** @import { Answer, Prompt, PromptingHooks } from "./types.d.ts" */
/** @typedef {ReturnType<typeof createPrompting>} Prompting */

/** @param {PromptingHooks} hooks */
export function createPrompting(hooks) {
  const state = new PromptState();
  const painter = createPromptPainter(state, hooks);

  /** @param {object | null} message */
  function send(message) {
    if (message) {
      hooks.hideError();
      hooks.send(message);
    }
    hooks.changed();
  }
  /** @param {Prompt} next */
  function ask(next) {
    const problem = objection(next, hooks.ready());
    if (problem) hooks.showError(problem);
    else send(state.begin(next));
  }
  /** @param {number} i */
  function choose(i) {
    state.choose(i);
    hooks.changed();
  }
  return {
    state, choose,
    cards: createCards(state, painter, hooks, choose),
    /** @param {CanvasRenderingContext2D} context @param {Camera} camera */
    draw: (context, camera) => painter.draw(context, camera),
    clear() {
      state.clear();
      hooks.changed();
    },
    /** @param {number} x @param {number} y @param {number} kind */
    point(x, y, kind) {
      const { width, height } = hooks.scene();
      if (x < 0 || y < 0 || x > width || y > height) return;
      ask(state.withPoint(x, y, kind));
    },
    /** @param {Box} box */
    box: (box) => ask(state.withBox(box)),
    undo() {
      if (state.begun) send(state.undo());
    },
    /** @param {Answer} answer */
    receive(answer) {
      const { width, height } = hooks.scene();
      if (state.receive(answer, width * height)) hooks.changed();
    },
    fail() {
      state.fail();
      hooks.changed();
    },
  };
}
