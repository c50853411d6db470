// The picture itself, in its colours or as its luma.
//
// A colour half over another has neither's hue; over grey it keeps its own. So what is painted, and
// what a legend names, lies on grey.

import { fitCamera } from "./camera.js";
import { fillPath } from "./paths.js";

/** @import { Scene, Size } from "../widget/types.d.ts" */
/** @import { Camera, CanvasState } from "./types.d.ts" */
/** @typedef {{ scene: Scene, visible: boolean[], picture: OffscreenCanvas }} Partly */

/**
 * @param {Scene} scene
 * @param {() => void} onready
 */
export function loadPicture(scene, onready) {
  /** @type {ImageBitmap | null} */
  let bitmap = null;
  /** @type {OffscreenCanvas | null} */
  let grey = null;
  /** @type {Partly | null} */
  let partly = null;
  const waiting = [onready];
  createImageBitmap(new Blob([scene.picture], { type: scene.mime })).then((decoded) => {
    bitmap = decoded;
    grey = greyOf(decoded);
    waiting.forEach((ready) => ready());
  });
  return {
    bitmap: () => bitmap,
    grey: () => grey,
    /** @param {CanvasState} state */
    toShow(state) {
      // Outlines, and no colours at all, leave the picture as it is.
      const painted = state.under !== null || (!state.outline && state.opacity > 0);
      if (!bitmap || !grey || !painted) return bitmap;
      if (state.greyed) return grey;
      const { scene: shown, visible } = state;
      if (partly?.scene !== shown || partly.visible !== visible) {
        partly = { scene: shown, visible, picture: greyBelow(bitmap, grey, state) };
      }
      return partly.picture;
    },
    /** @param {() => void} ready */
    whenReady(ready) {
      if (bitmap) ready();
      else waiting.push(ready);
    },
  };
}

/**
 * The picture without its colours, once: the blend "saturation" keeps 0.30 R + 0.59 G + 0.11 B.
 * @param {ImageBitmap} picture
 */
function greyOf(picture) {
  const context = copyOf(picture);
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "#808080";
  context.fillRect(0, 0, picture.width, picture.height);
  return context.canvas;
}

/**
 * The picture, grey below the segments that are visible.
 * @param {ImageBitmap} picture
 * @param {OffscreenCanvas} grey
 * @param {CanvasState} state
 */
function greyBelow(picture, grey, { scene, visible }) {
  const context = copyOf(picture);
  const path = new Path2D();
  scene.masks.forEach((mask, id) => visible[id] && path.addPath(fillPath(mask, scene.height)));
  context.scale(picture.width / scene.width, picture.height / scene.height);
  context.clip(path);
  context.drawImage(grey, 0, 0, scene.width, scene.height);
  return context.canvas;
}

/** @param {ImageBitmap} picture */
function copyOf(picture) {
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
    new OffscreenCanvas(picture.width, picture.height).getContext("2d"));
  context.drawImage(picture, 0, 0);
  return context;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Size} size
 * @param {CanvasState} state
 * @param {Camera} camera
 * @param {ReturnType<typeof loadPicture>} picture
 */
export function drawPicture(context, size, state, camera, picture) {
  const { scene } = state;
  if (camera.fitted) fitCamera(camera, scene, size);
  const shown = picture.toShow(state);
  if (!shown) return;
  context.imageSmoothingEnabled = camera.scale < 3;
  context.drawImage(shown, camera.x, camera.y, scene.width * camera.scale,
    scene.height * camera.scale);
  state.under?.(context, camera);
}
