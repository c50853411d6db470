"""`samlab export` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from pycocotools.coco import COCO
from typer.testing import CliRunner

from samlab.cli.main import app
from samlab.formats.coco import read_coco, write_coco
from samlab.formats.sa1b import write_sa1b
from samlab.segments import Segments
from tests.formats.conftest import pictures as pictures
from tests.formats.shapes import RINGED, segments_of
from tests.runs.light import make_pictures, run_light


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["export", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return segments_of([RINGED, ~RINGED], [1, -1]).to_parquet(tmp_path / "a.parquet")


def test_parquet_to_coco_and_back_into_yolo(table: Path, pictures: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    assert f"{labels}: 2 segments of 1 picture." in run(table, "-o", labels)
    assert len(COCO(labels).anns) == 2
    said = run(labels, "--images", pictures, "-o", tmp_path / "set", "--format", "yolo")
    assert "1 pictures with 2 objects" in said
    assert (tmp_path / "set" / "images" / "train" / "a.jpg").is_file()
    assert (tmp_path / "set" / "labels" / "train" / "a.txt").read_text().count("\n") == 2


def test_options_reach_the_writers(table: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    said = run(table, "-o", out, "--polygons", "--tolerance", 2, "--only-classes")
    assert "Left out 1 segment: it has no class." in said
    assert isinstance(json.loads(out.read_text())["annotations"][0]["segmentation"], list)
    run(table, "-o", tmp_path / "m", "--format", "inpainting", "--grow", 2, "--feather", 1)
    run(table, "-o", tmp_path / "c", "--format", "cutouts", "--images", pictures, "--soft", 2)
    assert len(list((tmp_path / "c").glob("*.png"))) == 2
    assert "exists already" in run(table, "-o", out, code=1)
    run(table, "-o", out, "--overwrite")


def test_sa_1b_and_folders_of_tables_are_sources_too(table: Path, tmp_path: Path) -> None:
    records = write_sa1b(segments_of([RINGED], image_id="b.jpg"), tmp_path / "sa").path / "b.json"
    out = tmp_path / "both.parquet"
    run(table.parent, records, "-o", out)
    assert set(Segments.from_parquet(out).image_ids.tolist()) == {"a.jpg", "b.jpg"}  # type: ignore[union-attr]


def test_a_run_is_a_source_too(tmp_path: Path) -> None:
    """With the pictures in which nothing was found, and without those that failed."""
    run_light(make_pictures(tmp_path / "pictures", 12, broken=2), tmp_path / "out")
    said = run(tmp_path / "out", "-o", tmp_path / "run.json")
    rows = pd.read_parquet(tmp_path / "out" / "pictures").query("status == 'ok'")
    assert (rows["n_segments"] == 0).any()
    assert f"{rows['n_segments'].sum()} segments of 10 pictures" in said
    written = COCO(tmp_path / "run.json")
    assert [image["file_name"] for image in written.dataset["images"]] == rows["image_id"].tolist()
    counts = [len(written.getAnnIds(image)) for image in written.imgs]
    assert counts == rows["n_segments"].tolist()


def test_bad_input_is_one_sentence(table: Path, pictures: Path, tmp_path: Path) -> None:
    picture = next(pictures.glob("*.jpg"))
    assert "samlab segment and samlab run make segments of pictures" in run(
        picture, "-o", tmp_path / "x.json", code=1
    )
    assert "does not exist" in run(tmp_path / "no.parquet", "-o", tmp_path / "x.json", code=1)
    labels = write_coco(segments_of([RINGED]), tmp_path / "l.json").path
    assert "pass their folder with --images" in run(labels, "-o", tmp_path / "x.parquet", code=1)
    content = json.loads(labels.read_text())
    del content["annotations"][0]["segmentation"]
    labels.write_text(json.dumps(content))
    said = run(labels, "--images", pictures, "-o", tmp_path / "x.parquet", code=1)
    assert "has only boxes. Let SAM make masks of them: samlab.bank.box_examples" in said
    assert "Cut-outs need the pictures" in run(
        table, "-o", tmp_path / "c", "--format", "cutouts", code=1
    )


def test_labels_become_segments_one_table_per_picture(pictures: Path, tmp_path: Path) -> None:
    parts = [segments_of([RINGED, RINGED], [1, 0]), segments_of([], image_id="sub/b.png")]
    labelled = read_coco(write_coco(parts, tmp_path / "a.json").path, pictures)
    first, second = labelled.to_segments()
    assert [first.class_name(i) for i in first.labels.tolist()] == ["tree", "car"]  # type: ignore[union-attr]
    assert (len(second), second.image_id, second.image_size) == (0, "sub/b.png", (30, 40))


def test_help_shows_an_example() -> None:
    assert "Example: samlab export out/photo.parquet" in run("--help")
