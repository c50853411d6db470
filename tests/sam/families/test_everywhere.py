"""A model of another family is taken wherever samlab takes a model: changing one word is enough."""

from __future__ import annotations

import json

import numpy as np
import pytest
import skimage.data
from PIL import Image
from segment_anything import SamPredictor

import samlab
from samlab.doctor import diagnose
from samlab.errors import InputError
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.view.annotate.proposals import Limits
from tests.sam.families.small import saved

OPTIONS = {
    "points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0,
    "box_nms_thresh": 1.0,
}  # fmt: skip
BOX = [20.0, 20, 200, 150]


@pytest.fixture(scope="module", params=["sam_hq", "sam2"])
def folder(request, families_folder):
    return saved(request.param, families_folder)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    image = skimage.data.astronaut()[:200, 100:400]
    Image.fromarray(image).save(path / "a.png")
    Image.fromarray(image[:, ::-1]).save(path / "b.png")
    return path


@pytest.fixture(scope="module")
def segments(folder, pictures):
    return samlab.segment(pictures / "a.png", folder, **OPTIONS)


def test_segments_of_a_picture_and_of_a_run_are_the_same(folder, pictures, segments, tmp_path):
    assert len(segments) == 27
    assert segments.provenance["model"] == folder.name
    assert np.isfinite(segments.embeddings["sam"]).all()
    run = samlab.run(pictures, tmp_path / "out", sam=str(folder), **OPTIONS)
    assert run.settings["model"] == folder.name
    found = run.segments("a.png")
    assert list(found.rles) == list(segments.rles)
    np.testing.assert_allclose(found.embeddings["sam"], segments.embeddings["sam"], atol=1e-6)


def test_a_cached_picture_is_not_computed_again(folder, pictures, segments, tmp_path, monkeypatch):
    first = samlab.segment(pictures / "a.png", folder, cache=tmp_path, **OPTIONS)
    monkeypatch.setattr("samlab.pipeline.segmenter.Segmenter.__init__", None)
    again = samlab.segment(pictures / "a.png", folder, cache=tmp_path, **OPTIONS)
    assert list(again.rles) == list(first.rles) == list(segments.rles)


def test_prompts_and_pools_of_every_kind(folder, pictures, segments):
    sam, image = samlab.load_sam(folder), samlab.read_image(pictures / "a.png")
    assert len(samlab.segment_points(image, [[100, 60]], sam=sam)) == 3
    assert len(samlab.segment_boxes(image, [BOX, [50, 50, 90, 90]], sam=sam, refine=1)) == 2
    assert len(samlab.segment_masks(image, [segments.mask(0)], sam=sam)) == 1
    features = samlab.encode(image, sam)
    tokens = samlab.MaskGenerator(sam, **OPTIONS).segments(image, features, tokens=True)
    encode = lambda crop: samlab.encode(crop, sam)  # noqa: E731
    shapes = {
        samlab.pool(features, segments, "coverage").shape,
        samlab.pool(features, segments, "any").shape,
        samlab.pool(None, segments, "crop", image=image, encode=encode).shape,
        samlab.pool(features, tokens, "token", tokens=tokens.embeddings["token"]).shape,
    }
    assert shapes == {(27, 256)}


def test_a_bank_knows_its_own_vectors_and_no_others(folder, pictures, segments, tmp_path):
    about = {
        "images": [{"id": 1, "file_name": "a.png", "height": 200, "width": 300}],
        "categories": [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 20, 180, 130]},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [200, 20, 80, 130]},
        ],
    }
    (tmp_path / "labels.json").write_text(json.dumps(about))
    bank = samlab.MemoryBank.from_labels(tmp_path / "labels.json", pictures, sam=folder)
    assert len(bank.classify(segments).labels) == 27
    other = samlab.segment(pictures / "a.png", "tiny", points_per_side=2, pred_iou_thresh=0.0)
    with pytest.raises(InputError, match="their vectors cannot be compared"):
        bank.classify(other)


def test_widgets_open(folder, pictures, segments, tmp_path):
    photo = pictures / "a.png"
    assert samlab.prompt(photo, sam=folder) is not None
    assert samlab.probe(segments, photo) is not None
    annotator = samlab.annotate(pictures, out=tmp_path / "labels", classes=["x"], sam=folder)
    annotator.close()


def test_the_doctor_finds_it_working(folder):
    findings = diagnose(str(folder), 1.0)
    assert [finding for finding in findings if finding.status == "fail"] == []


def test_settings_name_the_threshold_of_the_model(folder):
    own = {"sam_hq": 0.88, "sam2": 0.8}[folder.name]
    assert SegmenterConfig(str(folder)).settings()["masks"]["pred_iou_thresh"] == own
    sam = samlab.load_sam(folder)
    assert SegmenterConfig(sam).settings()["masks"]["pred_iou_thresh"] == own
    assert SegmenterConfig("tiny").settings()["masks"]["pred_iou_thresh"] == 0.88


def test_a_folder_reaches_a_process_elsewhere(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert SegmenterConfig(folder.name).absolute().sam == str(folder)
    assert SegmenterConfig("tiny").absolute().sam == "tiny"


def test_sam_predictor_is_refused_in_a_sentence(folder, pictures):
    predictor = SamPredictor(samlab.load_sam(folder))
    with pytest.raises(InputError, match=f"SamPredictor cannot use {folder.name}, which needs"):
        predictor.set_image(samlab.read_image(pictures / "a.png"))


def test_the_annotator_proposes_from_the_threshold_of_the_model(folder):
    own = {"sam_hq": 0.88, "sam2": 0.8}[folder.name]
    assert Limits().least_iou(samlab.load_sam(folder)) == own
    assert Limits(pred_iou_thresh=0.7).least_iou(samlab.load_sam(folder)) == 0.7
    assert Limits().least_iou() == 0.88
