// The theme of the page that the widget is in: light or dark, ink and paper.

/** @import { RGB } from "./types.d.ts" */

/**
 * Ink and paper as the theme has them, for what is drawn on canvases.
 * @param {Element} element
 */
export function themeOf(element) {
  const style = getComputedStyle(element);
  return { ink: style.color, paper: style.backgroundColor };
}

/**
 * Any CSS colour as numbers. A canvas knows them all, color-mix() results included.
 * @param {string} css
 * @returns {RGB}
 */
export function rgbOf(css) {
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
    new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true }));
  context.fillStyle = css;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  return [r, g, b];
}

/**
 * Tell native controls whether the theme is dark, now and when it changes.
 * @param {HTMLElement} root
 * @param {() => void} onchange
 * @returns {() => void} Stops following.
 */
export function followTheme(root, onchange) {
  const update = () => {
    const [r, g, b] = (getComputedStyle(root).backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255])
      .map(Number);
    root.dataset.theme = 0.3 * r + 0.59 * g + 0.11 * b < 128 ? "dark" : "light";
    onchange();
  };
  update();
  // A notebook may put the widget into the page only after it is drawn; before, it has no colours.
  const attached = new ResizeObserver(() => {
    attached.disconnect();
    update();
  });
  attached.observe(root);
  const observer = new MutationObserver(() => setTimeout(update, 50));
  for (const target of [document.documentElement, document.body]) {
    observer.observe(target, { attributes: true,
      attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name",
        "data-vscode-theme-kind", "theme", "style"] });
  }
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", update);
  return () => {
    attached.disconnect();
    observer.disconnect();
    media.removeEventListener("change", update);
  };
}
