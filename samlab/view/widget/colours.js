// Colours of classes, the same as in Python's plots.

/** @import { Palette, RGB } from "./types.d.ts" */

/**
 * @param {string} hex "#rrggbb"
 * @returns {RGB}
 */
export function parseHex(hex) {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/**
 * @param {RGB} colour
 */
export function cssOf([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}

/**
 * The class palette as the kernel sends it.
 * @param {{ palette: string[], noise: string }} payload
 * @returns {Palette}
 */
export function openPalette(payload) {
  const colours = payload.palette.map(parseHex);
  const noise = parseHex(payload.noise);
  /** @param {number} label */
  const rgb = (label) => (label < 0 ? noise : colours[label % colours.length]);
  return { rgb, css: (label) => cssOf(rgb(label)) };
}
