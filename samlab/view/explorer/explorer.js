// The explorer: picture, map, k-distance curve, slider and class table over one state.

import { targetOf } from "../widget/dom.js";
import { createBanner, createRoot } from "../widget/frame.js";
import { listen } from "../widget/model.js";
import { followTheme } from "../widget/theme.js";
import { createActions } from "./page/actions.js";
import { createPage } from "./page/page.js";
import { ExplorerState } from "./state.js";
import { readSweep } from "./sweep.js";

/** @import { WidgetContext } from "../widget/types.d.ts" */
/** @import { ExplorerPage } from "./types.d.ts" */

/** @param {WidgetContext} context */
export function renderExplorer({ model, el }) {
  const state = new ExplorerState(model.get("state"), readSweep(model.get("sweep")),
    model.get("selected"));
  const root = createRoot("sl-explorer");
  const banner = createBanner(root);
  const actions = createActions(model, state, banner.show, () => page);
  /** @type {ExplorerPage} */
  const page = createPage(root, model, state, actions);
  el.replaceChildren(root);
  root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    if (targetOf(event).matches("input[type=text], input[type=number]")) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.shiftKey) actions.redo();
    else actions.undo();
  });
  const unlisten = listen(model, {
    "change:projection": () => page.showProjection(model.get("projection")),
    "change:selected": () => {
      state.selected = new Set(model.get("selected"));
      page.showSelection();
    },
    "change:state": () => {
      const packed = model.get("state");
      if (JSON.stringify(packed) === JSON.stringify(state.packed())) return;
      page.closeSplit();
      state.receive(packed, readSweep(model.get("sweep")));
      page.setBusy(false);
      banner.hide();
      page.showAll();
    },
    "msg:custom": (message) => {
      page.setBusy(false);
      if (message.kind !== "error") return;
      banner.show(message.text);
      page.reset();
    },
  });
  page.showAll();
  const unfollow = followTheme(root, page.redraw);
  return () => {
    unlisten();
    unfollow();
    page.destroy();
  };
}
