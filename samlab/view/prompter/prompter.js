// The prompter: points and boxes to three masks, one of which is kept.

import { createCanvas } from "../canvas/canvas.js";
import { cssOf } from "../widget/colours.js";
import { targetOf } from "../widget/dom.js";
import { createBanner, createRoot } from "../widget/frame.js";
import { listen } from "../widget/model.js";
import { sceneWith } from "../widget/scene.js";
import { segmentFacts } from "../widget/text.js";
import { followTheme } from "../widget/theme.js";
import { keptColours, keptRows } from "./kept.js";
import { createPrompterLayout } from "./layout.js";
import { createPrompting } from "./prompting.js";

/** @import { CanvasHooks } from "../canvas/types.d.ts" */
/** @import { Model, WidgetContext } from "../widget/types.d.ts" */
/** @import { Prompting } from "./prompting.js" */
/** @import { KeptMask, PrompterPayload } from "./types.d.ts" */

/** @param {WidgetContext} context */
export function renderPrompter({ model, el }) {
  /** @type {PrompterPayload} */
  const payload = model.get("payload");
  /** @type {KeptMask[]} */
  let kept = model.get("kept");
  let scene = sceneWith(payload.scene, kept);
  let colours = keptColours(kept, payload.palette);
  const readOnly = Boolean(model.isStatic);
  const root = createRoot("sl-prompter");
  root.classList.toggle("sl-static", readOnly);
  const banner = createBanner(root);
  const prompting = createPrompting({ scene: () => scene, canvas: () => canvas,
    send: (message) => model.send(message), ready: () => model.get("status") !== "encoding",
    showError: banner.show, hideError: banner.hide, changed: show, key: (i) => `key ${i + 1}` });
  const page = createPrompterLayout(root, payload, readOnly,
    { keep, undo: prompting.undo, clear: prompting.clear });
  el.replaceChildren(root);
  const canvas = createCanvas(page.panel, scene, {
    colour: (id) => cssOf(colours[id]),
    tip: (id) => (prompting.state.proposals.length || prompting.state.busy ? null :
      segmentFacts(scene, id, kept[id].name || `mask ${id}`, [id])),
    ...markingHooks(prompting, () => !readOnly, () => !readOnly && !page.moving()),
  });
  canvas.setStyle({ extra: prompting.draw });

  function keep() {
    const { proposals, busy, choice } = prompting.state;
    if (!proposals.length || busy) return;
    model.send({ kind: "keep", choice, name: page.name.value });
    prompting.clear();
  }
  function show() {
    canvas.redraw();
    page.show(prompting, model.get("status"));
  }
  function showKept() {
    kept = model.get("kept");
    scene = sceneWith(payload.scene, kept);
    colours = keptColours(kept, payload.palette);
    canvas.setScene(scene);
    canvas.setColours(colours);
    page.showKept(keptRows(kept, colours, readOnly, canvas, (message) => model.send(message)));
    show();
  }
  if (!readOnly) listenToPrompterKeys(root, prompting, keep);
  const unlisten = listen(model, { ...kernelListeners(model, prompting, banner.show, show),
    "change:kept": showKept });
  showKept();
  const unfollow = followTheme(root, canvas.redraw);
  return () => {
    unlisten();
    unfollow();
    canvas.destroy();
  };
}

/**
 * Clicks and boxes that prompt.
 * @param {Prompting} prompting
 * @param {() => boolean} marks Whether clicks mark.
 * @param {() => boolean} dragBox Whether drags draw a box.
 * @returns {Pick<CanvasHooks, "click" | "marks" | "dragBox" | "box">}
 */
function markingHooks(prompting, marks, dragBox) {
  return {
    marks, dragBox,
    click: (x, y, event) => {
      if (marks()) prompting.point(x, y, event.shiftKey ? 0 : 1);
      return true;
    },
    box: (box) => {
      if (marks()) prompting.box(box);
      return true;
    },
  };
}

/**
 * @param {HTMLElement} root
 * @param {Prompting} prompting
 * @param {() => void} keep
 */
function listenToPrompterKeys(root, prompting, keep) {
  /** @type {Record<string, () => void>} */
  const actions = { 1: () => prompting.choose(0), 2: () => prompting.choose(1),
    3: () => prompting.choose(2), Enter: keep, Escape: prompting.clear };
  root.addEventListener("keydown", (event) => {
    if (targetOf(event).matches("input")) return;
    const undoing = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    const action = undoing ? prompting.undo : actions[event.key];
    if (!action || (event.key === "Enter" && targetOf(event).matches("button"))) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }, true);
}

/**
 * @param {Model} model
 * @param {Prompting} prompting
 * @param {(text: string) => void} showError
 * @param {() => void} show
 */
function kernelListeners(model, prompting, showError, show) {
  return {
    "change:answer": () => prompting.receive(model.get("answer")),
    "change:status": () => {
      if (model.get("status") === "failed") {
        showError(model.get("answer").text ?? "Encoding failed.");
      }
      show();
    },
    "msg:custom": (/** @type {any} */ message) => {
      if (message.kind !== "error") return;
      prompting.fail();
      showError(message.text);
    },
  };
}
