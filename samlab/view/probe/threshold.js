// The probe's controls: what the picture shows, the scale of its colours, the threshold.

import { button, make } from "../widget/dom.js";
import { panelHead } from "../widget/frame.js";
import { shareOf } from "./state.js";

/** @import { ProbeState } from "./state.js" */
/** @import { ProbeMode } from "./types.d.ts" */

const STEPS = 1000;

/**
 * @param {ProbeState} state
 * @param {() => void} onchange
 */
export function createModes(state, onchange) {
  /** @type {[ProbeMode, string][]} */
  const all = [["patches", "Heat map"], ["segments", "Segments"], ["classes", "Classes"]];
  const modes = all.filter(([mode]) => mode !== "patches" || state.patches);
  const buttons = modes.map(([mode, text]) => button(text, { onclick: () => {
    state.mode = mode;
    onchange();
  } }));
  return {
    element: make("div", { class: "sl-tools" }, ...buttons),
    show: () => buttons.forEach((one, i) =>
      one.setAttribute("aria-pressed", String(modes[i][0] === state.mode))),
  };
}

/**
 * @param {ProbeState} state
 * @param {string[]} ramp
 * @param {{ changed(): void, commit(): void }} hooks changed while the slider moves, commit when it
 *   is let go.
 */
export function createThreshold(state, ramp, hooks) {
  const slider = make("input", { type: "range", min: "0", max: String(STEPS), value: String(STEPS),
    class: "sl-slider", "aria-label": "Similarity threshold", oninput: () => {
      state.setShare(Number(slider.value) / STEPS);
      hooks.changed();
    }, onchange: hooks.commit });
  const summary = make("span", { class: "sl-summary" });
  const scale = make("div", { class: "sl-scale", "aria-hidden": "true" });
  scale.style.setProperty("--sl-ramp", ramp.filter((_, i) => i % 15 === 0).join(", "));
  const [low, high] = [make("span"), make("span")];
  return {
    elements: [panelHead("", make("h3", { text: "Similar segments" }), summary),
      make("div", { class: "sl-scale-row" }, low, scale, high),
      make("label", { class: "sl-field sl-threshold" }, make("span", { text: "Select from" }),
        slider)],
    /** Move the handle to where the threshold is among this segment's similarities. */
    moveHandle() {
      const { threshold, scores, segmentRange } = state;
      if (threshold === null || !scores) return;
      slider.value = String(Math.round(STEPS * shareOf(threshold, segmentRange)));
    },
    /** @param {number} count Segments at or above the threshold. */
    show(count) {
      const { threshold, scores, segmentRange, heatRange, mode } = state;
      const value = threshold === null ? "" : threshold.toFixed(3);
      slider.disabled = !scores;
      slider.setAttribute("aria-valuetext", value ? `${value}, ${count} selected` : "no threshold");
      if (!scores) slider.value = String(STEPS);
      summary.textContent = count ? `${count} selected, ≥ ${value}` : "";
      const ends = mode === "segments" ? segmentRange : heatRange;
      low.textContent = scores ? ends[0].toFixed(2) : "";
      high.textContent = scores ? ends[1].toFixed(2) : "";
    },
  };
}
