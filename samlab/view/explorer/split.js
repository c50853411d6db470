// Splitting classes: what the sweep says at a smaller eps, among the members of the classes only.
//
// DBSCAN's classes at a smaller eps lie inside those at a larger one, so the rows of the sweep that
// are there already are the clustering of a class on its own, and no kernel is needed.

// hooks: sweep(), now(), classes() -> labels to split, name(label), say(text), begin(labels) and
// preview(labels) -> show them, done() -> tell the kernel, cancel() -> back to before begin
function createSplitting(host, hooks) {
  let base = null; // labels before
  let classes = [];
  const title = make("b");
  const told = make("span", { class: "sl-summary", role: "status" });
  const slider = make("input", { type: "range", min: "0", step: "1", class: "sl-slider",
    "aria-label": "eps of the split", oninput: () => show(), onchange: () => hooks.done() });
  const done = make("button", { type: "button", class: "sl-button sl-primary", text: "Done",
    onclick: () => close() });
  const cancel = make("button", { type: "button", class: "sl-button", text: "Cancel",
    onclick: () => hooks.cancel() });
  const element = make("div", { class: "sl-split", role: "group", "aria-label": "Split",
    hidden: true, onkeydown: (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      hooks.cancel();
    } }, make("div", { class: "sl-tools" }, title, told), slider,
  make("div", { class: "sl-tools" }, done, cancel));
  host.append(element);

  const labelsAt = (step) => splitAlong(base, classes, sweepLabels(hooks.sweep(), step));
  function show(begin = false) {
    const sweep = hooks.sweep();
    const step = Number(slider.value);
    const labels = labelsAt(step);
    if (begin) hooks.begin(labels);
    else hooks.preview(labels);
    const members = base.map((_, i) => i).filter((i) => classes.includes(base[i]));
    const parts = new Set(members.map((i) => labels[i]).filter((label) => label >= 0));
    const noise = members.filter((i) => labels[i] < 0).length;
    told.textContent = `eps ${shortNumber(sweep.values[step])}: ${parts.size} ` +
      `${parts.size === 1 ? "class" : "classes"}, ${noise} noise`;
    slider.setAttribute("aria-valuetext", told.textContent);
  }
  function close() {
    base = null;
    element.hidden = true;
  }

  return {
    close,
    begin() {
      close();
      const sweep = hooks.sweep();
      const { labels, step } = hooks.now();
      const from = step < 0 ? sweep.values.length - 1 : step;
      const chosen = hooks.classes();
      const start = splitStep(labels, chosen, sweep, from);
      const text = chosen.length === 1 ? hooks.name(chosen[0]) : `${chosen.length} classes`;
      if (start < 0) {
        hooks.say(`No smaller eps on the slider parts ${text} in two. Select segments and press ` +
          '"New class" to take them out by hand.');
        return;
      }
      title.textContent = `Split ${text}`;
      slider.max = String(sweep.values.length - 1);
      slider.value = String(start);
      [base, classes] = [labels, chosen];
      element.hidden = false;
      show(true);
      hooks.done();
      slider.focus();
    },
  };
}
