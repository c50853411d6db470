"""Detections of any detector become checked arrays, and masks with classes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
import torch

from samlab.errors import FormatError, InputError, SamlabWarning
from samlab.formats.detections import read_detections
from samlab.pipeline.prompting import segment_detections
from samlab.sam.prompts import segment_boxes

BOXES = np.array([[10.0, 20, 60, 80], [100, 30, 150, 90], [20, 25, 40, 45]])
SCORES = np.array([0.9, 0.3, 0.6])
SIZE = (100, 200)

FORMS = {
    "arrays": (BOXES, {"scores": SCORES, "labels": [2, 0, 2], "class_names": {0: "a", 2: "c"}}),
    "lists": (BOXES.tolist(), {"scores": SCORES.tolist(), "labels": np.array([2, 0, 2]),
                               "class_names": ["a", "b", "c"]}),
    "torchvision": ({"boxes": torch.tensor(BOXES), "scores": torch.tensor(SCORES),
                     "labels": torch.tensor([2, 0, 2])}, {"class_names": ["a", "b", "c"]}),
    "COCO results": ([{"image_id": 7, "bbox": [10, 20, 50, 60], "category_id": 2, "score": 0.9},
                      {"image_id": 7, "bbox": [100, 30, 50, 60], "category_id": 0, "score": 0.3},
                      {"image_id": 7, "bbox": [20, 25, 20, 20], "category_id": 2, "score": 0.6}],
                     {"class_names": ["a", "b", "c"]}),
    "supervision": (SimpleNamespace(xyxy=BOXES, confidence=SCORES, class_id=np.array([2, 0, 2]),
                                    data={"class_name": np.array(["c", "a", "c"])}), {}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(form):
    detections, options = FORMS[form]
    got = read_detections(detections, SIZE, **options)
    np.testing.assert_allclose(got.boxes, BOXES)
    np.testing.assert_allclose(got.scores, SCORES, atol=1e-7)
    np.testing.assert_array_equal(got.labels, [2, 0, 2])
    assert (got.class_names[0], got.class_names[2]) == ("a", "c")
    assert (got.given, got.left_out) == (3, {})


def test_the_real_supervision_if_it_is_there():
    supervision = pytest.importorskip("supervision")
    found = supervision.Detections(
        xyxy=BOXES, confidence=SCORES, class_id=np.array([2, 0, 2]),
        data={"class_name": np.array(["c", "a", "c"])},
    )  # fmt: skip
    got = read_detections(found, SIZE)
    np.testing.assert_array_equal(got.labels, [2, 0, 2])
    assert got.class_names == {2: "c", 0: "a"}


def test_names_as_labels():
    got = read_detections(BOXES, SIZE, labels=["dog", "cat", "dog"])
    np.testing.assert_array_equal(got.labels, [0, 1, 0])
    assert got.class_names == {0: "dog", 1: "cat"}
    known = read_detections(BOXES, SIZE, labels=["dog", "cat", "dog"], class_names={4: "cat"})
    np.testing.assert_array_equal(known.labels, [5, 4, 5])


def test_boxes_alone():
    got = read_detections(BOXES, SIZE)
    assert np.isnan(got.scores).all()
    assert (got.labels == -1).all()
    assert len(read_detections(BOXES, SIZE, threshold=0.5).boxes) == 3  # none has a score


def test_the_threshold_leaves_out_silently():
    got = read_detections(BOXES, SIZE, scores=SCORES, threshold=0.5)
    np.testing.assert_array_equal(got.rows, [0, 2])
    assert got.left_out == {"below the threshold": [1]}


def test_boxes_are_clipped_and_useless_ones_counted_by_name():
    boxes = [[-5, -5, 30, 30], [190, 90, 260, 130], [300, 10, 320, 20], [5, 5, 5, 9]]
    message = (
        r"2 of 4 detections are left out of the picture of 200 x 100 pixels: 1 without area "
        r"\(number 3\); 1 outside the picture \(number 2\)"
    )
    with pytest.warns(SamlabWarning, match=message):
        got = read_detections(boxes, SIZE)
    np.testing.assert_array_equal(got.boxes, [[0, 0, 30, 30], [190, 90, 200, 100]])
    np.testing.assert_array_equal(got.rows, [0, 1])
    assert got.left_out == {"without area": [3], "outside the picture": [2]}


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 4)), {"boxes": np.zeros((0, 4))}])
def test_no_detections(nothing):
    got = read_detections(nothing, SIZE, class_names=["a"])
    assert got.boxes.shape == (0, 4)
    assert got.class_names == {0: "a"}


@pytest.mark.parametrize(
    ("detections", "options", "error", "message"),
    [
        ([[30, 5, 10, 20]], {}, InputError, r"x1 >= x0 .* number 0 is \[30.0, 5.0, 10.0, 20.0\]"),
        ([[1, 5, np.nan, 20]], {}, InputError, r"finite boxes; number 0 is \[1.0, 5.0, nan"),
        ([[1, 5, 4]], {}, InputError, r"shape \(N, 4\), XYXY in pixels; got \(1, 3\)"),
        ("boxes", {}, InputError, "boxes as numbers, got str"),
        (BOXES, {"scores": [1]}, InputError, r"3 scores, one per box; got the shape \(1,\)"),
        (BOXES, {"labels": [1]}, InputError, "3 labels, one per box; got 1"),
        (BOXES, {"labels": [1, 2.5, 3]}, InputError, "whole numbers or as names"),
        (BOXES, {"labels": [1, "a", 3]}, InputError, "labels as numbers, got list"),
        (BOXES, {"threshold": 50}, InputError, "score threshold from 0 to 1, got 50"),
        ({"bbox": []}, {}, FormatError, r"the key 'boxes', got \['bbox'\]"),
        ([{"bbox": [1, 2, 3, 4]}], {}, FormatError, "number 0 has the keys"),
        ({"boxes": BOXES, "scores": SCORES}, {"scores": SCORES}, InputError, "scores once"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 1},
          {"image_id": 2, "bbox": [1, 2, 3, 4], "category_id": 1}], {}, InputError,
         r"the results of one picture, got those of 2. Choose one"),
    ],
)  # fmt: skip
def test_senseless_detections_are_refused(detections, options, error, message):
    with pytest.raises(error, match=message):
        read_detections(detections, SIZE, **options)


def test_detections_become_labelled_masks_with_vectors():
    coins = skimage.data.coins()
    boxes = np.array([[190, 98, 251, 160], [255, 90, 310, 145], [-20, -20, -5, -5]])
    with pytest.warns(SamlabWarning, match="1 outside the picture"):
        got = segment_detections(
            coins, boxes, scores=[0.9, 0.8, 0.7], labels=["coin", "coin", "coin"], image_id="c"
        )
    assert len(got) == 2
    assert got.labels.tolist() == [0, 0]
    assert got.class_name(0) == "coin"
    assert got.embedding("sam").shape == (2, 256)
    np.testing.assert_allclose(got.scores["detection"], [0.9, 0.8])
    assert got.provenance["detections"]["left_out"] == {"outside the picture": 1}
    assert got.provenance["detections"]["rows"] == [0, 1]
    assert got.rles == segment_boxes(coins, boxes[:2]).rles
    assert list(got.embeddings) == ["sam"], "a score is no vector to cluster by"
    none = segment_detections(coins, boxes[:0], class_names=["coin"])
    assert len(none) == 0
    assert none.class_names == {0: "coin"}
