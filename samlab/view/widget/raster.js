// The index map: for each pixel of the raster, which segment is on top; and its view on the screen.

// Paint all visible masks, the largest first, so that the smallest ends on top.
//
// scene: { width, height, raster: [w, h], masks, order }, where `order` lists segments from large
// to small. visible: one truthy value per segment. Returns { index, seen }: index holds
// segment + 1 per pixel, 0 where there is none; seen counts the pixels of each segment that are
// not covered by another.
function paintIndex(scene, visible) {
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

// What the screen shows of an index map: one code per screen pixel, 2 * (segment + 1), plus 1 on
// the edge of a segment. Repainting costs what the screen has, not what the picture has.
//
// size: [w, h] of the raster; screen: [W, H]; zoom and (x, y): a raster pixel's size on the screen
// and where the raster's corner lies. both: mark both sides of an edge (screens of high density).
function viewIndex(index, size, screen, zoom, x, y, both) {
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
  return codes;
}

// Pack a colour the way ImageData lays it out on a little-endian machine.
function rgba(r, g, b, a) {
  return ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

// "#rrggbb" -> [r, g, b].
function parseHex(hex) {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

// One entry per code. colours: [r, g, b] per segment; strength: 0..1 per segment.
function fillPalette(palette, colours, strength, opacity, outline) {
  palette[0] = 0;
  palette[1] = 0;
  for (let i = 0; i < colours.length; i++) {
    const [r, g, b] = colours[i];
    const fill = outline ? 0 : Math.round(255 * opacity * strength[i]);
    const edge = Math.round(255 * Math.min(1, outline ? 1 : opacity + 0.35) * strength[i]);
    palette[2 * i + 2] = rgba(r, g, b, fill);
    palette[2 * i + 3] = rgba(r, g, b, edge);
  }
}

// Repaint: pixels (Uint32Array over an ImageData) from codes through the palette.
function repaint(pixels, codes, palette) {
  for (let i = 0; i < codes.length; i++) pixels[i] = palette[codes[i]];
}

// Segments under a pixel of the picture, from the inside out (small to large).
function segmentsAt(scene, visible, x, y) {
  if (x < 0 || y < 0 || x >= scene.width || y >= scene.height) return [];
  const found = [];
  for (let k = scene.order.length - 1; k >= 0; k--) {
    const id = scene.order[k];
    const [x0, y0, x1, y1] = scene.boxes[id];
    if (!visible[id] || x < x0 || x >= x1 || y < y0 || y >= y1) continue;
    if (maskHas(scene.masks[id], scene.height, x, y)) found.push(id);
  }
  return found;
}

// Which of the segments under a click to take: the innermost, or one level out of the one that is
// selected already; after the outermost the innermost again.
function nextLevel(stack, selected) {
  if (stack.length === 0) return -1;
  if (selected.size !== 1) return stack[0];
  const at = stack.indexOf([...selected][0]);
  return stack[(at + 1) % stack.length];
}

// What the kernel sent -> what the functions above take. Decodes all masks once.
function openScene(raw) {
  const masks = raw.counts.map(decodeMask);
  const order = masks.map((_, i) => i).sort((a, b) => raw.areas[b] - raw.areas[a] || a - b);
  const boxes = masks.map((mask) => maskBox(mask, raw.height));
  return { ...raw, masks, order, boxes, n: masks.length };
}
