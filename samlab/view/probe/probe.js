// The probe: the cosine of one segment with every patch, every segment, and other pictures.

// Cosine of vector `id` with all rows of `vectors` (unit length, `width` numbers each).
function cosines(vectors, width, id) {
  const n = width ? vectors.length / width : 0;
  const found = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let d = 0; d < width; d++) sum += vectors[i * width + d] * vectors[id * width + d];
    found[i] = Math.max(-1, Math.min(1, sum));
  }
  return found;
}

// Cosine of vector `id` with every patch; patches are int8 rows with one scale each.
function patchCosines(patches, vectors, width, id) {
  const { values, scales } = patches;
  const found = new Float32Array(scales.length);
  for (let i = 0; i < scales.length; i++) {
    let sum = 0;
    for (let d = 0; d < width; d++) sum += values[i * width + d] * vectors[id * width + d];
    found[i] = Math.max(-1, Math.min(1, sum * scales[i]));
  }
  return found;
}

// Where the colours begin and end: most maps use a small part of -1 .. 1, so they are stretched.
function heatRange(values) {
  const sorted = Float32Array.from(values).sort();
  if (sorted.length === 0) return [0, 1];
  const low = sorted[Math.floor(0.02 * (sorted.length - 1))];
  const high = sorted[sorted.length - 1];
  return high - low < 1e-6 ? [low - 0.5, high] : [low, high];
}

