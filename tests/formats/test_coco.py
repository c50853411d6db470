"""COCO in, against pycocotools' own reader."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from samlab import masks
from samlab.errors import FormatError
from samlab.formats.coco import read_coco, read_mask
from samlab.formats.labelled import clip_box

SIZE = (30, 40)


def content(*annotations, images=None, categories=None):
    return {
        "images": images or [{"id": 7, "file_name": "a.jpg", "height": 30, "width": 40}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 1, **a} for i, a in enumerate(annotations)
        ],
        "categories": categories or [{"id": 1, "name": "car"}, {"id": 5, "name": "tree"}],
    }


def blob(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random(SIZE) < rng.uniform(0.05, 0.9)


def test_boxes_masks_and_names_equal_pycocotools(pictures, tmp_path):
    dense = blob(0)
    rle = masks.encode(dense)
    plain = {"size": [30, 40], "counts": []}
    flat = np.concatenate([[0], dense.T.ravel().astype(int), [2]])
    change = np.flatnonzero(np.diff(flat))
    plain["counts"] = np.diff([0, *change]).tolist()
    polygons = [[1, 2, 11, 2, 11, 9], [20, 20, 30, 20, 25, 28]]
    data = content(
        {"bbox": [3, 4, 5, 6]},
        {"bbox": [1.5, 2.5, 10, 3], "segmentation": polygons},
        {"bbox": [0, 0, 40, 30], "segmentation": rle, "category_id": 5},
        {"bbox": [0, 0, 40, 30], "segmentation": plain},
    )  # fmt: skip
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(data))
    read = read_coco(file, pictures)
    reference = COCO(file)
    (image,) = read
    found = reference.loadAnns(reference.getAnnIds(7))
    xywh = np.array([a["bbox"] for a in found], np.float32)
    np.testing.assert_array_equal(image.boxes[:, :2], xywh[:, :2])
    np.testing.assert_array_equal(image.boxes[:, 2:] - image.boxes[:, :2], xywh[:, 2:])
    assert image.boxes.dtype == np.float32
    assert list(image.class_names) == [reference.cats[a["category_id"]]["name"] for a in found]
    assert image.masks[0] is None
    for rle, annotation in zip(image.masks[1:], found[1:], strict=True):
        np.testing.assert_array_equal(masks.decode(rle), reference.annToMask(annotation))
    assert read.counts() == {"car": 3, "tree": 1}
    assert not read.report.left_out


def test_an_annotation_without_box_takes_its_masks_box(pictures):
    dense = np.zeros(SIZE, bool)
    dense[3:9, 20:22] = True
    (image,) = read_coco(content({"segmentation": masks.encode(dense)}), pictures)
    np.testing.assert_array_equal(image.boxes, [[20, 3, 22, 9]])


BROKEN = [
    ({"bbox": [3, 4, 0, 6]}, "its box has zero size"),
    ({"bbox": [3, 4, 5, -1]}, r"its box is inverted"),
    ({"bbox": [50, 4, 5, 5]}, "its box lies outside the picture"),
    ({"bbox": [-9, 4, 9, 5]}, "its box lies outside the picture"),
    ({"bbox": [float("nan"), 4, 5, 5]}, "its box has NaN or infinity"),
    ({"bbox": [1, 2, 3]}, "its box is not four numbers"),
    ({"bbox": "1234"}, "its box is not four numbers"),
    ({"bbox": [1, 2, None, 4]}, "its box is not four numbers"),
    ({}, "it has no box"),
    ({"bbox": [1, 2, 3, 4], "image_id": 99}, "its image_id is not among the images"),
    ({"bbox": [1, 2, 3, 4], "category_id": [1]}, "its category_id is not a category"),
    ({"bbox": [1, 2, 3, 4], "iscrowd": 1}, "it is a crowd"),
]


@pytest.mark.parametrize(("annotation", "reason"), BROKEN)
def test_broken_objects_are_counted_and_the_rest_is_read(pictures, annotation, reason):
    read = read_coco(content(annotation, {"bbox": [3, 4, 5, 6]}), pictures)
    assert [len(image) for image in read] == [1]
    ((key, n),) = read.report.left_out.items()
    assert n == 1
    assert reason in key[1]
    assert f"Left out 1 object: {reason}" in str(read.report)
    assert read.report.to_pandas()["count"].tolist() == [1]


def test_a_box_that_sticks_out_is_clipped_and_counted(pictures):
    read = read_coco(content({"bbox": [-5, 20, 50, 50]}, {"bbox": [30, 20, 10.4, 10]}), pictures)
    np.testing.assert_array_equal(read[0].boxes, [[0, 20, 40, 30], [30, 20, 40, 30]])
    assert sum(read.report.changed.values()) == 1
    assert "Changed 1 box: it stuck out of the picture and was clipped." in str(read.report)


def test_crowds_on_request(pictures):
    data = content({"bbox": [1, 2, 3, 4], "iscrowd": 1})
    assert len(read_coco(data, pictures)[0]) == 0
    assert len(read_coco(data, pictures, crowds=True)[0]) == 1


def test_unusable_pictures_are_counted(pictures, tmp_path):
    (pictures / "text.jpg").write_text("not a picture")
    (pictures / "turned.jpg").write_bytes(b"")
    picture = Image.new("RGB", (40, 30))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(pictures / "turned.jpg", exif=exif)
    names = ["a.jpg", "../secret.png", "gone.jpg", "text.jpg", "turned.jpg", 5]
    images = [{"id": i, "file_name": n, "height": 30, "width": 40} for i, n in enumerate(names)]
    read = read_coco(content(images=images), pictures)
    assert [image.name for image in read] == ["a.jpg"]
    reasons = {reason for _, reason in read.report.left_out}
    assert reasons == {
        "the file name leads out of the image folder",
        "no such file in the image folder",
        "not a readable picture",
        "the labels were made for another size",
    }
    assert "turned.jpg: labels 40 x 30, picture 30 x 40" in str(read.report)


def test_no_usable_picture_is_an_error_with_the_reasons(pictures):
    data = content(images=[{"id": 1, "file_name": "train/a.jpg"}])
    with pytest.raises(
        FormatError,
        match=r"found none that can be used\. Left out 1 picture: no such file in the image folder "
        r"\(train/a.jpg\)\. Is it the right image folder\?",
    ):
        read_coco(data, pictures)


def test_an_empty_set_is_no_error(pictures):
    data = {"images": [], "annotations": [], "categories": []}
    read = read_coco(data, pictures)
    assert len(read) == 0
    assert read.counts() == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"images": [], "annotations": []}, "'categories' is missing. It has: 'images', 'annot"),
        ({"licenses": []}, "is not COCO: the field 'categories' is missing. It has: 'licenses'"),
        ({"categories": {}, "images": []}, "expected a list in the field 'categories', got dict"),
        ({"categories": [{"id": 1}], "images": []}, r"categories\[0\] .* the field 'name'"),
        ({"categories": [3], "images": []}, r"categories\[0\] .* with the field 'id', got int"),
        ({"categories": [], "images": [{"id": 1}]}, r"images\[0\] .* the field 'file_name'"),
        (
            {"categories": [], "images": [], "annotations": [{"id": 1}]},
            r"annotations\[0\] is not COCO: the field 'image_id' is missing",
        ),
        (
            {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "images": []},
            r"categories\[1\] is not COCO: the id 1 is not a number of its own",
        ),
    ],
)  # fmt: skip
def test_what_is_not_coco_says_which_field(pictures, data, message):
    with pytest.raises(FormatError, match=message):
        read_coco(data, pictures)


def test_files_that_are_something_else(pictures, tmp_path):
    file = tmp_path / "x.json"
    with pytest.raises(FormatError, match=r"No COCO file at .*it does not exist"):
        read_coco(file, pictures)
    file.write_text("[1, 2]")
    with pytest.raises(FormatError, match=r"got a list\. For .* list use samlab\.read\.bdd100k"):
        read_coco(file, pictures)
    file.write_text('{"images": [')
    with pytest.raises(FormatError, match="it is not JSON .*Is the download complete"):
        read_coco(file, pictures)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="it is not JSON"):
        read_coco(file, pictures)
    file.write_text("[" * 100_000)
    with pytest.raises(FormatError, match="it is not JSON"):
        read_coco(file, pictures)
    with pytest.raises(FormatError, match="got the folder"):
        read_coco(tmp_path, pictures)


def test_two_categories_of_one_name_become_one_class(pictures):
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "car"}]
    data = content(
        {"bbox": [1, 1, 2, 2]}, {"bbox": [2, 2, 3, 3], "category_id": 2}, categories=categories
    )
    read = read_coco(data, pictures)
    assert read.counts() == {"car": 2}
    assert "The categories 1, 2 have the same name 'car': taken as one class." in str(read.report)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["text", "list"]))
def test_run_lengths_round_trip(seed, form):
    dense = blob(seed)
    rle = masks.encode(dense)
    if form == "list":
        flat = np.concatenate([[0], dense.T.ravel().astype(int), [2]])
        rle = {"size": [*SIZE], "counts": np.diff([0, *np.flatnonzero(np.diff(flat))]).tolist()}
    np.testing.assert_array_equal(masks.decode(read_mask(rle, SIZE)), dense)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(min_codepoint=40, max_codepoint=130), max_size=40))
def test_any_text_as_run_lengths_is_a_mask_or_an_error(text):
    try:
        rle = read_mask({"size": [*SIZE], "counts": text}, SIZE)
    except FormatError:
        return
    assert masks.decode(rle).any()
    np.testing.assert_array_equal(
        masks.decode(rle), coco_mask.decode({"size": [*SIZE], "counts": text.encode()})
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"size": [40, 30], "counts": [1200]}, r"another size than the picture's \[30, 40\]"),
        ({"size": [30, 40], "counts": [1, 2]}, "do not add up"),
        ({"size": [30, 40], "counts": [1210, -10]}, "do not add up"),
        ({"size": [30, 40], "counts": [1200]}, "cover no pixel"),
        ({"size": [30, 40]}, "neither COCO's compressed text"),
        ([[1, 2, 3, 4]], "at least three x, y pairs"),
        ([[1, 2, 3, 4, 5, "x"]], "not a list of numbers"),
        ([[1, 2, 3, 4, 5, 1e30]], "nowhere near the picture"),
        ([[50, 50, 60, 50, 60, 60]], "covers no pixel"),
        ("mask.png", "neither polygons nor run lengths"),
    ],
)
def test_broken_masks_are_named(value, message):
    with pytest.raises(FormatError, match=message):
        read_mask(value, SIZE)


def test_a_broken_mask_leaves_the_box(pictures):
    read = read_coco(content({"bbox": [1, 2, 3, 4], "segmentation": [[1, 2]]}), pictures)
    assert len(read[0]) == 1
    assert read[0].masks == (None,)
    assert sum(n for (what, _), n in read.report.left_out.items() if what == "mask") == 1


number = st.one_of(
    st.floats(-100, 100), st.sampled_from([float("nan"), float("inf"), 0, 30, 40, 1e30])
)


@settings(max_examples=500, deadline=None)
@given(st.lists(number, min_size=4, max_size=4))
def test_a_kept_box_lies_inside_and_has_a_size(box):
    kept, problem = clip_box(box, SIZE)
    if kept is None:
        assert problem
        return
    assert 0 <= kept[0] < kept[2] <= 40
    assert 0 <= kept[1] < kept[3] <= 30


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.recursive(
        st.one_of(st.none(), st.integers(-3, 50), st.floats(), st.text(max_size=3)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(
                st.sampled_from(["id", "image_id", "category_id", "bbox", "segmentation", "size",
                                 "counts", "file_name", "name", "height"]), inner, max_size=5),
        ),
        max_leaves=12,
    )
)  # fmt: skip
def test_no_junk_makes_anything_but_a_format_error(pictures, junk):
    data = content(junk if isinstance(junk, dict) else {"bbox": junk, "segmentation": junk})
    try:
        read = read_coco(data, pictures)
    except FormatError:
        return
    assert len(read) == 1
