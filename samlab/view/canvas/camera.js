// The camera as plain numbers: which part of the picture the stage shows, and how large.

/** @import { Size } from "../widget/types.d.ts" */
/** @import { Camera } from "./types.d.ts" */
/** @typedef {{ width: number, height: number }} Extent */

const LARGEST_SCALE = 40;

/**
 * The picture in the middle of the stage, as large as fits.
 * @param {Camera} camera Changed in place, as by all functions here.
 * @param {Extent} picture
 * @param {Size} stage
 */
export function fitCamera(camera, picture, [width, height]) {
  camera.scale = Math.min(width / picture.width, height / picture.height) || 1;
  camera.x = (width - picture.width * camera.scale) / 2;
  camera.y = (height - picture.height * camera.scale) / 2;
  camera.fitted = true;
}

/**
 * Zoom so that what is at (x, y) of the stage stays there; zoomed out as far as it goes, it is
 * fitted again.
 * @param {Camera} camera
 * @param {Extent} picture
 * @param {Size} stage
 * @param {number} factor
 * @param {number} x
 * @param {number} y
 */
export function zoomCamera(camera, picture, stage, factor, x, y) {
  const smallest = Math.min(stage[0] / picture.width, stage[1] / picture.height);
  const scale = Math.max(smallest, Math.min(LARGEST_SCALE, camera.scale * factor));
  if (scale === smallest) {
    fitCamera(camera, picture, stage);
    return;
  }
  const cameraX = x - ((x - camera.x) * scale) / camera.scale;
  const cameraY = y - ((y - camera.y) * scale) / camera.scale;
  camera.scale = scale;
  moveCamera(camera, picture, stage, cameraX, cameraY);
}

/**
 * Move the picture's corner to (x, y) of the stage, as far as the stage stays filled.
 * @param {Camera} camera
 * @param {Extent} picture
 * @param {Size} stage
 * @param {number} x
 * @param {number} y
 */
export function moveCamera(camera, picture, [width, height], x, y) {
  camera.x = clamped(x, picture.width * camera.scale, width);
  camera.y = clamped(y, picture.height * camera.scale, height);
  camera.fitted = false;
}

/**
 * @param {number} at
 * @param {number} length Of the picture.
 * @param {number} available Length of the stage.
 */
function clamped(at, length, available) {
  if (length <= available) return (available - length) / 2;
  return Math.min(0, Math.max(available - length, at));
}

/**
 * @param {Camera} camera
 * @param {number} x
 * @param {number} y
 * @returns {[number, number]}
 */
export function toPicture(camera, x, y) {
  return [(x - camera.x) / camera.scale, (y - camera.y) / camera.scale];
}

/**
 * @param {Camera} camera
 * @param {number} x
 * @param {number} y
 * @returns {[number, number]}
 */
export function toStage(camera, x, y) {
  return [x * camera.scale + camera.x, y * camera.scale + camera.y];
}
