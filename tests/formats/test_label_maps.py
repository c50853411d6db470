"""Label maps in: class numbers become objects with masks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from samlab import masks
from samlab.errors import FormatError, InputError
from samlab.formats.label_maps import read_label_maps


def test_label_maps_become_objects_with_masks(pictures, maps):
    folder, values = maps
    read = read_label_maps(folder, pictures, ["sky", "road", "car"])
    (image,) = read
    assert image.class_names == ("sky", "car", "car")
    np.testing.assert_array_equal(image.boxes[1:], [[5, 5, 15, 10], [25, 12, 35, 18]])
    painted = np.full(values.shape, 255)
    for name, rle in zip(image.class_names, image.masks, strict=True):
        painted[masks.decode(rle)] = ["sky", "road", "car"].index(name)
    painted[0, 39] = 2
    np.testing.assert_array_equal(painted, values)
    assert read.counts() == {"sky": 1, "road": 0, "car": 2}
    assert read.report.left_out == {("object", "it has fewer than 16 pixels"): 1}


def test_label_maps_by_class_and_with_classes_ignored(pictures, maps, tmp_path):
    folder, values = maps
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    read = read_label_maps(
        folder, pictures, tmp_path / "classes.txt", ignore=["sky"], instances=False
    )
    (image,) = read
    assert image.class_names == ("car",)
    np.testing.assert_array_equal(masks.decode(image.masks[0]), values == 2)


def test_a_palettes_colours_do_not_matter_and_16_bits_do(pictures, maps):
    folder, values = maps
    palette = Image.fromarray(values).convert("P")
    palette.putpalette([7] * 768)
    palette.save(folder / "a.png")
    assert read_label_maps(folder, pictures, {2: "car"}).counts() == {"car": 2}
    Image.fromarray(values.astype(np.uint16) * 300).save(folder / "a.png")
    assert read_label_maps(folder, pictures, {600: "car"}).counts() == {"car": 2}


def test_broken_label_maps_are_counted(pictures, maps):
    folder, values = maps
    Image.fromarray(values[:20]).save(pictures / "c.png")
    for name in ("b", "c"):
        Image.new("RGB", (40, 30)).save(folder / f"{name}.png")
    Image.fromarray(values).save(folder / "c.png")
    (pictures / "d.jpg").write_bytes((pictures / "a.jpg").read_bytes())
    (folder / "d.png").write_bytes(b"no PNG")
    (pictures / "e.jpg").write_bytes((pictures / "a.jpg").read_bytes())
    Image.new("RGB", (40, 30)).save(folder / "e.png")
    read = read_label_maps(folder, pictures, ["sky", "road", "car"])
    assert len(read) == 1
    reasons = {reason for what, reason in read.report.left_out if what == "picture"}
    assert reasons == {
        "no picture of the same name",
        "the labels were made for another size",
        "the label map is not a readable PNG",
        "the label map is not a grey or palette PNG of class numbers",
    }


def test_bad_class_tables_are_named(pictures, maps, tmp_path):
    folder, _ = maps
    with pytest.raises(InputError, match="every class name once, got car more than once"):
        read_label_maps(folder, pictures, ["car", "sky", "car"])
    with pytest.raises(InputError, match="names to ignore out of sky, car; got bus"):
        read_label_maps(folder, pictures, ["sky", "car"], ignore=["bus"])
    with pytest.raises(FormatError, match="one class name per line, found none at"):
        read_label_maps(folder, pictures, tmp_path / "none.txt")
    with pytest.raises(FormatError, match="label maps as PNG, found none"):
        read_label_maps(tmp_path / "pictures" / "none", pictures, ["sky"])
