// The masks of the open picture: on the canvas, and as a list.

import { choice, iconButton, make, targetOf } from "../../widget/dom.js";
import { panelHead } from "../../widget/frame.js";
import { percent } from "../../widget/text.js";

/** @import { Palette } from "../../widget/types.d.ts" */
/** @import { AnnotatorState } from "../state.js" */
/** @import { AnnotatorActions, AnnotatorMask, CanvasOf } from "../types.d.ts" */

/**
 * @param {AnnotatorState} state
 * @param {Palette} palette
 * @param {AnnotatorActions} actions
 * @param {CanvasOf} canvas
 */
export function createMaskList(state, palette, actions, canvas) {
  const count = make("span", { class: "sl-summary" });
  const list = make("div", { class: "sl-rows", role: "list" });
  return {
    elements: [panelHead("sl-ruled", make("h3", { text: "In this picture" }), count), list],
    /** @param {AnnotatorMask | null} asked */
    show(asked) {
      paintMasks(state, palette, canvas, asked);
      const kept = state.kept();
      count.textContent = kept.length === 1 ? "1 mask" : `${kept.length} masks`;
      list.replaceChildren(...kept.map((mask) =>
        maskRow(mask, state, palette.css(mask.label), actions, canvas)));
    },
  };
}

/**
 * @param {AnnotatorState} state
 * @param {Palette} palette
 * @param {CanvasOf} canvas
 * @param {AnnotatorMask | null} asked
 */
function paintMasks({ masks, selected }, palette, canvas, asked) {
  const shown = asked ? new Set([asked.id]) : selected;
  const indices = [...masks.keys()].filter((i) => shown.has(masks[i].id));
  canvas()?.setColours(masks.map((m) => palette.rgb(m.label)), masks.map((m) => m.state === "asked"));
  canvas()?.setVisible(masks.map((m) => m.state === "kept" || m.id === asked?.id));
  canvas()?.setSelected(new Set(indices), !asked);
}

/**
 * @param {AnnotatorMask} mask
 * @param {AnnotatorState} state
 * @param {string} colour
 * @param {AnnotatorActions} actions
 * @param {CanvasOf} canvas
 */
function maskRow(mask, state, colour, actions, canvas) {
  const i = state.masks.indexOf(mask);
  const on = state.selected.has(mask.id);
  const { width, height } = state.picture.scene;
  const swatch = make("button", { type: "button", class: "sl-swatch",
    "aria-label": `Select mask ${i + 1}`, "aria-pressed": String(on) });
  swatch.style.background = colour;
  const names = state.get("classes").map(({ name }, k) => /** @type {[string, string]} */ (
    [String(k), name]));
  const menu = choice([["-1", "no class"], ...names], String(mask.label), (value) =>
    actions.send("label", { ids: [mask.id], label: Number(value) }));
  menu.setAttribute("aria-label", `Class of mask ${i + 1}`);
  menu.disabled = state.isStatic;
  return make("div", { class: `sl-row sl-one${on ? " sl-on" : ""}`, role: "listitem",
    onpointerenter: () => canvas()?.setHover(i), onpointerleave: () => canvas()?.setHover(-1),
    onclick: (event) => {
      if (targetOf(event).closest(".sl-icon-button, select")) return;
      actions.select([mask.id], event.shiftKey || event.ctrlKey);
    } },
  swatch, menu, make("span", { class: "sl-share", text: percent(mask.area / (width * height)) }),
  iconButton("close", "Drop this mask", () => actions.send("drop", { ids: [mask.id] })));
}
