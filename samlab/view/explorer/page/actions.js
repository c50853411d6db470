// What a person does in the explorer: the state changes, the page shows it, the kernel is told.
//
// The kernel is told afterwards; nothing waits for it.

import { nearestStep, withFill } from "../sweep.js";

/** @import { Model } from "../../widget/types.d.ts" */
/** @import { ClusterSettings, ExplorerPage } from "../types.d.ts" */
/** @import { ExplorerState } from "../state.js" */
/** @typedef {ReturnType<typeof createActions>} ExplorerActions */

/**
 * @param {Model} model
 * @param {ExplorerState} state
 * @param {(text: string) => void} say
 * @param {() => ExplorerPage} page
 */
export function createActions(model, state, say, page) {
  const live = !model.isStatic;
  function commit() {
    state.sliding = false;
    model.set("state", state.packed());
    model.save_changes();
  }
  /** @param {() => void} change */
  function act(change) {
    page().closeSplit();
    change();
    page().show();
    commit();
  }
  /** @param {() => boolean} change */
  function travel(change) {
    page().closeSplit();
    if (!change()) return;
    page().showAll();
    commit();
    if (live) model.send({ kind: "settings", settings: state.sweep.settings });
  }
  /** @param {() => void} change */
  function select(change) {
    change();
    page().showSelection();
    model.set("selected", [...state.selected].sort((a, b) => a - b));
    model.save_changes();
  }
  /** @param {number} step */
  function slide(step) {
    if (!state.slide(step)) return;
    page().closeSplit();
    page().show();
  }
  return {
    say, commit, slide,
    /** @param {number} step Of the class ladder. */
    choose(step) {
      state.sliding = false;
      slide(step);
      commit();
    }, changed: () => page().show(),
    undo: () => travel(() => state.undo()),
    redo: () => travel(() => state.redo()),
    cancel: () => travel(() => state.cancel()),
    /** @param {number[]} labels */
    edit: (labels) => act(() => state.edit(labels)),
    /** @param {boolean} fill */
    fill: (fill) => act(() => state.change(withFill(state, fill))),
    letGo: () => act(() => state.letGo()),
    selectPinned: () => select(() => state.select([...state.now.pins.keys()], false)),
    /** @param {number} label @param {string} text */
    rename: (label, text) => act(() => state.rename(label, text)),
    /** @param {number} label @param {boolean} hide */
    hide: (label, hide) => act(() => state.hide(label, hide)),
    /** @param {number[]} ids @param {boolean} add */
    select: (ids, add) => select(() => state.select(ids, add)),
    /** @param {number} label @param {boolean} add */
    pick: (label, add) => select(() => state.pick(label, add)),
    /** @param {number} value Of eps. */
    typed(value) {
      if (live) return model.send({ kind: "value", value });
      slide(nearestStep(state.sweep.values, value));
      commit();
    },
    /** @param {ClusterSettings} settings */
    recluster(settings) {
      page().setBusy(true);
      model.send({ kind: "recluster", settings });
    },
  };
}
