"""Files that samlab 0.1.0 wrote are opened, read, resumed and replayed: see data/v0_1_0."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samlab
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.runs.folder import run_with
from samlab.segments import Segments

OLD = Path(__file__).parent / "data" / "v0_1_0"
EXPECTED = json.loads((OLD / "expected.json").read_text())
OPTIONS = {"points_per_side": 2, "progress": False}


def facts(segments: Segments) -> dict[str, Any]:
    """What 0.1.0 was asked about segments when the files were made."""
    vectors = np.ascontiguousarray(segments.embedding("sam"))
    return {
        "labels": segments.labels.tolist(),
        "class_names": {str(label): name for label, name in segments.class_names.items()},
        "areas": segments.areas.tolist(),
        "boxes": segments.boxes.tolist(),
        "predicted_iou": segments.predicted_iou.round(6).tolist(),
        "vectors_sha256": hashlib.sha256(vectors.tobytes()).hexdigest(),
        "image_id": segments.image_id,
        "image_size": list(segments.image_size),
        "weights_sha256": segments.provenance.get("weights_sha256", ""),
    }


@pytest.fixture
def old(tmp_path) -> Path:
    """The files, to be written to."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_a_run_opens() -> None:
    run = samlab.open_run(OLD / "run", pictures=OLD / "pictures")
    assert run.settings == EXPECTED["settings"]
    columns = [*EXPECTED["run"]["coin.png"]]
    assert run.pictures.set_index("image_id")[columns].to_dict("index") == EXPECTED["run"]
    for image_id, expected in EXPECTED["segments"].items():
        assert facts(run.segments(image_id)) == expected
    assert run.image("coin.png").shape == (50, 70, 3)
    assert samlab.cluster_run(run).labels.shape == (run.n_segments,)


def test_the_same_call_still_has_the_same_settings() -> None:
    """Otherwise nobody could go on with a run of 0.1.0. New weights are told by their hash."""
    settings = SegmenterConfig(options=OPTIONS).settings()
    assert {**settings, "weights_sha256": "", "classify": None} == {
        **EXPECTED["settings"],
        "weights_sha256": "",
    }


class OldWeights(SegmenterConfig):
    """The model of today, in the place of the one that 0.1.0 had."""

    def settings(self) -> dict[str, Any]:
        weights = EXPECTED["settings"]["weights_sha256"]
        return {**super().settings(), "weights_sha256": weights}


def test_an_interrupted_run_goes_on(old) -> None:
    assert samlab.open_run(old / "stopped").pictures["image_id"].tolist() == EXPECTED["stopped"]
    done: list[int] = []
    run = run_with(
        OldWeights(options=OPTIONS), old / "pictures", old / "stopped", progress=False,
        on_progress=lambda state: done.append(state.done),
    )  # fmt: skip
    assert done == [2, 3]  # the broken file is tried again: no hash says that it is the same
    assert run.pictures["image_id"].tolist() == ["broken.png", "coin.png", "paper.png"]
    assert run.pictures["status"].tolist() == ["error", "ok", "ok"]
    assert facts(run.segments("coin.png")) == EXPECTED["segments"]["coin.png"]
    assert run.segments("paper.png").image_size == (40, 60)
    assert run.settings == EXPECTED["settings"]


def test_a_table_of_segments_is_read() -> None:
    segments = Segments.from_parquet(OLD / "coin.parquet")
    found = {**facts(segments), "text": segments.scores["text"].round(6).tolist()}
    assert found == EXPECTED["parquet"]


def test_a_journal_is_replayed_and_goes_on(old) -> None:
    pictures = [old / "pictures" / name for name in ("coin.png", "paper.png")]
    annotator = samlab.annotate(pictures, out=old / "labels")
    annotations = annotator.session.annotations
    assert list(annotations.classes) == EXPECTED["labels"]["classes"]
    assert sorted(annotations.done) == EXPECTED["labels"]["done"]
    (table,) = annotator.tables
    assert facts(table) == {name: EXPECTED["labels"][name] for name in facts(table)}
    assert annotator.session.name == "paper.png"  # the first one that is not finished
    annotator.session.undo()  # the last act of the old version: that coin.png is finished
    assert annotator.session.name == "coin.png"
    annotator.finish()
    again = samlab.annotate(pictures, out=old / "labels").session
    assert again.note == ""
    assert sorted(again.annotations.done) == ["coin.png"]
