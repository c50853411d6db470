// Small helpers for building the page. Text reaches it through textContent only.

/** @import { ElementOptions } from "./types.d.ts" */

/**
 * An element: make("button", { class: "x", title: "y", text: "z", onclick: f }, child, child).
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {ElementOptions} [options]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  const properties = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (element));
  for (const [key, value] of Object.entries(options)) {
    if (key === "text") element.textContent = String(value);
    else if (key === "class") element.className = String(value);
    else if (typeof value === "function") {
      element.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    } else if (key in element && typeof value !== "string") properties[key] = value;
    else element.setAttribute(key, String(value));
  }
  element.append(...children);
  return element;
}

/**
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...Node} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

// Icons are drawn here as single strokes, so that no file is fetched for them.
/** @type {Record<string, string>} */
const ICONS = {
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  lasso: "M8 2.5c3.6 0 6 1.7 6 4s-2.4 4-6 4c-1 0-2-.1-2.900-.4M5 10C3.200 9.300 2 8 2 6.500c0-2.300 2.400-4 6-4M5 10c1.500.6 1.700 2-.2 2.300M4.800 12.300c.2.900-.5 1.400-1.300 1.500",
  box: "M2.500 3.500h11v9h-11z",
  hand: "M8 2v12M2 8h12M8 2 6.300 3.700M8 2l1.700 1.700M8 14l-1.700-1.700M8 14l1.700-1.700M2 8l1.700-1.700M2 8l1.700 1.700M14 8l-1.700-1.700M14 8l-1.700 1.700",
  eye: "M1.500 8s2.400-4.200 6.500-4.200S14.500 8 14.500 8 12.100 12.200 8 12.200 1.500 8 1.500 8zM8 6.200a1.800 1.800 0 1 0 0 3.600 1.800 1.800 0 0 0 0-3.600",
  shut: "M1.500 8s2.400-4.200 6.500-4.200S14.500 8 14.500 8 12.100 12.200 8 12.200 1.500 8 1.500 8zM3 13 13 3",
  undo: "M5.500 3 2.500 6l3 3M2.500 6h7a4 4 0 0 1 0 8H7",
  redo: "M10.500 3l3 3-3 3M13.500 6h-7a4 4 0 0 0 0 8H9",
  back: "M10 3 5 8l5 5",
  forward: "M6 3l5 5-5 5",
  close: "M4 4l8 8M12 4l-8 8",
};

/** @param {string} name */
export function icon(name) {
  return makeSvg(
    "svg",
    { viewBox: "0 0 16 16", class: "sl-icon", "aria-hidden": "true" },
    makeSvg("path", { d: ICONS[name] }),
  );
}

/**
 * @param {string} name Of the icon.
 * @param {string} label
 * @param {() => void} onclick
 */
export function iconButton(name, label, onclick) {
  return make("button", { class: "sl-icon-button", type: "button", title: label,
    "aria-label": label, onclick }, icon(name));
}

/**
 * @param {string} text
 * @param {ElementOptions} [options] `class` is added to the button's own.
 */
export function button(text, options = {}) {
  return make("button", { type: "button", text, ...options,
    class: `sl-button ${options.class ?? ""}`.trim() });
}

/**
 * A control with its label.
 * @param {string} label
 * @param {Node} control
 */
export function field(label, control) {
  return make("label", { class: "sl-field" }, make("span", { text: label }), control);
}

/**
 * @param {[string, string][]} options Values and texts.
 * @param {string} value
 * @param {(value: string) => void} onchange
 */
export function choice(options, value, onchange) {
  const select = make("select", { onchange: () => onchange(select.value) });
  for (const [key, text] of options) select.append(make("option", { value: key, text }));
  select.value = value;
  return select;
}

/**
 * The element that an event came from.
 * @param {Event} event
 */
export function targetOf(event) {
  return /** @type {Element} */ (event.target);
}

/**
 * Whether a click or a key adds to what is selected.
 * @param {MouseEvent | KeyboardEvent} event
 */
export function adds(event) {
  return event.shiftKey || event.ctrlKey || event.metaKey;
}
