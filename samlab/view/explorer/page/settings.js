// The explorer's settings: to choose, and to copy as code.

import { button, choice, field, make } from "../../widget/dom.js";

/** @import { ClusterSettings, ExplorerPayload } from "../types.d.ts" */

const LABELS = { method: "Method", embedding: "Vectors", pooling: "Pooling", metric: "Metric" };

/**
 * Method, vectors, pooling, metric, min_samples; a change asks the kernel for a new sweep.
 * @param {HTMLElement} host
 * @param {Pick<ExplorerPayload, "choices" | "poolable">} payload
 * @param {boolean} live Whether there is a kernel.
 * @param {(settings: ClusterSettings) => void} onchange
 */
export function createSettings(host, { choices, poolable }, live, onchange) {
  const bar = make("div", { class: "sl-settings" });
  /** @type {ClusterSettings} */
  let current = { embedding: "", min_samples: 1 };
  /** @type {Record<string, HTMLSelectElement | HTMLInputElement>} */
  const controls = {};
  /** @param {string} key @param {string | number} value */
  const update = (key, value) => onchange({ ...current, [key]: value });
  for (const [key, label] of Object.entries(LABELS)) {
    if (!choices[key]?.length) continue;
    controls[key] = choice(choices[key], choices[key][0][0], (value) => update(key, value));
    bar.append(field(label, controls[key]));
  }
  controls.min_samples = make("input", { type: "number", min: "1", step: "1", class: "sl-number",
    onkeydown: (event) => event.stopPropagation(),
    onchange: () => update("min_samples", Number(controls.min_samples.value)) });
  bar.append(field("Min samples", controls.min_samples));
  host.append(bar);
  for (const control of Object.values(controls)) {
    control.disabled = !live;
    if (!live) control.title = "Fixed in this file. In a notebook the kernel computes it anew.";
  }
  return {
    /** @param {ClusterSettings} settings */
    set(settings) {
      current = settings;
      for (const [key, control] of Object.entries(controls)) control.value = String(settings[key]);
      if (live) controls.min_samples.disabled = settings.method === "ward";
      if (live && controls.pooling) controls.pooling.disabled = settings.embedding !== poolable;
    },
  };
}

/** @param {string | number | boolean} value */
function pythonOf(value) {
  if (typeof value === "boolean") return value ? "True" : "False";
  return JSON.stringify(value);
}

/**
 * The text that reproduces the settings: {eps}-like fields of the template filled in.
 * @param {string} template
 * @param {Record<string, string | number | boolean>} settings
 */
export function fillTemplate(template, settings) {
  return template.replace(/\{(\w+)\}/g, (all, key) =>
    key in settings ? pythonOf(settings[key]) : all,
  );
}

/**
 * Copy the settings as code or as papermill parameters; the text is shown too, since a page may
 * not be allowed to write to the clipboard.
 * @param {Pick<ExplorerPayload, "templates" | "prefixes">} payload
 * @param {() => ClusterSettings} settings
 * @param {() => string} edits Python that makes them again; "" where there are none.
 */
export function createCopyMenu({ templates, prefixes }, settings, edits) {
  const text = make("textarea", { readOnly: true, rows: 8, spellcheck: false,
    "aria-label": "Copied text" });
  const note = make("div", { class: "sl-more" });
  /** @param {string} label */
  const copy = async (label) => {
    const now = settings();
    const python = label === "Python";
    const before = python ? prefixes[now.embedding] ?? "" : "";
    text.value = fillTemplate(before + templates[label], now) + (python ? edits() : "");
    text.select();
    note.textContent = ((await copied(text.value)) ? "Copied." : "Press Ctrl+C to copy.") +
      (!python && edits() ? " Edits and names by hand are in the Python lines only." : "");
  };
  const labels = Object.keys(templates);
  const menu = make("div", { class: "sl-menu", hidden: true }, make("div", { class: "sl-tools" },
    ...labels.map((label) => button(label, { onclick: () => copy(label) }))), text, note);
  const opener = button("Copy settings", { "aria-expanded": "false", onclick: () => {
    menu.hidden = !menu.hidden;
    opener.setAttribute("aria-expanded", String(!menu.hidden));
    if (!menu.hidden) copy(labels[0]);
  } });
  return make("div", { class: "sl-anchor" }, opener, menu);
}

/**
 * @param {string} text Which is selected in the page.
 * @returns {Promise<boolean>} Whether it is in the clipboard now.
 */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return document.execCommand("copy");
  }
}
