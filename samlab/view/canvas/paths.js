// Masks as paths to stroke and to fill.

import { forEachStretch, outlineEdges } from "../widget/rle.js";

/** @import { Mask } from "../widget/types.d.ts" */

/**
 * The outline of a mask.
 * @param {Mask} mask
 * @param {number} height Of the picture.
 */
export function outlinePath(mask, height) {
  const path = new Path2D();
  const edges = outlineEdges(mask, height);
  for (let i = 0; i < edges.length; i += 4) {
    path.moveTo(edges[i], edges[i + 1]);
    path.lineTo(edges[i + 2], edges[i + 3]);
  }
  return path;
}

/**
 * The mask to fill: one box per stretch of a column.
 * @param {Mask} mask
 * @param {number} height Of the picture.
 */
export function fillPath(mask, height) {
  const path = new Path2D();
  forEachStretch(mask, height, (x, from, to) => path.rect(x, from, 1.02, to - from));
  return path;
}
