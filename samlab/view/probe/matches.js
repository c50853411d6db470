// The lists of similar segments: here, with what is cut out of the picture, and in other pictures.

import { drawCut } from "../canvas/cut.js";
import { make } from "../widget/dom.js";
import { contextOf } from "../widget/layer.js";

/** @import { Canvas } from "../canvas/types.d.ts" */
/** @import { Palette, Scene } from "../widget/types.d.ts" */
/** @import { ProbeState } from "./state.js" */
/** @import { OtherPictures } from "./types.d.ts" */

/**
 * @typedef {object} MatchHooks
 * @property {(id: number) => void} ask
 * @property {(id: number) => number} labelOf
 * @property {(id: number) => string} nameOf
 */

/**
 * @param {Scene} scene
 * @param {Palette} palette
 * @param {Canvas} canvas
 * @param {MatchHooks} hooks
 */
export function createMatches(scene, palette, canvas, hooks) {
  const element = make("div", { class: "sl-rows", role: "group",
    "aria-label": "Similar segments, the most similar first" });
  /** @param {number} id @param {number} score @param {boolean} on */
  function row(id, score, on) {
    const thumb = make("canvas", { width: 80, height: 80, class: "sl-thumb" });
    drawCut(thumb, canvas, scene, id);
    const swatch = make("i", { class: "sl-swatch" });
    swatch.style.background = palette.css(hooks.labelOf(id));
    const [enter, leave] = [() => canvas.setHover(id), () => canvas.setHover(-1)];
    return make("button", { type: "button", class: `sl-row sl-match${on ? " sl-on" : ""}`,
      title: "Ask about this segment", onclick: () => {
        hooks.ask(id);
        element.querySelector("button")?.focus(); // the rows are new ones
      }, onfocus: enter, onblur: leave, onpointerenter: enter, onpointerleave: leave },
    thumb, swatch, make("span", { class: "sl-what", text: hooks.nameOf(id) }),
    make("span", { class: "sl-share", text: `#${id}` }),
    make("b", { class: "sl-count", text: score.toFixed(3) }));
  }
  return {
    element,
    /** @param {ProbeState} state */
    show(state) {
      const { scores, threshold } = state;
      if (!scores) {
        element.replaceChildren(make("p", { class: "sl-hint",
          text: "Click a segment in the picture. The most similar ones are listed here." }));
        return;
      }
      element.replaceChildren(...state.ranked().map((id) =>
        row(id, scores[id], scores[id] >= (threshold ?? 2))));
    },
  };
}

/**
 * @param {OtherPictures} others
 * @param {() => void} onready The thumbnails can be drawn.
 */
export function createOtherMatches(others, onready) {
  const element = make("div", { class: "sl-thumbs", role: "list",
    "aria-label": "Similar segments in other pictures" });
  /** @type {ImageBitmap | null} */
  let sheet = null;
  if (others.sheet) {
    createImageBitmap(new Blob([others.sheet], { type: "image/jpeg" })).then((bitmap) => {
      sheet = bitmap;
      onready();
    });
  }
  /** @param {number} id @param {number} score */
  function cell(id, score) {
    const found = make("div", { class: "sl-other", role: "listitem",
      title: `${others.names[id]} · segment ${id}` });
    const index = others.thumbs[id];
    if (sheet && index !== undefined) found.append(thumbnail(sheet, index, others.side));
    found.append(make("span", { class: "sl-what", text: others.names[id] }),
      make("b", { text: score.toFixed(3) }));
    return found;
  }
  return {
    element,
    /** @param {ProbeState} state */
    show({ query }) {
      const from = query * others.k;
      const ids = query < 0 ? [] : others.ids.slice(from, from + others.k);
      element.replaceChildren(...ids.map((id, rank) => cell(id, others.scores[from + rank])));
    },
  };
}

/**
 * One square of the sheet.
 * @param {ImageBitmap} sheet
 * @param {number} index Row by row.
 * @param {number} side
 */
function thumbnail(sheet, index, side) {
  const columns = sheet.width / side;
  const thumb = make("canvas", { width: side, height: side, class: "sl-thumb" });
  contextOf(thumb).drawImage(sheet, (index % columns) * side, Math.floor(index / columns) * side,
    side, side, 0, 0, side, side);
  return thumb;
}
