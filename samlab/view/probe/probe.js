// The probe: the cosine of one segment with every patch, every segment, and other pictures.

import { createCanvas } from "../canvas/canvas.js";
import { openPalette } from "../widget/colours.js";
import { make } from "../widget/dom.js";
import { createRoot, panelHead, picturePanel } from "../widget/frame.js";
import { listen, numbers } from "../widget/model.js";
import { openScene } from "../widget/scene.js";
import { className, segmentFacts } from "../widget/text.js";
import { followTheme } from "../widget/theme.js";
import { createHeat, openRamp } from "./heat.js";
import { createMatches, createOtherMatches } from "./matches.js";
import { ProbeState } from "./state.js";
import { createModes, createThreshold } from "./threshold.js";

/** @import { Scene, WidgetContext } from "../widget/types.d.ts" */
/** @import { ProbePayload } from "./types.d.ts" */

/** @param {WidgetContext} context */
export function renderProbe({ model, el }) {
  /** @type {ProbePayload} */
  const payload = model.get("payload");
  const scene = openScene(payload.scene);
  const state = openState(payload, model.get("threshold"));
  const root = createRoot("sl-probe");
  el.replaceChildren(root);
  const page = createProbePage(root, payload, scene, state, {
    ask(id) {
      page.ask(id);
      tell();
    },
    tell,
  });
  function tell() {
    model.set("query", state.query);
    model.set("threshold", state.threshold);
    model.save_changes();
  }
  const unlisten = listen(model, {
    "change:query": () => {
      if (model.get("query") !== state.query) page.ask(model.get("query"));
    },
    "change:threshold": () => {
      state.threshold = model.get("threshold");
      page.moveHandle();
      page.show();
    },
  });
  page.ask(model.get("query"));
  page.canvas.whenReady(page.show);
  const unfollow = followTheme(root, page.canvas.redraw);
  return () => {
    unlisten();
    unfollow();
    page.canvas.destroy();
  };
}

/**
 * @param {ProbePayload} payload
 * @param {number | null} threshold
 */
function openState({ vectors, width, patches }, threshold) {
  const opened = patches && { ...patches, values: numbers(patches.values, Int8Array),
    scales: numbers(patches.scales, Float32Array) };
  return new ProbeState(numbers(vectors, Float32Array), width, opened, threshold);
}

/**
 * @param {HTMLElement} root
 * @param {ProbePayload} payload
 * @param {Scene} scene
 * @param {ProbeState} state
 * @param {{ ask(id: number): void, tell(): void }} hooks ask about a segment and tell the kernel.
 */
function createProbePage(root, payload, scene, state, hooks) {
  const palette = openPalette(payload);
  const ramp = openRamp(payload.ramp);
  const { labels, names, others } = payload;
  /** @param {number} id */
  const nameOf = (id) => className(names, labels[id]);
  const note = make("span", { text: "click a segment" });
  const modes = createModes(state, show);
  const panel = picturePanel(scene);
  const side = make("section", { class: "sl-panel sl-side" });
  root.append(make("header", { class: "sl-head" }, make("div", { class: "sl-title" },
    make("b", { text: payload.title || "Probe" }), note), modes.element),
  make("div", { class: "sl-grid-layout sl-wide-left" }, panel, side));
  const canvas = createCanvas(panel, scene, {
    colour: (id) => palette.css(labels[id]),
    tip: (id, stack) => {
      const lines = segmentFacts(scene, id, nameOf(id), stack);
      if (state.scores) lines.splice(1, 0, ["similarity", state.scores[id].toFixed(3)]);
      return lines;
    },
    select: (ids) => hooks.ask(ids.length === 1 ? ids[0] : -1),
  });
  const heat = createHeat(state, scene, ramp);
  canvas.setStyle({ under: (context, camera) => {
    if (state.heat && state.mode === "patches") heat.draw(context, camera);
  } });
  const threshold = createThreshold(state, payload.ramp, { changed: show, commit: hooks.tell });
  const matches = createMatches(scene, palette, canvas, { ask: hooks.ask, nameOf,
    labelOf: (id) => labels[id] });
  const otherMatches = others && createOtherMatches(others, show);
  side.append(...threshold.elements, matches.element);
  if (otherMatches) {
    side.append(panelHead("sl-ruled", make("h3", { text: "In other pictures" })),
      otherMatches.element);
  }

  function show() {
    const { query, scores, mode, segmentRange } = state;
    const above = state.above();
    const bySegment = scores && mode === "segments" ? scores : null;
    const bare = scores !== null && mode === "patches";
    canvas.setColours(labels.map((label, id) =>
      (bySegment ? ramp(bySegment[id], segmentRange) : palette.rgb(label))));
    canvas.setStyle({ opacity: bare ? 0 : bySegment ? 0.78 : 0.55, bare });
    canvas.setSelected(new Set(above.length || query < 0 ? above : [query]), true);
    note.textContent = query < 0 ? "click a segment" : `segment ${query} · ${nameOf(query)}`;
    modes.show();
    threshold.show(above.length);
    matches.show(state);
    otherMatches?.show(state);
  }
  return {
    canvas, show, moveHandle: threshold.moveHandle,
    /** @param {number} id */
    ask(id) {
      state.ask(id, scene.n);
      heat.paint(state);
      threshold.moveHandle();
      show();
    },
  };
}
