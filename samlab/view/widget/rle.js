// Masks in the browser: COCO's compressed run lengths, column-major, as pycocotools writes them
// (https://github.com/cocodataset/cocoapi, maskApi.c). They arrive once; hit tests, index maps and
// outlines are all computed from the runs, so no raster of the masks ever travels.

// Text of one mask -> run lengths, beginning with background.
function decodeCounts(text) {
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

// Text of one mask -> { starts, ends }, the foreground runs as half-open ranges of x * height + y.
function decodeMask(text) {
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

// Index of the last run that starts at or before `position`, or -1.
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

function maskHas(mask, height, x, y) {
  const position = x * height + y;
  const run = lastRun(mask, position);
  return run >= 0 && position < mask.ends[run];
}

// Calls visit(x, y0, y1) for each vertical stretch of the mask; runs are cut at column ends.
function forEachStretch(mask, height, visit) {
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

// The smallest box around a mask: [x0, y0, x1, y1], half-open; zeros for an empty mask.
function maskBox(mask, height) {
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

// The pixel outline of a mask as straight lines [x0, y0, x1, y1, ...] in picture coordinates.
function outlineEdges(mask, height) {
  const columns = new Map();
  forEachStretch(mask, height, (x, from, to) => {
    if (!columns.has(x)) columns.set(x, []);
    columns.get(x).push(from, to);
  });
  const edges = [];
  const open = new Map(); // y of a horizontal line -> the x where it began
  let previousX = -2;
  let previous = [];
  const flush = (keep, x) => {
    for (const [y, from] of open) {
      if (!keep.has(y)) {
        edges.push(from, y, x, y);
        open.delete(y);
      }
    }
  };
  const vertical = (a, b, x) => {
    // Both lists hold where inside and outside change; the sorted union, taken in pairs, is
    // where exactly one of the two columns is inside.
    const all = a.concat(b).sort((p, q) => p - q);
    for (let i = 0; i + 1 < all.length; i += 2) {
      if (all[i] < all[i + 1]) edges.push(x, all[i], x, all[i + 1]);
    }
  };
  for (const [x, rows] of columns) {
    if (x !== previousX + 1) {
      vertical(previous, [], previousX + 1);
      flush(new Set(), previousX + 1);
      previous = [];
    }
    vertical(previous, rows, x);
    const here = new Set(rows);
    flush(here, x);
    for (const y of here) if (!open.has(y)) open.set(y, x);
    previous = rows;
    previousX = x;
  }
  vertical(previous, [], previousX + 1);
  flush(new Set(), previousX + 1);
  return edges;
}
