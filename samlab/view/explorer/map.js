// The map of the latent space: one point per segment, lasso, box, zoom, pan, hover.

// Is (x, y) inside the polygon [[x, y], ...]? Even-odd rule.
function insidePolygon(polygon, x, y) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

// Smallest and largest coordinates; a single point gets room around it.
function extentOf(xy) {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < xy.length; i += 2) {
    x0 = Math.min(x0, xy[i]);
    x1 = Math.max(x1, xy[i]);
    y0 = Math.min(y0, xy[i + 1]);
    y1 = Math.max(y1, xy[i + 1]);
  }
  if (xy.length === 0) return [0, 0, 1, 1];
  if (x1 - x0 < 1e-9) [x0, x1] = [x0 - 0.5, x1 + 0.5];
  if (y1 - y0 < 1e-9) [y0, y1] = [y0 - 0.5, y1 + 0.5];
  return [x0, y0, x1, y1];
}

// A disc with a soft edge into an opaque picture. A thousand of them take a few milliseconds, also
// where the browser draws without a graphics card and its own arcs would take a frame or two.
function paintDisc(image, cx, cy, radius, [r, g, b], strength) {
  const { data, width, height } = image;
  const x0 = Math.max(0, Math.floor(cx - radius - 0.5));
  const x1 = Math.min(width - 1, Math.ceil(cx + radius + 0.5));
  const y1 = Math.min(height - 1, Math.ceil(cy + radius + 0.5));
  for (let y = Math.max(0, Math.floor(cy - radius - 0.5)); y <= y1; y++) {
    const dy = y + 0.5 - cy;
    for (let x = x0; x <= x1; x++) {
      const dx = x + 0.5 - cx;
      const inside = radius + 0.5 - Math.sqrt(dx * dx + dy * dy);
      if (inside <= 0) continue;
      const alpha = strength * (inside < 1 ? inside : 1);
      const at = 4 * (y * width + x);
      data[at] += alpha * (r - data[at]);
      data[at + 1] += alpha * (g - data[at + 1]);
      data[at + 2] += alpha * (b - data[at + 2]);
    }
  }
}

