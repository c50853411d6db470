"""BDD100K, Pascal VOC and the door to all formats: equal objects, and what is broken."""

from __future__ import annotations

import json

import numpy as np
import pytest

from samlab import masks
from samlab.errors import FormatError, InputError
from samlab.formats.bdd100k import read_bdd100k
from samlab.formats.coco import read_coco
from samlab.formats.registry import read_labels
from samlab.formats.voc import read_voc

OBJECTS = {
    "a.jpg": [("car", (3, 4, 10, 12)), ("tree", (20, 1, 31, 30))],
    "sub/b.png": [("car", (0, 0, 40, 30))],
}


def coco():
    images = [{"id": i, "file_name": n, "height": 30, "width": 40} for i, n in enumerate(OBJECTS)]
    categories = [{"id": 2, "name": "tree"}, {"id": 9, "name": "car"}]
    annotations = [
        {
            "id": 1,
            "image_id": i,
            "category_id": {"tree": 2, "car": 9}[name],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
        }
        for i, objects in enumerate(OBJECTS.values())
        for name, (x0, y0, x1, y1) in objects
    ]
    return {"images": images, "categories": categories, "annotations": annotations}


def bdd():
    return [
        {
            "name": name,
            "labels": [
                {"category": c, "box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))}
                for c, box in objects
            ],
        }
        for name, objects in OBJECTS.items()
    ]


def voc(name="a.jpg", objects=(("car", (3, 4, 10, 12)),)):
    parts = "".join(
        f"<object><name>{c}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for c, (x0, y0, x1, y1) in objects
    )
    size = "<size><width>40</width><height>30</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{size}{parts}</annotation>"


def test_three_formats_tell_the_same(pictures, tmp_path):
    folder = tmp_path / "voc"
    folder.mkdir()
    for i, (name, objects) in enumerate(OBJECTS.items()):
        (folder / f"{i}.xml").write_text(voc(name, objects))
    reads = [
        read_coco(coco(), pictures),
        read_bdd100k(bdd(), pictures),
        read_bdd100k({"frames": bdd(), "config": None}["frames"], pictures),
        read_voc(folder, pictures),
    ]
    assert len({read.digest() for read in reads}) == 1
    for read in reads:
        assert read.counts() == {"car": 2, "tree": 1}
        for image, (name, objects) in zip(read, OBJECTS.items(), strict=True):
            assert image.name == name
            np.testing.assert_array_equal(image.boxes, [box for _, box in objects])


def test_the_digest_does_not_know_the_order_but_everything_else(pictures):
    first = read_bdd100k(bdd(), pictures)
    turned = read_bdd100k([{**f, "labels": f["labels"][::-1]} for f in bdd()[::-1]], pictures)
    assert first.digest() == turned.digest()
    other = bdd()
    other[0]["labels"][0]["box2d"]["x1"] = 3.5
    assert read_bdd100k(other, pictures).digest() != first.digest()
    assert first.rename({"car": "van"}).digest() != first.digest()


def test_choosing_and_renaming_classes(pictures):
    read = read_bdd100k(bdd(), pictures)
    assert read.only(["tree"]).counts() == {"tree": 1}
    assert len(read.only(["tree"])) == 2
    assert read.rename({"car": "thing", "tree": "thing"}).counts() == {"thing": 3}
    with pytest.raises(InputError, match="out of car, tree; got bus"):
        read.only(["bus"])
    with pytest.raises(InputError, match="out of car, tree; got bus"):
        read.rename({"bus": "car"})


def test_bdd_labels_without_a_box_are_counted(pictures):
    frames = [
        {"name": "a.jpg", "labels": [{"category": "lane", "poly2d": []}]},
        {"name": "sub/b.png", "labels": None},
    ]
    read = read_bdd100k(frames, pictures)
    assert [len(image) for image in read] == [0, 0]
    assert read.report.left_out == {("object", "it has no box"): 1}


def test_a_bdd_box_without_a_corner_is_counted(pictures):
    frames = [{"name": "a.jpg", "labels": [{"category": "car", "box2d": {"x1": 1, "y1": 2}}]}]
    read = read_bdd100k(frames, pictures)
    assert read.report.left_out == {("object", "its box is not four numbers"): 1}


def test_bdd_run_lengths_become_masks(pictures):
    dense = np.zeros((30, 40), bool)
    dense[5:9, 7:9] = True
    frames = [{"name": "a.jpg", "labels": [{"category": "car", "rle": masks.encode(dense)}]}]
    (image,) = read_bdd100k(frames, pictures)
    np.testing.assert_array_equal(masks.decode(image.masks[0]), dense)
    np.testing.assert_array_equal(image.boxes, [[7, 5, 9, 9]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"images": [], "annotations": []}, "'frames' is missing .* Read it with samlab.read.coco"),
        ({"videos": []}, "'frames' is missing. It has: 'videos'"),
        ("text", "expected a list of frames, got str"),
        ([{"labels": []}], "frame 0 is not BDD100K: the field 'name' is missing"),
        ([{"name": "a.jpg", "labels": 3}], "expected a list in the field 'labels', got int"),
        ([{"name": "a.jpg", "labels": [{}]}], "frame 0, label 0 .* 'category' is missing"),
    ],
)
def test_what_is_not_bdd_says_why(pictures, tmp_path, data, message):
    file = tmp_path / "bdd.json"
    file.write_text(json.dumps(data))
    with pytest.raises(FormatError, match=message):
        read_bdd100k(file, pictures)


