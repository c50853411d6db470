"""YOLO out: read as ultralytics reads it, and by supervision where that is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy import ndimage

from samlab.errors import ImageError, InputError
from samlab.formats.yolo import write_yolo
from samlab.segments import Segments
from tests.formats.shapes import RINGED, SIZE, blobs, segments_of, tables

cv2 = pytest.importorskip("cv2", reason="opencv is not installed")
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")


def read(file: Path, *, rounded: bool = False) -> list[tuple[int, np.ndarray]]:
    """Class and mask of each line: ultralytics cuts coordinates off, supervision rounds them."""
    height, width = SIZE
    found = []
    for line in file.read_text().splitlines():
        number, *values = line.split()
        assert len(values) >= 6, "ultralytics takes a shorter line for a box"
        points = np.array(values, np.float32).reshape(-1, 2)
        assert (points >= 0).all()
        assert (points < 1).all()
        points = points * np.float32([width, height])
        canvas = np.zeros(SIZE, np.uint8)
        whole = np.round(points) if rounded else points
        cv2.fillPoly(canvas, [whole.astype(np.int32)], 1)
        found.append((int(number), canvas.astype(bool)))
    return found


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


RELAXED = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("rounded", [False, True])
@RELAXED
@given(mask=blobs())
def test_solid_parts_come_back_exactly(mask: np.ndarray, rounded: bool, tmp_path: Path) -> None:
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    solid = [ndimage.binary_fill_holes(parts == i) for i in range(1, min(count, 5) + 1)]
    report = write_yolo(segments_of(solid), tmp_path / "out", overwrite=True)
    back = read(report.path / "labels" / "train" / "a.txt", rounded=rounded)
    for (number, one), expected in zip(back, solid, strict=True):
        assert number == 0
        np.testing.assert_array_equal(one, expected)
    assert (report.kept == 1).all()


@RELAXED
@given(segments=tables())
def test_any_mask_comes_back_whole_and_the_report_knows_what_was_added(
    segments: Segments, tmp_path: Path
) -> None:
    report = write_yolo(segments, tmp_path / "out", overwrite=True, no_class="object")
    back = read(report.path / "labels" / "train" / "a.txt")
    names = yaml.safe_load((report.path / "data.yaml").read_text())["names"]
    assert len(back) == len(segments) == len(report.kept)
    for i, (number, mask) in enumerate(back):
        assert names[number] == segments.class_names.get(int(segments.labels[i]), "object")
        assert (mask | ~segments.mask(i)).all(), "bridges add pixels, they never take any"
        assert report.kept[i] == pytest.approx(iou(mask, segments.mask(i)))


def test_supervision_reads_it(pictures: Path, tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    segments = segments_of([RINGED, ndimage.binary_fill_holes(RINGED)], [2, 0])
    out = write_yolo(segments, tmp_path / "out", images=pictures).path
    data = supervision.DetectionDataset.from_yolo(
        str(out / "images/train"), str(out / "labels/train"), str(out / "data.yaml"),
        force_masks=True,
    )  # fmt: skip
    assert data.classes == list(segments.class_names.values())
    ((_, _, found),) = list(data)
    assert found.class_id.tolist() == [2, 0]
    for mask, own in zip(found.mask, (segments.mask(0), segments.mask(1)), strict=True):
        assert iou(mask, own) > 0.9
        assert (mask | ~own).all()


def test_one_pixel_and_several_parts_and_holes(tmp_path: Path) -> None:
    dot = np.zeros(SIZE, bool)
    dot[0, 39] = True
    report = write_yolo(segments_of([dot, RINGED]), tmp_path / "out")
    (_, first), (_, second) = read(report.path / "labels" / "train" / "a.txt")
    np.testing.assert_array_equal(first, dot)
    assert not second[7, 7]
    assert not second[11, 11]
    assert iou(second, RINGED) > 0.9
    assert report.kept[0] == 1
    assert 0.9 < report.kept[1] < 1


def test_a_data_set_with_pictures_and_a_validation_set(pictures: Path, tmp_path: Path) -> None:
    parts = [segments_of([RINGED], [1], name) for name in ("a.jpg", "sub/b.png")]
    report = write_yolo(parts, tmp_path / "out", images=pictures, val=0.5)
    found = sorted(p.relative_to(report.path) for p in report.path.rglob("*") if p.is_file())
    sets = {p.parts[1] for p in found if p.parts[0] == "labels"}
    assert sets == {"train", "val"}
    labels = {p.with_suffix("").parts[1:] for p in found if p.parts[0] == "labels"}
    images = {p.with_suffix("").parts[1:] for p in found if p.parts[0] == "images"}
    assert labels == images
    data = yaml.safe_load((report.path / "data.yaml").read_text())
    assert data["train"] == "images/train"
    assert data["val"] == "images/val"
    assert data["names"] == parts[0].class_names
    assert report.notes == []
    again = write_yolo(parts, tmp_path / "again", val=0.5)
    assert "Put the pictures into images/train" in str(again)


def test_segments_without_a_class_are_left_out_and_an_empty_table_is_a_set(tmp_path: Path) -> None:
    report = write_yolo(segments_of([RINGED, RINGED], [-1, 0]), tmp_path / "out")
    assert (report.segments, report.left_out) == (1, {"it has no class": 1})
    empty = write_yolo(Segments(), tmp_path / "empty")
    assert yaml.safe_load((empty.path / "data.yaml").read_text())["names"] == {}


def test_bad_input(tmp_path: Path, pictures: Path) -> None:
    one = segments_of([RINGED], image_id="gone.jpg")
    with pytest.raises(InputError, match="val as a share from 0 to below 1, got 1"):
        write_yolo(one, tmp_path / "out", val=1)
    with pytest.raises(InputError, match="tolerance of 0 pixels or more, got nan"):
        write_yolo(one, tmp_path / "out", tolerance=float("nan"))
    with pytest.raises(ImageError, match=r"No picture 'gone\.jpg' in the folder"):
        write_yolo(one, tmp_path / "out", images=pictures)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))
