"""A folder of small pictures, and a stranger's file beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Folder with a.jpg and sub/b.png, both 40 wide and 30 high; secret.png lies outside."""
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    picture = Image.fromarray(np.full((30, 40, 3), 90, np.uint8))
    picture.save(folder / "a.jpg")
    picture.save(folder / "sub" / "b.png")
    picture.save(tmp_path / "secret.png")
    return folder


@pytest.fixture
def maps(tmp_path):
    """Label map a.png: sky 0 above, two cars 2, a speck of car, 255 below."""
    values = np.zeros((30, 40), np.uint8)
    values[20:] = 255
    values[5:10, 5:15] = 2
    values[12:18, 25:35] = 2
    values[0, 39] = 2
    folder = tmp_path / "labels"
    folder.mkdir()
    Image.fromarray(values).save(folder / "a.png")
    return folder, values
