// The k-distance curve with the eps line on it, and the small curves above the slider.

// A round step that gives about `count` ticks up to `top`.
function ticksUpTo(top, count) {
  if (!(top > 0)) return [0];
  const rough = top / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const ticks = [];
  for (let i = 0; i * step <= top * 1.0001; i++) ticks.push(Number((i * step).toPrecision(6)));
  return ticks;
}

// At most `most` of the values, evenly, always with the last.
function thin(values, most) {
  if (values.length <= most) return Array.from(values, (v, i) => [i, v]);
  const step = (values.length - 1) / (most - 1);
  return Array.from({ length: most }, (_, k) => {
    const i = Math.round(k * step);
    return [i, values[i]];
  });
}

// hooks: drag(eps) while the line moves, drop(eps) when it is let go.
function createCurve(host, hooks) {
  const stage = make("div", { class: "sl-curve" });
  host.append(stage);
  const svg = makeSvg("svg", { "aria-hidden": "true" });
  stage.append(svg);
  const pad = { left: 44, right: 10, top: 8, bottom: 22 };
  let data = { distances: [], eps: null, suggested: null, top: 1, k: 0 };
  let line = null;
  const width = () => stage.clientWidth;
  const height = () => stage.clientHeight;
  const yOf = (v) => height() - pad.bottom - (Math.min(v, data.top) / data.top) *
    (height() - pad.top - pad.bottom);
  const epsAt = (y) => data.top * Math.max(0, Math.min(1,
    (height() - pad.bottom - y) / (height() - pad.top - pad.bottom)));

  function build() {
    svg.replaceChildren();
    line = null;
    const [w, h] = [width(), height()];
    if (w === 0) return;
    svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
    const n = data.distances.length;
    const xOf = (i) => pad.left + (n > 1 ? i / (n - 1) : 0.5) * (w - pad.left - pad.right);
    for (const value of ticksUpTo(data.top, 4)) {
      svg.append(
        makeSvg("line", { class: "sl-grid", x1: pad.left, x2: w - pad.right, y1: yOf(value),
          y2: yOf(value) }),
        textAt(pad.left - 6, yOf(value) + 4, shortNumber(value), "end"));
    }
    svg.append(textAt(pad.left, h - 5,
      `segments, by distance to their ${ordinal(data.k)} neighbour`, "start"));
    if (n) {
      const points = thin(data.distances, 400).map(([i, v]) => `${xOf(i)},${yOf(v)}`);
      svg.append(
        makeSvg("polygon", { class: "sl-area", points: `${xOf(0)},${yOf(0)} ${points.join(" ")} ` +
          `${xOf(n - 1)},${yOf(0)}` }),
        makeSvg("polyline", { class: "sl-line", points: points.join(" ") }));
    }
    if (data.suggested !== null) {
      const y = yOf(data.suggested);
      svg.append(makeSvg("line", { class: "sl-suggested", x1: pad.left, x2: w - pad.right, y1: y,
        y2: y }));
    }
    line = makeSvg("g", { class: "sl-eps" },
      makeSvg("line", { x1: pad.left, x2: w - pad.right, y1: 0, y2: 0 }),
      makeSvg("rect", { x: pad.left, y: -8, width: w - pad.left - pad.right, height: 16 }),
      makeSvg("circle", { cx: w - pad.right - 8, cy: 0, r: 6 }),
      textAt(w - pad.right - 22, -6, "", "end"));
    svg.append(line);
    place();
  }

  function place() {
    if (!line) return;
    const shown = data.eps !== null && data.eps !== undefined;
    line.style.display = shown ? "" : "none";
    if (!shown) return;
    const y = yOf(data.eps);
    line.setAttribute("transform", `translate(0 ${y})`);
    const label = line.lastChild;
    label.textContent = `eps ${shortNumber(data.eps)}`;
    label.setAttribute("y", y < 26 ? 18 : -6);
  }

  let dragging = false;
  const at = (event) => epsAt(event.clientY - svg.getBoundingClientRect().top);
  svg.addEventListener("pointerdown", (event) => {
    if (data.eps === null) return;
    dragging = true;
    svg.setPointerCapture(event.pointerId);
    hooks.drag(at(event));
  });
  svg.addEventListener("pointermove", (event) => dragging && hooks.drag(at(event)));
  svg.addEventListener("pointerup", (event) => {
    if (!dragging) return;
    dragging = false;
    hooks.drop(at(event));
  });
  const observer = new ResizeObserver(build);
  observer.observe(stage);
  return {
    stage,
    set(next) {
      data = { ...data, ...next };
      build();
    },
    setEps(eps) {
      data.eps = eps;
      place();
    },
    destroy: () => observer.disconnect(),
  };
}

function ordinal(k) {
  return `${k}${{ 1: "st", 2: "nd", 3: "rd" }[k % 10 === k || k > 20 ? k % 10 : 0] ?? "th"}`;
}

function textAt(x, y, text, anchor) {
  const element = makeSvg("text", { x, y, "text-anchor": anchor });
  element.textContent = text;
  return element;
}

// Number of classes (line) and share of noise (area) for each step of the slider beneath.
function createSpark(host) {
  const svg = makeSvg("svg", { class: "sl-spark", viewBox: "0 0 100 26",
    preserveAspectRatio: "none", "aria-hidden": "true" });
  const legend = make("div", { class: "sl-legend", "aria-hidden": "true" },
    make("span", { class: "sl-key-classes", text: "classes" }),
    make("span", { class: "sl-key-noise", text: "noise" }));
  host.append(legend, svg);
  return {
    set(classes, noise) {
      const n = Math.max(1, classes.length - 1);
      const most = Math.max(1, ...classes);
      const line = classes.map((c, i) => `${(100 * i) / n},${25 - (23 * c) / most}`);
      const area = noise.map((s, i) => `${(100 * i) / n},${25 - 23 * s}`);
      svg.replaceChildren(
        makeSvg("polygon", { class: "sl-spark-noise",
          points: `0,26 ${area.join(" ")} 100,26` }),
        makeSvg("polyline", { class: "sl-spark-classes", points: line.join(" ") }));
    },
  };
}
