// The list of kept masks: colour, class to edit, score, drop.

import { cssOf, parseHex } from "../widget/colours.js";
import { iconButton, make } from "../widget/dom.js";
import { textField } from "../widget/frame.js";

/** @import { Canvas } from "../canvas/types.d.ts" */
/** @import { RGB } from "../widget/types.d.ts" */
/** @import { KeptMask } from "./types.d.ts" */

/**
 * Colours of kept masks: one per class, and one for each mask without a class.
 * @param {KeptMask[]} kept
 * @param {string[]} palette
 * @returns {RGB[]}
 */
export function keptColours(kept, palette) {
  const names = [...new Set(kept.map((k) => k.name).filter(Boolean))];
  return kept.map(({ name }, i) =>
    parseHex(palette[(name ? names.indexOf(name) : names.length + i) % palette.length]));
}

/**
 * @param {KeptMask[]} kept
 * @param {RGB[]} colours
 * @param {boolean} readOnly
 * @param {Canvas} canvas
 * @param {(message: object) => void} send
 */
export function keptRows(kept, colours, readOnly, canvas, send) {
  return kept.map((item, id) => {
    const swatch = make("i", { class: "sl-swatch" });
    swatch.style.background = cssOf(colours[id]);
    const name = textField({ class: "sl-name", placeholder: `mask ${id}`,
      "aria-label": `Class of mask ${id}`,
      onchange: () => send({ kind: "name", ids: [id], name: name.value }) });
    name.value = item.name;
    name.readOnly = readOnly;
    return make("div", { class: "sl-row sl-kept", role: "listitem",
      onpointerenter: () => canvas.setHover(id), onpointerleave: () => canvas.setHover(-1) },
    swatch, name, make("span", { class: "sl-share", text: `IoU ${item.iou.toFixed(2)}` }),
    iconButton("close", "Drop this mask", () => send({ kind: "drop", ids: [id] })));
  });
}
