// The class ladder as small pictures: each is a clustering to choose, and the slider stands there.
// Below it, while a class is split, its branch: the same for that class alone.

import { paintIndex, rgba } from "../../canvas/raster.js";
import { make } from "../../widget/dom.js";
import { contextOf } from "../../widget/layer.js";
import { counted, percent } from "../../widget/text.js";
import { ladderOf } from "../ladder.js";
import { sweepLabels } from "../sweep.js";

/** @import { Canvas } from "../../canvas/types.d.ts" */
/** @import { Palette, Scene, Size } from "../../widget/types.d.ts" */
/** @import { Branch, Rung, Sweep, Tile } from "../types.d.ts" */

const LONGEST_SIDE = 200; // of a small picture, in its own pixels

/**
 * @param {Scene} scene
 * @param {Canvas} canvas All segments are visible.
 * @param {Palette} palette
 * @param {(step: number) => void} choose
 */
export function createLadder(scene, canvas, palette, choose) {
  const scale = LONGEST_SIDE / Math.max(scene.width, scene.height);
  /** @type {Size} */
  const size = [Math.max(1, Math.round(scene.width * scale)),
    Math.max(1, Math.round(scene.height * scale))];
  const { index } = paintIndex({ ...scene, raster: size }, new Array(scene.n).fill(true));
  const seen = canvas.seen();
  const row = make("div", { class: "sl-ladder", role: "group", "aria-label": "Class ladder" });
  const twigs = make("div", { class: "sl-ladder sl-branch", role: "group", hidden: true });
  const element = make("div", {}, row, twigs);
  /** @type {{ rung: Rung, tile: HTMLElement }[]} */
  let tiles = [];

  /** @param {number[]} labels @param {Set<number>} [shown] */
  function painted(labels, shown) {
    const small = make("canvas", { width: size[0], height: size[1] });
    const map = new ImageData(...size);
    const pixels = new Uint32Array(map.data.buffer);
    const colours = labels.map((label, i) => rgba(...palette.rgb(label),
      shown?.has(i) === false ? 0 : label < 0 ? 40 : 165));
    for (let i = 0; i < index.length; i++) if (index[i]) pixels[i] = colours[index[i] - 1];
    const layer = new OffscreenCanvas(...size);
    layer.getContext("2d")?.putImageData(map, 0, 0);
    canvas.whenReady(() => {
      const grey = canvas.greyPicture();
      if (grey) contextOf(small).drawImage(grey, 0, 0, ...size);
      contextOf(small).drawImage(layer, 0, 0);
    });
    return small;
  }
  /** @type {Branch} */
  const branch = {
    open(title, options, shown) {
      twigs.hidden = options.length === 0;
      twigs.setAttribute("aria-label", title);
      twigs.replaceChildren(...options.map((tile) => tileOf(tile, painted(tile.labels, shown))));
    },
    press(tile) {
      [...twigs.children].forEach((twig, i) => twig.setAttribute("aria-pressed", String(i === tile)));
    },
    close() {
      twigs.hidden = true;
      twigs.replaceChildren();
    },
  };
  return {
    element, branch,
    /** @param {Sweep} sweep */
    showSweep(sweep) {
      const [w, h] = scene.raster;
      tiles = ladderOf(sweep, seen, w * h).map((rung) => {
        const labels = sweepLabels(sweep, rung.step);
        const facts = [counted(rung.classes, "class", "classes"),
          `${percent(rung.unassigned)} unassigned`];
        const tile = { labels, facts, choose: () => choose(rung.step) };
        return { rung, tile: tileOf(tile, painted(labels)) };
      });
      row.hidden = tiles.length < 2;
      row.replaceChildren(...tiles.map(({ tile }) => tile));
    },
    /** @param {number} step Of the slider. */
    show(step) {
      for (const { rung, tile } of tiles) {
        tile.setAttribute("aria-pressed", String(rung.first <= step && step <= rung.last));
      }
    },
  };
}

/**
 * @param {Tile} tile
 * @param {HTMLCanvasElement} picture
 */
function tileOf({ facts, choose }, picture) {
  return make("button", { type: "button", class: "sl-rung", "aria-label": facts.join(", "),
    "aria-pressed": "false", onclick: choose }, picture, make("b", { text: facts[0] }),
  ...facts.slice(1).map((text) => make("span", { text })));
}
