// A segment cut out of the picture, for lists and tooltips.

import { contextOf } from "../widget/layer.js";

/** @import { Scene } from "../widget/types.d.ts" */
/** @import { Canvas } from "./types.d.ts" */

/**
 * A segment with some of what is around it.
 * @param {HTMLCanvasElement} thumb
 * @param {Canvas} canvas
 * @param {Scene} scene
 * @param {number} id
 */
export function drawCut(thumb, canvas, scene, id) {
  const picture = canvas.picture();
  if (!picture) return;
  const context = contextOf(thumb);
  const [x0, y0, x1, y1] = scene.boxes[id];
  const reach = 0.6 * Math.max(x1 - x0, y1 - y0, 8);
  const unit = thumb.width / (2 * reach);
  context.translate(thumb.width / 2 - ((x0 + x1) / 2) * unit,
    thumb.height / 2 - ((y0 + y1) / 2) * unit);
  context.scale(unit, unit);
  context.drawImage(picture, 0, 0, scene.width, scene.height);
  context.lineWidth = 2 / unit;
  context.strokeStyle = "#fff";
  context.stroke(canvas.outlineOf(id));
}
