// The class table: colour, name to edit, count, share of the picture, hide.

import { adds, icon, make, targetOf } from "../../widget/dom.js";
import { textField } from "../../widget/frame.js";
import { percent } from "../../widget/text.js";

/** @import { ClassRow } from "../types.d.ts" */

const MOST_ROWS = 200;

/**
 * @typedef {object} TableHooks
 * @property {(label: number, add: boolean) => void} pick
 * @property {(label: number, text: string) => void} rename
 * @property {(label: number, hidden: boolean) => void} hide
 */

/**
 * @param {HTMLElement} host
 * @param {TableHooks} hooks
 */
export function createTable(host, hooks) {
  const body = make("div", { class: "sl-rows", role: "list" });
  const more = make("div", { class: "sl-more", hidden: true });
  host.append(body, more);
  /** @type {ReturnType<typeof createRow>[]} */
  const rows = [];
  return {
    /** Begin to type the name of a class. @param {number} label */
    typeName(label) {
      rows.find((row) => row.label() === label)?.typeName();
    },
    /** @param {ClassRow[]} classes */
    set(classes) {
      const shown = classes.slice(0, MOST_ROWS);
      while (rows.length < shown.length) {
        rows.push(createRow(hooks));
        body.append(rows[rows.length - 1].element);
      }
      rows.forEach((row, i) => row.set(shown[i]));
      more.hidden = classes.length <= MOST_ROWS;
      more.textContent = `and ${classes.length - MOST_ROWS} smaller classes`;
    },
  };
}

/** @param {TableHooks} hooks */
function createRow(hooks) {
  /** @type {ClassRow | null} */
  let shown = null;
  const label = () => shown?.label ?? -1;
  // The row itself picks the class; for the keyboard there is the swatch.
  const swatch = make("button", { type: "button", class: "sl-swatch",
    onclick: (event) => hooks.pick(label(), adds(event)) });
  const name = textField({ class: "sl-name", spellcheck: false,
    onchange: () => hooks.rename(label(), name.value) }, (event) => {
    if (event.key === "Escape") name.value = shown?.name ?? "";
    if (event.key === "Escape" || event.key === "Enter") name.blur();
  });
  const bar = make("i");
  const count = make("span", { class: "sl-count" });
  const share = make("span", { class: "sl-share" });
  const hide = make("button", { type: "button", class: "sl-icon-button",
    onclick: () => hooks.hide(label(), !shown?.hidden) });
  const element = make("div", { class: "sl-row", role: "listitem",
    onclick: (event) => {
      if (!targetOf(event).closest("button, input")) hooks.pick(label(), adds(event));
    } }, swatch, name, count, make("span", { class: "sl-bar" }, bar), share, hide);
  return {
    element, label,
    typeName() {
      name.focus();
      name.select();
    },
    /** @param {ClassRow | undefined} next */
    set(next) {
      element.hidden = !next;
      if (!next) return;
      if (shown?.label !== next.label || shown.name !== next.name) {
        name.value = next.name;
        name.setAttribute("aria-label", `Name of ${next.name}`);
        swatch.setAttribute("aria-label", `Select ${next.name}`);
      }
      if (shown?.hidden !== next.hidden) setHidden(hide, next.hidden);
      swatch.setAttribute("aria-pressed", String(next.selected === 1));
      name.readOnly = next.label < 0;
      swatch.style.background = bar.style.background = next.colour;
      count.textContent = String(next.count);
      share.textContent = percent(next.share);
      bar.style.width = `${Math.min(100, 100 * next.bar)}%`;
      element.classList.toggle("sl-hidden", next.hidden);
      element.classList.toggle("sl-on", next.selected === 1);
      element.classList.toggle("sl-some", next.selected > 0 && next.selected < 1);
      shown = next;
    },
  };
}

/**
 * @param {HTMLButtonElement} hide
 * @param {boolean} hidden
 */
function setHidden(hide, hidden) {
  const label = hidden ? "Show this class again" : "Hide this class";
  hide.replaceChildren(icon(hidden ? "shut" : "eye"));
  hide.title = label;
  hide.setAttribute("aria-label", label);
}
