// The open picture: its canvas, and what a click, a box and a drag do there.

import { createCanvas } from "../../canvas/canvas.js";
import { fillPath } from "../../canvas/paths.js";
import { picturePanel, setRatio } from "../../widget/frame.js";
import { sceneWith } from "../../widget/scene.js";
import { segmentFacts } from "../../widget/text.js";

/** @import { Camera, Canvas, CanvasHooks } from "../../canvas/types.d.ts" */
/** @import { Prompting } from "../../prompter/prompting.js" */
/** @import { Palette, Scene } from "../../widget/types.d.ts" */
/** @import { AnnotatorState } from "../state.js" */
/** @import { AnnotatorActions } from "../types.d.ts" */

/** @param {AnnotatorState} state */
export function annotatorScene({ picture, masks }) {
  return sceneWith(picture.scene, masks);
}

/**
 * @param {AnnotatorState} state
 * @param {Palette} palette
 */
export function createPicture(state, palette) {
  const panel = picturePanel();
  /** @type {Canvas | null} */
  let canvas = null;
  let scene = annotatorScene(state);
  return {
    panel,
    canvas: () => canvas,
    scene: () => scene,
    /** Another picture is open. @param {Prompting} prompting @param {AnnotatorActions} actions */
    open(prompting, actions) {
      scene = annotatorScene(state);
      canvas?.destroy();
      panel.replaceChildren();
      setRatio(panel, scene);
      canvas = createCanvas(panel, scene, pictureHooks(state, prompting, actions, {
        colour: (i) => palette.css(state.masks[i].label),
        tip: (i) => (prompting.state.proposals.length || prompting.state.busy ? null :
          segmentFacts(scene, i, state.nameOf(state.masks[i].label), [i])),
      }));
      canvas.setStyle({ extra: (context, camera) => {
        prompting.draw(context, camera);
        drawQuestion(context, camera, state, scene, prompting.state.begun);
      } });
    },
    /** The picture's masks have changed. */
    update() {
      scene = annotatorScene(state);
      canvas?.setScene(scene);
    },
  };
}

/**
 * @param {AnnotatorState} state
 * @param {Prompting} prompting
 * @param {AnnotatorActions} actions
 * @param {CanvasHooks} hooks
 * @returns {CanvasHooks}
 */
function pictureHooks(state, prompting, actions, hooks) {
  const marks = () => state.mode === "mark";
  return {
    ...hooks, marks, dragBox: marks,
    click: (x, y, event) => {
      if (state.mode === "select" || event.altKey) return false;
      if (marks()) {
        state.selected = new Set();
        prompting.point(x, y, event.shiftKey ? 0 : 1);
      }
      return true;
    },
    box: (box) => {
      if (!marks()) return false;
      state.selected = new Set();
      prompting.box(box);
      return true;
    },
    select: (ids, add) => actions.select(ids.map((i) => state.masks[i].id), add),
  };
}

/**
 * What is asked about, with a frame that finds small masks too.
 * @param {CanvasRenderingContext2D} context In pixels of the picture.
 * @param {Camera} camera
 * @param {AnnotatorState} state
 * @param {Scene} scene
 * @param {boolean} prompting
 */
function drawQuestion(context, camera, state, scene, prompting) {
  const asked = state.question(prompting);
  if (!asked) return;
  const at = state.masks.indexOf(asked);
  const unit = 1 / camera.scale;
  const [x0, y0, x1, y1] = scene.boxes[at];
  context.fillStyle = "rgba(30, 144, 255, .45)";
  context.fill(fillPath(scene.masks[at], scene.height));
  context.setLineDash([6 * unit, 4 * unit]);
  context.lineWidth = 2 * unit;
  context.strokeStyle = "#ffd54a";
  context.strokeRect(x0 - 6 * unit, y0 - 6 * unit, x1 - x0 + 12 * unit, y1 - y0 + 12 * unit);
  context.setLineDash([]);
}
