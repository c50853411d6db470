// The canvas without a mouse: arrows walk from segment to segment, or move a crosshair.

import { targetOf } from "../widget/dom.js";
import { centreOf, enclosing, neighbour } from "../widget/scene.js";
import { toStage } from "./camera.js";

/** @import { CanvasControl, CanvasHooks } from "./types.d.ts" */

const CURSOR_STEP = 12; // pixels of the stage

/**
 * @param {CanvasControl} control
 * @param {CanvasHooks} hooks
 */
export function listenToKeys(control, hooks) {
  const { stage, state } = control;
  /** @param {number} dx @param {number} dy */
  const arrow = (dx, dy) => () =>
    (hooks.marks?.() ? moveCursor(control, dx, dy) : walk(control, hooks, dx, dy));
  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const actions = {
    ArrowLeft: arrow(-1, 0), ArrowRight: arrow(1, 0), ArrowUp: arrow(0, -1), ArrowDown: arrow(0, 1),
    " ": (event) => {
      if (hooks.marks?.() && state.cursor) hooks.click?.(...state.cursor, event);
    },
    "+": () => control.zoom(1.4), "=": () => control.zoom(1.4), "-": () => control.zoom(1 / 1.4),
    0: control.fit,
    Escape: () => hooks.select?.([], false),
    Enter: (event) => {
      if (state.hovered >= 0) hooks.select?.([state.hovered], event.shiftKey);
    },
    o: () => {
      const id = [...state.selected][0] ?? state.hovered;
      const outer = id < 0 ? -1 : enclosing(state.scene, state.visible, id);
      if (outer >= 0) hooks.select?.([outer], false);
    },
  };
  stage.addEventListener("keydown", (event) => {
    const action = actions[event.key];
    if (!action || event.altKey || (event.ctrlKey && event.key !== "Enter")) return;
    if (targetOf(event) !== stage) return; // a button on the picture has its own Space and Enter
    event.preventDefault();
    event.stopPropagation();
    action(event);
  });
}

/**
 * @param {CanvasControl} control
 * @param {number} dx
 * @param {number} dy
 */
function moveCursor({ state, camera, redraw }, dx, dy) {
  const { width, height } = state.scene;
  const step = CURSOR_STEP / camera.scale;
  const [x, y] = state.cursor ?? [width / 2, height / 2];
  state.cursor = [Math.min(width - 1, Math.max(0, x + dx * step)),
    Math.min(height - 1, Math.max(0, y + dy * step))];
  redraw();
}

/**
 * @param {CanvasControl} control
 * @param {CanvasHooks} hooks
 * @param {number} dx
 * @param {number} dy
 */
function walk({ state, camera, tip, setHover }, hooks, dx, dy) {
  const from = state.hovered >= 0 ? state.hovered : [...state.selected][0] ?? -1;
  const next = neighbour(state.scene, state.visible, from, dx, dy);
  if (next < 0) return;
  setHover(next);
  hooks.hover?.(next);
  const lines = hooks.tip?.(next, [next]);
  if (lines) tip.show(...toStage(camera, ...centreOf(state.scene, next)), lines, hooks.colour(next));
}
