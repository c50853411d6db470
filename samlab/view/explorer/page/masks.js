// A switch that shows the outlines of all masks that the segments stand for.

import { outlinePath } from "../../canvas/paths.js";
import { button } from "../../widget/dom.js";
import { decodeMask } from "../../widget/rle.js";

/** @import { Canvas, Paint } from "../../canvas/types.d.ts" */

/**
 * @param {string[]} counts Run lengths; none, no switch.
 * @param {number} height Of the picture.
 * @param {() => Canvas} canvas
 * @returns {HTMLElement[]}
 */
export function createMaskSwitch(counts, height, canvas) {
  if (counts.length === 0) return [];
  /** @type {Path2D[] | null} */
  let paths = null; // made when they are first asked for
  /** @type {Paint} */
  const paint = (context, camera) => {
    paths ??= counts.map((count) => outlinePath(decodeMask(count), height));
    for (const [colour, thick] of /** @type {[string, number][]} */ ([["rgba(0, 0, 0, .5)", 2.5],
      ["#fff", 1]])) {
      context.strokeStyle = colour;
      context.lineWidth = thick / camera.scale;
      for (const path of paths) context.stroke(path);
    }
  };
  const toggle = button("All masks", { "aria-pressed": "false",
    title: `Outlines of all ${counts.length} masks that these segments stand for`, onclick: () => {
      const on = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", String(on));
      canvas().setStyle({ extra: on ? paint : null });
    } });
  return [toggle];
}
