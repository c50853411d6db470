"""Colours as the screen has them: every fill has the hue of its legend."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from samlab.palette import class_colors
from samlab.view.canvas.canvas import Canvas
from samlab.view.explorer.explorer import explore
from tests.browser.steps import show
from tests.view.colours import GROUNDS, HUE_ANGLE, all_classes, hue_difference

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_class_has_the_hue_of_its_swatch_on_any_picture(
    offline_page: Any, tmp_path: Path, ground: str
) -> None:
    segments, picture, centres = all_classes(GROUNDS[ground])
    path = Canvas(segments, picture).write_html(tmp_path / "canvas.html")
    offline_page.goto(path.as_uri())
    found = painted(offline_page, ".samlab", picture.shape, centres)
    expected = class_colors(segments.labels)
    assert hue_difference(found, expected).max() <= HUE_ANGLE


def test_a_picture_in_outlines_keeps_its_colours(offline_page: Any, tmp_path: Path) -> None:
    segments, picture, centres = all_classes(GROUNDS["coloured"])
    explorer = explore(segments, picture, points=np.zeros((len(segments), 2)))
    offline_page.goto(explorer.write_html(tmp_path / "explorer.html").as_uri())
    assert not near(painted(offline_page, ".sl-explorer", picture.shape, centres), picture[0, 0])
    offline_page.get_by_role("button", name="Outlines").click()
    assert near(painted(offline_page, ".sl-explorer", picture.shape, centres), picture[0, 0])


def near(found: np.ndarray, colour: np.ndarray) -> bool:
    return bool((np.abs(found.astype(int) - colour) <= 4).all())


def painted(page: Any, name: str, shape: tuple[int, ...], at: np.ndarray) -> np.ndarray:
    """Pixels of a widget's picture on the screen at places (x, y) of the picture; uint8 (N, 3)."""
    show(page, name)
    stage = page.locator(f"{name} .sl-picture-panel .sl-stage")
    page.mouse.move(1, 1)
    with Image.open(BytesIO(stage.screenshot())) as screen:
        pixels = np.asarray(screen.convert("RGB"))
    scale = min(pixels.shape[1] / shape[1], pixels.shape[0] / shape[0])
    margin = (np.array(pixels.shape[1::-1]) - scale * np.array(shape[1::-1])) / 2
    x, y = (margin + scale * at).astype(int).T
    return pixels[y, x]
