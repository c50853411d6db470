// The explorer: picture, map, k-distance curve, slider and class table over one state.
//
// What came from the kernel stays in `payload` (scene, points) and `sweep` (labels for each step
// of the slider). Everything a person changes is in `now`, which is replaced, never edited, so
// that undo is a list of old ones. The kernel is told afterwards; nothing waits for it.

function readSweep(raw) {
  return { ...raw, table: numbers(raw.table, Int16Array),
    distances: numbers(raw.distances, Float32Array) };
}

function renderExplorer({ model, el }) {
  const payload = model.get("payload");
  const live = !model.isStatic;
  const scene = openScene(payload.scene);
  const palette = payload.palette.map(parseHex);
  const grey = parseHex(payload.noise);
  let sweep = readSweep(model.get("sweep"));
  let now = fromKernel(model.get("state"));
  let selected = new Set(model.get("selected"));
  let members = membersOf(now.labels);
  let names = namesFor(now.records, members);
  const past = [];
  const future = [];

  function fromKernel(state) {
    return { labels: Array.from(state.labels), step: state.step, value: state.value,
      records: state.records, hidden: new Set(state.hidden), edited: state.edited };
  }
  function toKernel() {
    const known = membersOf(now.labels);
    return { labels: now.labels, step: now.step, value: now.value, records: now.records,
      hidden: [...now.hidden], edited: now.edited, names: namesFor(now.records, known) };
  }

  // -- the page ------------------------------------------------------------------------------
  const root = makeRoot("sl-explorer");
  const banner = createBanner(root);
  const title = make("div", { class: "sl-title" }, make("b", { text: payload.title || "Segments" }),
    make("span", { text: `${scene.n} segments · ${scene.width} × ${scene.height}` }));
  const undoButton = iconButton("undo", "Undo (Ctrl+Z)", undo);
  const redoButton = iconButton("redo", "Redo (Ctrl+Shift+Z)", redo);
  const opacity = make("input", { type: "range", min: "0", max: "1", step: "0.05", value: "0.5",
    class: "sl-opacity", "aria-label": "Opacity of the colours",
    oninput: () => canvas.setStyle({ opacity: Number(opacity.value) }) });
  const outline = make("button", { type: "button", class: "sl-button", text: "Outlines",
    "aria-pressed": "false", title: "Draw outlines only",
    onclick: () => {
      const on = outline.getAttribute("aria-pressed") !== "true";
      outline.setAttribute("aria-pressed", String(on));
      canvas.setStyle({ outline: on });
    } });
  const copyBox = createCopyMenu(payload.templates, payload.prefixes, () => ({ ...sweep.settings,
    [sweep.parameter]: now.value ?? "auto" }));
  root.append(make("header", { class: "sl-head" }, title,
    make("div", { class: "sl-tools" }, field("Opacity", opacity), outline, undoButton, redoButton,
      copyBox)));
  const picturePanel = make("div", { class: "sl-panel sl-picture-panel" });
  picturePanel.style.setProperty("--sl-ratio", `${scene.width} / ${scene.height}`);
  const mapPanel = make("div", { class: "sl-panel sl-map-panel" });
  const tunePanel = make("section", { class: "sl-panel sl-tune" });
  const classPanel = make("section", { class: "sl-panel sl-classes" });
  root.append(make("div", { class: "sl-grid-layout" }, picturePanel, mapPanel, tunePanel,
    classPanel));
  el.replaceChildren(root);

  const canvas = createCanvas(picturePanel, scene, { select, hover: hoverSegment, tip: describe,
    colour: colourOf });
  const map = createMap(mapPanel, numbers(model.get("places").points, Float32Array), scene.areas, {
    select, hover: hoverSegment, colour: colourOf, tip: (id) => describe(id, [id]),
    names: () => Object.entries(names).filter(([label]) => members.has(Number(label)) &&
      !now.hidden.has(Number(label))).map(([label, text]) => [text, members.get(Number(label))]) });
  const caption = make("div", { class: "sl-caption", text: model.get("places").title });
  mapPanel.append(caption);

  const summary = make("span", { class: "sl-summary" });
  const number = make("input", { type: "number", class: "sl-number", step: "any", min: "0",
    onkeydown: (event) => event.stopPropagation(), onchange: typed });
  const numberLabel = make("span");
  const slider = make("input", { type: "range", min: "0", step: "1", class: "sl-slider",
    oninput: () => slide(Number(slider.value)), onchange: commit });
  const track = make("div", { class: "sl-track" });
  const spark = createSpark(track);
  track.append(slider);
  tunePanel.append(make("header", { class: "sl-panel-head" }, make("h3", { text: "Clusters" }),
    summary), make("div", { class: "sl-slider-row" },
    make("label", { class: "sl-field" }, numberLabel, number), track));
  const curve = createCurve(tunePanel, {
    drag: (eps) => slide(nearestStep(sweep.values, eps)), drop: commit });
  const settings = createSettings(tunePanel, payload, live, recluster);

  const actions = {
    merge: action("Merge", "Merge the classes of the selected segments into one",
      () => edit(mergeClasses(now.labels, [...selected]))),
    split: action("New class", "Take the selected segments out into a class of their own",
      () => edit(splitClass(now.labels, [...selected]))),
    part: action("Split", "Cluster the selected segments' classes again, with a smaller eps",
      () => splitting.begin()),
    noise: action("To noise", "The selected segments belong to no class",
      () => edit(toNoise(now.labels, [...selected]))),
  };
  function action(text, label, onclick) {
    return make("button", { type: "button", class: "sl-button", text, title: label, onclick });
  }
  const selection = make("span", { class: "sl-summary" });
  classPanel.append(make("header", { class: "sl-panel-head" }, make("h3", { text: "Classes" }),
    selection, make("div", { class: "sl-tools" }, actions.merge, actions.part, actions.split,
      actions.noise)));
  const splitting = createSplitting(classPanel, {
    sweep: () => sweep, now: () => now, name: (label) => className(names, label),
    classes: () => [...touched()].filter((label) => label >= 0), say: banner.show,
    begin: (labels) => change({ labels, edited: true }, { splitting: true }), done: tell,
    preview: (labels) => change({ labels, edited: true }, { remember: false, splitting: true }),
    cancel: () => travel(past, []) });
  const table = createTable(classPanel, { pick: pickClass, rename: renameClass, hide: hideClass,
    hover: () => {} });

  // -- state ---------------------------------------------------------------------------------
  function colourIndex(label) {
    return label < 0 ? grey : palette[label % palette.length];
  }
  function css(label) {
    const [r, g, b] = colourIndex(label);
    return `rgb(${r} ${g} ${b})`;
  }
  function colourOf(id) {
    return css(now.labels[id]);
  }
  function touched() {
    return new Set([...selected].map((id) => now.labels[id]));
  }
  function describe(id, stack) {
    return segmentFacts(scene, id, className(names, now.labels[id]), stack);
  }

  function change(next, { remember = true, splitting: here = false } = {}) {
    if (!here) splitting.close();
    if (remember) {
      past.push({ now, sweep });
      if (past.length > 100) past.shift();
      future.length = 0;
    }
    now = { ...now, ...next };
    refresh();
  }
  function edit(labels) {
    change({ labels, edited: true });
    tell();
  }
  function tell() {
    model.set("state", toKernel());
    model.save_changes();
  }
  let sliding = false;
  function slide(step) {
    if (step === now.step && !now.edited) return;
    // One undo step per movement of the slider, not per pixel.
    change({ labels: sweepLabels(sweep, step), step, value: sweep.values[step], edited: false },
      { remember: !sliding });
    sliding = true;
  }
  function commit() {
    sliding = false;
    tell();
  }
  function typed() {
    const value = Number(number.value);
    if (!(value > 0)) {
      banner.show(`Expected a number above 0, got "${number.value}".`);
      showValue();
      return;
    }
    if (live) return model.send({ kind: "value", value });
    slide(nearestStep(sweep.values, value));
    commit();
  }
  function recluster(chosen) {
    root.classList.add("sl-busy");
    model.send({ kind: "recluster", settings: chosen });
  }
  function travel(from, to) {
    splitting.close();
    if (from.length === 0) return;
    to.push({ now, sweep });
    ({ now, sweep } = from.pop());
    refreshSweep();
    refresh();
    tell();
    if (live) model.send({ kind: "settings", settings: sweep.settings });
  }
  function undo() {
    travel(past, future);
  }
  function redo() {
    travel(future, past);
  }
  function select(ids, add) {
    selected = toggled(selected, ids, add);
    showSelection();
    model.set("selected", [...selected].sort((a, b) => a - b));
    model.save_changes();
  }
  function pickClass(label, add) {
    const ids = members.get(label) ?? [];
    const same = !add && ids.length === selected.size && ids.every((id) => selected.has(id));
    select(same ? [] : ids, add);
  }
  function renameClass(label, text) {
    change({ records: rename(now.records, label, text, members.get(label) ?? []) });
    tell();
  }
  function hideClass(label, hide) {
    const hidden = new Set(now.hidden);
    if (hide) hidden.add(label);
    else hidden.delete(label);
    change({ hidden });
    tell();
  }
  function hoverSegment(id) {
    canvas.setHover(id);
    map.setHover(id);
  }

  // -- painting ------------------------------------------------------------------------------
  function showValue() {
    const given = now.value === null;
    number.value = given ? "" : shortNumber(now.value, 4);
    number.placeholder = given ? "none" : "";
    number.title = given ? "These classes were given, and no radius gives them. Type a number, or " +
      "move the slider, to cluster anew" : "";
  }
  function refresh() {
    members = membersOf(now.labels);
    names = namesFor(now.records, members);
    canvas.setVisible(now.labels.map((label) => !now.hidden.has(label)));
    canvas.setColours(now.labels.map(colourIndex), now.labels.map((label) => label < 0));
    map.setColours(now.labels.map(colourIndex), now.labels.map((label) => Number(label < 0)),
      now.labels.map((label) => now.hidden.has(label)));
    const noise = members.get(-1)?.length ?? 0;
    const classes = members.size - (noise > 0);
    const score = now.edited || now.step < 0 ? null : sweep.silhouette[now.step];
    summary.textContent = `${classes} ${classes === 1 ? "class" : "classes"} · ${noise} noise (` +
      `${percent(noise / Math.max(1, scene.n))})` +
      (score === null || score === undefined ? "" : ` · silhouette ${score.toFixed(2)}`) +
      (now.edited ? " · edited" : now.value === null && classes > 0 ? " · as given, by no eps" : "");
    if (document.activeElement !== number) showValue();
    slider.value = String(now.step < 0 ? sweep.start : now.step);
    slider.setAttribute("aria-valuetext", `${sweep.parameter} ${shortNumber(now.value)}`);
    curve.setEps(sweep.parameter === "eps" ? now.value : null);
    undoButton.disabled = past.length === 0;
    redoButton.disabled = future.length === 0;
    showSelection();
  }
  function showSelection() {
    canvas.setSelected(selected);
    map.setSelected(selected);
    const seen = canvas.seen();
    const [w, h] = scene.raster;
    const rows = [...members.entries()].map(([label, ids]) => ({
      label, name: className(names, label), colour: css(label), count: ids.length,
      share: ids.reduce((sum, id) => sum + seen[id], 0) / (w * h),
      hidden: now.hidden.has(label),
      selected: ids.filter((id) => selected.has(id)).length / ids.length,
    }));
    const widest = Math.max(1e-9, ...rows.map((row) => row.share));
    for (const row of rows) row.bar = row.share / widest;
    rows.sort((a, b) => (a.label < 0) - (b.label < 0) || b.count - a.count || a.label - b.label);
    table.set(rows);
    const classes = touched();
    selection.textContent = selected.size === 0 ? "" : `${selected.size} selected`;
    actions.merge.disabled = selected.size < 2 || classes.size < 2;
    actions.part.disabled = [...classes].every((label) => label < 0);
    actions.split.disabled = selected.size === 0;
    actions.noise.disabled = selected.size === 0;
  }
  function refreshSweep() {
    slider.max = String(Math.max(0, sweep.values.length - 1));
    slider.disabled = sweep.values.length < 2;
    numberLabel.textContent = sweep.parameter === "eps" ? "eps" : "min size";
    slider.setAttribute("aria-label", sweep.parameter);
    spark.set(sweep.classes, sweep.noise);
    const top = Math.max(1e-9, ...(sweep.parameter === "eps" ? sweep.values : sweep.distances));
    curve.set({ distances: sweep.distances, suggested: sweep.suggested, top: top * 1.08,
      k: sweep.settings.min_samples });
    settings.set(sweep.settings);
  }

  root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    if (event.target.matches("input[type=text], input[type=number]")) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.shiftKey) redo();
    else undo();
  });
  const onState = () => {
    const state = model.get("state");
    if (JSON.stringify(state) === JSON.stringify(toKernel())) return;
    splitting.close();
    past.push({ now, sweep });
    sweep = readSweep(model.get("sweep"));
    now = fromKernel(state);
    root.classList.remove("sl-busy");
    banner.hide();
    refreshSweep();
    refresh();
  };
  const onSelected = () => {
    selected = new Set(model.get("selected"));
    showSelection();
  };
  const onMessage = (message) => {
    root.classList.remove("sl-busy");
    if (message.kind !== "error") return;
    banner.show(message.text);
    settings.set(sweep.settings);
    showValue();
  };
  const onPlaces = () => {
    const places = model.get("places");
    caption.textContent = places.title;
    map.setPoints(numbers(places.points, Float32Array));
  };
  model.on("change:places", onPlaces);
  model.on("change:state", onState);
  model.on("change:selected", onSelected);
  model.on("msg:custom", onMessage);
  refreshSweep();
  refresh();
  const unfollow = followTheme(root, () => map.redraw());
  return () => {
    model.off("change:places", onPlaces);
    model.off("change:state", onState);
    model.off("change:selected", onSelected);
    model.off("msg:custom", onMessage);
    unfollow();
    for (const part of [canvas, map, curve]) part.destroy();
  };
}

// One line at the top for what went wrong; the widget keeps its last good state.
function createBanner(root) {
  const text = make("span");
  const element = make("div", { class: "sl-banner", role: "alert", hidden: true }, text,
    iconButton("close", "Dismiss", () => (element.hidden = true)));
  root.append(element);
  return {
    show: (message) => {
      text.textContent = message;
      element.hidden = false;
    },
    hide: () => (element.hidden = true),
  };
}
