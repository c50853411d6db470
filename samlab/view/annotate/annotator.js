// The annotator: pictures one after the other, masks by clicks or as questions, classes by keys.

import { createPrompting } from "../prompter/prompting.js";
import { openPalette } from "../widget/colours.js";
import { make } from "../widget/dom.js";
import { createBanner, createRoot } from "../widget/frame.js";
import { listen } from "../widget/model.js";
import { followTheme } from "../widget/theme.js";
import { createAnnotatorActions } from "./actions.js";
import { createClassList } from "./page/classes.js";
import { createHead } from "./page/head.js";
import { keyList, listenToAnnotatorKeys } from "./page/keys.js";
import { createMaskList } from "./page/masks.js";
import { createPicture } from "./page/picture.js";
import { createQuestion } from "./page/question.js";
import { createQueueList } from "./page/queue.js";
import { AnnotatorState } from "./state.js";

/** @import { Prompting } from "../prompter/prompting.js" */
/** @import { Banner, Palette, WidgetContext } from "../widget/types.d.ts" */
/** @import { AnnotatorActions } from "./types.d.ts" */

/** @param {WidgetContext} context */
export function renderAnnotator({ model, el }) {
  const state = new AnnotatorState(model);
  const palette = openPalette(model.get("payload"));
  const root = createRoot("sl-annotator");
  root.classList.toggle("sl-static", state.isStatic);
  const banner = createBanner(root);
  const picture = createPicture(state, palette);
  const prompting = createPrompting({ scene: picture.scene, canvas: picture.canvas,
    send: (message) => model.send(message),
    ready: () => ["ready", "failed"].includes(state.get("status")),
    showError: banner.show, hideError: banner.hide, changed: () => page.show(),
    key: () => "W: next" });
  const actions = createAnnotatorActions(state, prompting, { show: () => page.show(),
    hideError: banner.hide, toggleHelp: () => page.toggleHelp() });
  const page = createAnnotatorPage(root, state, palette, picture, prompting, actions);
  el.replaceChildren(root);
  listenToAnnotatorKeys(root, actions, () => prompting.state.proposals.length > 0 ||
    state.question(prompting.state.begun) !== null);

  function openPicture() {
    state.openPicture();
    page.keepFocus(() => picture.open(prompting, actions));
    prompting.clear(); // shows all
  }
  const unlisten = listenToKernel(state, prompting, banner, {
    openPicture, updateMasks: picture.update, show: page.show });
  openPicture();
  const unfollow = followTheme(root, () => picture.canvas()?.redraw());
  return () => {
    unlisten();
    unfollow();
    picture.canvas()?.destroy();
  };
}

/**
 * The page's parts put together.
 * @param {HTMLElement} root
 * @param {AnnotatorState} state
 * @param {Palette} palette
 * @param {ReturnType<typeof createPicture>} picture
 * @param {Prompting} prompting
 * @param {AnnotatorActions} actions
 */
function createAnnotatorPage(root, state, palette, picture, prompting, actions) {
  const head = createHead(state, actions);
  const question = createQuestion(state, prompting, actions);
  const classes = createClassList(state, palette, actions);
  const masks = createMaskList(state, palette, actions, picture.canvas);
  const queue = createQueueList(state, actions);
  const keys = keyList();
  root.append(...head.elements, make("div", { class: "sl-grid-layout sl-wide-left" }, picture.panel,
    make("section", { class: "sl-panel sl-side" }, ...question.elements, ...classes.elements,
      ...masks.elements)), queue.element, keys);
  head.help.setAttribute("aria-pressed", "true");
  /**
   * What is built anew takes the keyboard's focus with it; give it back to the picture, or the next
   * key would be the notebook's.
   * @param {() => void} paint
   */
  function keepFocus(paint) {
    const inside = () =>
      root.contains(/** @type {Document | ShadowRoot} */ (root.getRootNode()).activeElement);
    const before = inside();
    paint();
    if (before && !inside()) picture.canvas()?.stage.focus({ preventScroll: true });
  }
  return {
    keepFocus,
    show() {
      keepFocus(() => {
        const asked = state.question(prompting.state.begun);
        root.classList.toggle("sl-waiting", prompting.state.busy);
        head.show(prompting.state);
        question.show(asked);
        classes.show();
        masks.show(asked);
        queue.show();
      });
    },
    toggleHelp() {
      keys.hidden = !keys.hidden;
      head.help.setAttribute("aria-pressed", String(!keys.hidden));
    },
  };
}

/**
 * @param {AnnotatorState} state
 * @param {Prompting} prompting
 * @param {Banner} banner
 * @param {{ openPicture(): void, updateMasks(): void, show(): void }} page
 */
function listenToKernel(state, prompting, banner, page) {
  // Several values change at a time; the page is painted once for all of them.
  let waiting = false;
  const soon = () => {
    if (!waiting) queueMicrotask(() => {
      waiting = false;
      page.show();
    });
    waiting = true;
  };
  return listen(state.model, {
    "change:picture": page.openPicture, "change:classes": soon, "change:queue": soon,
    "change:questions": soon, "change:can": soon, "change:note": soon, "change:running": soon,
    "change:masks": () => {
      if (!state.updateMasks()) return;
      page.updateMasks();
      soon();
    },
    "change:status": () => {
      if (state.get("status") === "failed") banner.show(state.get("note"));
      soon();
    },
    "change:answer": () => prompting.receive(state.get("answer")),
    "msg:custom": (message) => {
      if (message.kind !== "error") return;
      prompting.fail();
      banner.show(message.text);
    },
  });
}