// xy: Float32Array [x, y, ...]; areas: pixels per segment, shown as size.
// hooks: select(ids, add), hover(id), tip(id) -> lines, colour(id) -> css, names() -> [[text, ids]]
function createMap(host, xy, areas, hooks) {
  const stage = make("div", { class: "sl-stage sl-map", tabindex: "0", role: "application",
    "aria-label": "Map of the latent space, one point per segment. Drag a lasso to select." });
  host.append(stage);
  const view = liveCanvas(stage, "sl-points", draw);
  const tip = tooltip(stage);
  const n = xy.length / 2;
  let image = null;
  let extent = extentOf(xy);
  const camera = { zoom: 1, x: 0, y: 0 };
  const state = { mode: "lasso", colours: [], faint: [], selected: new Set(), hovered: -1 };
  const largest = Math.max(1, ...Array.from(areas));
  const radius = Array.from(areas, (a) => 3 + 5 * Math.sqrt(Math.sqrt(a / largest)));
  const smaller = n > 1500 ? 0.55 : n > 500 ? 0.75 : 1;

  function project(i) {
    const [width, height] = view.size();
    const [room, top] = [26, 48]; // the buttons lie at the top
    const [x0, y0, x1, y1] = extent;
    const px = room + ((xy[2 * i] - x0) / (x1 - x0)) * (width - 2 * room);
    const py = height - room - ((xy[2 * i + 1] - y0) / (y1 - y0)) * (height - room - top);
    return [px * camera.zoom + camera.x, py * camera.zoom + camera.y];
  }

  function draw(context, width, height) {
    const { ink, paper } = themeOf(stage);
    const some = state.selected.size > 0;
    const order = Array.from({ length: n }, (_, i) => i);
    // What is selected or coloured is drawn last, so that noise never hides a class.
    order.sort((a, b) => state.selected.has(a) - state.selected.has(b) ||
      (state.noise?.[b] ?? 0) - (state.noise?.[a] ?? 0));
    const ratio = context.canvas.width / width;
    const screen = [context.canvas.width, context.canvas.height];
    if (image?.width !== screen[0] || image?.height !== screen[1]) {
      image = context.createImageData(...screen);
    }
    const ground = rgbOf(paper);
    const line = rgbOf(ink);
    new Uint32Array(image.data.buffer).fill(rgba(...ground, 255));
    for (const i of order) {
      const [x, y] = project(i);
      if (x < -20 || y < -20 || x > width + 20 || y > height + 20) continue;
      const on = state.selected.has(i);
      const r = radius[i] * smaller * (state.noise?.[i] ? 0.75 : 1) + (on ? 1 : 0);
      const strength = state.faint[i] ? 0.1 : some && !on ? 0.22 : state.noise?.[i] ? 0.6 : 0.9;
      const colour = state.colours[i] ?? line;
      paintDisc(image, x * ratio, y * ratio, (r + (on ? 0.9 : 0.4)) * ratio, on ? line : ground,
        strength);
      paintDisc(image, x * ratio, y * ratio, (r - (on ? 0.9 : 0.4)) * ratio, colour, strength);
    }
    context.putImageData(image, 0, 0);
    if (state.hovered >= 0 && state.hovered < n) {
      const [x, y] = project(state.hovered);
      context.beginPath();
      context.arc(x, y, radius[state.hovered] * smaller + 4, 0, 7);
      context.lineWidth = 2;
      context.strokeStyle = ink;
      context.stroke();
    }
    context.font = "600 12px system-ui, sans-serif";
    context.textAlign = "center";
    context.lineJoin = "round";
    for (const [text, ids] of hooks.names?.() ?? []) {
      const shown = ids.map(project);
      const x = shown.reduce((sum, p) => sum + p[0], 0) / shown.length;
      const y = Math.min(...shown.map((p) => p[1])) - 10;
      context.lineWidth = 4;
      context.strokeStyle = paper;
      context.strokeText(text, x, Math.max(14, y));
      context.fillStyle = ink;
      context.fillText(text, x, Math.max(14, y));
    }
    if (drag?.path.length > 1 && drag.mode !== "hand") {
      context.beginPath();
      drag.path.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
      context.globalAlpha = 0.12;
      context.fillStyle = ink;
      context.fill();
      context.globalAlpha = 1;
      context.setLineDash([4, 3]);
      context.lineWidth = 1.3;
      context.strokeStyle = ink;
      context.stroke();
      context.setLineDash([]);
    }
  }

  function nearest(x, y) {
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < n; i++) {
      if (state.faint[i]) continue;
      const [px, py] = project(i);
      const distance = Math.hypot(px - x, py - y) - radius[i] * smaller;
      if (distance < 5 && distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  function place(event) {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || event.target.closest("button")) return;
    const [x, y] = place(event);
    drag = { x, y, mode: event.altKey ? "hand" : state.mode, path: [[x, y]], moved: false,
      cameraX: camera.x, cameraY: camera.y, add: event.shiftKey || event.ctrlKey };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (!drag) {
      const id = nearest(x, y);
      if (id !== state.hovered) {
        state.hovered = id;
        view.schedule();
      }
      hooks.hover?.(id);
      if (id < 0) tip.hide();
      else tip.show(x, y, hooks.tip(id), hooks.colour(id));
      return;
    }
    if (Math.hypot(x - drag.x, y - drag.y) > 4) drag.moved = true;
    if (!drag.moved) return;
    tip.hide();
    if (drag.mode === "hand") {
      camera.x = drag.cameraX + x - drag.x;
      camera.y = drag.cameraY + y - drag.y;
    } else if (drag.mode === "box") {
      drag.path = [[drag.x, drag.y], [x, drag.y], [x, y], [drag.x, y]];
    } else drag.path.push([x, y]);
    view.schedule();
  });
  stage.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const was = drag;
    drag = null;
    view.schedule();
    if (!was.moved) {
      const id = nearest(...place(event));
      hooks.select?.(id < 0 ? [] : [id], was.add);
    } else if (was.mode !== "hand") {
      const ids = [];
      for (let i = 0; i < n; i++) {
        if (!state.faint[i] && insidePolygon(was.path, ...project(i))) ids.push(i);
      }
      hooks.select?.(ids, was.add);
    }
  });
  stage.addEventListener("pointerleave", () => {
    tip.hide();
    state.hovered = -1;
    hooks.hover?.(-1);
    view.schedule();
  });

  function zoom(factor, x = view.size()[0] / 2, y = view.size()[1] / 2) {
    const next = Math.min(30, Math.max(0.5, camera.zoom * factor));
    camera.x = x - ((x - camera.x) * next) / camera.zoom;
    camera.y = y - ((y - camera.y) * next) / camera.zoom;
    camera.zoom = next;
    view.schedule();
  }
  function fit() {
    Object.assign(camera, { zoom: 1, x: 0, y: 0 });
    view.schedule();
  }
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0025)), ...place(event));
  }, { passive: false });
  stage.addEventListener("keydown", (event) => {
    const actions = { "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4),
      0: fit, Escape: () => hooks.select?.([], false) };
    if (!actions[event.key] || event.ctrlKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    actions[event.key]();
  });

  const modes = { lasso: "Select with a lasso (Shift adds)", box: "Select with a box (Shift adds)",
    hand: "Move the map" };
  const buttons = Object.fromEntries(Object.entries(modes).map(([mode, label]) =>
    [mode, iconButton(mode, label, () => setMode(mode))]));
  function setMode(mode) {
    state.mode = mode;
    stage.dataset.mode = mode;
    for (const [key, button] of Object.entries(buttons)) {
      button.setAttribute("aria-pressed", String(key === mode));
    }
  }
  setMode("lasso");
  stage.append(make("div", { class: "sl-zoom" }, ...Object.values(buttons),
    iconButton("plus", "Zoom in (+, or Ctrl and wheel)", () => zoom(1.5)),
    iconButton("minus", "Zoom out (-)", () => zoom(1 / 1.5)),
    iconButton("fit", "Show all points (0)", fit)));

  return {
    stage,
    setPoints(points) {
      xy = points;
      extent = extentOf(points);
      fit();
    },
    setColours(colours, noise, faint) {
      Object.assign(state, { colours, noise, faint });
      view.schedule();
    },
    setSelected(selected) {
      state.selected = selected;
      view.schedule();
    },
    setHover(id) {
      if (id === state.hovered) return;
      state.hovered = id;
      view.schedule();
    },
    redraw: view.schedule,
    destroy: view.stop,
  };
}
