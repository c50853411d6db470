// The annotator: pictures one after the other, masks by clicks or as questions, classes by keys.

const ANNOTATOR_KEYS = [
  ["click", "mark a thing"], ["Shift click", "mark what is not part of it"], ["drag", "a box"],
  ["Arrows Space", "mark without a mouse"],
  ["W", "next of the three masks"], ["1–9", "keep as class, or change the class"],
  ["Enter", "keep, or yes"], ["X", "no, or drop"], ["L", "ask me later"], ["Esc", "clear"],
  ["S", "select instead of mark"], ["M", "move the picture"], ["N", "done, next picture"],
  ["F", "forward"], ["B", "back"], ["Ctrl Z", "undo"], ["Ctrl Shift Z", "redo"], ["?", "hide this"],
];

function renderAnnotator({ model, el }) {
  const payload = model.get("payload");
  const palette = payload.palette.map(parseHex);
  const noise = parseHex(payload.noise);
  let picture = model.get("picture");
  let masks = model.get("masks");
  let scene = sceneOf();
  let canvas = null;
  let mode = payload.stage === "automatic" || model.isStatic ? "select" : "mark";
  let active = model.get("classes").length ? 0 : -1; // class of what Enter keeps
  let selected = new Set(); // ids of masks
  let later = []; // questions put off, by id

  const root = makeRoot("sl-annotator");
  const banner = createBanner(root);
  const prompting = createPrompting({ scene: () => scene, canvas: () => canvas,
    send: (message) => model.send(message), ready: () => ["ready", "failed"].includes(model.get("status")),
    say: banner.show, hush: banner.hide, changed: show, key: () => "W: next" });
  const view = annotatorLayout();
  root.append(...view.parts);
  root.classList.toggle("sl-static", Boolean(model.isStatic));
  el.replaceChildren(root);

  // -- what is there -------------------------------------------------------------------------
  function sceneOf() {
    return openScene({ ...picture.scene, counts: masks.map((m) => m.counts),
      areas: masks.map((m) => m.area), iou: masks.map((m) => m.iou),
      stability: masks.map((m) => m.stability) });
  }
  const classes = () => model.get("classes");
  const nameOf = (label) => classes()[label]?.name ?? "no class";
  const colourOf = (label) => (label < 0 ? noise : palette[label % palette.length]);
  const css = (label) => `rgb(${colourOf(label).join(" ")})`;
  // Questions in the order of the kernel, those put off last.
  function questions() {
    const open = model.get("questions");
    return [...open.filter((id) => !later.includes(id)), ...later.filter((id) => open.includes(id))];
  }
  const question = () => (prompting.begun() || selected.size ? null :
    masks.find((m) => m.id === questions()[0]) ?? null);

  // -- acts ----------------------------------------------------------------------------------
  const send = (kind, more = {}) => {
    banner.hide();
    model.send({ kind, ...more });
  };
  function keep(label) {
    if (!prompting.proposals().length || prompting.busy()) return;
    send("keep", { choice: prompting.choice(), label });
    prompting.clear();
  }
  function classKey(label) {
    if (label >= classes().length) return;
    const asked = question();
    if (prompting.proposals().length) keep(label);
    else if (selected.size) send("label", { ids: [...selected], label });
    else if (asked) send("label", { ids: [asked.id], label });
    active = label;
    show();
  }
  function yes() {
    const asked = question();
    if (prompting.proposals().length) keep(active);
    else if (asked) send("accept", { ids: [asked.id] });
  }
  function no() {
    const asked = question();
    if (prompting.begun()) prompting.clear();
    else if (selected.size) send("drop", { ids: [...selected] });
    else if (asked) send("drop", { ids: [asked.id] });
    selected = new Set();
  }
  function putOff() {
    const asked = question();
    if (!asked) return;
    later = [...later.filter((id) => id !== asked.id), asked.id];
    show();
  }
  function escape() {
    selected = new Set();
    prompting.clear();
  }
  function undo() {
    if (prompting.begun()) prompting.undo();
    else if (model.get("can").undo) send("undo");
  }
  function setMode(next) {
    mode = mode === next ? "mark" : next;
    if (mode !== "mark") prompting.clear();
    show();
  }
  function finish() {
    prompting.clear();
    send("done");
  }
  function select(ids) {
    selected = new Set(ids);
    show();
  }
  function addClass(field) {
    const name = field.value.trim();
    if (!name) return;
    active = classes().length;
    send("class", { name });
    field.value = "";
  }

  // -- layout --------------------------------------------------------------------------------
  function button(text, title, onclick, more = "") {
    return make("button", { type: "button", class: `sl-button ${more}`, text, title, onclick });
  }
  function annotatorLayout() {
    const v = {};
    v.title = make("b");
    v.status = make("span", { class: "sl-status", role: "status" });
    v.mark = button("Mark", "A click or a box asks the model (S)", () => setMode("mark"));
    v.select = button("Select", "A click selects a mask (S)", () => setMode("select"));
    v.move = button("Move", "Drag moves the picture (M)", () => setMode("move"));
    v.undo = iconButton("undo", "Undo (Ctrl+Z)", undo);
    v.redo = iconButton("redo", "Redo (Ctrl+Shift+Z)", () => send("redo"));
    v.run = button("Run", "Annotate all pictures that are left", () => send("run"), "sl-primary");
    v.export = button("Export", "Write COCO JSON beside the journal", () => send("export"));
    v.help = button("?", "Show or hide the keys (?)", () => toggleHelp());
    v.back = iconButton("back", "The picture before (B)", () => send("go", { step: -1 }));
    v.forward = iconButton("forward", "The next picture, this one stays open (F)",
      () => send("go", { step: 1 }));
    v.done = button("Done, next", "Finish this picture and go on (N)", finish, "sl-primary");
    const head = make("header", { class: "sl-head" },
      make("div", { class: "sl-title" }, v.title, v.status),
      make("div", { class: "sl-tools" },
        make("span", { class: "sl-group", role: "group", "aria-label": "What a click does" },
          v.mark, v.select, v.move),
        v.undo, v.redo, v.run, v.export, v.help),
      make("div", { class: "sl-tools" }, v.back, v.forward, v.done));
    v.bar = make("i");
    v.progress = make("div", { class: "sl-progress", role: "progressbar", "aria-valuemin": "0" },
      v.bar);
    v.note = make("div", { class: "sl-note", hidden: true });
    v.panel = make("div", { class: "sl-panel sl-picture-panel" });
    v.hint = make("p", { class: "sl-hint" });
    v.cards = make("div", { class: "sl-cards", role: "radiogroup", "aria-label": "Masks" });
    v.answer = make("div", { class: "sl-tools sl-keep" });
    v.classes = make("div", { class: "sl-rows sl-class-rows", role: "list" });
    v.field = make("input", { type: "text", class: "sl-text", placeholder: "new class",
      maxLength: 80, "aria-label": "New class", onkeydown: (event) => {
        event.stopPropagation();
        if (event.key === "Enter") addClass(v.field);
      } });
    v.asked = make("h3", { text: "Mark" });
    v.counted = make("span", { class: "sl-summary" });
    v.list = make("div", { class: "sl-rows", role: "list" });
    const side = make("section", { class: "sl-panel sl-side" },
      make("header", { class: "sl-panel-head" }, v.asked), v.hint, v.cards, v.answer,
      make("header", { class: "sl-panel-head sl-ruled" }, make("h3", { text: "Classes" })),
      v.classes, make("div", { class: "sl-tools sl-keep" }, v.field,
        button("Add", "Add the class", () => addClass(v.field))),
      make("header", { class: "sl-panel-head sl-ruled" }, make("h3", { text: "In this picture" }),
        v.counted), v.list);
    v.queue = make("div", { class: "sl-queue", role: "list", "aria-label": "Pictures" });
    v.keys = make("div", { class: "sl-keys" }, ...ANNOTATOR_KEYS.map(([keys, text]) =>
      make("span", {}, ...keys.split(" ").map((key) => make("kbd", { text: key })), text)));
    v.parts = [head, v.progress, v.note,
      make("div", { class: "sl-grid-layout sl-wide-left" }, v.panel, side), v.queue, v.keys];
    return v;
  }
  function toggleHelp() {
    view.keys.hidden = !view.keys.hidden;
    view.help.setAttribute("aria-pressed", String(!view.keys.hidden));
  }

  // -- painting ------------------------------------------------------------------------------
  // What is built anew takes the keyboard's focus with it; give it back to the picture, or the
  // next key would be the notebook's.
  function keepingFocus(paint) {
    const inside = () => root.contains(root.getRootNode().activeElement);
    const before = inside();
    paint();
    if (before && !inside()) canvas?.stage.focus({ preventScroll: true });
  }
  function show() {
    keepingFocus(() => {
      showHead();
      showAsk();
      showClasses();
      showMasks();
      showQueue();
    });
  }
  // Over the picture: the prompt, or what is asked about, with a frame that finds small masks too.
  function draw(context, camera) {
    prompting.draw(context, camera);
    const asked = question();
    const at = asked ? masks.indexOf(asked) : -1;
    if (at < 0) return;
    const unit = 1 / camera.scale;
    const [x0, y0, x1, y1] = scene.boxes[at];
    context.fillStyle = "rgba(30, 144, 255, .45)";
    context.fill(maskPath(scene.masks[at], scene.height));
    context.setLineDash([6 * unit, 4 * unit]);
    context.lineWidth = 2 * unit;
    context.strokeStyle = "#ffd54a";
    context.strokeRect(x0 - 6 * unit, y0 - 6 * unit, x1 - x0 + 12 * unit, y1 - y0 + 12 * unit);
    context.setLineDash([]);
  }
  function showHead() {
    const queue = model.get("queue");
    const status = model.get("status");
    const words = { encoding: "encoding the picture…", proposing: "looking for masks…",
      failed: "could not encode the picture", empty: "no picture can be read" }[status];
    view.title.textContent = picture.name || "No picture";
    view.status.textContent = [`${queue.done} of ${queue.total} done`,
      queue.broken ? `${queue.broken} unreadable` : "", queue.finished ? "this one is done" : "",
      words ?? (prompting.busy() ? "…" : "")].filter(Boolean).join(" · ");
    view.status.classList.toggle("sl-working", ["encoding", "proposing"].includes(status) ||
      prompting.busy() || model.get("running"));
    root.classList.toggle("sl-waiting", prompting.busy());
    view.bar.style.width = `${(100 * queue.done) / Math.max(1, queue.total)}%`;
    view.progress.setAttribute("aria-valuemax", String(queue.total));
    view.progress.setAttribute("aria-valuenow", String(queue.done));
    for (const key of ["mark", "select", "move"]) {
      view[key].setAttribute("aria-pressed", String(mode === key));
    }
    view.undo.disabled = !prompting.begun() && !model.get("can").undo;
    view.redo.disabled = !model.get("can").redo;
    view.run.hidden = payload.stage !== "automatic";
    view.run.textContent = model.get("running") ? "Stop" : "Run";
    view.done.textContent = queue.finished ? "Open again" : "Done, next";
    view.note.textContent = model.isStatic ?
      "What was kept; annotating itself needs a running notebook." : model.get("note");
    view.note.hidden = !view.note.textContent;
  }
  function showAsk() {
    const any = prompting.proposals().length > 0;
    const asked = question();
    view.cards.replaceChildren(...prompting.cards());
    view.cards.hidden = !any;
    view.asked.textContent = any ? "Which mask?" : selected.size ? "Selected" :
      asked ? `Is this right? ${questions().length} to answer` :
        { mark: "Mark", select: "Select", move: "Move" }[mode];
    view.hint.hidden = any;
    view.hint.textContent = hintText(asked);
    const keys = [];
    if (any) {
      const text = `Keep as ${nameOf(active)}`;
      keys.push(button(text, "Keep the chosen mask (Enter)", yes, "sl-primary sl-grow"),
        button("Clear", "Begin anew (Escape)", escape));
    } else if (selected.size) {
      keys.push(button(selected.size > 1 ? `Drop ${selected.size}` : "Drop", "Drop (X)", no),
        button("Deselect", "Escape", escape));
    } else if (asked) {
      keys.push(button("Yes", "Keep it (Enter)", yes, "sl-primary sl-grow"),
        button("No", "Drop it (X)", no), button("Later", "Ask the others first (L)", putOff));
    }
    view.answer.hidden = keys.length === 0;
    view.answer.replaceChildren(...keys);
  }
  function hintText(asked) {
    if (selected.size) return "A class key changes the class, X drops.";
    if (asked) {
      const what = asked.label < 0 ? "A mask without a class" : `Proposed: ${nameOf(asked.label)}`;
      return `${what}, ${Math.round(100 * (asked.sure ?? 0.5))} % sure. A class key keeps it as that ` +
        "class.";
    }
    const { done, total } = model.get("queue");
    if (payload.stage === "automatic" && !masks.length && done < total) {
      return model.get("running") ? "The model is at work; what it finds appears here." :
        "Run lets the model annotate all pictures that are left; then you correct what it did.";
    }
    if (mode === "move") return "Drag the picture; Ctrl and the wheel zoom.";
    if (mode === "select") return "Click a mask, Shift and click for more.";
    return "Click what you want, then press the key of its class. Shift and click marks what does " +
      "not belong to it. Drag for a box.";
  }
  function showClasses() {
    const all = classes();
    if (active >= all.length) active = all.length - 1;
    view.classes.hidden = all.length === 0;
    view.classes.replaceChildren(...all.map(({ name, count }, label) => {
      const field = make("input", { class: "sl-name", type: "text", maxLength: 80,
        "aria-label": `Name of class ${label + 1}`, spellcheck: false, onkeydown: (event) => {
          event.stopPropagation();
          if (event.key === "Enter") field.blur();
        }, onchange: () => send("rename", { label, name: field.value }) });
      field.value = name;
      field.readOnly = Boolean(model.isStatic);
      const swatch = make("button", { type: "button", class: "sl-swatch",
        "aria-label": `Use ${name}`, "aria-pressed": String(label === active) });
      swatch.style.background = css(label);
      return make("div", { class: `sl-row sl-class${label === active ? " sl-on" : ""}`,
        role: "listitem", onclick: (event) => event.target === field || classKey(label) },
      make("kbd", { text: label < 9 ? String(label + 1) : "" }), swatch, field,
      make("span", { class: "sl-count", text: String(count) }));
    }));
  }
  function showMasks() {
    const asked = question();
    const kept = masks.filter((m) => m.state === "kept");
    canvas?.setColours(masks.map((m) => colourOf(m.label)), masks.map((m) => m.state === "asked"));
    canvas?.setVisible(masks.map((m) => m.state === "kept" || m.id === asked?.id));
    const shown = asked ? [asked.id] : [...selected];
    canvas?.setSelected(new Set(masks.flatMap((m, i) => (shown.includes(m.id) ? [i] : []))),
      !asked);
    canvas?.view.schedule();
    view.counted.textContent = kept.length === 1 ? "1 mask" : `${kept.length} masks`;
    view.list.replaceChildren(...masks.flatMap((mask, i) => {
      if (mask.state !== "kept") return [];
      const swatch = make("button", { type: "button", class: "sl-swatch",
        "aria-label": `Select mask ${i + 1}`, "aria-pressed": String(selected.has(mask.id)) });
      swatch.style.background = css(mask.label);
      const menu = choice([["-1", "no class"], ...classes().map((c, k) => [String(k), c.name])],
        String(mask.label), (value) => send("label", { ids: [mask.id], label: Number(value) }));
      menu.setAttribute("aria-label", `Class of mask ${i + 1}`);
      menu.disabled = Boolean(model.isStatic);
      return [make("div", { class: `sl-row sl-one${selected.has(mask.id) ? " sl-on" : ""}`,
        role: "listitem", onpointerenter: () => canvas?.setHover(i),
        onpointerleave: () => canvas?.setHover(-1),
        onclick: (event) => event.target.closest(".sl-icon-button, select") ||
          select(toggled(selected, [mask.id], event.shiftKey || event.ctrlKey)) },
      swatch, menu, make("span", { class: "sl-share", text: percent(mask.area /
        (scene.width * scene.height)) }),
      iconButton("close", "Drop this mask", () => send("drop", { ids: [mask.id] })))];
    }));
  }
  function showQueue() {
    const words = { new: "not begun", begun: "begun", done: "done", broken: "cannot be read" };
    view.queue.replaceChildren(...model.get("queue").rows.map((row) =>
      make("button", { type: "button", class: `sl-pill sl-${row.status}`, role: "listitem",
        title: `${row.name}: ${row.why || words[row.status]}`, "aria-current": String(row.here),
        onclick: () => send("open", { place: row.place }) },
      make("i"), make("span", { text: row.name }),
      make("b", { text: row.count ? String(row.count) : "" }))));
    const here = view.queue.querySelector("[aria-current=true]");
    if (here) view.queue.scrollLeft = here.offsetLeft - view.queue.clientWidth / 2;
  }

  // -- pictures ------------------------------------------------------------------------------
  function showPicture() {
    keepingFocus(() => {
      picture = model.get("picture");
      masks = model.get("masks");
      scene = sceneOf();
      canvas?.destroy();
      view.panel.replaceChildren();
      view.panel.style.setProperty("--sl-ratio", `${scene.width} / ${scene.height}`);
      canvas = createCanvas(view.panel, scene, {
        colour: (i) => css(masks[i].label),
        tip: (i) => (prompting.proposals().length || prompting.busy() ? null :
          segmentFacts(scene, i, nameOf(masks[i].label), [i])),
        click: (x, y, event) => {
          if (mode === "select" || event.altKey) return false;
          if (mode === "mark") {
            selected = new Set();
            prompting.point(x, y, event.shiftKey ? 0 : 1);
          }
          return true;
        },
        marks: () => mode === "mark",
        dragBox: () => mode === "mark",
        box: (box) => {
          if (mode !== "mark") return false;
          selected = new Set();
          prompting.box(box);
          return true;
        },
        select: (ids, add) =>
          select(toggled(selected, ids.map((i) => masks[i].id), add)),
      });
      canvas.setStyle({ extra: draw });
    });
    selected = new Set();
    later = [];
    prompting.clear(); // shows all
  }
  function showChanged() {
    masks = model.get("masks");
    if (model.get("picture").place !== picture.place) return; // the picture follows
    scene = sceneOf();
    selected = new Set([...selected].filter((id) => masks.some((m) => m.id === id)));
    canvas.setScene(scene);
    soon();
  }

  // -- keys ----------------------------------------------------------------------------------
  const keys = {
    w: () => prompting.choose((prompting.choice() + 1) % Math.max(1, prompting.proposals().length)),
    enter: yes, x: no, delete: no, backspace: no, l: putOff, escape, s: () => setMode("select"),
    m: () => setMode("move"), n: finish, f: () => send("go", { step: 1 }),
    b: () => send("go", { step: -1 }), "?": toggleHelp,
  };
  root.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select") || event.altKey) return;
    const key = event.key.toLowerCase();
    const held = event.ctrlKey || event.metaKey;
    let action = null;
    if (held && key === "z") action = event.shiftKey ? () => send("redo") : undo;
    else if (held && key === "y") action = () => send("redo");
    else if (!held && /^[1-9]$/.test(key)) action = () => classKey(Number(key) - 1);
    else if (!held) action = keys[key];
    if (!action || (key === "enter" && event.target.matches("button"))) return;
    // With nothing to say yes to, Enter is the picture's own: it selects what the arrows found.
    if (key === "enter" && !prompting.proposals().length && !question()) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }, true);

  // -- the kernel ----------------------------------------------------------------------------
  const onMessage = (message) => {
    if (message.kind !== "error") return;
    prompting.failed();
    banner.show(message.text);
  };
  const onStatus = () => {
    if (model.get("status") === "failed") banner.show(model.get("note"));
    soon();
  };
  // Several values change at a time; the page is painted once for all of them.
  let waiting = false;
  const soon = () => {
    if (!waiting) queueMicrotask(() => {
      waiting = false;
      show();
    });
    waiting = true;
  };
  const listeners = { "change:picture": showPicture, "change:masks": showChanged,
    "change:classes": soon, "change:queue": soon, "change:questions": soon, "change:can": soon,
    "change:note": soon, "change:running": soon, "change:status": onStatus,
    "change:answer": () => prompting.answered(model.get("answer")), "msg:custom": onMessage };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  showPicture();
  toggleHelp();
  toggleHelp();
  const unfollow = followTheme(root, () => canvas.view.schedule());
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
    unfollow();
    canvas.destroy();
  };
}
