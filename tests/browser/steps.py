"""A picture to explore, and what a hand does in the page."""

from __future__ import annotations

from typing import Any

import numpy as np

from samlab import masks
from samlab.segments import Segments

#: Milliseconds from the slider's event to the painted frame, 20 times after 5 to warm up.
SLIDER_TIMES = """async () => {
  const slider = document.querySelector(".sl-slider");
  const stage = document.querySelector(".sl-picture-panel .sl-stage");
  const after = (ms) => new Promise((done) => setTimeout(done, ms));
  // A task posted in the frame's callback runs when the frame has been handed over.
  const task = () => new Promise((done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  });
  const times = [];
  for (let i = 0; i < 25; i++) {
    const painted = new Promise((done) =>
      stage.addEventListener("samlab-painted", done, { once: true }));
    slider.value = String(20 + (i * 7) % 40);
    const start = performance.now();
    slider.dispatchEvent(new Event("input"));
    await painted;
    await task();
    times.push(performance.now() - start);
    await after(30);
  }
  return times.slice(5);
}"""


def blobs(n: int = 300, side: int = 1024, groups: int = 6, seed: int = 0) -> tuple[Any, Any]:
    """A picture of n discs on a grid, in `groups` kinds that differ in colour and vector."""
    rng = np.random.default_rng(seed)
    picture = np.full((side, side, 3), 40, np.uint8)
    columns = int(np.ceil(np.sqrt(n)))
    cell = side / columns
    yy, xx = np.mgrid[:side, :side]
    centres = np.eye(groups, 32) * 4
    rles, vectors = [], []
    for i in range(n):
        cx, cy = ((i % columns) + 0.5) * cell, ((i // columns) + 0.5) * cell
        r = 0.42 * cell
        x0, y0 = max(0, int(cx - r - 1)), max(0, int(cy - r - 1))
        window = (slice(y0, int(cy + r + 2)), slice(x0, int(cx + r + 2)))
        disc = (xx[window] - cx) ** 2 + (yy[window] - cy) ** 2 < r * r
        mask = np.zeros((side, side), bool)
        mask[window] = disc
        picture[mask] = (np.array([70, 60, 90]) * (1 + i % groups) * 0.4).clip(0, 255)
        rles.append(masks.encode(mask))
        spread = 0.04 * (1 + 2 * (i % groups))
        vectors.append(centres[i % groups] + rng.normal(size=32) * spread)
    segments = Segments(
        rles=rles, embeddings={"sam": np.array(vectors, np.float32)}, image_id="discs.png"
    )
    return segments, picture


#: Resolves when a thing has stayed in its place for 20 frames, however slowly they come, or after
#: a minute.
AT_REST = """name => new Promise((done) => {
  const start = performance.now();
  let last = "";
  let same = 0;
  const look = () => {
    const box = document.querySelector(name)?.getBoundingClientRect();
    const now = box ? [box.x, box.y, box.width, box.height].join() : "";
    same = now && now === last ? same + 1 : 0;
    last = now;
    if (same >= 20 || performance.now() - start > 60000) done();
    else requestAnimationFrame(look);
  };
  look();
})"""


def show(page: Any, name: str) -> None:
    """Bring a widget into view; nothing moves any more when this returns."""
    page.wait_for_selector(f"{name} .sl-picture-panel .sl-stage")
    page.evaluate(AT_REST, name)
    page.evaluate("name => document.querySelector(name).scrollIntoView()", name)
    page.evaluate(AT_REST, name)


def click_picture(page: Any, name: str, at: tuple[float, float], size: tuple[int, int]) -> None:
    """Click a place of a widget's picture.

    JupyterLab may scroll some time after a cell has run; a click on a place of the screen, measured
    before, then goes elsewhere. A click on the element does not: it scrolls there, waits until the
    element is at rest and checks that it is what is hit.

    Args:
        name: Selector of the widget.
        at: (x, y) in pixels of the picture.
        size: (width, height) of the picture, which fills its stage but for margins.
    """
    show(page, name)
    stage = page.locator(f"{name} .sl-stage")
    box = stage.bounding_box()
    scale = min(box["width"] / size[0], box["height"] / size[1])
    x, y = (
        (side - length * scale) / 2 + place * scale
        for side, length, place in zip((box["width"], box["height"]), size, at, strict=True)
    )
    stage.click(position={"x": x, "y": y})


def state(page: Any) -> Any:
    """Summary text and the count of each class, as the page shows them."""
    return page.evaluate(
        """() => ({ summary: document.querySelector(".sl-tune .sl-summary").textContent,
          rows: [...document.querySelectorAll(".sl-row:not([hidden])")].map((row) =>
            [row.querySelector(".sl-name").value,
             Number(row.querySelector(".sl-count").textContent), row.classList.contains("sl-on")]),
          selected: document.querySelector(".sl-classes .sl-summary").textContent })"""
    )


def drag_slider(page: Any, share: float, selector: str = ".sl-slider") -> None:
    """Drag the slider's handle with the mouse to a share, 0 to 1, of its range."""
    slider = page.locator(selector).first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    at = slider.evaluate("s => (s.value - (s.min || 0)) / (s.max - (s.min || 0))")
    # The handle is about 16 pixels wide and stays inside the track.
    start, end = (box["x"] + 8 + (box["width"] - 16) * x for x in (at, share))
    y = box["y"] + box["height"] / 2
    drag(page, [(start, y), ((start + end) / 2, y), (end, y)])


def set_slider(page: Any, step: int) -> None:
    page.evaluate(
        """step => { const s = document.querySelector(".sl-slider"); s.value = step;
          s.dispatchEvent(new Event("input")); s.dispatchEvent(new Event("change")); }""",
        step,
    )


def drag(page: Any, points: list[tuple[float, float]]) -> None:
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def slider_to_frame(page: Any) -> list[float]:
    """Milliseconds from each of 20 slider events to its painted frame."""
    times: list[float] = page.evaluate(SLIDER_TIMES)
    return times
