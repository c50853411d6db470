// The class ladder as small pictures: each is a clustering to choose, and the slider stands there.

import { paintIndex, rgba } from "../../canvas/raster.js";
import { make } from "../../widget/dom.js";
import { contextOf } from "../../widget/layer.js";
import { counted, percent } from "../../widget/text.js";
import { ladderOf } from "../ladder.js";
import { sweepLabels } from "../sweep.js";

/** @import { Canvas } from "../../canvas/types.d.ts" */
/** @import { Palette, Scene, Size } from "../../widget/types.d.ts" */
/** @import { Rung, Sweep } from "../types.d.ts" */

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
  const element = make("div", { class: "sl-ladder", role: "group", "aria-label": "Class ladder" });
  /** @type {{ rung: Rung, tile: HTMLElement }[]} */
  let tiles = [];

  /** @param {number[]} labels */
  function painted(labels) {
    const small = make("canvas", { width: size[0], height: size[1] });
    const map = new ImageData(...size);
    const pixels = new Uint32Array(map.data.buffer);
    const colours = labels.map((label) => rgba(...palette.rgb(label), label < 0 ? 40 : 165));
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
  return {
    element,
    /** @param {Sweep} sweep */
    showSweep(sweep) {
      const [w, h] = scene.raster;
      tiles = ladderOf(sweep, seen, w * h).map((rung) => ({ rung,
        tile: tileOf(rung, painted(sweepLabels(sweep, rung.step)), () => choose(rung.step)) }));
      element.hidden = tiles.length < 2;
      element.replaceChildren(...tiles.map(({ tile }) => tile));
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
 * @param {Rung} rung
 * @param {HTMLCanvasElement} picture
 * @param {() => void} onclick
 */
function tileOf({ classes, unassigned }, picture, onclick) {
  const facts = [counted(classes, "class", "classes"), `${percent(unassigned)} unassigned`];
  return make("button", { type: "button", class: "sl-rung", "aria-label": facts.join(", "),
    "aria-pressed": "false", onclick }, picture, make("b", { text: facts[0] }),
  make("span", { text: facts[1] }));
}
