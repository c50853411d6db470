// What the map paints: discs, names, the hovered point and the lasso.

import { rgba } from "../canvas/raster.js";
import { rgbOf, themeOf } from "../widget/theme.js";
import { pointOnStage } from "./geometry.js";

/** @import { Draw, RGB, Size } from "../widget/types.d.ts" */
/** @import { MapHooks, MapState } from "./types.d.ts" */

/**
 * A disc with a soft edge into an opaque picture. A thousand of them take a few milliseconds, also
 * where the browser draws without a graphics card and its own arcs would take a frame or two.
 * @param {ImageData} image
 * @param {number} cx
 * @param {number} cy
 * @param {number} radius
 * @param {RGB} colour
 * @param {number} strength
 */
export function paintDisc(image, cx, cy, radius, [r, g, b], strength) {
  const { data, width, height } = image;
  const x0 = Math.max(0, Math.floor(cx - radius - 0.5));
  const x1 = Math.min(width - 1, Math.ceil(cx + radius + 0.5));
  const y1 = Math.min(height - 1, Math.ceil(cy + radius + 0.5));
  for (let y = Math.max(0, Math.floor(cy - radius - 0.5)); y <= y1; y++) {
    const dy = y + 0.5 - cy;
    for (let x = x0; x <= x1; x++) {
      const dx = x + 0.5 - cx;
      const inside = radius + 0.5 - Math.sqrt(dx * dx + dy * dy);
      if (inside <= 0) continue;
      const alpha = strength * (inside < 1 ? inside : 1);
      const at = 4 * (y * width + x);
      data[at] += alpha * (r - data[at]);
      data[at + 1] += alpha * (g - data[at + 1]);
      data[at + 2] += alpha * (b - data[at + 2]);
    }
  }
}

/**
 * @param {HTMLElement} stage
 * @param {MapState} state
 * @param {MapHooks} hooks
 * @returns {Draw}
 */
export function createMapPainter(stage, state, hooks) {
  /** @type {ImageData | null} */
  let image = null;
  return (context, width, height) => {
    const { ink, paper } = themeOf(stage);
    const { width: w, height: h } = context.canvas;
    if (image?.width !== w || image?.height !== h) image = context.createImageData(w, h);
    paintPoints(image, state, [width, height], w / width, rgbOf(ink), rgbOf(paper));
    context.putImageData(image, 0, 0);
    drawHovered(context, state, [width, height], ink);
    drawNames(context, state, [width, height], hooks.names(), ink, paper);
    if (state.path.length > 1) drawPath(context, state.path, ink);
  };
}

/**
 * @param {ImageData} image
 * @param {MapState} state
 * @param {Size} size Of the stage, in CSS pixels.
 * @param {number} ratio Device pixels per CSS pixel.
 * @param {RGB} line
 * @param {RGB} ground
 */
function paintPoints(image, state, size, ratio, line, ground) {
  const { selected, noise, faint, colours, radius } = state;
  const order = Array.from(radius.keys());
  // What is selected or coloured is drawn last, so that noise never hides a class.
  order.sort((a, b) => Number(selected.has(a)) - Number(selected.has(b)) ||
    Number(noise[b] ?? 0) - Number(noise[a] ?? 0));
  new Uint32Array(image.data.buffer).fill(rgba(...ground, 255));
  for (const i of order) {
    const [x, y] = pointOnStage(state, size, i);
    if (x < -20 || y < -20 || x > size[0] + 20 || y > size[1] + 20) continue;
    const on = selected.has(i);
    const r = radius[i] * (noise[i] ? 0.75 : 1) + (on ? 1 : 0);
    const dim = selected.size > 0 && !on;
    const strength = faint[i] ? 0.1 : dim ? 0.22 : noise[i] ? 0.6 : 0.9;
    const rim = on ? 0.9 : 0.4;
    paintDisc(image, x * ratio, y * ratio, (r + rim) * ratio, on ? line : ground, strength);
    paintDisc(image, x * ratio, y * ratio, (r - rim) * ratio, colours[i] ?? line, strength);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {MapState} state
 * @param {Size} size
 * @param {string} ink
 */
function drawHovered(context, state, size, ink) {
  if (state.hovered < 0 || state.hovered >= state.radius.length) return;
  const [x, y] = pointOnStage(state, size, state.hovered);
  context.beginPath();
  context.arc(x, y, state.radius[state.hovered] + 4, 0, 7);
  context.lineWidth = 2;
  context.strokeStyle = ink;
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {MapState} state
 * @param {Size} size
 * @param {[string, number[]][]} names
 * @param {string} ink
 * @param {string} paper
 */
function drawNames(context, state, size, names, ink, paper) {
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.lineJoin = "round";
  for (const [text, ids] of names) {
    const shown = ids.map((id) => pointOnStage(state, size, id));
    const x = shown.reduce((sum, point) => sum + point[0], 0) / shown.length;
    const y = Math.max(14, Math.min(...shown.map((point) => point[1])) - 10);
    context.lineWidth = 4;
    context.strokeStyle = paper;
    context.strokeText(text, x, y);
    context.fillStyle = ink;
    context.fillText(text, x, y);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {[number, number][]} path
 * @param {string} ink
 */
function drawPath(context, path, ink) {
  context.beginPath();
  path.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.globalAlpha = 0.12;
  context.fillStyle = ink;
  context.fill();
  context.globalAlpha = 1;
  context.setLineDash([4, 3]);
  context.lineWidth = 1.3;
  context.strokeStyle = ink;
  context.stroke();
  context.setLineDash([]);
}
