// The explorer's first line: title, how the picture is painted, undo, copying.

import { button, field, iconButton, make } from "../../widget/dom.js";

/**
 * @typedef {object} HeaderHooks
 * @property {() => void} undo
 * @property {() => void} redo
 * @property {(style: { opacity?: number, outline?: boolean }) => void} setStyle
 */

/**
 * @param {string} title
 * @param {string} facts
 * @param {HTMLElement} copyMenu
 * @param {HeaderHooks} hooks
 * @param {HTMLElement[]} more Further switches.
 */
export function createHeader(title, facts, copyMenu, hooks, more) {
  const undo = iconButton("undo", "Undo (Ctrl+Z)", hooks.undo);
  const redo = iconButton("redo", "Redo (Ctrl+Shift+Z)", hooks.redo);
  const opacity = make("input", { type: "range", min: "0", max: "1", step: "0.05", value: "0.55",
    class: "sl-opacity", "aria-label": "Opacity of the colours",
    oninput: () => hooks.setStyle({ opacity: Number(opacity.value) }) });
  const outline = button("Outlines", { "aria-pressed": "false", title: "Draw outlines only",
    onclick: () => {
      const on = outline.getAttribute("aria-pressed") !== "true";
      outline.setAttribute("aria-pressed", String(on));
      hooks.setStyle({ outline: on });
    } });
  return {
    element: make("header", { class: "sl-head" },
      make("div", { class: "sl-title" }, make("b", { text: title }), make("span", { text: facts })),
      make("div", { class: "sl-tools" }, field("Opacity", opacity), outline, ...more, undo, redo, copyMenu)),
    /** @param {boolean} canUndo @param {boolean} canRedo */
    setHistory(canUndo, canRedo) {
      undo.disabled = !canUndo;
      redo.disabled = !canRedo;
    },
  };
}
