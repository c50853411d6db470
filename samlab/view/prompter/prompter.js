// The prompter: points and boxes to three masks, one of which is kept.

function renderPrompter({ model, el }) {
  const payload = model.get("payload");
  const palette = payload.palette.map(parseHex);
  const sceneOf = (kept) => openScene({ ...payload.scene, counts: kept.map((k) => k.counts),
    areas: kept.map((k) => k.area), iou: kept.map((k) => k.iou),
    stability: kept.map((k) => k.stability) });
  let kept = model.get("kept");
  let scene = sceneOf(kept);

  const root = makeRoot("sl-prompter");
  root.classList.toggle("sl-static", Boolean(model.isStatic));
  const banner = createBanner(root);
  const status = make("span", { class: "sl-status", role: "status" });
  const prompting = createPrompting({ scene: () => scene, canvas: () => canvas,
    send: (message) => model.send(message), ready: () => model.get("status") !== "encoding",
    say: banner.show, hush: banner.hide, changed: show, key: (i) => `key ${i + 1}` });
  const undoButton = iconButton("undo", "Take the last point or box back (Ctrl+Z)", prompting.undo);
  const clearButton = make("button", { type: "button", class: "sl-button", text: "Clear",
    title: "Begin anew (Escape)", onclick: prompting.clear });
  const pan = make("button", { type: "button", class: "sl-button", text: "Move",
    "aria-pressed": "false", title: "Drag moves the picture instead of drawing a box",
    onclick: () => pan.setAttribute("aria-pressed", String(!moving())) });
  const moving = () => pan.getAttribute("aria-pressed") === "true";
  root.append(make("header", { class: "sl-head" },
    make("div", { class: "sl-title" }, make("b", { text: payload.title || "Prompt" }), status),
    make("div", { class: "sl-tools" }, pan, undoButton, clearButton)));
  if (model.isStatic) {
    root.append(make("div", { class: "sl-note",
      text: "What was kept; marking things needs a running notebook." }));
  }
  const picturePanel = make("div", { class: "sl-panel sl-picture-panel" });
  picturePanel.style.setProperty("--sl-ratio", `${payload.scene.width} / ${payload.scene.height}`);
  const side = make("section", { class: "sl-panel sl-side" });
  root.append(make("div", { class: "sl-grid-layout sl-wide-left" }, picturePanel, side));
  el.replaceChildren(root);

  const name = make("input", { type: "text", class: "sl-text", placeholder: "class (optional)",
    maxLength: 80, "aria-label": "Class of the kept mask", onkeydown: (event) => {
      event.stopPropagation();
      if (event.key === "Enter") keep();
    } });
  const keepButton = make("button", { type: "button", class: "sl-button sl-primary", text: "Keep",
    title: "Keep the chosen mask (Enter)", onclick: keep });
  const cards = make("div", { class: "sl-cards", role: "radiogroup", "aria-label": "Masks" });
  const hint = make("p", { class: "sl-hint", text: "Click what you want. Shift and click marks " +
    "what does not belong to it. Drag for a box." });
  const list = make("div", { class: "sl-rows", role: "list" });
  const keptTitle = make("span", { class: "sl-summary" });
  side.append(make("header", { class: "sl-panel-head" }, make("h3", { text: "Masks" })), hint,
    cards, make("div", { class: "sl-tools sl-keep" }, name, keepButton),
    make("header", { class: "sl-panel-head sl-ruled" }, make("h3", { text: "Kept" }), keptTitle),
    list);

  const canvas = createCanvas(picturePanel, scene, {
    colour: (id) => `rgb(${colourOf(id).join(" ")})`,
    tip: (id) => (prompting.proposals().length || prompting.busy() ? null :
      segmentFacts(scene, id, kept[id].name || `mask ${id}`, [id])),
    click: (x, y, event) => {
      if (model.isStatic) return true;
      prompting.point(x, y, event.shiftKey ? 0 : 1);
      return true;
    },
    marks: () => !model.isStatic,
    dragBox: () => !moving() && !model.isStatic,
    box: (box) => {
      prompting.box(box);
      return true;
    },
  });
  canvas.setStyle({ extra: prompting.draw });

  function colourOf(id) {
    const names = [...new Set(kept.map((k) => k.name).filter(Boolean))];
    const at = kept[id].name ? names.indexOf(kept[id].name) : names.length + id;
    return palette[at % palette.length];
  }
  function keep() {
    if (!prompting.proposals().length || prompting.busy()) return;
    model.send({ kind: "keep", choice: prompting.choice(), name: name.value });
    prompting.clear();
  }

  // -- painting ------------------------------------------------------------------------------
  function show() {
    const any = prompting.proposals().length > 0;
    const busy = prompting.busy();
    canvas.view.schedule();
    undoButton.disabled = !prompting.begun();
    clearButton.disabled = !prompting.begun() && !any;
    keepButton.disabled = !any || busy;
    hint.hidden = any;
    root.classList.toggle("sl-waiting", busy);
    cards.replaceChildren(...prompting.cards());
    const ready = model.get("status");
    status.textContent = model.isStatic ? "" : ready === "encoding" ? "encoding the picture…" :
      ready === "failed" ? "could not encode the picture" : busy ? "…" : "ready";
    status.classList.toggle("sl-working", !model.isStatic && (ready === "encoding" || busy));
  }
  function showKept() {
    kept = model.get("kept");
    scene = sceneOf(kept);
    canvas.setScene(scene);
    canvas.setColours(kept.map((_, i) => colourOf(i)));
    keptTitle.textContent = kept.length === 1 ? "1 mask" : `${kept.length} masks`;
    list.replaceChildren(...kept.map((item, id) => {
      const swatch = make("i", { class: "sl-swatch" });
      swatch.style.background = `rgb(${colourOf(id).join(" ")})`;
      const field = make("input", { class: "sl-name", type: "text", maxLength: 80,
        placeholder: `mask ${id}`, "aria-label": `Class of mask ${id}`,
        onkeydown: (event) => {
          event.stopPropagation();
          if (event.key === "Enter") field.blur();
        },
        onchange: () => model.send({ kind: "name", ids: [id], name: field.value }) });
      field.value = item.name;
      field.readOnly = Boolean(model.isStatic);
      return make("div", { class: "sl-row sl-kept", role: "listitem",
        onpointerenter: () => canvas.setHover(id), onpointerleave: () => canvas.setHover(-1) },
      swatch, field, make("span", { class: "sl-share", text: `IoU ${item.iou.toFixed(2)}` }),
      iconButton("close", "Drop this mask", () => model.send({ kind: "drop", ids: [id] })));
    }));
    show();
  }

  const onAnswer = () => prompting.answered(model.get("answer"));
  const onStatus = () => {
    if (model.get("status") === "failed") banner.show(model.get("answer").text ?? "Encoding failed.");
    show();
  };
  const onMessage = (message) => {
    if (message.kind !== "error") return;
    prompting.failed();
    banner.show(message.text);
  };
  root.addEventListener("keydown", (event) => {
    if (event.target.matches("input") || model.isStatic) return;
    const undoing = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    const action = undoing ? prompting.undo : { 1: () => prompting.choose(0),
      2: () => prompting.choose(1), 3: () => prompting.choose(2), Enter: keep,
      Escape: prompting.clear }[event.key];
    if (!action || (event.key === "Enter" && event.target.matches("button"))) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }, true);
  const listeners = { "change:answer": onAnswer, "change:status": onStatus,
    "change:kept": showKept, "msg:custom": onMessage };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  showKept();
  const unfollow = followTheme(root, () => canvas.view.schedule());
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
    unfollow();
    canvas.destroy();
  };
}
