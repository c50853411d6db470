// The list of classes: key, colour, name to edit, count; and the field for a new one.

import { button, make, targetOf } from "../../widget/dom.js";
import { panelHead, textField } from "../../widget/frame.js";

/** @import { Palette } from "../../widget/types.d.ts" */
/** @import { AnnotatorState } from "../state.js" */
/** @import { AnnotatorActions, AnnotatorClass } from "../types.d.ts" */

/**
 * @param {AnnotatorState} state
 * @param {Palette} palette
 * @param {AnnotatorActions} actions
 */
export function createClassList(state, palette, actions) {
  const list = make("div", { class: "sl-rows sl-class-rows", role: "list" });
  const add = () => {
    actions.addClass(name.value);
    if (name.value.trim()) name.value = "";
  };
  const name = textField({ class: "sl-text", placeholder: "new class", "aria-label": "New class" },
    (event) => event.key === "Enter" && add());
  return {
    elements: [panelHead("sl-ruled", make("h3", { text: "Classes" })), list,
      make("div", { class: "sl-tools sl-keep" }, name,
        button("Add", { title: "Add the class", onclick: add }))],
    show() {
      const classes = state.get("classes");
      state.checkActive();
      list.hidden = classes.length === 0;
      list.replaceChildren(...classes.map((one, label) =>
        annotatorClassRow(one, label, palette.css(label), state, actions)));
    },
  };
}

/**
 * @param {AnnotatorClass} one
 * @param {number} label
 * @param {string} colour
 * @param {AnnotatorState} state
 * @param {AnnotatorActions} actions
 */
function annotatorClassRow({ name, count }, label, colour, state, actions) {
  const on = label === state.active;
  const input = textField({ class: "sl-name", "aria-label": `Name of class ${label + 1}`,
    spellcheck: false, onchange: () => actions.send("rename", { label, name: input.value }) });
  input.value = name;
  input.readOnly = state.isStatic;
  const swatch = make("button", { type: "button", class: "sl-swatch", "aria-label": `Use ${name}`,
    "aria-pressed": String(on) });
  swatch.style.background = colour;
  return make("div", { class: `sl-row sl-class${on ? " sl-on" : ""}`, role: "listitem",
    onclick: (event) => {
      if (targetOf(event) !== input) actions.useClass(label);
    } },
  make("kbd", { text: label < 9 ? String(label + 1) : "" }), swatch, input,
  make("span", { class: "sl-count", text: String(count) }));
}
