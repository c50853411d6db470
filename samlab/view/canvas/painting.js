// What the canvas paints over the picture: the segments' colours, outlines, crosshair and box.

import { fillTable, paintIndex, repaint, viewIndex } from "./raster.js";
import { fitCamera, toStage } from "./camera.js";
import { outlinePath } from "./paths.js";

/** @import { Size } from "../widget/types.d.ts" */
/** @import { Camera, CanvasState } from "./types.d.ts" */
/** @import { Codes } from "./raster.js" */

// Beyond so many, the raster's own edges show the selection: strokes would cost frames.
const MOST_STROKES = 60;
const MOST_PATHS = 400;

/**
 * Paints a state through a camera; keeps what need not be computed for every frame.
 * @param {CanvasState} state
 * @param {Camera} camera
 */
export function createPainter(state, camera) {
  let table = new Uint32Array(2 * (state.scene.n + 1));
  let raster = paintIndex(state.scene, state.visible);
  /** @type {Codes | null} */
  let codes = null; // what the screen shows of the raster; null once the camera has moved
  /** @type {ImageData | null} */
  let image = null;
  /** @type {Map<number, Path2D>} */
  const paths = new Map();

  /** @param {number} id */
  function outlineOf(id) {
    const known = paths.get(id);
    if (known) return known;
    const path = outlinePath(state.scene.masks[id], state.scene.height);
    if (paths.size > MOST_PATHS) paths.clear();
    paths.set(id, path);
    return path;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} ratio Device pixels per CSS pixel.
   */
  function paintSegments(context, ratio) {
    const { scene } = state;
    /** @type {Size} */
    const screen = [context.canvas.width, context.canvas.height];
    if (!codes || codes.length !== screen[0] * screen[1]) {
      const zoom = (camera.scale * ratio * scene.width) / scene.raster[0];
      codes = viewIndex(raster.index, scene.raster, screen, zoom, camera.x * ratio,
        camera.y * ratio, ratio >= 1.5);
    }
    if (image?.width !== screen[0] || image?.height !== screen[1]) {
      image = context.createImageData(...screen);
    }
    const many = state.selected.size > MOST_STROKES ? state.selected : undefined;
    fillTable(table, state.colours, strengths(state), state.opacity, state.outline, many);
    repaint(new Uint32Array(image.data.buffer), codes, table);
    context.putImageData(image, 0, 0);
  }

  return {
    outlineOf,
    seen: () => raster.seen,
    cameraMoved() {
      codes = null;
    },
    /** The masks that are seen have changed. */
    visibleChanged() {
      raster = paintIndex(state.scene, state.visible);
      codes = null;
    },
    sceneChanged() {
      table = new Uint32Array(2 * (state.scene.n + 1));
      paths.clear();
      this.visibleChanged();
    },
    /**
     * @param {CanvasRenderingContext2D} context
     * @param {Size} size
     */
    drawOverlay(context, size) {
      if (camera.fitted) fitCamera(camera, state.scene, size);
      paintSegments(context, context.canvas.width / size[0]);
      context.save();
      context.translate(camera.x, camera.y);
      context.scale(camera.scale, camera.scale);
      drawOutlines(context, state, camera, outlineOf);
      state.extra?.(context, camera);
      context.restore();
      if (state.cursor) drawCursor(context, toStage(camera, ...state.cursor));
      if (state.box) drawBox(context, state.box);
    },
  };
}

/**
 * How strong each segment's colour is, 0 to 1.
 * @param {CanvasState} state
 */
function strengths({ colours, bare, equal, selected, faint }) {
  return colours.map((_, i) => (bare ? 0 :
    (equal || selected.size === 0 || selected.has(i) ? 1 : 0.3) * (faint[i] ? 0.6 : 1)));
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {CanvasState} state
 * @param {Camera} camera
 * @param {(id: number) => Path2D} outlineOf
 */
function drawOutlines(context, state, camera, outlineOf) {
  context.lineCap = "round";
  /** @param {number} id @param {number} thick */
  const stroke = (id, thick) => {
    context.lineWidth = (thick + 2) / camera.scale;
    context.strokeStyle = "rgba(0, 0, 0, .55)";
    context.stroke(outlineOf(id));
    context.lineWidth = thick / camera.scale;
    context.strokeStyle = "#fff";
    context.stroke(outlineOf(id));
  };
  if (state.selected.size <= MOST_STROKES) for (const id of state.selected) stroke(id, 1.5);
  if (state.hovered >= 0) stroke(state.hovered, 2.5);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {[number, number]} at
 */
function drawCursor(context, [x, y]) {
  for (const [colour, thick] of /** @type {[string, number][]} */ ([["rgba(0, 0, 0, .7)", 4],
    ["#fff", 2]])) {
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 5 * dx, y + 5 * dy);
      context.lineTo(x + 16 * dx, y + 16 * dy);
    }
    context.lineWidth = thick;
    context.strokeStyle = colour;
    context.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number[]} box
 */
function drawBox(context, [x0, y0, x1, y1]) {
  context.setLineDash([5, 4]);
  context.lineWidth = 1.5;
  context.strokeStyle = "#fff";
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  context.setLineDash([]);
}
