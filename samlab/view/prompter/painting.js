// A prompt and its masks, painted onto the picture and onto the cards.

import { fillPath, outlinePath } from "../canvas/paths.js";
import { contextOf } from "../widget/layer.js";

/** @import { Camera } from "../canvas/types.d.ts" */
/** @import { PromptState } from "./state.js" */
/** @import { PromptingHooks, PromptPoint, Proposal } from "./types.d.ts" */

/**
 * @param {PromptState} state
 * @param {PromptingHooks} hooks
 */
export function createPromptPainter(state, hooks) {
  /** @type {WeakMap<Proposal, { fill: Path2D, edge: Path2D }>} */
  const known = new WeakMap();
  /** @param {Proposal} proposal */
  function pathsOf(proposal) {
    const found = known.get(proposal);
    if (found) return found;
    const { height } = hooks.scene();
    const paths = { fill: fillPath(proposal.mask, height),
      edge: outlinePath(proposal.mask, height) };
    known.set(proposal, paths);
    return paths;
  }
  return {
    /**
     * @param {CanvasRenderingContext2D} context In pixels of the picture.
     * @param {Camera} camera
     */
    draw(context, camera) {
      const unit = 1 / camera.scale;
      const shown = state.proposals[state.choice];
      if (shown) {
        const { fill, edge } = pathsOf(shown);
        context.fillStyle = "rgba(30, 144, 255, .45)";
        context.fill(fill);
        context.lineWidth = 4 * unit;
        context.strokeStyle = "rgba(0, 0, 0, .5)";
        context.stroke(edge);
        context.lineWidth = 2 * unit;
        context.strokeStyle = "#fff";
        context.stroke(edge);
      }
      if (state.prompt.box) {
        const [x0, y0, x1, y1] = state.prompt.box;
        context.lineWidth = 2 * unit;
        context.strokeStyle = "#ffd54a";
        context.strokeRect(x0, y0, x1 - x0, y1 - y0);
      }
      for (const point of state.prompt.points) drawPoint(context, point, unit);
    },
    /**
     * A small picture with the mask on it.
     * @param {HTMLCanvasElement} thumb
     * @param {Proposal} proposal
     */
    drawThumb(thumb, proposal) {
      const { width, height } = hooks.scene();
      const context = contextOf(thumb);
      const scale = Math.min(thumb.width / width, thumb.height / height);
      context.translate((thumb.width - width * scale) / 2, (thumb.height - height * scale) / 2);
      context.scale(scale, scale);
      const picture = hooks.canvas()?.picture();
      if (picture) context.drawImage(picture, 0, 0, width, height);
      context.fillStyle = "rgba(0, 0, 0, .45)";
      context.fillRect(0, 0, width, height);
      context.fillStyle = "#3aa0ff";
      context.fill(pathsOf(proposal).fill);
    },
  };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {PromptPoint} point
 * @param {number} unit A pixel of the screen, in pixels of the picture.
 */
function drawPoint(context, [x, y, kind], unit) {
  context.beginPath();
  context.arc(x, y, 6 * unit, 0, 7);
  context.fillStyle = kind ? "#1fa34a" : "#d7263d";
  context.fill();
  context.lineWidth = 2 * unit;
  context.strokeStyle = "#fff";
  context.stroke();
  context.beginPath();
  context.moveTo(x - 3 * unit, y);
  context.lineTo(x + 3 * unit, y);
  if (kind) {
    context.moveTo(x, y - 3 * unit);
    context.lineTo(x, y + 3 * unit);
  }
  context.stroke();
}
