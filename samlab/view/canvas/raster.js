// The index map: for each pixel of the raster, which segment is on top; and its view on the screen.

import { forEachStretch } from "../widget/rle.js";

/** @import { RGB, Scene, Size } from "../widget/types.d.ts" */
/** @typedef {Uint16Array | Uint32Array} Codes */

/**
 * Paint all visible masks, the largest first, so that the smallest ends on top.
 * @param {Pick<Scene, "width" | "height" | "raster" | "masks" | "order">} scene
 * @param {ArrayLike<unknown>} visible One truthy value per segment.
 * @returns {{ index: Codes, seen: Float64Array }} index holds segment + 1 per pixel, 0 where there
 *   is none; seen counts the pixels of each segment that are not covered by another.
 */
export function paintIndex(scene, visible) {
  const { width, height, masks, order } = scene;
  const [w, h] = scene.raster;
  const n = masks.length;
  const index = n < 32000 ? new Uint16Array(w * h) : new Uint32Array(w * h);
  const column = new Int32Array(width).fill(-1);
  for (let x = 0; x < w; x++) column[Math.min(width - 1, Math.floor(((x + 0.5) * width) / w))] = x;
  const scale = h / height;
  for (const id of order) {
    if (!visible[id]) continue;
    forEachStretch(masks[id], height, (x, from, to) => {
      if (column[x] < 0) return;
      // Rows whose centre falls into [from, to).
      const first = Math.max(0, Math.ceil(from * scale - 0.5));
      const last = Math.min(h, Math.ceil(to * scale - 0.5));
      for (let at = first * w + column[x], y = first; y < last; y++, at += w) index[at] = id + 1;
    });
  }
  const seen = new Float64Array(n);
  for (let i = 0; i < index.length; i++) if (index[i]) seen[index[i] - 1]++;
  return { index, seen };
}

/**
 * What the screen shows of an index map: one code per screen pixel, 2 * (segment + 1), plus 1 on
 * the edge of a segment. Repainting costs what the screen has, not what the picture has.
 * @param {Codes} index
 * @param {Size} size Of the raster.
 * @param {Size} screen
 * @param {number} zoom A raster pixel's size on the screen.
 * @param {number} x Where the raster's corner lies on the screen.
 * @param {number} y
 * @param {boolean} both Mark both sides of an edge (screens of high density).
 * @returns {Codes}
 */
export function viewIndex(index, size, screen, zoom, x, y, both) {
  const [w, h] = size;
  const [W, H] = screen;
  const codes = index instanceof Uint16Array ? new Uint16Array(W * H) : new Uint32Array(W * H);
  const from = new Int32Array(W);
  for (let i = 0; i < W; i++) {
    const at = Math.floor((i + 0.5 - x) / zoom);
    from[i] = at >= 0 && at < w ? at : -1;
  }
  for (let j = 0; j < H; j++) {
    const row = Math.floor((j + 0.5 - y) / zoom);
    if (row < 0 || row >= h) continue;
    for (let i = 0; i < W; i++) {
      if (from[i] >= 0) codes[j * W + i] = index[row * w + from[i]] << 1;
    }
  }
  markEdges(codes, screen, both);
  return codes;
}

/**
 * @param {Codes} codes
 * @param {Size} screen
 * @param {boolean} both
 */
function markEdges(codes, [W, H], both) {
  for (let j = 0; j < H; j++) {
    for (let i = 0, at = j * W; i < W; i++, at++) {
      const here = codes[at] >> 1;
      const right = i + 1 < W ? codes[at + 1] >> 1 : here;
      const below = j + 1 < H ? codes[at + W] >> 1 : here;
      if (right === here && below === here) continue;
      codes[at] |= 1;
      if (both && right !== here) codes[at + 1] |= 1;
      if (both && below !== here) codes[at + W] |= 1;
    }
  }
}

/**
 * Pack a colour the way ImageData lays it out on a little-endian machine.
 * @param {number} r
 * @param {number} g
 * @param {number} b
 * @param {number} a
 */
export function rgba(r, g, b, a) {
  return ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

const WHITE = rgba(255, 255, 255, 255);

/**
 * One entry per code.
 * @param {Uint32Array} table
 * @param {RGB[]} colours Per segment.
 * @param {number[]} strength 0..1 per segment.
 * @param {number} opacity
 * @param {boolean} outline
 * @param {Set<number>} [marked] Segments whose edges are white.
 */
export function fillTable(table, colours, strength, opacity, outline, marked) {
  table[0] = 0;
  table[1] = 0;
  for (let i = 0; i < colours.length; i++) {
    const [r, g, b] = colours[i];
    const fill = outline ? 0 : Math.round(255 * opacity * strength[i]);
    const edge = Math.round(255 * Math.min(1, outline ? 1 : opacity + 0.35) * strength[i]);
    table[2 * i + 2] = rgba(r, g, b, fill);
    table[2 * i + 3] = marked?.has(i) ? WHITE : rgba(r, g, b, edge);
  }
}

/**
 * Repaint an ImageData from codes through the table.
 * @param {Uint32Array} pixels
 * @param {Codes} codes
 * @param {Uint32Array} table
 */
export function repaint(pixels, codes, table) {
  for (let i = 0; i < codes.length; i++) pixels[i] = table[codes[i]];
}
