// The canvas by mouse and touch: hover, click, drag, box, wheel.

import { adds, targetOf } from "../widget/dom.js";
import { pointerAt, wheelFactor } from "../widget/layer.js";
import { nextLevel, segmentsAt, segmentsIn } from "../widget/scene.js";
import { moveCamera, toPicture } from "./camera.js";

/** @import { Box } from "../widget/types.d.ts" */
/** @import { CanvasControl, CanvasHooks } from "./types.d.ts" */

const CLICK_REACH = 4; // pixels that a hand may move in a click

/**
 * @typedef {object} Drag
 * @property {number} x Where it began, in pixels of the stage.
 * @property {number} y
 * @property {number} cameraX
 * @property {number} cameraY
 * @property {boolean} moved
 * @property {boolean} box Draws a box instead of moving the picture.
 */

/**
 * @param {CanvasControl} control
 * @param {CanvasHooks} hooks
 */
export function listenToPointer(control, hooks) {
  const { stage, state, camera, tip } = control;
  /** @type {Drag | null} */
  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 1 || targetOf(event).closest("button")) return;
    const [x, y] = pointerAt(stage, event);
    state.cursor = null;
    drag = { x, y, cameraX: camera.x, cameraY: camera.y, moved: false,
      box: event.shiftKey || Boolean(hooks.dragBox?.()) };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const [x, y] = pointerAt(stage, event);
    if (drag) moveDrag(control, drag, x, y);
    else hoverAt(control, hooks, x, y);
  });
  stage.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { moved } = drag;
    const box = drag.box ? state.box : null;
    drag = null;
    state.box = null;
    control.redraw();
    if (moved && box) endBox(control, hooks, box);
    else if (!moved) clickAt(control, hooks, event);
  });
  stage.addEventListener("pointerleave", () => {
    control.setHover(-1);
    hooks.hover?.(-1);
    tip.hide();
  });
  stage.addEventListener("wheel", (event) => {
    // A plain wheel scrolls the notebook; with Ctrl (a pinch on a trackpad sends it too) it zooms.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    control.zoom(wheelFactor(event), ...pointerAt(stage, event));
  }, { passive: false });
}

/**
 * @param {CanvasControl} control
 * @param {Drag} drag
 * @param {number} x
 * @param {number} y
 */
function moveDrag({ state, camera, tip, moved, redraw, size }, drag, x, y) {
  if (Math.hypot(x - drag.x, y - drag.y) > CLICK_REACH) drag.moved = true;
  if (!drag.moved) return;
  tip.hide();
  if (drag.box) {
    state.box = [Math.min(x, drag.x), Math.min(y, drag.y), Math.max(x, drag.x),
      Math.max(y, drag.y)];
    redraw();
    return;
  }
  moveCamera(camera, state.scene, size(), drag.cameraX + x - drag.x, drag.cameraY + y - drag.y);
  moved();
}

/**
 * @param {CanvasControl} control
 * @param {CanvasHooks} hooks
 * @param {number} x
 * @param {number} y
 */
function hoverAt(control, hooks, x, y) {
  const stack = stackAt(control, x, y);
  const id = stack.length ? stack[0] : -1;
  control.setHover(id);
  hooks.hover?.(id);
  const lines = id < 0 ? null : hooks.tip?.(id, stack);
  if (lines) control.tip.show(x, y, lines, hooks.colour(id));
  else control.tip.hide();
}

/**
 * @param {CanvasControl} control
 * @param {CanvasHooks} hooks
 * @param {Box} box In pixels of the stage.
 */
function endBox({ state, camera }, hooks, box) {
  /** @type {Box} */
  const inPicture = [...toPicture(camera, box[0], box[1]), ...toPicture(camera, box[2], box[3])];
  if (hooks.box?.(inPicture)) return;
  hooks.select?.(segmentsIn(state.scene, state.visible, inPicture), false);
}

/**
 * @param {CanvasControl} control
 * @param {CanvasHooks} hooks
 * @param {PointerEvent} event
 */
function clickAt(control, hooks, event) {
  const [x, y] = pointerAt(control.stage, event);
  if (hooks.click?.(...toPicture(control.camera, x, y), event)) return;
  const stack = stackAt(control, x, y);
  const add = adds(event);
  const id = add ? stack[0] ?? -1 : nextLevel(stack, control.state.selected);
  hooks.select?.(id < 0 ? [] : [id], add);
}

/**
 * @param {CanvasControl} control
 * @param {number} x
 * @param {number} y
 */
function stackAt({ state, camera }, x, y) {
  const [px, py] = toPicture(camera, x, y);
  return segmentsAt(state.scene, state.visible, Math.floor(px), Math.floor(py));
}
