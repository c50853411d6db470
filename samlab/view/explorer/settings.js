// The explorer's settings: to choose, and to copy as code.

// Method, vectors, pooling, metric, min_samples; a change asks the kernel for a new sweep.
function createSettings(host, { choices, poolable }, live, onchange) {
  const labels = { method: "Method", embedding: "Vectors", pooling: "Pooling", metric: "Metric" };
  const bar = make("div", { class: "sl-settings" });
  let current = {};
  const controls = {};
  const update = (key, value) => onchange({ ...current, [key]: value });
  for (const [key, label] of Object.entries(labels)) {
    if (!choices[key]?.length) continue;
    controls[key] = choice(choices[key], choices[key][0][0], (value) => update(key, value));
    bar.append(field(label, controls[key]));
  }
  controls.min_samples = make("input", { type: "number", min: "1", step: "1", class: "sl-number",
    onkeydown: (event) => event.stopPropagation(),
    onchange: () => update("min_samples", Number(controls.min_samples.value)) });
  bar.append(field("Min samples", controls.min_samples));
  host.append(bar);
  for (const control of Object.values(controls)) {
    control.disabled = !live;
    if (!live) control.title = "Fixed in this file. In a notebook the kernel computes it anew.";
  }
  return {
    set(settings) {
      current = settings;
      for (const [key, control] of Object.entries(controls)) control.value = String(settings[key]);
      if (live && controls.pooling) controls.pooling.disabled = settings.embedding !== poolable;
    },
  };
}

// Copy the settings as code or as papermill parameters; the text is shown too, since a page may
// not be allowed to write to the clipboard.
function createCopyMenu(templates, prefixes, settings) {
  const text = make("textarea", { readOnly: true, rows: 8, spellcheck: false,
    "aria-label": "Copied text" });
  const note = make("div", { class: "sl-more" });
  const panel = make("div", { class: "sl-menu", hidden: true });
  const copy = async (label) => {
    const now = settings();
    const before = label === "Python" ? prefixes[now.embedding] ?? "" : "";
    text.value = fillTemplate(before + templates[label], now);
    text.select();
    let done = false;
    try {
      await navigator.clipboard.writeText(text.value);
      done = true;
    } catch {
      done = document.execCommand("copy");
    }
    note.textContent = done ? "Copied." : "Press Ctrl+C to copy.";
  };
  panel.append(make("div", { class: "sl-tools" },
    ...Object.keys(templates).map((label) =>
      make("button", { type: "button", class: "sl-button", text: label,
        onclick: () => copy(label) }))), text, note);
  const button = make("button", { type: "button", class: "sl-button", text: "Copy settings",
    "aria-expanded": "false", onclick: () => {
      panel.hidden = !panel.hidden;
      button.setAttribute("aria-expanded", String(!panel.hidden));
      if (!panel.hidden) copy(Object.keys(templates)[0]);
    } });
  return make("div", { class: "sl-anchor" }, button, panel);
}
