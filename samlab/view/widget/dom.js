// Small helpers for building the page. Text reaches it through textContent only.

// make("button", { class: "x", title: "y", text: "z", onclick: f }, child, child)
function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "text") element.textContent = value;
    else if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Icons are drawn here as single strokes, so that no file is fetched for them.
const ICONS = {
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  lasso: "M8 2.5c3.6 0 6 1.7 6 4s-2.4 4-6 4c-1 0-2-.1-2.900-.4M5 10C3.200 9.300 2 8 2 6.500c0-2.300 2.400-4 6-4M5 10c1.500.6 1.700 2-.2 2.300M4.800 12.300c.2.900-.5 1.400-1.300 1.500",
  box: "M2.500 3.500h11v9h-11z",
  hand: "M8 2v12M2 8h12M8 2 6.300 3.700M8 2l1.700 1.700M8 14l-1.700-1.700M8 14l1.700-1.700M2 8l1.700-1.700M2 8l1.700 1.700M14 8l-1.700-1.700M14 8l-1.700 1.700",
  eye: "M1.500 8s2.400-4.200 6.500-4.200S14.500 8 14.500 8 12.100 12.200 8 12.200 1.500 8 1.500 8zM8 6.200a1.800 1.800 0 1 0 0 3.600 1.800 1.800 0 0 0 0-3.600",
  shut: "M1.500 8s2.400-4.200 6.500-4.200S14.500 8 14.500 8 12.100 12.200 8 12.200 1.500 8 1.500 8zM3 13 13 3",
  undo: "M5.500 3 2.500 6l3 3M2.500 6h7a4 4 0 0 1 0 8H7",
  redo: "M10.500 3l3 3-3 3M13.500 6h-7a4 4 0 0 0 0 8H9",
  back: "M10 3 5 8l5 5",
  forward: "M6 3l5 5-5 5",
  copy: "M5.500 5.500v-3h8v8h-3M2.500 5.500h8v8h-8z",
  outline: "M3 3h10v10H3z",
  close: "M4 4l8 8M12 4l-8 8",
};

function icon(name) {
  return makeSvg(
    "svg",
    { viewBox: "0 0 16 16", class: "sl-icon", "aria-hidden": "true" },
    makeSvg("path", { d: ICONS[name] }),
  );
}

function iconButton(name, label, onclick) {
  return make("button", { class: "sl-icon-button", type: "button", title: label,
    "aria-label": label, onclick }, icon(name));
}

function field(label, control) {
  return make("label", { class: "sl-field" }, make("span", { text: label }), control);
}

function choice(options, value, onchange) {
  const select = make("select", { onchange: () => onchange(select.value) });
  for (const [key, text] of options) select.append(make("option", { value: key, text }));
  select.value = value;
  return select;
}

// The outermost element of a widget. JupyterLab takes Shift and click for a selection of cells, up
// to the one clicked, and runs them all with the next Shift+Enter; here it means "add". Its
// shortcuts of one key (A inserts a cell, D D deletes one, arrows go to others) hold for every
// focused element that no text is typed into, so a slider would not hear its arrows.
function makeRoot(name) {
  return make("div", { class: `samlab ${name}`, "data-lm-suppress-shortcuts": "true",
    onmousedown: (event) => event.shiftKey && event.stopPropagation(),
    onkeydown: (event) => {
      const held = event.ctrlKey || event.metaKey || event.altKey;
      const runs = event.key === "Enter" && event.shiftKey;
      if (!held && !runs) event.stopPropagation();
    } });
}

// Numbers that travelled as bytes. The bytes may begin anywhere in a larger buffer, and typed
// arrays must begin at a multiple of their element size, hence the copy.
function numbers(view, Type) {
  const start = view.byteOffset ?? 0;
  const buffer = view.buffer ?? view;
  return new Type(buffer.slice(start, start + view.byteLength));
}

// A canvas that follows the size of its host, in device pixels. draw(context, width, height)
// is called with the context scaled to CSS pixels, at most once per frame.
function liveCanvas(host, className, draw) {
  const element = make("canvas", { class: className });
  host.append(element);
  let asked = false;
  let size = [0, 0];
  const frame = () => {
    asked = false;
    const [width, height] = size;
    if (width === 0 || height === 0) return;
    const ratio = window.devicePixelRatio || 1;
    const context = element.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height);
  };
  const schedule = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(frame);
  };
  const observer = new ResizeObserver(() => {
    const { width, height } = host.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    size = [width, height];
    element.width = Math.max(1, Math.round(width * ratio));
    element.height = Math.max(1, Math.round(height * ratio));
    frame();
  });
  observer.observe(host);
  return { element, schedule, size: () => size, stop: () => observer.disconnect() };
}

// A tooltip that follows the pointer inside `host`. show(event, lines): each line is a text or a
// [label, value] pair; the first line is the heading.
function tooltip(host) {
  const element = make("div", { class: "sl-tooltip", role: "status", hidden: true });
  host.append(element);
  return {
    hide: () => (element.hidden = true),
    show: (x, y, lines, colour) => {
      element.replaceChildren();
      lines.forEach((line, i) => {
        if (Array.isArray(line)) {
          element.append(make("div", { class: "sl-tip-row" },
            make("span", { text: line[0] }), make("b", { text: line[1] })));
          return;
        }
        const row = make("div", { class: i === 0 ? "sl-tip-head" : "sl-tip-note" });
        if (i === 0 && colour) {
          const dot = make("i", { class: "sl-dot" });
          dot.style.background = colour;
          row.append(dot);
        }
        row.append(make("span", { text: line }));
        element.append(row);
      });
      element.hidden = false;
      const box = host.getBoundingClientRect();
      const { offsetWidth, offsetHeight } = element;
      const left = x + 16 + offsetWidth > box.width ? x - offsetWidth - 12 : x + 16;
      const top = y + 16 + offsetHeight > box.height ? y - offsetHeight - 12 : y + 16;
      element.style.left = `${Math.max(2, left)}px`;
      element.style.top = `${Math.max(2, top)}px`;
    },
  };
}

// Ink and paper as the theme has them, for what is drawn on canvases.
function themeOf(element) {
  const style = getComputedStyle(element);
  return { ink: style.color, paper: style.backgroundColor,
    accent: style.getPropertyValue("--sl-accent-solid").trim() || "#1976d2" };
}

// Any CSS colour as [r, g, b]. A canvas knows them all, color-mix() results included.
function rgbOf(css) {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  context.fillStyle = css;
  context.fillRect(0, 0, 1, 1);
  return Array.from(context.getImageData(0, 0, 1, 1).data.subarray(0, 3));
}

// Tell native controls whether the theme is dark, now and when it changes.
function followTheme(root, onchange) {
  const update = () => {
    const [r, g, b] = (getComputedStyle(root).backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255])
      .map(Number);
    root.dataset.theme = 0.3 * r + 0.59 * g + 0.11 * b < 128 ? "dark" : "light";
    onchange();
  };
  update();
  // A notebook may put the widget into the page only after it is drawn; before, it has no colours.
  const placed = new ResizeObserver(() => {
    placed.disconnect();
    update();
  });
  placed.observe(root);
  const observer = new MutationObserver(() => setTimeout(update, 50));
  for (const target of [document.documentElement, document.body]) {
    observer.observe(target, { attributes: true,
      attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name",
        "data-vscode-theme-kind", "theme", "style"] });
  }
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", update);
  return () => {
    placed.disconnect();
    observer.disconnect();
    media.removeEventListener("change", update);
  };
}
