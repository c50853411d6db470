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
