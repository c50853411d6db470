// The prompter's page: tools, picture, the masks to choose from, what was kept.

import { button, iconButton, make } from "../widget/dom.js";
import { panelHead, picturePanel, textField } from "../widget/frame.js";

/** @import { Prompting } from "./prompting.js" */
/** @import { PrompterPayload } from "./types.d.ts" */

/** @type {[string, string][]} */
const KEYS = [["1 2 3", "choose a mask"], ["Enter", "keep it"], ["Esc", "clear"], ["Ctrl Z", "undo"],
  ["Arrows Space", "mark without a mouse"], ["Shift Space", "mark what is not part of it"],
  ["+ - 0", "zoom"]];

/**
 * @param {HTMLElement} root
 * @param {PrompterPayload} payload
 * @param {boolean} readOnly A written file: nothing can be marked.
 * @param {{ keep(): void, undo(): void, clear(): void }} hooks
 */
export function createPrompterLayout(root, payload, readOnly, hooks) {
  const status = make("span", { class: "sl-status", role: "status" });
  const undo = iconButton("undo", "Take the last point or box back (Ctrl+Z)", hooks.undo);
  const clear = button("Clear", { title: "Begin anew (Escape)", onclick: hooks.clear });
  const move = button("Move", { "aria-pressed": "false",
    title: "Drag moves the picture instead of drawing a box",
    onclick: () => move.setAttribute("aria-pressed", String(!moving())) });
  const moving = () => move.getAttribute("aria-pressed") === "true";
  const panel = picturePanel(payload.scene);
  const name = textField({ class: "sl-text", placeholder: "class (optional)",
    "aria-label": "Class of the kept mask" }, (event) => event.key === "Enter" && hooks.keep());
  const keep = button("Keep", { class: "sl-primary", title: "Keep the chosen mask (Enter)",
    onclick: hooks.keep });
  const hint = make("p", { class: "sl-hint", text: "Click what you want. Shift and click marks " +
    "what does not belong to it. Drag for a box." });
  const keys = make("div", { class: "sl-keys" }, ...KEYS.map(([key, text]) =>
    make("span", {}, ...key.split(" ").map((one) => make("kbd", { text: one })), text)));
  const cards = make("div", { class: "sl-cards", role: "radiogroup", "aria-label": "Masks" });
  const list = make("div", { class: "sl-rows", role: "list" });
  const count = make("span", { class: "sl-summary" });
  root.append(make("header", { class: "sl-head" },
    make("div", { class: "sl-title" }, make("b", { text: payload.title || "Prompt" }), status),
    make("div", { class: "sl-tools" }, move, undo, clear)));
  if (readOnly) {
    root.append(make("div", { class: "sl-note",
      text: "What was kept; marking things needs a running notebook." }));
  }
  root.append(make("div", { class: "sl-grid-layout sl-wide-left" }, panel,
    make("section", { class: "sl-panel sl-side" },
      panelHead("", make("h3", { text: "Masks" })), make("div", { class: "sl-ask" }, hint, cards),
      make("div", { class: "sl-tools sl-keep" }, name, keep),
      panelHead("sl-ruled", make("h3", { text: "Kept" }), count), list)), keys);
  return {
    panel, name, moving,
    /** @param {Prompting} prompting @param {string} encoding The kernel's status. */
    show({ state, cards: makeCards }, encoding) {
      const any = state.proposals.length > 0;
      undo.disabled = !state.begun;
      clear.disabled = !state.begun && !any;
      keep.disabled = !any || state.busy;
      hint.hidden = any;
      root.classList.toggle("sl-waiting", state.busy);
      cards.replaceChildren(...makeCards());
      status.textContent = readOnly ? "" : encodingText(encoding, state.busy);
      status.classList.toggle("sl-working", !readOnly && (encoding === "encoding" || state.busy));
    },
    /** @param {HTMLElement[]} rows */
    showKept(rows) {
      count.textContent = rows.length === 1 ? "1 mask" : `${rows.length} masks`;
      list.replaceChildren(...rows);
    },
  };
}

/**
 * @param {string} encoding
 * @param {boolean} busy
 */
function encodingText(encoding, busy) {
  if (encoding === "encoding") return "encoding the picture…";
  if (encoding === "failed") return "could not encode the picture";
  return busy ? "…" : "ready";
}
