"""Fault matrix, label files: one bad entry is counted, and all the others are read."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import samlab
from samlab.errors import FormatError, InputError

RLE = samlab.masks.encode(np.eye(20, 30, dtype=bool))
GOOD = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (30, 20)).save(folder / name)
    return folder


def coco(annotations: list, **changed: object) -> dict:
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    categories = [{"id": 1, "name": "cat"}]
    return {"images": images, "categories": categories, "annotations": annotations, **changed}


@pytest.mark.parametrize(
    "bad",
    [
        {"bbox": [10**400, 1, 2, 2]},
        {"bbox": [1, 1, float("nan"), 2]},
        {"bbox": [1, 1, 2, 2], "segmentation": [[10**400, 1, 2, 2, 3, 3]]},
        {"bbox": [1, 1, 2, 2], "segmentation": {"size": [10**400, 3], "counts": "1"}},
    ],
)
def test_coco_one_impossible_annotation_is_counted(bad, pictures) -> None:
    read = samlab.read.coco(coco([GOOD, {**GOOD, "id": 2, **bad}]), pictures)
    assert read[0].class_names[0] == "cat"
    assert sum(read.report.left_out.values()) == 1


@pytest.mark.parametrize("width", [float("nan"), float("inf"), 10**400])
def test_coco_one_impossible_size_is_counted(width, pictures) -> None:
    images = [
        {"id": 1, "file_name": "a.png"},
        {"id": 2, "file_name": "b.png", "width": width, "height": 20},
    ]
    read = samlab.read.coco(coco([GOOD], images=images), pictures)
    assert [image.name for image in read] == ["a.png"]


@pytest.mark.parametrize("name", ["x" * 5000, "d/" * 2000 + "x", "\ud800.png", "a\0.png", ""])
def test_coco_one_impossible_name_is_counted_and_can_be_printed(name, pictures) -> None:
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": name}]
    read = samlab.read.coco(coco([GOOD], images=images), pictures)
    assert [image.name for image in read] == ["a.png"]
    said = str(read.report)
    assert said.encode("utf-8")
    assert len(said) < 500


def test_half_a_character_in_a_class_name_can_be_written(pictures, tmp_path) -> None:
    mark = {**GOOD, "segmentation": RLE}
    data = coco([mark], categories=[{"id": 1, "name": "c\ud800t"}])
    read = samlab.read.coco(data, pictures)
    assert read.class_names == ("c\\ud800t",)
    samlab.export(read.to_segments(), tmp_path / "out.json")
    assert len(read.digest()) == 64


def voc(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)


XML = (
    "<annotation><filename>{}</filename><object><name>cat</name><bndbox><xmin>1</xmin>"
    "<ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"
)
BOMB = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY x "yyyy">]>'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'<?xml version="1.0" encoding="gb18030"?><annotation/>', "not XML"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "not XML"),
        ((BOMB + XML.format("&x;")).encode("utf-16"), "declares a document type"),
    ],
)
def test_voc_one_odd_file_is_counted(data, said, pictures, tmp_path) -> None:
    voc(tmp_path / "voc", "1.xml", data)
    voc(tmp_path / "voc", "2.xml", XML.format("a.png").encode())
    read = samlab.read.voc(tmp_path / "voc", pictures)
    assert [image.name for image in read] == ["a.png"]
    assert said in str(read.report)


def test_voc_a_link_to_nothing_is_counted(pictures, tmp_path) -> None:
    voc(tmp_path / "voc", "2.xml", XML.format("a.png").encode())
    (tmp_path / "voc" / "1.xml").symlink_to(tmp_path / "gone.xml")
    read = samlab.read.voc(tmp_path / "voc", pictures)
    assert "cannot be read (No such file" in str(read.report)
    assert len(read) == 1


def yolo(tmp_path: Path, text: str) -> Path:
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .2 .2\n0 inf .5 .2 .2\n")
    (tmp_path / "data.yaml").write_text(text)
    return tmp_path / "data.yaml"


@pytest.mark.parametrize("key", [".inf", "null", "2020-01-01", "[1]", ".nan"])
def test_yolo_keys_that_are_no_numbers_are_a_sentence(key, pictures, tmp_path) -> None:
    file = yolo(tmp_path, f"names: {{{key}: cat}}\n")
    with pytest.raises(FormatError, match=r"whole numbers as keys of 'names'|is not YAML"):
        samlab.read.yolo(tmp_path / "labels", pictures, classes=file)


def test_yolo_a_yaml_bomb_is_refused_at_once(pictures, tmp_path) -> None:
    rows = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    file = yolo(tmp_path, "\n".join([*rows, "names: *a9"]))
    start = time.monotonic()
    with pytest.raises(FormatError, match="repeats parts by aliases"):
        samlab.read.yolo(tmp_path / "labels", pictures, classes=file)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("text", ["[" * 5000, "names: [" + "a, " * 200_000 + "]"])
def test_yolo_a_yaml_without_end_is_refused(text, pictures, tmp_path) -> None:
    with pytest.raises(FormatError, match="is not YAML"):
        samlab.read.yolo(tmp_path / "labels", pictures, classes=yolo(tmp_path, text))


def test_yolo_one_infinite_line_is_counted(pictures, tmp_path) -> None:
    file = yolo(tmp_path, "names: [cat]\n")
    read = samlab.read.yolo(tmp_path / "labels", pictures, classes=file)
    assert len(read[0]) == 1
    assert sum(read.report.left_out.values()) == 1


def test_sa1b_a_number_beyond_floats_is_a_sentence(tmp_path) -> None:
    image = {"image_id": 1, "width": 30, "height": 20, "file_name": "a.png"}
    data = {"image": image, "annotations": [{"segmentation": RLE, "predicted_iou": 10**400}]}
    file = tmp_path / "a.json"
    file.write_text(json.dumps(data))
    with pytest.raises(FormatError, match=r"annotations\[0\], predicted_iou .* too large"):
        samlab.read.sa1b(file)


def test_class_numbers_that_are_none_are_a_sentence(pictures, tmp_path) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="whole numbers as keys of classes, got 'one'"):
        samlab.read.label_maps(tmp_path, pictures, {"one": "cat"})


@pytest.mark.parametrize("kind", ["coco", "yolo", "label-maps", "sa-1b", "cutouts", "inpainting"])
@pytest.mark.parametrize("name", ["x" * 250 + ".jpg", "é" * 125 + ".jpg"])
def test_the_longest_names_can_be_exported(kind, name, tmp_path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "images" / name, "PNG")
    one = samlab.Segments([RLE], image_id=name, labels=[0], class_names={0: "c" * 300})
    options = {"images": tmp_path / "images"} if kind in ("cutouts", "yolo") else {}
    out = tmp_path / ("out.json" if kind == "coco" else "out")
    assert samlab.export(one, out, kind, **options).segments == 1
