// What every widget's page begins with: the outermost element, the banner, the picture's panel.

import { iconButton, make } from "./dom.js";

/** @import { Banner, ElementOptions, PackedScene } from "./types.d.ts" */

/**
 * The outermost element of a widget. JupyterLab takes Shift and click for a selection of cells, up
 * to the one clicked, and runs them all with the next Shift+Enter; here it means "add". Its
 * shortcuts of one key (A inserts a cell, D D deletes one, arrows go to others) hold for every
 * focused element that no text is typed into, so a slider would not hear its arrows.
 * @param {string} name Its class.
 */
export function createRoot(name) {
  return make("div", { class: `samlab ${name}`, "data-lm-suppress-shortcuts": "true",
    onmousedown: (event) => event.shiftKey && event.stopPropagation(),
    onkeydown: (event) => {
      const held = event.ctrlKey || event.metaKey || event.altKey;
      const runs = event.key === "Enter" && event.shiftKey;
      if (!held && !runs) event.stopPropagation();
    } });
}

/**
 * One line at the top for what went wrong; the widget keeps its last good state.
 * @param {HTMLElement} root
 * @returns {Banner}
 */
export function createBanner(root) {
  const text = make("span");
  const hide = () => {
    element.hidden = true;
  };
  const element = make("div", { class: "sl-banner", role: "alert", hidden: true }, text,
    iconButton("close", "Dismiss", hide));
  root.append(element);
  return {
    hide,
    show: (message) => {
      text.textContent = message;
      element.hidden = false;
    },
  };
}

/**
 * A panel with the proportions of the picture.
 * @param {Pick<PackedScene, "width" | "height">} [size] Where it is known already.
 */
export function picturePanel(size) {
  const panel = make("div", { class: "sl-panel sl-picture-panel" });
  if (size) setRatio(panel, size);
  return panel;
}

/**
 * @param {HTMLElement} panel
 * @param {Pick<PackedScene, "width" | "height">} size
 */
export function setRatio(panel, { width, height }) {
  panel.style.setProperty("--sl-ratio", `${width} / ${height}`);
}

/**
 * The line above a panel's content.
 * @param {string} more A further class, or "".
 * @param {...Node} children
 */
export function panelHead(more, ...children) {
  return make("header", { class: `sl-panel-head ${more}`.trim() }, ...children);
}

/**
 * A text field that keeps its keys to itself; Enter ends typing.
 * @param {ElementOptions} options
 * @param {(event: KeyboardEvent) => void} [onkey] Called for every key.
 * @returns {HTMLInputElement}
 */
export function textField(options, onkey) {
  const input = make("input", { type: "text", maxLength: 80, ...options,
    onkeydown: (event) => {
      event.stopPropagation();
      if (onkey) onkey(event);
      else if (event.key === "Enter") input.blur();
    } });
  return input;
}

/**
 * Hide the picture that stands in for a widget, now and where the notebook draws it anew, with the
 * output that holds it.
 * @param {string | undefined} name Its class.
 */
export function hideStandIn(name) {
  if (!name) return;
  const outputs = ":is(.jp-OutputArea-child, .output_area)";
  const style = make("style", { text: `.${name}, ${outputs}:has(.${name}) { display: none; }` });
  document.head.append(style);
}
