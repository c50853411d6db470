"""COCO out: pycocotools and samlab read back what was written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pycocotools.coco import COCO

from samlab import masks
from samlab.errors import InputError, StorageError
from samlab.formats.coco import read_coco, write_coco
from samlab.segments import Segments
from tests.formats.shapes import RINGED, SIZE, names_of, segments_of, tables

RELAXED = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("kind", ["rle", "polygon"])
@RELAXED
@given(segments=tables())
def test_pycocotools_and_samlab_read_the_same_masks_back(
    segments: Segments, kind: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "out.json"
    report = write_coco(segments, file, masks=kind, overwrite=True)  # type: ignore[arg-type]
    coco = COCO(report)
    found = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert report.segments == len(found) == len(segments)
    assert (report.kept == 1).all()
    assert coco.imgs == {1: {"id": 1, "file_name": "a.jpg", "height": 30, "width": 40}}
    for i, annotation in enumerate(found):
        np.testing.assert_array_equal(coco.annToMask(annotation), segments.mask(i))
        assert isinstance(annotation["segmentation"], list) == (kind == "polygon")
        assert annotation["area"] == segments.areas[i]
        assert annotation["score"] == pytest.approx(segments.predicted_iou[i], abs=1e-6)
    assert [coco.cats[a["category_id"]]["name"] for a in found] == names_of(segments)
    (image,) = read_coco(file, pictures)
    np.testing.assert_array_equal(image.boxes, segments.boxes)
    assert list(image.class_names) == names_of(segments)
    for rle, own in zip(image.masks, segments.rles, strict=True):
        np.testing.assert_array_equal(masks.decode(rle), masks.decode(own))


def test_a_mask_with_holes_is_one_polygon_per_part(tmp_path: Path) -> None:
    file = write_coco(segments_of([RINGED]), tmp_path / "a.json", masks="polygon")
    (annotation,) = json.loads(file.path.read_text())["annotations"]
    assert len(annotation["segmentation"]) == 4


def test_categories_keep_the_order_of_labels_and_pictures_without_segments_stay(
    tmp_path: Path,
) -> None:
    first = segments_of([RINGED, ~RINGED], [2, -1], "b/x.jpg")
    second = Segments(image_size=(5, 6), image_id="empty.jpg")
    # The same class under another number: files know classes by name.
    third = segments_of([RINGED], [0], "c.jpg").with_labels(np.array([0]), {0: "tree"})
    report = write_coco([first, second, third], tmp_path / "a.json")
    content = json.loads(report.path.read_text())
    assert [c["name"] for c in content["categories"]][:3] == ["car", "tree", first.class_names[2]]
    assert [c["id"] for c in content["categories"]] == [1, 2, 3, 4]
    assert content["categories"][3]["name"] == "object"
    assert [i["file_name"] for i in content["images"]] == ["b/x.jpg", "empty.jpg", "c.jpg"]
    assert [a["category_id"] for a in content["annotations"]] == [3, 4, 2]
    assert [a["image_id"] for a in content["annotations"]] == [1, 1, 3]
    assert len({a["id"] for a in content["annotations"]}) == 3
    assert str(report) == f"{tmp_path / 'a.json'}: 3 segments of 3 pictures."


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    segments = segments_of([RINGED, RINGED, np.zeros(SIZE, bool)], [0, -1, 1])
    report = write_coco(segments, tmp_path / "a.json", no_class=None)
    assert report.segments == 1
    assert report.left_out == {"it has no class": 1, "it has no pixel": 1}
    assert "Left out 1 segment: it has no class." in str(report)


def test_unknown_scores_are_left_out_and_tables_of_several_pictures_are_split(
    tmp_path: Path,
) -> None:
    parts = [Segments([masks.encode(RINGED)], image_id=name) for name in ("a.jpg", "b.jpg")]  # type: ignore[list-item]
    file = write_coco(Segments.concat(parts), tmp_path / "a.json")
    content = json.loads(file.path.read_text())
    assert [i["file_name"] for i in content["images"]] == ["a.jpg", "b.jpg"]
    assert not {"score", "stability_score"} & set(content["annotations"][0])


def test_simplified_polygons_are_shorter_and_the_report_says_what_it_costs(tmp_path: Path) -> None:
    yy, xx = np.mgrid[:30, :40]
    disc = segments_of([(xx - 20) ** 2 + (yy - 15) ** 2 < 140])
    exact = write_coco(disc, tmp_path / "exact.json", masks="polygon")
    loose = write_coco(disc, tmp_path / "loose.json", masks="polygon", tolerance=1.0)
    lengths = [
        len(json.loads(r.path.read_text())["annotations"][0]["segmentation"][0])
        for r in (exact, loose)
    ]
    assert lengths[1] < lengths[0] / 3
    assert 0.9 < loose.kept[0] < 1
    coco = COCO(loose)
    back = coco.annToMask(coco.anns[1]).astype(bool)
    shared = (back & disc.mask(0)).sum() / (back | disc.mask(0)).sum()
    assert loose.kept[0] == pytest.approx(shared)
    assert "Changed on the way back, 1 mask: IoU 0.9" in str(loose)


def test_an_existing_file_stays_unless_told_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "new" / "a.json"
    write_coco(segments_of([RINGED]), file)
    before = file.read_bytes()
    with pytest.raises(InputError, match="exists already and was left as it is"):
        write_coco(segments_of([]), file)
    monkeypatch.setattr(os, "replace", _full_disk)
    with pytest.raises(StorageError, match=r"write .*: No space left on device\. [\d,]+ bytes are"):
        write_coco(segments_of([]), file, overwrite=True)
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == ["a.json"]


def _full_disk(source: Path, target: Path) -> None:
    raise OSError(28, "No space left on device", str(source))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": "polygons"}, "Expected masks='rle' or masks='polygon', got 'polygons'"),
        ({"tolerance": -1}, "Expected a tolerance of 0 pixels or more, got -1"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_coco(segments_of([RINGED]), tmp_path / "a.json", **options)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (Segments([masks.encode(RINGED)]), "Pass image_id="),  # type: ignore[list-item]
        (segments_of([RINGED], image_id="../a.jpg"), "a path inside a folder"),
        (segments_of([RINGED], image_id="/etc/a.jpg"), "a path inside a folder"),
        (
            [segments_of([RINGED]), Segments([masks.encode(RINGED[1:])], image_id="a.jpg")],  # type: ignore[list-item]
            "Expected one size for the picture 'a.jpg'",
        ),
    ],
)
def test_bad_segments(tmp_path: Path, segments: Segments, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_coco(segments, tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []
