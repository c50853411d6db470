// The panel "Clusters": eps as number and slider, what it gives, the k-distances, the settings.

import { button, make } from "../../widget/dom.js";
import { panelHead } from "../../widget/frame.js";
import { counted, shortNumber } from "../../widget/text.js";
import { canFill } from "../sweep.js";
import { createCurve, ordinal } from "./curve.js";
import { nearestStep } from "../sweep.js";
import { createSettings } from "./settings.js";
import { createSpark } from "./spark.js";
import { summaryText } from "./summary.js";

/** @import { ClusterSettings, ExplorerPayload } from "../types.d.ts" */
/** @import { ExplorerState } from "../state.js" */

/**
 * @typedef {object} TuningHooks
 * @property {(step: number) => void} slide The slider moves.
 * @property {() => void} commit It is let go.
 * @property {(value: number) => void} typed A value was typed.
 * @property {(settings: ClusterSettings) => void} recluster Other settings were chosen.
 * @property {(text: string) => void} say
 * @property {(fill: boolean) => void} fill Noise takes the nearest class, or not.
 * @property {() => void} letGo What was put somewhere by hand follows the slider again.
 * @property {() => void} selectPinned Show what that is.
 */

/**
 * @param {HTMLElement} host
 * @param {ExplorerState} state
 * @param {ExplorerPayload} payload
 * @param {boolean} live Whether there is a kernel.
 * @param {TuningHooks} hooks
 * @param {HTMLElement} ladder Above the slider.
 */
export function createTuning(host, state, payload, live, hooks, ladder) {
  const summary = make("span", { class: "sl-summary" });
  const number = make("input", { type: "number", class: "sl-number", step: "any", min: "0",
    onkeydown: (event) => event.stopPropagation(), onchange: () => {
      const value = Number(number.value);
      if (value > 0) return hooks.typed(value);
      hooks.say(`Expected a number above 0, got "${number.value}".`);
      showValue(number, state.now.value);
    } });
  const numberLabel = make("span");
  const slider = make("input", { type: "range", min: "0", step: "1", class: "sl-slider",
    oninput: () => hooks.slide(Number(slider.value)), onchange: hooks.commit });
  const track = make("div", { class: "sl-track" });
  const spark = createSpark(track);
  track.append(slider);
  const fill = button("Fill", { "aria-pressed": "false", onclick: () => hooks.fill(!state.now.fill),
    title: "Segments in no class take the nearest one, where that is near enough; paler" });
  host.append(panelHead("", make("h3", { text: "Clusters" }), summary,
    make("div", { class: "sl-tools" }, fill)), ladder,
    make("div", { class: "sl-slider-row" },
      make("label", { class: "sl-field" }, numberLabel, number), track));
  const pins = createPins(host, hooks);
  const curve = createCurve(host, { drop: hooks.commit,
    drag: (eps) => hooks.slide(nearestStep(state.sweep.values, eps)) });
  const settings = createSettings(host, payload, live, hooks.recluster);
  return {
    destroy: curve.destroy,
    /** The settings and the value as they are, where a choice has failed. */
    reset() {
      settings.set(state.sweep.settings);
      showValue(number, state.now.value);
    },
    showSweep() {
      const { sweep } = state;
      slider.max = String(Math.max(0, sweep.values.length - 1));
      slider.disabled = sweep.values.length < 2;
      slider.setAttribute("aria-label", sweep.parameter);
      numberLabel.textContent = sweep.parameter === "eps" ? "eps" : "min size";
      spark.set(sweep.classes, sweep.noise);
      const values = sweep.parameter === "eps" ? sweep.values : sweep.distances;
      curve.set({ distances: sweep.distances, suggested: sweep.suggested,
        top: Math.max(1e-9, ...values) * 1.08, about: curveText(sweep.settings) });
      settings.set(sweep.settings);
    },
    show() {
      const { now, sweep } = state;
      summary.textContent = summaryText(state);
      pins(now.pins.size);
      fill.setAttribute("aria-pressed", String(now.fill));
      fill.disabled = !canFill(state);
      if (document.activeElement !== number) showValue(number, now.value);
      slider.value = String(now.step < 0 ? sweep.start : now.step);
      slider.setAttribute("aria-valuetext", `${sweep.parameter} ${shortNumber(now.value)}`);
      curve.setEps(sweep.parameter === "eps" ? now.value : null);
    },
  };
}

/**
 * What the curve runs over.
 * @param {ClusterSettings} settings
 */
function curveText({ method, min_samples: k }) {
  return method === "ward" ? "joins of regions into classes, by their cost" :
    `segments, by distance to their ${ordinal(k)} neighbour`;
}

/**
 * The line that says what stays where a person put it.
 * @param {HTMLElement} host
 * @param {Pick<TuningHooks, "letGo" | "selectPinned">} hooks
 * @returns {(count: number) => void} Shows how many there are.
 */
function createPins(host, { letGo, selectPinned }) {
  const text = make("span", { role: "status" });
  const line = make("div", { class: "sl-tools sl-pins", hidden: true }, text,
    button("Show", { onclick: selectPinned, title: "Select the segments edited by hand" }),
    button("Let go", { onclick: letGo, title: "Undo all edits: these segments follow the slider" }));
  host.append(line);
  return (count) => {
    line.hidden = count === 0;
    text.textContent = `${counted(count, "segment", "segments")} edited by hand: ` +
      `${count === 1 ? "it stays" : "they stay"} when the slider moves.`;
  };
}

/**
 * @param {HTMLInputElement} number
 * @param {number | null} value
 */
function showValue(number, value) {
  const given = value === null;
  number.value = given ? "" : shortNumber(value, 4);
  number.placeholder = given ? "none" : "";
  number.title = given ? "These classes were given, and no radius gives them. Type a number, or " +
    "move the slider, to cluster anew" : "";
}
