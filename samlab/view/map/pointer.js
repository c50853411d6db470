// The map by mouse and touch: hover, click, lasso, box, moving and the wheel.

import { targetOf } from "../widget/dom.js";
import { pointerAt, wheelFactor } from "../widget/layer.js";
import { nearestPoint, pointsInside } from "./geometry.js";

/** @import { MapControl, MapHooks, MapMode } from "./types.d.ts" */

/**
 * @typedef {object} MapDrag
 * @property {number} x Where it began, in pixels of the stage.
 * @property {number} y
 * @property {number} mapX
 * @property {number} mapY
 * @property {MapMode} mode
 * @property {boolean} moved
 * @property {boolean} add
 */

/**
 * @param {MapControl} control
 * @param {MapHooks} hooks
 */
export function listenToMapPointer(control, hooks) {
  const { stage, state, tip, redraw } = control;
  /** @type {MapDrag | null} */
  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || targetOf(event).closest("button")) return;
    const [x, y] = pointerAt(stage, event);
    drag = { x, y, mode: event.altKey ? "hand" : state.mode, moved: false, mapX: state.x,
      mapY: state.y, add: event.shiftKey || event.ctrlKey };
    state.path = drag.mode === "hand" ? [] : [[x, y]];
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const [x, y] = pointerAt(stage, event);
    if (drag) dragMap(control, drag, x, y);
    else hoverPoint(control, hooks, x, y);
  });
  stage.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { moved, mode, add } = drag;
    const { path } = state;
    drag = null;
    state.path = [];
    redraw();
    if (!moved) {
      const id = nearestPoint(state, control.size(), ...pointerAt(stage, event));
      hooks.select?.(id < 0 ? [] : [id], add);
    } else if (mode !== "hand") hooks.select?.(pointsInside(state, control.size(), path), add);
  });
  stage.addEventListener("pointerleave", () => {
    tip.hide();
    state.hovered = -1;
    hooks.hover?.(-1);
    redraw();
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    control.zoom(wheelFactor(event), ...pointerAt(stage, event));
  }, { passive: false });
}

/**
 * @param {MapControl} control
 * @param {MapDrag} drag
 * @param {number} x
 * @param {number} y
 */
function dragMap({ state, tip, redraw }, drag, x, y) {
  if (Math.hypot(x - drag.x, y - drag.y) > 4) drag.moved = true;
  if (!drag.moved) return;
  tip.hide();
  if (drag.mode === "hand") {
    state.x = drag.mapX + x - drag.x;
    state.y = drag.mapY + y - drag.y;
  } else if (drag.mode === "box") {
    state.path = [[drag.x, drag.y], [x, drag.y], [x, y], [drag.x, y]];
  } else state.path.push([x, y]);
  redraw();
}

/**
 * @param {MapControl} control
 * @param {MapHooks} hooks
 * @param {number} x
 * @param {number} y
 */
function hoverPoint({ state, tip, redraw, size }, hooks, x, y) {
  const id = nearestPoint(state, size(), x, y);
  if (id !== state.hovered) {
    state.hovered = id;
    redraw();
  }
  hooks.hover?.(id);
  if (id < 0) tip.hide();
  else tip.show(x, y, hooks.tip(id), hooks.colour(id), hooks.picture?.(id));
}
