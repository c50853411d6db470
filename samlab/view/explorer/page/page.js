// The explorer's page: its panels put together, and what is shown when.

import { createCanvas } from "../../canvas/canvas.js";
import { drawCut } from "../../canvas/cut.js";
import { createMap } from "../../map/map.js";
import { openPalette } from "../../widget/colours.js";
import { make } from "../../widget/dom.js";
import { picturePanel } from "../../widget/frame.js";
import { numbers } from "../../widget/model.js";
import { openScene } from "../../widget/scene.js";
import { segmentFacts } from "../../widget/text.js";
import { editLines } from "../edits.js";
import { filledSegments } from "../sweep.js";
import { createClasses } from "./classes.js";
import { createLadder } from "./ladder.js";
import { createHeader } from "./header.js";
import { createMaskSwitch } from "./masks.js";
import { createCopyMenu } from "./settings.js";
import { classRows } from "./summary.js";
import { createTuning } from "./tuning.js";

/** @import { Model } from "../../widget/types.d.ts" */
/** @import { ExplorerPage, ExplorerPayload } from "../types.d.ts" */
/** @import { ExplorerActions } from "./actions.js" */
/** @import { ExplorerState } from "../state.js" */

/**
 * @param {HTMLElement} root
 * @param {Model} model
 * @param {ExplorerState} state
 * @param {ExplorerActions} actions
 * @returns {ExplorerPage}
 */
export function createPage(root, model, state, actions) {
  /** @type {ExplorerPayload} */
  const payload = model.get("payload");
  const scene = openScene(payload.scene);
  const palette = openPalette(payload);
  const header = createHeader(payload.title || "Segments",
    `${scene.n} segments · ${scene.width} × ${scene.height}`,
    createCopyMenu(payload, () => ({ ...state.sweep.settings,
      [state.sweep.parameter]: state.now.value ?? "auto", fill: state.now.fill }),
    () => editLines(state.now.labels, state.now.pins, state.names)),
    { undo: actions.undo, redo: actions.redo, setStyle: (style) => canvas.setStyle(style) },
    createMaskSwitch(payload.masks, scene.height, () => canvas));
  const panel = picturePanel(scene);
  const mapPanel = make("div", { class: "sl-panel sl-map-panel" });
  const tuningPanel = make("section", { class: "sl-panel sl-tune" });
  const classPanel = make("section", { class: "sl-panel sl-classes" });
  root.append(header.element,
    make("div", { class: "sl-grid-layout" }, panel, mapPanel, tuningPanel, classPanel));

  /** @param {number} id @param {number[]} stack */
  const tip = (id, stack) => segmentFacts(scene, id, state.nameOf(state.now.labels[id]), stack);
  const hooks = {
    select: actions.select,
    hover: (/** @type {number} */ id) => {
      canvas.setHover(id);
      map.setHover(id);
    },
    colour: (/** @type {number} */ id) => palette.css(state.now.labels[id]),
  };
  const canvas = createCanvas(panel, scene, { ...hooks, tip });
  /** @param {number} id */
  function cutOf(id) {
    const cut = make("canvas", { width: 96, height: 96, class: "sl-cut" });
    drawCut(cut, canvas, scene, id);
    return cut;
  }
  const map = createMap(mapPanel, numbers(model.get("projection").points, Float32Array),
    scene.areas, { ...hooks, tip: (id) => tip(id, [id]), names: () => shownNames(state), picture: cutOf });
  const caption = make("div", { class: "sl-caption", text: model.get("projection").title });
  mapPanel.append(caption);
  const ladder = createLadder(scene, canvas, palette, actions.choose);
  const tuning = createTuning(tuningPanel, state, payload, !model.isStatic, actions, ladder.element);
  const classes = createClasses(classPanel, state, { ...actions, branch: ladder.branch });

  function showSelection() {
    canvas.setSelected(state.selected);
    map.setSelected(state.selected);
    const [w, h] = scene.raster;
    classes.show(classRows(state, palette, canvas.seen(), w * h));
  }
  function show() {
    const { labels, hidden } = state.now;
    const colours = labels.map(palette.rgb);
    const noise = labels.map((label) => label < 0);
    canvas.setVisible(labels.map((label) => !hidden.has(label)));
    const filled = filledSegments(state);
    canvas.setColours(colours, noise.map((bare, i) => bare || filled[i]));
    map.setColours(colours, noise, labels.map((label) => hidden.has(label)));
    tuning.show();
    ladder.show(state.now.step);
    header.setHistory(state.past.length > 0, state.future.length > 0);
    showSelection();
  }
  return {
    show, showSelection, closeSplit: classes.closeSplit, reset: tuning.reset, redraw: map.redraw,
    showAll() {
      tuning.showSweep();
      ladder.showSweep(state.sweep);
      show();
    },
    showProjection({ points, title }) {
      caption.textContent = title;
      map.setPoints(numbers(points, Float32Array));
    },
    setBusy: (busy) => root.classList.toggle("sl-busy", busy),
    destroy() {
      for (const part of [canvas, map, tuning]) part.destroy();
    },
  };
}

/**
 * Names that were given to classes that are shown, each with its members.
 * @param {ExplorerState} state
 * @returns {[string, number[]][]}
 */
function shownNames({ names, members, now }) {
  return Object.entries(names).flatMap(([key, text]) => {
    const ids = members.get(Number(key));
    return ids && !now.hidden.has(Number(key)) ? [[text, ids]] : [];
  });
}
