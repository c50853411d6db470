// The entry: which widget to draw, for a notebook (anywidget) and for a written file.

import { renderAnnotator } from "./annotate/annotator.js";
import { renderCanvas } from "./canvas/widget.js";
import { renderExplorer } from "./explorer/explorer.js";
import { renderProbe } from "./probe/probe.js";
import { renderPrompter } from "./prompter/prompter.js";
import { make } from "./widget/dom.js";
import { hideStandIn } from "./widget/frame.js";
import { staticModel, unpack } from "./widget/model.js";

/** @import { WidgetContext } from "./widget/types.d.ts" */

/** @type {Record<string, (context: WidgetContext) => () => void>} */
const WIDGETS = {
  canvas: renderCanvas,
  explorer: renderExplorer,
  probe: renderProbe,
  prompter: renderPrompter,
  annotator: renderAnnotator,
};

/**
 * @param {WidgetContext} context
 * @returns {() => void} Takes the widget down.
 */
export function render({ model, el }) {
  try {
    hideStandIn(model.get("stand_in"));
    return WIDGETS[model.get("kind")]({ model, el });
  } catch (error) {
    const text = `samlab could not draw this: ${error instanceof Error ? error.message : error}`;
    el.replaceChildren(make("div", { class: "samlab" },
      make("div", { class: "sl-banner" }, make("span", { text }))));
    throw error;
  }
}

/**
 * @param {HTMLElement} el
 * @param {HTMLElement} data Holds the values as JSON.
 */
export function mountStatic(el, data) {
  render({ model: staticModel(unpack(JSON.parse(data.textContent ?? ""))), el });
}