def test_voc_counts_from_one_or_from_zero(pictures, tmp_path):
    (tmp_path / "a.xml").write_text(voc(objects=[("dot", (5, 6, 6, 7))]))
    (image,) = read_voc(tmp_path / "a.xml", pictures)
    np.testing.assert_array_equal(image.boxes, [[5, 6, 6, 7]])
    read = read_voc(tmp_path / "a.xml", pictures, one_based=False)
    assert read.report.left_out == {("object", "its box has zero size"): 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation>", "the file is not XML"),
        ("", "the file is not XML"),
        ("<html></html>", "the XML is <html>, expected VOC's <annotation>"),
        ("<annotation></annotation>", "the field <filename> is missing"),
        ("<annotation><filename>a.jpg</filename><object/></annotation>", "object 0 has no field"),
        (
            '<!DOCTYPE a [<!ENTITY x "y">]><annotation><filename>&x;</filename></annotation>',
            "declares a document type",
        ),
    ],
)
def test_a_broken_voc_file_is_counted(pictures, tmp_path, text, reason):
    folder = tmp_path / "voc"
    folder.mkdir()
    (folder / "1.xml").write_text(text)
    with pytest.raises(FormatError, match=reason):
        read_voc(folder, pictures)
    (folder / "2.xml").write_text(voc())
    read = read_voc(folder, pictures)
    assert len(read) == 1
    assert sum(read.report.left_out.values()) == 1


def test_a_voc_object_without_a_number_is_counted(pictures, tmp_path):
    text = voc().replace("<xmin>4</xmin>", "<xmin>four</xmin>")
    (tmp_path / "a.xml").write_text(text)
    read = read_voc(tmp_path / "a.xml", pictures)
    assert read.report.left_out == {("object", "its box is not four numbers"): 1}


def test_one_door_finds_the_format(pictures, maps, tmp_path):
    files = {"coco.json": coco(), "bdd.json": bdd(), "scalabel.json": {"frames": bdd()}}
    for name, data in files.items():
        (tmp_path / name).write_text(json.dumps(data))
    digests = {read_labels(tmp_path / name, pictures).digest() for name in files}
    assert len(digests) == 1
    (tmp_path / "a.xml").write_text(voc())
    assert len(read_labels(tmp_path / "a.xml", pictures)) == 1
    (tmp_path / "names.txt").write_text("sky\nroad\ncar")
    assert len(read_labels(maps[0], pictures, classes=tmp_path / "names.txt")) == 1
    with pytest.raises(FormatError, match="Label maps need their class names"):
        read_labels(maps[0], pictures)
    with pytest.raises(FormatError, match="found none of them"):
        read_labels(_empty(tmp_path), pictures)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(FormatError, match="is neither COCO .* nor BDD100K"):
        read_labels(tmp_path / "other.json", pictures)
    with pytest.raises(InputError, match="got 'kitti'"):
        read_labels(tmp_path / "bdd.json", pictures, format="kitti")


def _empty(folder):
    path = folder / "empty"
    path.mkdir()
    return path
