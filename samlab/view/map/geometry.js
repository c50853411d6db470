// The map's geometry as plain numbers: points onto the stage, and what a lasso holds.

/** @import { Size } from "../widget/types.d.ts" */
/** @import { MapState } from "./types.d.ts" */

const MARGIN = 26;
const MARGIN_TOP = 48; // the buttons lie at the top

/**
 * Is (x, y) inside the polygon? Even-odd rule.
 * @param {[number, number][]} polygon
 * @param {number} x
 * @param {number} y
 */
export function insidePolygon(polygon, x, y) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/**
 * Smallest and largest coordinates; a single point gets a margin around it.
 * @param {ArrayLike<number>} xy [x, y, x, y, ...]
 * @returns {[number, number, number, number]}
 */
export function extentOf(xy) {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < xy.length; i += 2) {
    x0 = Math.min(x0, xy[i]);
    x1 = Math.max(x1, xy[i]);
    y0 = Math.min(y0, xy[i + 1]);
    y1 = Math.max(y1, xy[i + 1]);
  }
  if (xy.length === 0) return [0, 0, 1, 1];
  if (x1 - x0 < 1e-9) [x0, x1] = [x0 - 0.5, x1 + 0.5];
  if (y1 - y0 < 1e-9) [y0, y1] = [y0 - 0.5, y1 + 0.5];
  return [x0, y0, x1, y1];
}

/**
 * Radius of each point: larger segments have larger ones, and many points smaller ones.
 * @param {ArrayLike<number>} areas
 */
export function radiiOf(areas) {
  const largest = Math.max(1, ...Array.from(areas));
  const smaller = areas.length > 1500 ? 0.55 : areas.length > 500 ? 0.75 : 1;
  return Array.from(areas, (area) => (3 + 5 * Math.sqrt(Math.sqrt(area / largest))) * smaller);
}

/**
 * Where point i lies on the stage.
 * @param {MapState} state
 * @param {Size} size Of the stage.
 * @param {number} i
 * @returns {[number, number]}
 */
export function pointOnStage({ points, extent, zoom, x, y }, [width, height], i) {
  const [x0, y0, x1, y1] = extent;
  const px = MARGIN + ((points[2 * i] - x0) / (x1 - x0)) * (width - 2 * MARGIN);
  const py = height - MARGIN -
    ((points[2 * i + 1] - y0) / (y1 - y0)) * (height - MARGIN - MARGIN_TOP);
  return [px * zoom + x, py * zoom + y];
}

/**
 * The point under a pixel of the stage, with a few pixels around it; -1 for none.
 * @param {MapState} state
 * @param {Size} size
 * @param {number} x
 * @param {number} y
 */
export function nearestPoint(state, size, x, y) {
  let best = -1;
  let least = Infinity;
  for (let i = 0; i < state.radius.length; i++) {
    if (state.faint[i]) continue;
    const [px, py] = pointOnStage(state, size, i);
    const distance = Math.hypot(px - x, py - y) - state.radius[i];
    if (distance < 5 && distance < least) [best, least] = [i, distance];
  }
  return best;
}

/**
 * The points inside a polygon on the stage.
 * @param {MapState} state
 * @param {Size} size
 * @param {[number, number][]} polygon
 */
export function pointsInside(state, size, polygon) {
  const ids = [];
  for (let i = 0; i < state.radius.length; i++) {
    if (!state.faint[i] && insidePolygon(polygon, ...pointOnStage(state, size, i))) ids.push(i);
  }
  return ids;
}

/**
 * Zoom so that what is at (x, y) of the stage stays there.
 * @param {MapState} state Changed in place.
 * @param {number} factor
 * @param {number} x
 * @param {number} y
 */
export function zoomMap(state, factor, x, y) {
  const zoom = Math.min(30, Math.max(0.5, state.zoom * factor));
  state.x = x - ((x - state.x) * zoom) / state.zoom;
  state.y = y - ((y - state.y) * zoom) / state.zoom;
  state.zoom = zoom;
}
