// The picture with its segments: zoom, pan, hover, click, box selection, keyboard.

// hooks: select(ids, add), hover(id), tip(id, stack) -> lines, colour(id) -> css,
// click(x, y, event) -> true where the host handles clicks itself (the prompt widget), marks() ->
// whether it does so now: then the arrow keys move a crosshair, and Space clicks there.
function createCanvas(host, scene, hooks) {
  const stage = make("div", { class: "sl-stage", tabindex: "0", role: "application",
    "aria-label": "Picture with segments. " + (hooks.marks ? "Arrow keys move a crosshair, Space " +
      "marks there, Shift and Space marks what does not belong to it, " : "Arrow keys walk, Enter " +
      "selects, O goes one level out, ") + "plus and minus zoom, 0 fits." });
  host.append(stage);
  const base = liveCanvas(stage, "sl-picture", drawPicture);
  const view = liveCanvas(stage, "sl-overlay", drawOverlay);
  const tip = tooltip(stage);
  let palette = new Uint32Array(2 * (scene.n + 1));
  let picture = null;
  const waiting = [];
  createImageBitmap(new Blob([scene.picture], { type: scene.mime })).then((bitmap) => {
    picture = bitmap;
    base.schedule();
    waiting.forEach((ready) => ready());
  });

  const state = { visible: new Array(scene.n).fill(true), colours: [], faint: [], selected: new Set(),
    hovered: -1, opacity: 0.5, outline: false, box: null, cursor: null, extra: null, under: null, bare: false, equal: false };
  let raster = paintIndex(scene, state.visible);
  let codes = null; // what the screen shows of the raster; null once the camera has moved
  let image = null;
  const paths = new Map();
  const camera = { scale: 1, x: 0, y: 0, fitted: true };

  function fit() {
    const [width, height] = view.size();
    camera.scale = Math.min(width / scene.width, height / scene.height) || 1;
    camera.x = (width - scene.width * camera.scale) / 2;
    camera.y = (height - scene.height * camera.scale) / 2;
    camera.fitted = true;
    moved();
  }

  // The camera moved: both layers are drawn anew.
  function moved() {
    codes = null;
    base.schedule();
    view.schedule();
  }

  function zoom(factor, x = view.size()[0] / 2, y = view.size()[1] / 2) {
    const [width, height] = view.size();
    const smallest = Math.min(width / scene.width, height / scene.height);
    const scale = Math.min(40, Math.max(smallest, camera.scale * factor));
    if (scale === smallest) return fit();
    camera.x = x - ((x - camera.x) * scale) / camera.scale;
    camera.y = y - ((y - camera.y) * scale) / camera.scale;
    camera.scale = scale;
    camera.fitted = false;
    clampCamera();
    moved();
  }

  function clampCamera() {
    const [width, height] = view.size();
    const keep = (at, size, room) =>
      size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, at));
    camera.x = keep(camera.x, scene.width * camera.scale, width);
    camera.y = keep(camera.y, scene.height * camera.scale, height);
  }

  function paintColours(context, ratio) {
    const screen = [context.canvas.width, context.canvas.height];
    if (!codes || codes.length !== screen[0] * screen[1]) {
      const zoom = (camera.scale * ratio * scene.width) / scene.raster[0];
      codes = viewIndex(raster.index, scene.raster, screen, zoom, camera.x * ratio,
        camera.y * ratio, ratio >= 1.5);
      if (image?.width !== screen[0] || image?.height !== screen[1]) {
        image = context.createImageData(...screen);
      }
    }
    const chosen = state.selected;
    const strength = state.colours.map((_, i) => (state.bare ? 0 :
      (state.equal || chosen.size === 0 || chosen.has(i) ? 1 : 0.3) * (state.faint[i] ? 0.6 : 1)));
    fillPalette(palette, state.colours, strength, state.opacity, state.outline);
    repaint(new Uint32Array(image.data.buffer), codes, palette);
    context.putImageData(image, 0, 0);
  }

  function outlineOf(id) {
    if (!paths.has(id)) {
      const path = new Path2D();
      const edges = outlineEdges(scene.masks[id], scene.height);
      for (let i = 0; i < edges.length; i += 4) {
        path.moveTo(edges[i], edges[i + 1]);
        path.lineTo(edges[i + 2], edges[i + 3]);
      }
      if (paths.size > 400) paths.clear();
      paths.set(id, path);
    }
    return paths.get(id);
  }

  function follow(width, height) {
    if (!camera.fitted) return;
    camera.scale = Math.min(width / scene.width, height / scene.height);
    camera.x = (width - scene.width * camera.scale) / 2;
    camera.y = (height - scene.height * camera.scale) / 2;
  }

  function drawPicture(context, width, height) {
    follow(width, height);
    if (!picture) return;
    context.imageSmoothingEnabled = camera.scale < 3;
    context.drawImage(picture, camera.x, camera.y, scene.width * camera.scale,
      scene.height * camera.scale);
    state.under?.(context, camera);
  }

  function drawOverlay(context, width, height) {
    follow(width, height);
    paintColours(context, context.canvas.width / width);
    context.save();
    context.translate(camera.x, camera.y);
    context.scale(camera.scale, camera.scale);
    context.lineCap = "round";
    const stroke = (id, colour, thick) => {
      context.lineWidth = (thick + 2) / camera.scale;
      context.strokeStyle = "rgba(0, 0, 0, .55)";
      context.stroke(outlineOf(id));
      context.lineWidth = thick / camera.scale;
      context.strokeStyle = colour;
      context.stroke(outlineOf(id));
    };
    // Beyond a few dozen, brightness alone shows the selection: strokes would cost frames.
    if (state.selected.size <= 60) for (const id of state.selected) stroke(id, "#fff", 1.5);
    if (state.hovered >= 0) stroke(state.hovered, "#fff", 2.5);
    if (state.extra) state.extra(context, camera);
    context.restore();
    if (state.cursor) drawCursor(context, fromPicture(...state.cursor));
    if (state.box) {
      const [x0, y0, x1, y1] = state.box;
      context.setLineDash([5, 4]);
      context.lineWidth = 1.5;
      context.strokeStyle = "#fff";
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
      context.setLineDash([]);
    }
    stage.dispatchEvent(new CustomEvent("samlab-painted", { bubbles: true }));
  }

  function toPicture(x, y) {
    return [(x - camera.x) / camera.scale, (y - camera.y) / camera.scale];
  }
  function fromPicture(x, y) {
    return [x * camera.scale + camera.x, y * camera.scale + camera.y];
  }

  function drawCursor(context, [x, y]) {
    for (const [colour, thick] of [["rgba(0, 0, 0, .7)", 4], ["#fff", 2]]) {
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 5 * dx, y + 5 * dy);
        context.lineTo(x + 16 * dx, y + 16 * dy);
      }
      context.lineWidth = thick;
      context.strokeStyle = colour;
      context.stroke();
    }
  }

  function place(event) {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function stackAt(x, y) {
    const [px, py] = toPicture(x, y);
    return segmentsAt(scene, state.visible, Math.floor(px), Math.floor(py));
  }

  function setHover(id) {
    if (id === state.hovered) return;
    state.hovered = id;
    view.schedule();
  }

  // -- pointer -------------------------------------------------------------------------------
  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 1 || event.target.closest("button")) return;
    const [x, y] = place(event);
    state.cursor = null;
    drag = { x, y, cameraX: camera.x, cameraY: camera.y, moved: false,
      box: event.shiftKey || Boolean(hooks.dragBox?.()) };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (drag) {
      if (Math.hypot(x - drag.x, y - drag.y) > 4) drag.moved = true;
      if (!drag.moved) return;
      tip.hide();
      if (drag.box) {
        state.box = [Math.min(x, drag.x), Math.min(y, drag.y), Math.max(x, drag.x),
          Math.max(y, drag.y)];
      } else {
        camera.x = drag.cameraX + x - drag.x;
        camera.y = drag.cameraY + y - drag.y;
        clampCamera();
        camera.fitted = false;
        codes = null;
        base.schedule();
      }
      view.schedule();
      return;
    }
    const stack = stackAt(x, y);
    const id = stack.length ? stack[0] : -1;
    setHover(id);
    hooks.hover?.(id);
    const lines = id < 0 ? null : hooks.tip?.(id, stack);
    if (lines) tip.show(x, y, lines, hooks.colour(id));
    else tip.hide();
  });
  stage.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const [x, y] = place(event);
    const was = drag;
    const box = state.box;
    drag = null;
    state.box = null;
    view.schedule();
    if (was.moved && was.box && box) {
      const [x0, y0] = toPicture(box[0], box[1]);
      const [x1, y1] = toPicture(box[2], box[3]);
      if (hooks.box?.([x0, y0, x1, y1])) return;
      const inside = scene.order.filter((id) => {
        const [a, b, c, d] = scene.boxes[id];
        return state.visible[id] && a >= x0 && b >= y0 && c <= x1 && d <= y1;
      });
      hooks.select?.(inside, false);
      return;
    }
    if (was.moved) return;
    const [px, py] = toPicture(x, y);
    if (hooks.click?.(px, py, event)) return;
    const stack = stackAt(x, y);
    const add = event.shiftKey || event.ctrlKey || event.metaKey;
    const id = add ? stack[0] ?? -1 : nextLevel(stack, state.selected);
    hooks.select?.(id < 0 ? [] : [id], add);
  });
  stage.addEventListener("pointerleave", () => {
    setHover(-1);
    hooks.hover?.(-1);
    tip.hide();
  });
  stage.addEventListener("wheel", (event) => {
    // A plain wheel scrolls the notebook; with Ctrl (a pinch on a trackpad sends it too) it zooms.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const [x, y] = place(event);
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0025)), x, y);
  }, { passive: false });

  // -- keyboard ------------------------------------------------------------------------------
  function arrow(dx, dy) {
    if (!hooks.marks?.()) return walk(dx, dy);
    const step = 12 / camera.scale;
    const [x, y] = state.cursor ?? [scene.width / 2, scene.height / 2];
    state.cursor = [Math.min(scene.width - 1, Math.max(0, x + dx * step)),
      Math.min(scene.height - 1, Math.max(0, y + dy * step))];
    view.schedule();
  }
  function walk(dx, dy) {
    const from = state.hovered >= 0 ? state.hovered : [...state.selected][0] ?? -1;
    const centre = (id) => {
      const [a, b, c, d] = scene.boxes[id];
      return [(a + c) / 2, (b + d) / 2];
    };
    const [x, y] = from < 0 ? [0, 0] : centre(from);
    let best = -1;
    let least = Infinity;
    for (let id = 0; id < scene.n; id++) {
      if (id === from || !state.visible[id]) continue;
      const [cx, cy] = centre(id);
      const along = (cx - x) * dx + (cy - y) * dy;
      const across = Math.abs((cx - x) * dy) + Math.abs((cy - y) * dx);
      if (along > 0.5 && along + 2 * across < least) [best, least] = [id, along + 2 * across];
    }
    if (best < 0) return;
    setHover(best);
    hooks.hover?.(best);
    const [cx, cy] = centre(best);
    if (hooks.tip) {
      tip.show(cx * camera.scale + camera.x, cy * camera.scale + camera.y,
        hooks.tip(best, [best]), hooks.colour(best));
    }
  }
  const keys = {
    ArrowLeft: () => arrow(-1, 0), ArrowRight: () => arrow(1, 0), ArrowUp: () => arrow(0, -1),
    ArrowDown: () => arrow(0, 1), " ": (event) => hooks.marks?.() && state.cursor &&
      hooks.click(...state.cursor, event), "+": () => zoom(1.4), "=": () => zoom(1.4),
    "-": () => zoom(1 / 1.4), 0: fit, Escape: () => hooks.select?.([], false),
    Enter: (event) => state.hovered >= 0 && hooks.select?.([state.hovered], event.shiftKey),
    o: () => {
      const id = [...state.selected][0] ?? state.hovered;
      if (id === undefined || id < 0) return;
      const outer = scene.order.filter((other) => other !== id && state.visible[other] &&
        raw(other) > raw(id) && contains(other, id));
      if (outer.length) hooks.select?.([outer[outer.length - 1]], false);
    },
  };
  const raw = (id) => scene.areas[id];
  function contains(outer, inner) {
    const mask = scene.masks[inner];
    let shared = 0;
    let all = 0;
    forEachStretch(mask, scene.height, (x, from, to) => {
      const middle = (from + to) >> 1;
      all += to - from;
      if (maskHas(scene.masks[outer], scene.height, x, middle)) shared += to - from;
    });
    return all > 0 && shared > 0.8 * all;
  }
  stage.addEventListener("keydown", (event) => {
    const action = keys[event.key];
    if (!action || event.altKey || (event.ctrlKey && event.key !== "Enter")) return;
    if (event.target !== stage) return; // a button on the picture has its own Space and Enter
    event.preventDefault();
    event.stopPropagation();
    action(event);
  });

  stage.append(make("div", { class: "sl-zoom" },
    iconButton("plus", "Zoom in (+, or Ctrl and wheel)", () => zoom(1.5)),
    iconButton("minus", "Zoom out (-)", () => zoom(1 / 1.5)),
    iconButton("fit", "Fit the picture (0)", fit)));

  return {
    stage, view, camera, fit, zoom,
    seen: () => raster.seen,
    setColours(colours, faint = []) {
      Object.assign(state, { colours, faint });
      view.schedule();
    },
    // equal: the others keep their strength.
    setSelected(selected, equal = false) {
      Object.assign(state, { selected, equal });
      view.schedule();
    },
    setVisible(visible) {
      if (visible.every((value, i) => value === state.visible[i])) return;
      state.visible = visible;
      raster = paintIndex(scene, visible);
      codes = null;
      view.schedule();
    },
    setHover,
    picture: () => picture,
    outlineOf,
    // Call back when the picture can be drawn.
    whenReady: (ready) => (picture ? ready() : waiting.push(ready)),
    // Other segments on the same picture.
    setScene(next) {
      scene = next;
      palette = new Uint32Array(2 * (scene.n + 1));
      Object.assign(state, { visible: new Array(scene.n).fill(true), colours: [], faint: [],
        selected: new Set(), hovered: -1 });
      raster = paintIndex(scene, state.visible);
      paths.clear();
      codes = null;
      view.schedule();
    },
    setStyle(options) {
      Object.assign(state, options);
      base.schedule();
      view.schedule();
    },
    destroy() {
      base.stop();
      view.stop();
      picture?.close();
    },
  };
}
