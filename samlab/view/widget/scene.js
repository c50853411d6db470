// A picture with its segments as plain data: which are where, and which one a click or a key means.

import { decodeMask, forEachStretch, maskBox, maskHas } from "./rle.js";

/** @import { Box, MaskRecord, PackedScene, Scene } from "./types.d.ts" */

/**
 * What the kernel sent, ready to look things up in. Decodes all masks once.
 * @param {PackedScene} packed
 * @returns {Scene}
 */
export function openScene(packed) {
  const masks = packed.counts.map(decodeMask);
  const order = masks.map((_, i) => i)
    .sort((a, b) => packed.areas[b] - packed.areas[a] || a - b);
  const boxes = masks.map((mask) => maskBox(mask, packed.height));
  return { ...packed, masks, order, boxes, n: masks.length };
}

/**
 * The same picture with other segments.
 * @param {PackedScene} packed
 * @param {MaskRecord[]} records
 */
export function sceneWith(packed, records) {
  return openScene({ ...packed, counts: records.map((r) => r.counts),
    areas: records.map((r) => r.area), iou: records.map((r) => r.iou),
    stability: records.map((r) => r.stability) });
}

/**
 * Segments under a pixel of the picture, from the inside out (small to large).
 * @param {Scene} scene
 * @param {ArrayLike<unknown>} visible One truthy value per segment.
 * @param {number} x
 * @param {number} y
 */
export function segmentsAt(scene, visible, x, y) {
  /** @type {number[]} */
  const found = [];
  if (x < 0 || y < 0 || x >= scene.width || y >= scene.height) return found;
  for (let k = scene.order.length - 1; k >= 0; k--) {
    const id = scene.order[k];
    const [x0, y0, x1, y1] = scene.boxes[id];
    if (!visible[id] || x < x0 || x >= x1 || y < y0 || y >= y1) continue;
    if (maskHas(scene.masks[id], scene.height, x, y)) found.push(id);
  }
  return found;
}

/**
 * Which of the segments under a click to take: the innermost, or one level out of the one that is
 * selected already; after the outermost the innermost again.
 * @param {number[]} stack
 * @param {Set<number>} selected
 */
export function nextLevel(stack, selected) {
  if (stack.length === 0) return -1;
  if (selected.size !== 1) return stack[0];
  const at = stack.indexOf([...selected][0]);
  return stack[(at + 1) % stack.length];
}

/**
 * Visible segments that lie in a box.
 * @param {Scene} scene
 * @param {ArrayLike<unknown>} visible
 * @param {Box} box
 */
export function segmentsIn(scene, visible, [x0, y0, x1, y1]) {
  return scene.order.filter((id) => {
    const [a, b, c, d] = scene.boxes[id];
    return visible[id] && a >= x0 && b >= y0 && c <= x1 && d <= y1;
  });
}

/**
 * The middle of a segment's box.
 * @param {Scene} scene
 * @param {number} id
 * @returns {[number, number]}
 */
export function centreOf(scene, id) {
  const [x0, y0, x1, y1] = scene.boxes[id];
  return [(x0 + x1) / 2, (y0 + y1) / 2];
}

/**
 * The visible segment next to another in a direction, or from the corner where `from` is -1; -1
 * where there is none.
 * @param {Scene} scene
 * @param {ArrayLike<unknown>} visible
 * @param {number} from
 * @param {number} dx
 * @param {number} dy
 */
export function neighbour(scene, visible, from, dx, dy) {
  const [x, y] = from < 0 ? [0, 0] : centreOf(scene, from);
  let best = -1;
  let least = Infinity;
  for (let id = 0; id < scene.n; id++) {
    if (id === from || !visible[id]) continue;
    const [cx, cy] = centreOf(scene, id);
    const along = (cx - x) * dx + (cy - y) * dy;
    const across = Math.abs((cx - x) * dy) + Math.abs((cy - y) * dx);
    if (along > 0.5 && along + 2 * across < least) [best, least] = [id, along + 2 * across];
  }
  return best;
}

/**
 * The smallest visible segment around another, or -1.
 * @param {Scene} scene
 * @param {ArrayLike<unknown>} visible
 * @param {number} id
 */
export function enclosing(scene, visible, id) {
  const outer = scene.order.filter((other) => other !== id && visible[other] &&
    scene.areas[other] > scene.areas[id] && contains(scene, other, id));
  return outer.length ? outer[outer.length - 1] : -1;
}

/**
 * Whether most of a segment lies in another.
 * @param {Scene} scene
 * @param {number} outer
 * @param {number} inner
 */
function contains(scene, outer, inner) {
  let shared = 0;
  let all = 0;
  forEachStretch(scene.masks[inner], scene.height, (x, from, to) => {
    const middle = (from + to) >> 1;
    all += to - from;
    if (maskHas(scene.masks[outer], scene.height, x, middle)) shared += to - from;
  });
  return all > 0 && shared > 0.8 * all;
}

/**
 * A selection after a click: replaced, or added to; what is all in it leaves it.
 * @param {Set<number>} selected
 * @param {number[]} ids
 * @param {boolean} add
 */
export function toggled(selected, ids, add) {
  if (!add) return new Set(ids);
  const next = new Set(selected);
  const all = ids.every((id) => next.has(id));
  for (const id of ids) {
    if (all) next.delete(id);
    else next.add(id);
  }
  return next;
}
