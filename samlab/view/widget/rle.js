// Masks in the browser: COCO's compressed run lengths, column-major, as pycocotools writes them
// (https://github.com/cocodataset/cocoapi, maskApi.c). They arrive once; hit tests, index maps and
// outlines are all computed from the runs, so no raster of the masks ever travels.

/** @import { Box, Mask } from "./types.d.ts" */

/**
 * Run lengths of one mask, beginning with background.
 * @param {string} text
 * @returns {number[]}
 */
export function decodeCounts(text) {
  const counts = [];
  let p = 0;
  while (p < text.length) {
    let value = 0;
    let shift = 0;
    let code;
    do {
      code = text.charCodeAt(p++) - 48;
      value |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16 && shift < 32) value |= -1 << shift;
    // From the third value on, each is the difference to the value two places before.
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

/**
 * The foreground runs of one mask.
 * @param {string} text
 * @returns {Mask}
 */
export function decodeMask(text) {
  const counts = decodeCounts(text);
  const runs = counts.length >> 1;
  const starts = new Int32Array(runs);
  const ends = new Int32Array(runs);
  let at = 0;
  for (let i = 0; i < runs; i++) {
    at += counts[2 * i];
    starts[i] = at;
    at += counts[2 * i + 1];
    ends[i] = at;
  }
  return { starts, ends };
}

/**
 * Index of the last run that starts at or before `position`, or -1.
 * @param {Mask} mask
 * @param {number} position
 */
function lastRun(mask, position) {
  let low = 0;
  let high = mask.starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (mask.starts[middle] <= position) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Whether a pixel is in the mask.
 * @param {Mask} mask
 * @param {number} height Of the picture.
 * @param {number} x
 * @param {number} y
 */
export function maskHas(mask, height, x, y) {
  const position = x * height + y;
  const run = lastRun(mask, position);
  return run >= 0 && position < mask.ends[run];
}

/**
 * Calls visit(x, y0, y1) for each vertical stretch of the mask; runs are cut at column ends.
 * @param {Mask} mask
 * @param {number} height Of the picture.
 * @param {(x: number, y0: number, y1: number) => void} visit
 */
export function forEachStretch(mask, height, visit) {
  for (let i = 0; i < mask.starts.length; i++) {
    let position = mask.starts[i];
    const end = mask.ends[i];
    while (position < end) {
      const x = Math.floor(position / height);
      const stop = Math.min(end, (x + 1) * height);
      visit(x, position - x * height, stop - x * height);
      position = stop;
    }
  }
}

/**
 * The smallest box around a mask; zeros for an empty mask.
 * @param {Mask} mask
 * @param {number} height Of the picture.
 * @returns {Box}
 */
export function maskBox(mask, height) {
  let x0 = Infinity;
  let y0 = Infinity;
  let x1 = 0;
  let y1 = 0;
  forEachStretch(mask, height, (x, from, to) => {
    x0 = Math.min(x0, x);
    x1 = Math.max(x1, x + 1);
    y0 = Math.min(y0, from);
    y1 = Math.max(y1, to);
  });
  return x1 === 0 ? [0, 0, 0, 0] : [x0, y0, x1, y1];
}

/**
 * The pixel outline of a mask as straight lines [x0, y0, x1, y1, ...] in picture coordinates.
 * @param {Mask} mask
 * @param {number} height Of the picture.
 * @returns {number[]}
 */
export function outlineEdges(mask, height) {
  /** @type {Map<number, number[]>} */
  const columns = new Map();
  forEachStretch(mask, height, (x, from, to) => {
    const rows = columns.get(x);
    if (rows) rows.push(from, to);
    else columns.set(x, [from, to]);
  });
  /** @type {number[]} */
  const edges = [];
  /** @type {Map<number, number>} */
  const open = new Map(); // y of a horizontal line -> the x where it began
  let previousX = -2;
  /** @type {number[]} */
  let previous = [];
  for (const [x, rows] of columns) {
    if (x !== previousX + 1) {
      pushVertical(edges, previous, [], previousX + 1);
      closeLines(edges, open, new Set(), previousX + 1);
      previous = [];
    }
    pushVertical(edges, previous, rows, x);
    const here = new Set(rows);
    closeLines(edges, open, here, x);
    for (const y of here) if (!open.has(y)) open.set(y, x);
    previous = rows;
    previousX = x;
  }
  pushVertical(edges, previous, [], previousX + 1);
  closeLines(edges, open, new Set(), previousX + 1);
  return edges;
}

/**
 * The vertical lines between two columns, each given by where inside and outside change: their
 * sorted union, taken in pairs, is where exactly one of the two is inside.
 * @param {number[]} edges
 * @param {number[]} left
 * @param {number[]} right
 * @param {number} x
 */
function pushVertical(edges, left, right, x) {
  const all = left.concat(right).sort((p, q) => p - q);
  for (let i = 0; i + 1 < all.length; i += 2) {
    if (all[i] < all[i + 1]) edges.push(x, all[i], x, all[i + 1]);
  }
}

/**
 * End the horizontal lines that do not go on.
 * @param {number[]} edges
 * @param {Map<number, number>} open
 * @param {Set<number>} keep Those that do.
 * @param {number} x
 */
function closeLines(edges, open, keep, x) {
  for (const [y, from] of open) {
    if (!keep.has(y)) {
      edges.push(from, y, x, y);
      open.delete(y);
    }
  }
}
