// The k-distance curve with the eps line on it.

import { make, makeSvg } from "../../widget/dom.js";
import { shortNumber } from "../../widget/text.js";

/**
 * @typedef {object} CurveData
 * @property {ArrayLike<number>} distances Ascending.
 * @property {number | null} eps null where there is no line.
 * @property {number | null} suggested
 * @property {number} top The largest value shown.
 * @property {string} about What the curve runs over.
 */

/** @typedef {ReturnType<typeof curveScale>} CurveScale */

const PAD = { left: 44, right: 10, top: 8, bottom: 22 };
const MOST_POINTS = 400;

/**
 * A round step that gives about `count` ticks up to `top`.
 * @param {number} top
 * @param {number} count
 */
export function ticksUpTo(top, count) {
  if (!(top > 0)) return [0];
  const rough = top / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? 10 * power;
  const ticks = [];
  for (let i = 0; i * step <= top * 1.0001; i++) ticks.push(Number((i * step).toPrecision(6)));
  return ticks;
}

/** @param {number} k */
export function ordinal(k) {
  /** @type {Record<number, string>} */
  const endings = { 1: "st", 2: "nd", 3: "rd" };
  return `${k}${endings[k % 10 === k || k > 20 ? k % 10 : 0] ?? "th"}`;
}

/**
 * At most `most` of the values, evenly, always with the last, as [index, value].
 * @param {ArrayLike<number>} values
 * @param {number} most
 */
function thin(values, most) {
  if (values.length <= most) return Array.from(values, (v, i) => [i, v]);
  const step = (values.length - 1) / (most - 1);
  return Array.from({ length: most }, (_, k) => {
    const i = Math.round(k * step);
    return [i, values[i]];
  });
}

/**
 * From values to pixels and back.
 * @param {number} width
 * @param {number} height
 * @param {CurveData} data
 */
function curveScale(width, height, data) {
  const n = data.distances.length;
  const [left, right] = [PAD.left, width - PAD.right];
  const [bottom, tall] = [height - PAD.bottom, height - PAD.top - PAD.bottom];
  return {
    left, right, height,
    /** @param {number} i */
    x: (i) => left + (n > 1 ? i / (n - 1) : 0.5) * (right - left),
    /** @param {number} value */
    y: (value) => bottom - (Math.min(value, data.top) / data.top) * tall,
    /** @param {number} y */
    value: (y) => data.top * Math.max(0, Math.min(1, (bottom - y) / tall)),
  };
}

/**
 * @param {HTMLElement} host
 * @param {{ drag(eps: number): void, drop(): void }} hooks drag while the line moves, drop when it
 *   is let go.
 */
export function createCurve(host, hooks) {
  const stage = make("div", { class: "sl-curve" });
  host.append(stage);
  const svg = makeSvg("svg", { "aria-hidden": "true" });
  stage.append(svg);
  /** @type {CurveData} */
  let data = { distances: [], eps: null, suggested: null, top: 1, about: "" };
  /** @type {SVGGElement | null} */
  let line = null;
  const scale = () => curveScale(stage.clientWidth, stage.clientHeight, data);

  function build() {
    svg.replaceChildren();
    line = null;
    const [w, h] = [stage.clientWidth, stage.clientHeight];
    if (w === 0) return;
    svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
    line = epsLine(scale());
    svg.append(...axis(scale(), data), ...curveShapes(scale(), data), line);
    moveLine();
  }
  function moveLine() {
    if (!line) return;
    line.style.display = data.eps === null ? "none" : "";
    if (data.eps === null) return;
    const y = scale().y(data.eps);
    line.setAttribute("transform", `translate(0 ${y})`);
    const label = /** @type {SVGTextElement} */ (line.lastChild);
    label.textContent = `eps ${shortNumber(data.eps)}`;
    label.setAttribute("y", y < 26 ? "18" : "-6");
  }

  let dragging = false;
  /** @param {PointerEvent} event */
  const epsAt = (event) => scale().value(event.clientY - svg.getBoundingClientRect().top);
  svg.addEventListener("pointerdown", (event) => {
    if (data.eps === null) return;
    dragging = true;
    svg.setPointerCapture(event.pointerId);
    hooks.drag(epsAt(event));
  });
  svg.addEventListener("pointermove", (event) => dragging && hooks.drag(epsAt(event)));
  svg.addEventListener("pointerup", () => {
    if (!dragging) return;
    dragging = false;
    hooks.drop();
  });
  const observer = new ResizeObserver(build);
  observer.observe(stage);
  return {
    /** @param {Partial<CurveData>} next */
    set(next) {
      data = { ...data, ...next };
      build();
    },
    /** @param {number | null} eps */
    setEps(eps) {
      data.eps = eps;
      moveLine();
    },
    destroy: () => observer.disconnect(),
  };
}

/**
 * @param {CurveScale} scale
 * @param {CurveData} data
 */
function axis({ left, right, height, y }, data) {
  const ticks = ticksUpTo(data.top, 4).flatMap((value) => [
    makeSvg("line", { class: "sl-grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
    textAt(left - 6, y(value) + 4, shortNumber(value), "end")]);
  return [...ticks, textAt(left, height - 5, data.about, "start")];
}

/**
 * @param {CurveScale} scale
 * @param {CurveData} data
 */
function curveShapes({ left, right, x, y }, { distances, suggested }) {
  /** @type {SVGElement[]} */
  const shapes = [];
  const n = distances.length;
  if (n) {
    const points = thin(distances, MOST_POINTS).map(([i, v]) => `${x(i)},${y(v)}`).join(" ");
    shapes.push(makeSvg("polygon", { class: "sl-area",
      points: `${x(0)},${y(0)} ${points} ${x(n - 1)},${y(0)}` }),
    makeSvg("polyline", { class: "sl-line", points }));
  }
  if (suggested !== null) {
    shapes.push(makeSvg("line", { class: "sl-suggested", x1: left, x2: right, y1: y(suggested),
      y2: y(suggested) }));
  }
  return shapes;
}

/** @param {CurveScale} scale */
function epsLine({ left, right }) {
  return makeSvg("g", { class: "sl-eps" },
    makeSvg("line", { x1: left, x2: right, y1: 0, y2: 0 }),
    makeSvg("rect", { x: left, y: -8, width: Math.max(0, right - left), height: 16 }),
    makeSvg("circle", { cx: right - 8, cy: 0, r: 6 }),
    textAt(right - 22, -6, "", "end"));
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} text
 * @param {string} anchor
 */
function textAt(x, y, text, anchor) {
  const element = makeSvg("text", { x, y, "text-anchor": anchor });
  element.textContent = text;
  return element;
}
