// Layers over a panel that is drawn on: canvases of the panel's size, and the tooltip.

import { make } from "./dom.js";

/** @import { Draw, Layer, Size, TipLine, Tooltip } from "./types.d.ts" */

/**
 * A canvas that follows the size of its host, in device pixels.
 * @param {HTMLElement} host
 * @param {string} className
 * @param {Draw} draw Called with the context scaled to CSS pixels, at most once per frame.
 * @returns {Layer}
 */
export function liveCanvas(host, className, draw) {
  const element = make("canvas", { class: className });
  host.append(element);
  let asked = false;
  /** @type {Size} */
  let size = [0, 0];
  const frame = () => {
    asked = false;
    const [width, height] = size;
    if (width === 0 || height === 0) return;
    const ratio = window.devicePixelRatio || 1;
    const context = contextOf(element);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height);
  };
  const schedule = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(frame);
  };
  const observer = new ResizeObserver(() => {
    const { width, height } = host.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    size = [width, height];
    element.width = Math.max(1, Math.round(width * ratio));
    element.height = Math.max(1, Math.round(height * ratio));
    frame();
  });
  observer.observe(host);
  return { element, schedule, size: () => size, stop: () => observer.disconnect() };
}

/**
 * @param {HTMLCanvasElement} element
 * @returns {CanvasRenderingContext2D}
 */
export function contextOf(element) {
  return /** @type {CanvasRenderingContext2D} */ (element.getContext("2d"));
}

/**
 * Where the pointer is inside an element, in CSS pixels.
 * @param {HTMLElement} element
 * @param {MouseEvent} event
 * @returns {[number, number]}
 */
export function pointerAt(element, event) {
  const box = element.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

/**
 * How far a turn of the wheel zooms.
 * @param {WheelEvent} event
 */
export function wheelFactor(event) {
  return Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0025));
}

/**
 * A tooltip that follows the pointer inside `host`; its first line is the heading.
 * @param {HTMLElement} host
 * @returns {Tooltip}
 */
export function tooltip(host) {
  const element = make("div", { class: "sl-tooltip", role: "status", hidden: true });
  host.append(element);
  return {
    hide: () => {
      element.hidden = true;
    },
    show: (x, y, lines, colour, picture) => {
      element.replaceChildren(...lines.map((line, i) => tipLine(line, i === 0, colour)));
      if (picture) element.append(picture);
      element.hidden = false;
      const box = host.getBoundingClientRect();
      const { offsetWidth, offsetHeight } = element;
      const left = x + 16 + offsetWidth > box.width ? x - offsetWidth - 12 : x + 16;
      const top = y + 16 + offsetHeight > box.height ? y - offsetHeight - 12 : y + 16;
      element.style.left = `${Math.max(2, left)}px`;
      element.style.top = `${Math.max(2, top)}px`;
    },
  };
}

/**
 * @param {TipLine} line
 * @param {boolean} heading
 * @param {string} [colour] Of the dot before the heading.
 */
function tipLine(line, heading, colour) {
  if (Array.isArray(line)) {
    return make("div", { class: "sl-tip-row" },
      make("span", { text: line[0] }), make("b", { text: line[1] }));
  }
  const row = make("div", { class: heading ? "sl-tip-head" : "sl-tip-note" });
  if (heading && colour) {
    const dot = make("i", { class: "sl-dot" });
    dot.style.background = colour;
    row.append(dot);
  }
  row.append(make("span", { text: line }));
  return row;
}
