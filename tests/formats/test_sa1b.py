"""SA-1B's JSON: in both directions, and the records are those of SAM's mask generator."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pycocotools import mask as coco_mask

from samlab import masks
from samlab.errors import FormatError, InputError, SamlabWarning
from samlab.formats.sa1b import read_sa1b, write_sa1b
from samlab.segments import Segments
from tests.formats.shapes import RINGED, segments_of, tables


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(segments=tables())
def test_round_trip(segments: Segments, tmp_path: Path) -> None:
    report = write_sa1b(segments, tmp_path / "out", overwrite=True)
    again = read_sa1b(report.path / "a.json")
    assert again.rles == segments.rles
    assert again.image_id == "a.jpg"
    assert again.image_size == segments.image_size
    for column in ("boxes", "areas", "predicted_iou", "stability_score", "points"):
        np.testing.assert_array_equal(getattr(again, column), getattr(segments, column))


def test_the_file_is_as_the_data_sets_description_has_it(tmp_path: Path) -> None:
    segments = segments_of([RINGED, RINGED], image_id="sub/sa_223750.jpg")
    file = write_sa1b(segments, tmp_path / "out").path / "sub" / "sa_223750.json"
    content = json.loads(file.read_text())
    assert content["image"] == {
        "image_id": 223750, "width": 40, "height": 30, "file_name": "sub/sa_223750.jpg",
    }  # fmt: skip
    first, second = content["annotations"]
    assert list(first) == [
        "id", "segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score",
        "crop_box",
    ]  # fmt: skip
    assert (first["id"], second["id"]) == (1, 2)
    counts = {"size": [30, 40], "counts": first["segmentation"]["counts"].encode()}
    np.testing.assert_array_equal(coco_mask.decode(counts), RINGED)
    assert first["bbox"] == [2.0, 0.0, 37.0, 27.0]  # SAM measures from pixel centre to centre
    assert first["crop_box"] == [0, 0, 40, 30]


def test_what_is_not_known_is_not_written(tmp_path: Path) -> None:
    bare = Segments([masks.encode(RINGED)], image_id="a.jpg")  # type: ignore[list-item]
    file = write_sa1b(bare, tmp_path / "out").path / "a.json"
    (record,) = json.loads(file.read_text())["annotations"]
    assert not {"predicted_iou", "stability_score", "point_coords"} & set(record)
    again = read_sa1b(json.loads(file.read_text()))
    assert np.isnan(again.predicted_iou).all()
    assert np.isnan(again.points).all()


IMAGE = {"image_id": 1, "width": 40, "height": 30, "file_name": "a.jpg"}
RLE = masks.encode(RINGED)
BROKEN = [
    ([], "expected an object with the field 'image', got list"),
    ({"annotations": []}, "the field 'image' is missing"),
    ({"image": {"width": 4}, "annotations": []}, "the field 'height' is missing"),
    ({"image": {**IMAGE, "width": "wide"}, "annotations": []}, "whole numbers above 0, got 30"),
    ({"image": IMAGE, "annotations": {}}, "expected a list in the field 'annotations'"),
    ({"image": IMAGE, "annotations": [{}]}, r"annotations\[0\] is not SA-1B: the field 'segm"),
    (
        {"image": IMAGE, "annotations": [{"segmentation": {"size": [2, 2], "counts": "04"}}]},
        r"annotations\[0\]: its run lengths have another size",
    ),
    (
        {"image": IMAGE, "annotations": [{"segmentation": RLE, "predicted_iou": "good"}]},
        "predicted_iou is not SA-1B: expected a number, got 'good'",
    ),
    (
        {"image": IMAGE, "annotations": [{"segmentation": RLE, "point_coords": [3]}]},
        r"expected point_coords as \[\[x, y\]\]",
    ),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_broken_files_are_told_by_place(content: object, message: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=message):
        read_sa1b(file)


def test_annotations_that_cannot_be_used_are_counted_and_left_out() -> None:
    sound = {"segmentation": RLE, "predicted_iou": 0.5, "point_coords": [[3, 4]]}
    content = {"image": IMAGE, "annotations": [sound, {}, {**sound, "predicted_iou": "x"}, sound]}
    with pytest.warns(SamlabWarning, match=r"2 of 4 annotations left out\. .*annotations\[1\] is"):
        found = read_sa1b(content)
    assert found.points.tolist() == [[3, 4], [3, 4]]
    assert found.predicted_iou.tolist() == [0.5, 0.5]


def test_two_pictures_that_would_share_a_file_are_refused(tmp_path: Path) -> None:
    pair = [segments_of([RINGED], image_id=name) for name in ("a.jpg", "a.png")]
    with pytest.raises(InputError, match="names differ up to the ending, got 'a.jpg' and 'a.png'"):
        write_sa1b(pair, tmp_path / "out")
    assert not (tmp_path / "out").exists()