function renderProbe({ model, el }) {
  const payload = model.get("payload");
  const scene = openScene(payload.scene);
  const palette = payload.palette.map(parseHex);
  const grey = parseHex(payload.noise);
  const ramp = payload.ramp.map(parseHex);
  const { width, labels, names, others } = payload;
  const vectors = numbers(payload.vectors, Float32Array);
  const patches = payload.patches && { ...payload.patches,
    values: numbers(payload.patches.values, Int8Array),
    scales: numbers(payload.patches.scales, Float32Array) };
  const heat = document.createElement("canvas");
  let query = -1;
  let scores = null;
  let heatScores = null;
  let range = [0, 1];
  let threshold = null;
  let mode = patches ? "patches" : "segments";

  const root = makeRoot("sl-probe");
  const note = make("span", { text: "click a segment" });
  const modes = make("div", { class: "sl-tools" });
  const modeButtons = {};
  for (const [key, text] of [["patches", "Heat map"], ["segments", "Segments"],
    ["classes", "Classes"]]) {
    if (key === "patches" && !patches) continue;
    modeButtons[key] = make("button", { type: "button", class: "sl-button", text,
      onclick: () => {
        mode = key;
        show();
      } });
    modes.append(modeButtons[key]);
  }
  root.append(make("header", { class: "sl-head" }, make("div", { class: "sl-title" },
    make("b", { text: payload.title || "Probe" }), note), modes));
  const picturePanel = make("div", { class: "sl-panel sl-picture-panel" });
  picturePanel.style.setProperty("--sl-ratio", `${scene.width} / ${scene.height}`);
  const side = make("section", { class: "sl-panel sl-side" });
  root.append(make("div", { class: "sl-grid-layout sl-wide-left" }, picturePanel, side));
  el.replaceChildren(root);

  const slider = make("input", { type: "range", min: "0", max: "1000", value: "1000",
    class: "sl-slider", "aria-label": "Similarity threshold", oninput: () => {
      const [low, high] = segmentRange();
      threshold = low + (Number(slider.value) / 1000) * (high - low);
      show();
    }, onchange: tell });
  const chosen = make("span", { class: "sl-summary" });
  const scale = make("div", { class: "sl-scale", "aria-hidden": "true" });
  scale.style.setProperty("--sl-ramp", payload.ramp.filter((_, i) => i % 15 === 0).join(", "));
  const scaleEnds = [make("span"), make("span")];
  const here = make("div", { class: "sl-rows", role: "group",
    "aria-label": "Similar segments, the most similar first" });
  const there = make("div", { class: "sl-thumbs", role: "list",
    "aria-label": "Similar segments in other pictures" });
  side.append(make("header", { class: "sl-panel-head" }, make("h3", { text: "Similar segments" }),
    chosen), make("div", { class: "sl-scale-row" }, scaleEnds[0], scale, scaleEnds[1]),
  make("label", { class: "sl-field sl-threshold" }, make("span", { text: "Select from" }), slider),
  here);
  if (others) {
    side.append(make("header", { class: "sl-panel-head sl-ruled" },
      make("h3", { text: "In other pictures" })), there);
  }

  const canvas = createCanvas(picturePanel, scene, {
    colour: (id) => `rgb(${classColour(id).join(" ")})`,
    tip: (id, stack) => {
      const lines = segmentFacts(scene, id, className(names, labels[id]), stack);
      if (scores) lines.splice(1, 0, ["similarity", scores[id].toFixed(3)]);
      return lines;
    },
    select: (ids) => ask(ids.length === 1 ? ids[0] : -1),
  });
  canvas.setStyle({ under: drawHeat });
  let sheet = null;
  if (others?.sheet) {
    createImageBitmap(new Blob([others.sheet], { type: "image/jpeg" })).then((bitmap) => {
      sheet = bitmap;
      show();
    });
  }

  function classColour(id) {
    return labels[id] < 0 ? grey : palette[labels[id] % palette.length];
  }
  function rampColour(value, [low, high]) {
    const at = Math.round((255 * (value - low)) / Math.max(1e-9, high - low));
    return ramp[Math.max(0, Math.min(255, at))];
  }
  // The slider runs over the similarities of segments, whatever the heat map shows.
  function segmentRange() {
    return scores ? heatRange(scores) : [0, 1];
  }
  function ask(id) {
    setQuery(id);
    tell();
  }
  function setQuery(id) {
    query = id >= 0 && id < scene.n ? id : -1;
    scores = query < 0 ? null : cosines(vectors, width, query);
    heatScores = query < 0 || !patches ? null : patchCosines(patches, vectors, width, query);
    range = heatScores ? heatRange(heatScores) : segmentRange();
    if (heatScores) paintHeat();
    placeSlider();
    show();
  }
  // The handle stands where the threshold is among this segment's similarities.
  function placeSlider() {
    if (threshold === null || !scores) return;
    const [low, high] = segmentRange();
    slider.value = String(Math.round((1000 * (threshold - low)) / Math.max(1e-9, high - low)));
  }
  function tell() {
    model.set("query", query);
    model.set("threshold", threshold);
    model.save_changes();
  }
  function paintHeat() {
    heat.width = patches.columns;
    heat.height = patches.rows;
    const context = heat.getContext("2d");
    const image = context.createImageData(heat.width, heat.height);
    const pixels = new Uint32Array(image.data.buffer);
    heatScores.forEach((value, i) => (pixels[i] = rgba(...rampColour(value, range), 255)));
    context.putImageData(image, 0, 0);
  }
  function drawHeat(context, camera) {
    if (!heatScores || mode !== "patches") return;
    // The last row and column of patches may reach beyond the picture, into the padding.
    const [rows, columns] = patches.extent;
    context.save();
    context.beginPath();
    context.rect(camera.x, camera.y, scene.width * camera.scale, scene.height * camera.scale);
    context.clip();
    context.globalAlpha = 0.72;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(heat, camera.x, camera.y, (scene.width * camera.scale * patches.columns) /
      columns, (scene.height * camera.scale * patches.rows) / rows);
    context.restore();
  }

  function show() {
    for (const [key, button] of Object.entries(modeButtons)) {
      button.setAttribute("aria-pressed", String(key === mode));
    }
    const over = !scores || threshold === null ? [] :
      Array.from(scores.keys()).filter((i) => scores[i] >= threshold);
    const bySegment = scores && mode === "segments";
    canvas.setColours(Array.from({ length: scene.n }, (_, i) =>
      (bySegment ? rampColour(scores[i], segmentRange()) : classColour(i))));
    const plain = scores && mode === "patches";
    canvas.setStyle({ opacity: plain ? 0 : bySegment ? 0.78 : 0.5, bare: Boolean(plain) });
    const marked = over.length ? over : query < 0 ? [] : [query];
    canvas.setSelected(new Set(marked), true);
    note.textContent = query < 0 ? "click a segment" :
      `segment ${query} · ${className(names, labels[query])}`;
    slider.disabled = !scores;
    slider.setAttribute("aria-valuetext", threshold === null ? "no threshold" :
      `${threshold.toFixed(3)}, ${over.length} selected`);
    if (!scores) slider.value = "1000";
    chosen.textContent = over.length ? `${over.length} selected, ≥ ${threshold.toFixed(3)}` : "";
    const ends = bySegment ? segmentRange() : range;
    scaleEnds.forEach((end, i) => (end.textContent = scores ? ends[i].toFixed(2) : ""));
    showHere();
    showThere();
  }
  function showHere() {
    if (!scores) return here.replaceChildren(make("p", { class: "sl-hint",
      text: "Click a segment in the picture. The most similar ones are listed here." }));
    const ranked = Array.from(scores.keys()).filter((i) => i !== query)
      .sort((a, b) => scores[b] - scores[a] || a - b).slice(0, 24);
    here.replaceChildren(...ranked.map((id) => {
      const thumb = make("canvas", { width: 80, height: 80, class: "sl-thumb" });
      drawCut(thumb, id);
      const swatch = make("i", { class: "sl-swatch" });
      swatch.style.background = `rgb(${classColour(id).join(" ")})`;
      return make("button", { type: "button",
        class: `sl-row sl-match${scores[id] >= (threshold ?? 2) ? " sl-on" : ""}`,
        title: "Ask about this segment", onclick: () => {
          ask(id);
          here.querySelector("button")?.focus(); // the rows are new ones
        }, onfocus: () => canvas.setHover(id), onblur: () => canvas.setHover(-1),
        onpointerenter: () => canvas.setHover(id), onpointerleave: () => canvas.setHover(-1) },
      thumb, swatch, make("span", { class: "sl-what", text: className(names, labels[id]) }),
      make("span", { class: "sl-share", text: `#${id}` }),
      make("b", { class: "sl-count", text: scores[id].toFixed(3) }));
    }));
  }
  function drawCut(thumb, id) {
    const picture = canvas.picture();
    if (!picture) return;
    const context = thumb.getContext("2d");
    const [x0, y0, x1, y1] = scene.boxes[id];
    const reach = 0.6 * Math.max(x1 - x0, y1 - y0, 8);
    const unit = thumb.width / (2 * reach);
    context.translate(thumb.width / 2 - ((x0 + x1) / 2) * unit,
      thumb.height / 2 - ((y0 + y1) / 2) * unit);
    context.scale(unit, unit);
    context.drawImage(picture, 0, 0, scene.width, scene.height);
    context.lineWidth = 2 / unit;
    context.strokeStyle = "#fff";
    context.stroke(canvas.outlineOf(id));
  }
  function showThere() {
    if (!others) return;
    if (query < 0) return there.replaceChildren();
    const from = query * others.k;
    there.replaceChildren(...others.ids.slice(from, from + others.k).map((id, rank) => {
      const score = others.scores[from + rank];
      const cell = make("div", { class: "sl-other", role: "listitem",
        title: `${others.names[id]} · segment ${id}` });
      const place = others.thumbs[id];
      if (sheet && place !== undefined) {
        const { side: edge } = others;
        const columns = sheet.width / edge;
        const thumb = make("canvas", { width: edge, height: edge, class: "sl-thumb" });
        thumb.getContext("2d").drawImage(sheet, (place % columns) * edge,
          Math.floor(place / columns) * edge, edge, edge, 0, 0, edge, edge);
        cell.append(thumb);
      }
      cell.append(make("span", { class: "sl-what", text: others.names[id] }),
        make("b", { text: score.toFixed(3) }));
      return cell;
    }));
  }

  const onQuery = () => {
    if (model.get("query") !== query) setQuery(model.get("query"));
  };
  const onThreshold = () => {
    threshold = model.get("threshold");
    placeSlider();
    show();
  };
  model.on("change:query", onQuery);
  model.on("change:threshold", onThreshold);
  threshold = model.get("threshold");
  setQuery(model.get("query"));
  canvas.whenReady(show);
  const unfollow = followTheme(root, () => canvas.view.schedule());
  return () => {
    model.off("change:query", onQuery);
    model.off("change:threshold", onThreshold);
    unfollow();
    canvas.destroy();
  };
}
