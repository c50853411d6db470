// The map of the latent space: one point per segment, lasso, box, zoom, pan, hover.

import { iconButton, make } from "../widget/dom.js";
import { liveCanvas, tooltip } from "../widget/layer.js";
import { extentOf, radiiOf, zoomMap } from "./geometry.js";
import { createMapPainter } from "./painting.js";
import { listenToMapPointer } from "./pointer.js";

/** @import { RGB } from "../widget/types.d.ts" */
/** @import { MapControl, MapHooks, MapMode, MapState } from "./types.d.ts" */

const GLIDE = 700; // milliseconds

/** @type {Record<MapMode, string>} */
const MODES = { lasso: "Select with a lasso (Shift adds)", box: "Select with a box (Shift adds)",
  hand: "Move the map" };

/**
 * @param {HTMLElement} host
 * @param {Float32Array} points [x, y, x, y, ...]
 * @param {ArrayLike<number>} areas Pixels per segment, shown as size.
 * @param {MapHooks} hooks
 */
export function createMap(host, points, areas, hooks) {
  const stage = make("div", { class: "sl-stage sl-map", tabindex: "0", role: "application",
    "aria-label": "Map of the latent space, one point per segment. Drag a lasso to select." });
  host.append(stage);
  /** @type {MapState} */
  const state = { points, extent: extentOf(points), radius: radiiOf(areas), zoom: 1, x: 0, y: 0,
    mode: "lasso", colours: [], noise: [], faint: [], selected: new Set(), hovered: -1, path: [] };
  const view = liveCanvas(stage, "sl-points", createMapPainter(stage, state, hooks));
  /** @type {MapControl} */
  const control = {
    stage, state, tip: tooltip(stage), redraw: view.schedule, size: view.size,
    zoom(factor, x = view.size()[0] / 2, y = view.size()[1] / 2) {
      zoomMap(state, factor, x, y);
      view.schedule();
    },
    fit() {
      Object.assign(state, { zoom: 1, x: 0, y: 0 });
      view.schedule();
    },
  };
  listenToMapPointer(control, hooks);
  listenToMapKeys(control, hooks);
  stage.append(mapButtons(control));
  return {
    redraw: view.schedule,
    destroy: view.stop,
    /** @param {Float32Array} next */
    setPoints(next) {
      glide(state, next, view.schedule);
    },
    /** @param {RGB[]} colours @param {boolean[]} noise @param {boolean[]} faint */
    setColours(colours, noise, faint) {
      Object.assign(state, { colours, noise, faint });
      view.schedule();
    },
    /** @param {Set<number>} selected */
    setSelected(selected) {
      state.selected = selected;
      view.schedule();
    },
    /** @param {number} id */
    setHover(id) {
      if (id === state.hovered) return;
      state.hovered = id;
      view.schedule();
    },
  };
}

/**
 * @param {MapControl} control
 * @param {MapHooks} hooks
 */
function listenToMapKeys({ stage, zoom, fit }, hooks) {
  /** @type {Record<string, () => void>} */
  const actions = { "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: fit,
    Escape: () => hooks.select?.([], false) };
  stage.addEventListener("keydown", (event) => {
    if (!actions[event.key] || event.ctrlKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    actions[event.key]();
  });
}

/** @param {MapControl} control */
function mapButtons({ stage, state, zoom, fit }) {
  const modes = /** @type {[MapMode, string][]} */ (Object.entries(MODES));
  const buttons = modes.map(([mode, label]) => iconButton(mode, label, () => setMode(mode)));
  /** @param {MapMode} mode */
  function setMode(mode) {
    state.mode = mode;
    stage.dataset.mode = mode;
    buttons.forEach((one, i) => one.setAttribute("aria-pressed", String(modes[i][0] === mode)));
  }
  setMode("lasso");
  return make("div", { class: "sl-zoom" }, ...buttons,
    iconButton("plus", "Zoom in (+, or Ctrl and wheel)", () => zoom(1.5)),
    iconButton("minus", "Zoom out (-)", () => zoom(1 / 1.5)),
    iconButton("fit", "Show all points (0)", fit));
}

/**
 * Let the points move to other places, so that an eye can follow them; zoom and place stay.
 * @param {MapState} state
 * @param {Float32Array} next
 * @param {() => void} redraw
 */
function glide(state, next, redraw) {
  const [from, start, end] = [state.points, state.extent, extentOf(next)];
  if (from.length !== next.length) {
    Object.assign(state, { points: next, extent: end });
    redraw();
    return;
  }
  // A point keeps its place on the stage while the extent becomes the new one.
  const begin = from.map((value, i) => {
    const [low, high] = [start[i % 2], start[(i % 2) + 2]];
    const [newLow, newHigh] = [end[i % 2], end[(i % 2) + 2]];
    return newLow + ((value - low) / (high - low)) * (newHigh - newLow);
  });
  state.extent = end;
  const first = performance.now();
  const goal = next;
  state.goal = goal;
  const move = () => {
    if (state.goal !== goal) return; // others have come since
    const share = Math.min(1, (performance.now() - first) / GLIDE);
    // Nothing moves under a lasso.
    const eased = share < 1 && state.path.length > 1 ? null : share * share * (3 - 2 * share);
    if (eased !== null) state.points = begin.map((value, i) => value + eased * (next[i] - value));
    redraw();
    if (share < 1 || state.path.length > 1) requestAnimationFrame(move);
    else state.points = next;
  };
  move();
}
