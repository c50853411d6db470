// The small curves above the slider: number of classes and share of noise at each step.

import { make, makeSvg } from "../../widget/dom.js";

/** @param {HTMLElement} host */
export function createSpark(host) {
  const svg = makeSvg("svg", { class: "sl-spark", viewBox: "0 0 100 26",
    preserveAspectRatio: "none", "aria-hidden": "true" });
  const legend = make("div", { class: "sl-legend", "aria-hidden": "true" },
    make("span", { class: "sl-key-classes", text: "classes" }),
    make("span", { class: "sl-key-noise", text: "unassigned" }));
  host.append(legend, svg);
  return {
    /**
     * @param {number[]} classes
     * @param {number[]} noise 0 to 1.
     */
    set(classes, noise) {
      const n = Math.max(1, classes.length - 1);
      const most = Math.max(1, ...classes);
      const line = classes.map((c, i) => `${(100 * i) / n},${25 - (23 * c) / most}`);
      const area = noise.map((s, i) => `${(100 * i) / n},${25 - 23 * s}`);
      svg.replaceChildren(
        makeSvg("polygon", { class: "sl-spark-noise",
          points: `0,26 ${area.join(" ")} 100,26` }),
        makeSvg("polyline", { class: "sl-spark-classes", points: line.join(" ") }));
    },
  };
}
