"""samlab.run: many pictures, broken ones among them, resumed, with the real embedded model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import samlab
from samlab.errors import InputError


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Three small pictures, two of one name, and a broken one."""
    import skimage.data

    folder = tmp_path_factory.mktemp("photos")
    (folder / "sub").mkdir()
    Image.fromarray(skimage.data.coins()[:150, :200]).save(folder / "coins.png")
    Image.fromarray(skimage.data.coins()[100:250, 50:200]).save(folder / "sub" / "coins.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "notes.txt").write_text("no picture at all")
    return folder


@pytest.fixture(scope="module")
def tiny_run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "out"
    return samlab.run(photos, out, points_per_side=12, progress=False)


def test_run_gives_what_segment_gives(tiny_run, photos) -> None:
    alone = samlab.segment(photos / "sub" / "coins.png", points_per_side=12)
    found = tiny_run.segments("sub/coins.png")
    assert len(alone) > 3
    assert found.rles == alone.rles
    assert np.array_equal(found.embedding("sam"), alone.embedding("sam"))
    assert found.image_size == alone.image_size
    assert found.image_id == "sub/coins.png"
    assert found.provenance["weights_sha256"] == alone.provenance["weights_sha256"]
    assert found.provenance["pooling"] == alone.provenance["pooling"]


def test_a_broken_picture_is_a_row_and_the_rest_goes_on(tiny_run) -> None:
    assert tiny_run.pictures["image_id"].tolist() == ["broken.jpg", "coins.png", "sub/coins.png"]
    assert tiny_run.pictures["status"].tolist() == ["error", "ok", "ok"]
    row = tiny_run.errors.iloc[0]
    assert row["error_type"] == "ImageError"
    assert "is not a picture that Pillow can read" in row["error"]


def test_other_settings_are_refused(tiny_run, photos) -> None:
    with pytest.raises(InputError, match=r"masks\.points_per_side was 12 and is now 13\. Use the"):
        samlab.run(photos, tiny_run.folder, points_per_side=13, progress=False)
