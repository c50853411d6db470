// The entry: which widget to draw, for a notebook (anywidget) and for a written file.

const WIDGETS = {
  canvas: (context) => renderCanvas(context),
  explorer: (context) => renderExplorer(context),
  probe: (context) => renderProbe(context),
  prompter: (context) => renderPrompter(context),
  annotator: (context) => renderAnnotator(context),
};

function render({ model, el }) {
  try {
    return WIDGETS[model.get("kind")]({ model, el });
  } catch (error) {
    el.replaceChildren(make("div", { class: "samlab" }, make("div", { class: "sl-banner" },
      make("span", { text: `samlab could not draw this: ${error.message}` }))));
    throw error;
  }
}

// A written file has no kernel: the same interface over plain values.
function staticModel(values) {
  const listeners = new Map();
  return {
    isStatic: true,
    get: (key) => values[key],
    set: (key, value) => {
      values[key] = value;
      for (const listener of listeners.get(`change:${key}`) ?? []) listener();
    },
    save_changes: () => {},
    send: () => {},
    on: (name, listener) => listeners.set(name, [...(listeners.get(name) ?? []), listener]),
    off: (name, listener) =>
      listeners.set(name, (listeners.get(name) ?? []).filter((other) => other !== listener)),
  };
}

// The inverse of `pack` in html.py.
function unpack(value) {
  if (Array.isArray(value)) return value.map(unpack);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.$bytes === "string") {
    return new DataView(Uint8Array.from(atob(value.$bytes), (c) => c.charCodeAt(0)).buffer);
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
}

function mountStatic(el, data) {
  render({ model: staticModel(unpack(JSON.parse(data.textContent))), el });
}
