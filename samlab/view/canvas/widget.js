// The canvas as a widget: the picture with its segments, coloured by class, to look at and select in.

import { openPalette } from "../widget/colours.js";
import { createRoot, picturePanel } from "../widget/frame.js";
import { listen } from "../widget/model.js";
import { openScene, toggled } from "../widget/scene.js";
import { className, segmentFacts } from "../widget/text.js";
import { followTheme } from "../widget/theme.js";
import { createCanvas } from "./canvas.js";

/** @import { ClassNames, WidgetContext } from "../widget/types.d.ts" */

/** @param {WidgetContext} context */
export function renderCanvas({ model, el }) {
  const payload = model.get("payload");
  const scene = openScene(payload.scene);
  const palette = openPalette(payload);
  /** @type {number[]} */
  let labels = model.get("labels");
  /** @type {ClassNames} */
  let names = model.get("names");
  /** @type {Set<number>} */
  let selected = new Set(model.get("selected"));
  const root = createRoot("sl-single");
  const panel = picturePanel(scene);
  root.append(panel);
  el.replaceChildren(root);
  const canvas = createCanvas(panel, scene, {
    colour: (id) => palette.css(labels[id]),
    tip: (id, stack) => segmentFacts(scene, id, className(names, labels[id]), stack),
    select: (ids, add) => {
      selected = toggled(selected, ids, add);
      canvas.setSelected(selected);
      model.set("selected", [...selected].sort((a, b) => a - b));
      model.save_changes();
    },
  });
  const update = () => {
    labels = model.get("labels");
    names = model.get("names");
    selected = new Set(model.get("selected"));
    canvas.setColours(labels.map(palette.rgb), labels.map((label) => label < 0));
    canvas.setSelected(selected);
  };
  const unlisten = listen(model, { "change:labels": update, "change:names": update,
    "change:selected": update });
  update();
  const unfollow = followTheme(root, canvas.redraw);
  return () => {
    unlisten();
    unfollow();
    canvas.destroy();
  };
}
