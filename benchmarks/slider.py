"""From the eps slider to the painted frame, in a real Chromium, on a file without a kernel.

    python -m benchmarks.slider [--segments 300] [--series 5]

The page measures itself: from the slider's event to the task after the frame that shows it.
Software rendering, since the browser runs headless.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import samlab
from tests.browser.steps import blobs, slider_to_frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segments", type=int, default=300)
    parser.add_argument("--series", type=int, default=5)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    segments, picture = blobs(options.segments)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "explorer.html"
        samlab.explore(segments, picture).write_html(page_file)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(page_file.as_uri())
        page.wait_for_selector(".sl-row")
        medians = [statistics.median(slider_to_frame(page)) for _ in range(options.series)]
        browser.close()
    print(f"{options.segments} segments, {picture.shape[1]} x {picture.shape[0]} px")
    print("median of 20, ms: " + ", ".join(f"{m:.1f}" for m in medians))


if __name__ == "__main__":
    main()
