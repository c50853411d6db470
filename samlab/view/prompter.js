// The prompter: points and boxes to three masks, one of which is kept.

const PARTS = ["whole", "part", "sub-part"];

// The mask as a path to fill: one box per stretch of a column.
function maskPath(mask, height) {
  const path = new Path2D();
  forEachStretch(mask, height, (x, from, to) => path.rect(x, from, 1.02, to - from));
  return path;
}

function edgePath(mask, height) {
  const path = new Path2D();
  const edges = outlineEdges(mask, height);
  for (let i = 0; i < edges.length; i += 4) {
    path.moveTo(edges[i], edges[i + 1]);
    path.lineTo(edges[i + 2], edges[i + 3]);
  }
  return path;
}

// The smallest of the masks that the model trusts about as much as the one it trusts most: a click
// on a thing means the thing, and the background around it often scores a hair better.
function favourite(proposals) {
  const best = Math.max(...proposals.map((p) => p.iou));
  let found = 0;
  proposals.forEach((p, i) => {
    if (p.area > 0 && p.iou > best - 0.02) found = i; // they come from large to small
  });
  return found;
}

function renderPrompter({ model, el }) {
  const payload = model.get("payload");
  const palette = payload.palette.map(parseHex);
  const sceneOf = (kept) => openScene({ ...payload.scene, counts: kept.map((k) => k.counts),
    areas: kept.map((k) => k.area), iou: kept.map((k) => k.iou),
    stability: kept.map((k) => k.stability) });
  let kept = model.get("kept");
  let scene = sceneOf(kept);
  let prompt = { points: [], box: null };
  let past = [];
  let proposals = []; // { mask, area, iou, fill, edge }
  let choice = 0;
  let turn = 0;
  let busy = false;

  const root = makeRoot("sl-prompter");
  const banner = createBanner(root);
  const status = make("span", { class: "sl-status", role: "status" });
  const undoButton = iconButton("undo", "Take the last point or box back (Ctrl+Z)", undo);
  const clearButton = make("button", { type: "button", class: "sl-button", text: "Clear",
    title: "Begin anew (Escape)", onclick: clear });
  const pan = make("button", { type: "button", class: "sl-button", text: "Move",
    "aria-pressed": "false", title: "Drag moves the picture instead of drawing a box",
    onclick: () => pan.setAttribute("aria-pressed", String(!moving())) });
  const moving = () => pan.getAttribute("aria-pressed") === "true";
  root.append(make("header", { class: "sl-head" },
    make("div", { class: "sl-title" }, make("b", { text: payload.title || "Prompt" }), status),
    make("div", { class: "sl-tools" }, pan, undoButton, clearButton)));
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
    tip: (id) => (proposals.length || busy ? null :
      segmentFacts(scene, id, kept[id].name || `mask ${id}`, [id])),
    click: (x, y, event) => {
      if (x < 0 || y < 0 || x > scene.width || y > scene.height) return true;
      step({ ...prompt, points: [...prompt.points, [x, y, event.shiftKey ? 0 : 1]] });
      return true;
    },
    dragBox: () => !moving(),
    box: (box) => {
      step({ ...prompt, box });
      return true;
    },
  });
  canvas.setStyle({ extra: drawPrompt });

  function colourOf(id) {
    const names = [...new Set(kept.map((k) => k.name).filter(Boolean))];
    const at = kept[id].name ? names.indexOf(kept[id].name) : names.length + id;
    return palette[at % palette.length];
  }
  function drawPrompt(context, camera) {
    const shown = proposals[choice];
    const unit = 1 / camera.scale;
    if (shown) {
      context.fillStyle = "rgba(30, 144, 255, .45)";
      context.fill(shown.fill);
      context.lineWidth = 4 * unit;
      context.strokeStyle = "rgba(0, 0, 0, .5)";
      context.stroke(shown.edge);
      context.lineWidth = 2 * unit;
      context.strokeStyle = "#fff";
      context.stroke(shown.edge);
    }
    if (prompt.box) {
      const [x0, y0, x1, y1] = prompt.box;
      context.lineWidth = 2 * unit;
      context.strokeStyle = "#ffd54a";
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
    for (const [x, y, kind] of prompt.points) {
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
  }

  // -- steps ---------------------------------------------------------------------------------
  function step(next) {
    if (model.get("status") !== "ready") {
      banner.show("The picture is still being encoded; click again in a moment.");
      return;
    }
    if (!next.box && !next.points.some((p) => p[2])) {
      banner.show("Mark something that belongs to the mask first; Shift takes away.");
      return;
    }
    past.push(prompt);
    ask(next);
  }
  function ask(next) {
    prompt = next;
    banner.hide();
    busy = true;
    turn += 1;
    model.send({ kind: "prompt", turn, ...prompt });
    show();
  }
  function undo() {
    if (past.length === 0) return;
    const before = past.pop();
    if (before.points.length || before.box) return ask(before);
    clear();
  }
  function clear() {
    prompt = { points: [], box: null };
    past = [];
    proposals = [];
    busy = false;
    turn += 1;
    show();
  }
  function choose(i) {
    if (i >= proposals.length) return;
    choice = i;
    show();
  }
  function keep() {
    if (!proposals.length || busy) return;
    model.send({ kind: "keep", choice, name: name.value });
    clear();
  }

  // -- painting ------------------------------------------------------------------------------
  function show() {
    canvas.view.schedule();
    undoButton.disabled = past.length === 0;
    clearButton.disabled = past.length === 0 && proposals.length === 0;
    keepButton.disabled = proposals.length === 0 || busy;
    hint.hidden = proposals.length > 0;
    root.classList.toggle("sl-waiting", busy);
    cards.replaceChildren(...proposals.map((proposal, i) => {
      const thumb = make("canvas", { width: 96, height: 72 });
      drawThumb(thumb, proposal);
      return make("button", { type: "button", class: "sl-card", role: "radio",
        "aria-checked": String(i === choice), title: `Choose (key ${i + 1})`,
        onclick: () => choose(i) }, thumb,
      make("b", { text: `${i + 1} ${PARTS[i] ?? ""}` }),
      make("span", { text: `IoU ${proposal.iou.toFixed(2)}` }),
      make("span", { text: percent(proposal.area / (scene.width * scene.height)) }));
    }));
    const ready = model.get("status");
    status.textContent = ready === "encoding" ? "encoding the picture…" :
      ready === "failed" ? "could not encode the picture" : busy ? "…" : "ready";
    status.classList.toggle("sl-working", ready === "encoding" || busy);
  }
  function drawThumb(thumb, proposal) {
    const context = thumb.getContext("2d");
    const scale = Math.min(thumb.width / scene.width, thumb.height / scene.height);
    context.translate((thumb.width - scene.width * scale) / 2,
      (thumb.height - scene.height * scale) / 2);
    context.scale(scale, scale);
    const picture = canvas.picture();
    if (picture) context.drawImage(picture, 0, 0, scene.width, scene.height);
    context.fillStyle = "rgba(0, 0, 0, .45)";
    context.fillRect(0, 0, scene.width, scene.height);
    context.fillStyle = "#3aa0ff";
    context.fill(proposal.fill);
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
        placeholder: `mask ${id}`, "aria-label": "Class name",
        onkeydown: (event) => {
          event.stopPropagation();
          if (event.key === "Enter") field.blur();
        },
        onchange: () => model.send({ kind: "name", ids: [id], name: field.value }) });
      field.value = item.name;
      return make("div", { class: "sl-row sl-kept", role: "listitem",
        onpointerenter: () => canvas.setHover(id), onpointerleave: () => canvas.setHover(-1) },
      swatch, field, make("span", { class: "sl-share", text: `IoU ${item.iou.toFixed(2)}` }),
      iconButton("close", "Drop this mask", () => model.send({ kind: "drop", ids: [id] })));
    }));
    show();
  }

  const onAnswer = () => {
    const answer = model.get("answer");
    if (answer.turn !== turn || !answer.masks) return;
    busy = false;
    proposals = answer.masks.map((m) => {
      const mask = decodeMask(m.counts);
      return { ...m, mask, fill: maskPath(mask, scene.height), edge: edgePath(mask, scene.height) };
    });
    // A first prompt takes the model's favourite; a refined one keeps the level.
    if (past.length <= 1) choice = favourite(proposals);
    show();
  };
  const onStatus = () => {
    if (model.get("status") === "failed") banner.show(model.get("answer").text ?? "Encoding failed.");
    show();
  };
  const onMessage = (message) => {
    if (message.kind !== "error") return;
    busy = false;
    prompt = past.pop() ?? { points: [], box: null };
    banner.show(message.text);
    show();
  };
  root.addEventListener("keydown", (event) => {
    if (event.target.matches("input")) return;
    const undoing = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    const action = undoing ? undo : { 1: () => choose(0), 2: () => choose(1), 3: () => choose(2),
      Enter: keep, Escape: clear }[event.key];
    if (!action || (event.key === "Enter" && event.target.matches("button"))) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }, true);
  const listeners = { "change:answer": onAnswer, "change:status": onStatus,
    "change:kept": showKept, "msg:custom": onMessage };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  showKept();
  if (model.isStatic) banner.show("Masks need a kernel; this file shows what was kept.");
  const unfollow = followTheme(root, () => canvas.view.schedule());
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
    unfollow();
    canvas.destroy();
  };
}
