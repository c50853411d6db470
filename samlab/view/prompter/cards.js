// The masks to choose from, as buttons.

import { make } from "../widget/dom.js";
import { percent } from "../widget/text.js";

/** @import { createPromptPainter } from "./painting.js" */
/** @import { PromptState } from "./state.js" */
/** @import { PromptingHooks } from "./types.d.ts" */

const PARTS = ["whole", "part", "sub-part"];

/**
 * @param {PromptState} state
 * @param {ReturnType<typeof createPromptPainter>} painter
 * @param {PromptingHooks} hooks
 * @param {(i: number) => void} choose
 * @returns {() => HTMLElement[]} Makes them anew.
 */
export function createCards(state, painter, hooks, choose) {
  return () => state.proposals.map((proposal, i) => {
    const { width, height } = hooks.scene();
    const thumb = make("canvas", { width: 96, height: 72 });
    painter.drawThumb(thumb, proposal);
    return make("button", { type: "button", class: "sl-card", role: "radio",
      "aria-checked": String(i === state.choice), title: `Choose (${hooks.key(i)})`,
      onclick: () => choose(i) }, thumb,
    make("b", { text: `${i + 1} ${PARTS[i] ?? ""}` }),
    make("span", { text: `IoU ${proposal.iou.toFixed(2)}` }),
    make("span", { text: percent(proposal.area / (width * height)) }));
  });
}
