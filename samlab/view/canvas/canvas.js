// The picture with its segments: zoom, pan, hover, click, box selection, keyboard.

import { iconButton, make } from "../widget/dom.js";
import { liveCanvas, tooltip } from "../widget/layer.js";
import { fitCamera, zoomCamera } from "./camera.js";
import { listenToKeys } from "./keyboard.js";
import { createPainter } from "./painting.js";
import { drawPicture, loadPicture } from "./picture.js";
import { listenToPointer } from "./pointer.js";

/** @import { Scene } from "../widget/types.d.ts" */
/** @import { Camera, Canvas, CanvasControl, CanvasHooks, CanvasState } from "./types.d.ts" */

/**
 * @param {HTMLElement} host
 * @param {Scene} scene
 * @param {CanvasHooks} hooks
 * @returns {Canvas}
 */
export function createCanvas(host, scene, hooks) {
  const stage = createStage(host, Boolean(hooks.marks));
  const state = firstState(scene, !hooks.marks);
  /** @type {Camera} */
  const camera = { scale: 1, x: 0, y: 0, fitted: true };
  const painter = createPainter(state, camera);
  const base = liveCanvas(stage, "sl-picture", (context, width, height) =>
    drawPicture(context, [width, height], state, camera, picture));
  const view = liveCanvas(stage, "sl-overlay", (context, width, height) => {
    painter.drawOverlay(context, [width, height]);
    stage.dispatchEvent(new CustomEvent("samlab-painted", { bubbles: true }));
  });
  const tip = tooltip(stage);
  const picture = loadPicture(scene, base.schedule);
  /** @type {CanvasControl} */
  const control = {
    stage, state, camera, tip, redraw: view.schedule, size: view.size,
    moved() {
      painter.cameraMoved();
      base.schedule();
      view.schedule();
    },
    fit() {
      fitCamera(camera, state.scene, view.size());
      control.moved();
    },
    zoom(factor, x = view.size()[0] / 2, y = view.size()[1] / 2) {
      zoomCamera(camera, state.scene, view.size(), factor, x, y);
      control.moved();
    },
    setHover(id) {
      if (id === state.hovered) return;
      state.hovered = id;
      view.schedule();
    },
  };
  listenToPointer(control, hooks);
  listenToKeys(control, hooks);
  stage.append(make("div", { class: "sl-zoom" },
    iconButton("plus", "Zoom in (+, or Ctrl and wheel)", () => control.zoom(1.5)),
    iconButton("minus", "Zoom out (-)", () => control.zoom(1 / 1.5)),
    iconButton("fit", "Fit the picture (0)", control.fit)));
  return {
    stage, redraw: view.schedule, setHover: control.setHover, ...setters(control, painter, base.schedule),
    seen: painter.seen, outlineOf: painter.outlineOf, picture: picture.bitmap,
    greyPicture: picture.grey,
    whenReady: picture.whenReady,
    setStyle(style) {
      Object.assign(state, style);
      base.schedule();
      view.schedule();
    },
    destroy() {
      base.stop();
      view.stop();
      picture.bitmap()?.close();
    },
  };
}

/**
 * What changes the segments that are shown.
 * @param {CanvasControl} control
 * @param {ReturnType<typeof createPainter>} painter
 * @param {() => void} redrawPicture
 * @returns {Pick<Canvas, "setColours" | "setSelected" | "setVisible" | "setScene">}
 */
function setters({ state, redraw }, painter, redrawPicture) {
  return {
    setColours(colours, faint = []) {
      Object.assign(state, { colours, faint });
      redraw();
    },
    setSelected(selected, equal = false) {
      Object.assign(state, { selected, equal });
      redraw();
    },
    setVisible(visible) {
      if (visible.every((value, i) => value === state.visible[i])) return;
      state.visible = visible;
      painter.visibleChanged();
      if (!state.greyed) redrawPicture();
      redraw();
    },
    setScene(next) {
      Object.assign(state, { scene: next, visible: new Array(next.n).fill(true), colours: [],
        faint: [], selected: new Set(), hovered: -1 });
      painter.sceneChanged();
      if (!state.greyed) redrawPicture();
      redraw();
    },
  };
}

/**
 * @param {HTMLElement} host
 * @param {boolean} marks
 */
function createStage(host, marks) {
  const keys = marks ? "Arrow keys move a crosshair, Space marks there, Shift and Space marks what " +
    "does not belong to it, " : "Arrow keys walk, Enter selects, O goes one level out, ";
  const stage = make("div", { class: "sl-stage", tabindex: "0", role: "application",
    "aria-label": `Picture with segments. ${keys}plus and minus zoom, 0 fits.` });
  host.append(stage);
  return stage;
}

/**
 * @param {Scene} scene
 * @param {boolean} greyed
 * @returns {CanvasState}
 */
function firstState(scene, greyed) {
  return { scene, visible: new Array(scene.n).fill(true), colours: [], faint: [],
    selected: new Set(), hovered: -1, opacity: 0.55, outline: false, box: null, cursor: null,
    extra: null, under: null, bare: false, equal: false, greyed };
}
