// The heat map: a colour per patch, stretched over the picture.

import { parseHex } from "../widget/colours.js";
import { contextOf } from "../widget/layer.js";
import { rgba } from "../canvas/raster.js";
import { shareOf } from "./state.js";

/** @import { Camera } from "../canvas/types.d.ts" */
/** @import { PackedScene, RGB } from "../widget/types.d.ts" */
/** @import { ProbeState, Range } from "./state.js" */

/**
 * Colours from low to high.
 * @param {string[]} hexes 256 of them.
 * @returns {(value: number, range: Range) => RGB}
 */
export function openRamp(hexes) {
  const colours = hexes.map(parseHex);
  return (value, range) =>
    colours[Math.max(0, Math.min(255, Math.round(255 * shareOf(value, range))))];
}

/**
 * @param {ProbeState} state
 * @param {Pick<PackedScene, "width" | "height">} scene
 * @param {ReturnType<typeof openRamp>} ramp
 */
export function createHeat({ patches }, scene, ramp) {
  const cells = document.createElement("canvas");
  return {
    /** @param {ProbeState} state */
    paint({ heat, heatRange }) {
      if (!heat || !patches) return;
      cells.width = patches.columns;
      cells.height = patches.rows;
      const context = contextOf(cells);
      const image = context.createImageData(cells.width, cells.height);
      const pixels = new Uint32Array(image.data.buffer);
      heat.forEach((value, i) => {
        pixels[i] = rgba(...ramp(value, heatRange), 255);
      });
      context.putImageData(image, 0, 0);
    },
    /**
     * @param {CanvasRenderingContext2D} context
     * @param {Camera} camera
     */
    draw(context, { x, y, scale }) {
      if (!patches) return;
      // The last row and column of patches may reach beyond the picture, into the padding.
      const [rows, columns] = patches.extent;
      const [width, height] = [scene.width * scale, scene.height * scale];
      context.save();
      context.beginPath();
      context.rect(x, y, width, height);
      context.clip();
      context.globalAlpha = 0.72;
      context.imageSmoothingEnabled = true;
      context.imageSmoothingQuality = "high";
      context.drawImage(cells, x, y, (width * patches.columns) / columns,
        (height * patches.rows) / rows);
      context.restore();
    },
  };
}
