"""One door to all writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from samlab.errors import InputError
from samlab.formats.registry import export
from samlab.segments import Segments
from tests.formats.shapes import RINGED, names_of, segments_of, tables


@pytest.mark.parametrize(
    ("format", "name", "files"),
    [
        ("auto", "a.json", ["a.json"]),
        ("auto", "a.parquet", ["a.parquet"]),
        ("yolo", "out", ["data.yaml", "labels/train/a.txt", "labels/train/sub/b.txt"]),
        ("label-maps", "out", ["a.png", "classes.csv", "classes.txt", "sub/b.png"]),
        ("sa-1b", "out", ["a.json", "sub/b.json"]),
        ("cutouts", "out", ["a_0000_car.png", "sub/b_0000_tree.png"]),
        ("inpainting", "out", ["a_mask.png", "sub/b_mask.png"]),
    ],
)
def test_every_format(
    format: str, name: str, files: list[str], pictures: Path, tmp_path: Path
) -> None:
    parts = [segments_of([RINGED], [0]), segments_of([RINGED], [1], "sub/b.png")]
    options = {"images": pictures} if format == "cutouts" else {}
    report = export(parts, tmp_path / "to" / name, format, **options)  # type: ignore[arg-type]
    root = report.path if report.path.is_dir() else report.path.parent
    found = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
    assert found == files
    assert (report.pictures, report.segments) == (2, 2)
    with pytest.raises(InputError, match="exists already and was left as it is"):
        export(parts, tmp_path / "to" / name, format, **options)  # type: ignore[arg-type]
    export(parts, report.path, format, overwrite=True, **options)  # type: ignore[arg-type]


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(segments=tables())
def test_parquet_is_read_by_pandas_and_by_samlab(segments: Segments, tmp_path: Path) -> None:
    vectors = np.arange(3.0 * len(segments)).reshape(-1, 3)
    segments = segments.with_embedding("sam", vectors)
    file = export(segments, tmp_path / "a.parquet", overwrite=True).path
    again, table = Segments.from_parquet(file), pd.read_parquet(file)
    assert again.rles == segments.rles
    np.testing.assert_array_equal(again.labels, segments.labels)
    assert [again.class_names.get(i, "object") for i in again.labels.tolist()] == names_of(segments)
    for column in ("boxes", "areas", "predicted_iou", "stability_score", "points"):
        np.testing.assert_array_equal(getattr(again, column), getattr(segments, column))
    assert len(table) == len(segments)
    assert table["mask_counts"].tolist() == [rle["counts"] for rle in segments.rles]
    if len(segments):
        np.testing.assert_array_equal(again.embedding("sam"), vectors)


def test_parquet_joins_pictures_by_the_names_of_classes(tmp_path: Path) -> None:
    first = segments_of([RINGED, RINGED], [1, -1])
    second = segments_of([RINGED], [0], "b.jpg").with_labels(np.array([0]), {0: "tree"})
    again = Segments.from_parquet(export([first, second], tmp_path / "a.parquet").path)
    assert [again.class_name(i) for i in again.labels.tolist()] == ["tree", "unassigned", "tree"]
    assert again.image_ids.tolist() == ["a.jpg", "a.jpg", "b.jpg"]  # type: ignore[union-attr]
    assert "object" not in again.class_names.values()
    unknown = first.with_labels(np.array([1, -1]), {-1: "unknown", 1: "tree"})
    once_more = Segments.from_parquet(export(unknown, tmp_path / "b.parquet").path)
    assert once_more.class_names == {-1: "unknown", 0: "tree"}
    assert once_more.labels.tolist() == [0, -1]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("out", {}, "Pass format= one of coco, yolo, label-maps, sa-1b, parquet"),
        ("out", {"format": "voc"}, "Expected a format out of coco, .*; got 'voc'"),
        ("a.json", {"grow": 3}, "Expected options of format 'coco' out of masks, .*; got grow"),
        ("out", {"format": "cutouts"}, "Cut-outs need the pictures: pass images="),
        (".", {"format": "coco"}, "Expected the name of a file to write, got the folder"),
    ],
)
def test_bad_input(name: str, options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        export(segments_of([RINGED]), tmp_path / name, **options)


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="Expected the name of a folder to write, got the file"):
        export(segments_of([RINGED]), tmp_path / "out", "yolo", overwrite=True)
    assert (tmp_path / "out").read_text() == "mine"
