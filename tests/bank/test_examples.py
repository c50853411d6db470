"""From labelled boxes to examples and banks, with the embedded model."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anything import SamPredictor

import samlab.bank.examples as examples_module
from samlab import masks
from samlab.bank.boxes import background_segments, segment_with_boxes
from samlab.bank.examples import box_examples
from samlab.bank.memory_bank import MemoryBank
from samlab.datasets import CLASSES, write_sample_set
from samlab.errors import InputError, StorageError
from samlab.formats.bdd100k import read_bdd100k
from samlab.formats.coco import read_coco
from samlab.formats.label_maps import read_label_maps
from samlab.images import read_image
from samlab.pipeline.segment import segment
from samlab.sam.checkpoints.catalogue import fetch
from samlab.sam.fast.encoder import encode
from samlab.sam.load import load_sam
from samlab.sam.prompts import segment_boxes
from samlab.sam.tiny.model import build_tiny
from tests.bank.spy import Spy, box_mask

BOXES = np.array([[20, 30, 90, 100], [150.5, 60.2, 210, 160], [0, 0, 320, 240]], np.float32)


@pytest.fixture(scope="module")
def sam():
    return load_sam("tiny", device="cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_sample_set(tmp_path_factory.mktemp("set"), 3)


@pytest.fixture(scope="module")
def picture(files):
    return read_image(sorted(files.images.iterdir())[0])


@pytest.fixture(scope="module")
def embedding(picture, sam):
    return encode(picture, sam)


# -- the sample set -------------------------------------------------------------------------------


def test_the_sample_set_tells_one_truth_in_three_formats(files):
    coco = read_coco(files.coco, files.images)
    assert coco.digest() == read_bdd100k(files.bdd100k, files.images).digest()
    maps = read_label_maps(files.label_maps, files.images, CLASSES)
    assert maps.counts() == coco.counts()
    for image in coco:
        np.testing.assert_array_equal(masks.boxes(image.masks), image.boxes)
        assert 1 <= len(image) <= 7


def test_the_sample_set_is_its_seed(files, tmp_path):
    again = write_sample_set(tmp_path / "again", 3)
    other = write_sample_set(tmp_path / "other", 3, seed=1)
    assert again.coco.read_text() == files.coco.read_text()
    assert other.coco.read_text() != files.coco.read_text()
    with pytest.raises(InputError, match="a whole number from 1 up, got 0"):
        write_sample_set(tmp_path, 0)


# -- boxes ----------------------------------------------------------------------------------------


def test_box_masks_equal_those_of_sams_predictor(picture, sam, embedding):
    found = segment_with_boxes(picture, BOXES, sam, features=embedding)
    assert found.box.tolist() == [0, 1, 2]
    predictor = SamPredictor(sam)
    predictor.set_image(picture)
    for i, box in enumerate(BOXES):
        mask, score, _ = predictor.predict(box=box, multimask_output=False)
        np.testing.assert_array_equal(found.segments.mask(i), mask[0])
        np.testing.assert_allclose(found.segments.predicted_iou[i], score[0], atol=1e-4)
    assert found.segments.embedding().shape == (3, 256)


def test_parts_come_after_and_repeat_nothing(picture, sam, embedding):
    plain = segment_with_boxes(picture, BOXES, sam, features=embedding).segments
    found = segment_with_boxes(picture, BOXES, sam, parts=True, features=embedding)
    assert found.segments.rles[:3] == plain.rles
    assert set(found.box[3:].tolist()) <= {0, 1, 2}
    assert 3 < len(found.box) <= 12
    for i in range(3):
        rles = [found.segments.rles[j] for j in np.flatnonzero(found.box == i)]
        overlap = masks.iou(rles, rles)
        np.fill_diagonal(overlap, 0)
        assert overlap.max(initial=0) <= 0.9


def test_no_boxes_need_no_encoder(picture):
    found = segment_with_boxes(picture, np.zeros((0, 4)), sam=None)
    assert len(found.segments) == 0
    assert found.segments.image_size == (240, 320)


def test_a_mask_without_a_pixel_is_replaced_by_its_box(picture, sam, embedding, monkeypatch):
    from samlab.sam import prompt_answers

    real = prompt_answers.to_masks

    def none_for_the_first(logits, *args, **kwargs):
        logits = logits.clone()
        logits[0] = -10
        return real(logits, *args, **kwargs)

    monkeypatch.setattr(prompt_answers, "to_masks", none_for_the_first)
    found = segment_with_boxes(picture, BOXES, sam, features=embedding)
    assert found.empty.tolist() == [0]
    np.testing.assert_array_equal(found.segments.boxes[0], BOXES[0])
    assert found.segments.areas[0] == 70 * 70


def test_background_keeps_away_from_the_boxes(files, picture, sam, embedding):
    image = read_coco(files.coco, files.images)[0]
    options = {"points_per_side": 12, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.5}
    found = background_segments(picture, image.boxes, sam, 5, features=embedding, **options)
    assert found.embedding().shape == (len(found), 256)
    assert len(found) <= 5
    union = np.any([box_mask(picture.shape[:2], box) for box in image.boxes], axis=0)
    for i in range(len(found)):
        assert found.mask(i)[union].mean() < 0.5
    everything = background_segments(
        picture, [[0, 0, 320, 240]], sam, 5, features=embedding, **options
    )
    assert len(everything) == 0


def test_tokens_need_a_decoder_that_has_them(picture, sam, embedding):
    with pytest.raises(InputError, match="this one has none. Use how='coverage'"):
        segment_with_boxes(picture, BOXES, sam, how="token", features=embedding)


# -- banks ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bank(files, sam, tmp_path_factory):
    return MemoryBank.from_coco(
        files.coco, files.images, sam, progress=False,
        resume=tmp_path_factory.mktemp("finished"), per_class=3,
    )  # fmt: skip


def test_banks_from_coco_and_bdd100k_are_equal(files, sam, bank):
    other = MemoryBank.from_bdd100k(files.bdd100k, files.images, sam, progress=False, per_class=3)
    assert other.equals(bank)
    assert type(other) is MemoryBank
    for key in ("weights_sha256", "pooling", "labels_sha256"):
        assert other.provenance[key] == bank.provenance[key]
    assert bank.provenance["weights_sha256"] == sam.weights_sha256


def test_a_bank_finds_the_objects_it_was_built_from(files, sam, bank):
    labelled = read_coco(files.coco, files.images)
    examples = box_examples(labelled[:1], sam, masks="labels", progress=False)
    for i, rle in enumerate(labelled[0].masks):
        assert examples.rles[i] == rle
    assert bank.evaluate(examples).accuracy >= 0.8


def test_a_killed_build_goes_on_with_exactly_the_missing_pictures(files, tmp_path, monkeypatch):
    labelled = read_coco(files.coco, files.images)
    names = [image.name for image in labelled]
    options = {"sam": load_sam("tiny", device="cpu"), "resume": tmp_path, "progress": False}

    def run(spy):
        monkeypatch.setattr(examples_module, "_examples_of", spy)
        return box_examples(labelled, **options)

    first = Spy(stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        run(first)
    assert first.pictures == names[:2]
    second, third, whole = Spy(), Spy(), Spy()
    resumed = run(second)
    assert second.pictures == names[2:]
    run(third)
    assert third.pictures == []
    options["resume"] = None
    uninterrupted = run(whole)
    assert whole.pictures == names
    assert resumed.rles == uninterrupted.rles
    np.testing.assert_array_equal(resumed.embedding(), uninterrupted.embedding())
    np.testing.assert_array_equal(resumed.labels, uninterrupted.labels)


def test_what_changed_or_is_damaged_is_computed_again(files, tmp_path, monkeypatch):
    labelled = read_coco(files.coco, files.images)
    sam = load_sam("tiny", device="cpu")

    def run(labels, **options):
        spy = Spy()
        monkeypatch.setattr(examples_module, "_examples_of", spy)
        box_examples(labels, sam, resume=tmp_path, progress=False, **options)
        return spy.pictures

    names = [image.name for image in labelled]
    assert run(labelled) == names
    assert run(labelled, how="any") == names
    content = json.loads(files.coco.read_text())
    content["annotations"][0]["bbox"][0] += 1
    assert run(read_coco(content, files.images)) == names[:1]
    finished = sorted(tmp_path.glob("*.parquet"))
    for path in finished:
        path.write_bytes(path.read_bytes()[:100])
    assert run(labelled) == names


def test_a_picture_cut_short_is_noted_and_left_out(files, tmp_path, sam):
    folder = tmp_path / "images"
    folder.mkdir()
    image = Image.open(sorted(files.images.iterdir())[0])
    image.save(folder / "whole.png")
    data = (folder / "whole.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    frames = [
        {"name": "cut.png", "labels": [{"category": "car", "box2d": _corners(1, 1, 9, 9)}]},
        {"name": "whole.png", "labels": []},
    ]
    labelled = read_bdd100k(frames, folder)
    found = box_examples(labelled, sam, progress=False)
    assert len(found) == 0
    (note,) = found.provenance["notes"]
    assert note.startswith("Left out: ")
    assert "cut.png" in note
    with pytest.raises(InputError, match="all 0 have the label -1"):
        MemoryBank.from_bdd100k(frames, folder, sam, progress=False)


def _corners(x1, y1, x2, y2):
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2}


def test_wrong_options_are_named(files, sam, tmp_path):
    labelled = read_coco(files.coco, files.images)
    with pytest.raises(InputError, match="masks='prompt' or masks='labels', got 'gt'"):
        box_examples(labelled, sam, masks="gt")
    with pytest.raises(InputError, match="got 'mean'"):
        box_examples(labelled, sam, how="mean")
    with pytest.raises(InputError, match="background of 0 or more"):
        box_examples(labelled, sam, background=-1)
    renamed = labelled.rename({"brick": "background"})
    with pytest.raises(InputError, match="a class 'background' of their own"):
        box_examples(renamed, sam, background=3)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Expected the name of a folder, got the file"):
        box_examples(labelled, sam, resume=tmp_path / "file")


@pytest.mark.slow
def test_training_free_accuracy_on_known_classes(sam, tmp_path):
    """Boxes of 10 pictures against the boxes of 6 others; four classes, any tint."""
    sets = [write_sample_set(tmp_path / str(seed), n, seed=seed) for n, seed in ((10, 0), (6, 1))]
    train, test = (box_examples(read_coco(s.coco, s.images), sam, progress=False) for s in sets)
    evaluation = MemoryBank.from_segments(train).evaluate(test)
    assert evaluation.accuracy >= 0.9


def test_one_door_to_all_formats(files, sam, bank):
    options = {"per_class": 3, "progress": False, "sam": sam}
    assert MemoryBank.from_labels(files.coco, files.images, **options).equals(bank)
    assert MemoryBank.from_labels(files.bdd100k, files.images, **options).equals(bank)
    labelled = read_coco(files.coco, files.images)
    assert MemoryBank.from_labels(labelled, **options).equals(bank)
    names = files.coco.with_name("names.txt")
    names.write_text("\n".join(CLASSES))
    maps = MemoryBank.from_labels(files.label_maps, files.images, classes=names, **options)
    assert maps.provenance["masks"] == "labels"
    assert bank.provenance["masks"] == "prompt"
    with pytest.raises(InputError, match="the format 'auto' or one of 'coco'.*; got 'csv'"):
        MemoryBank.from_labels(files.coco, files.images, format="csv", **options)


def test_pictures_are_looked_for_beside_their_labels(files, sam, bank, tmp_path):
    shutil.copytree(files.images, tmp_path / "set")
    shutil.copy(files.coco, tmp_path / "set" / "labels.json")
    options = {"per_class": 3, "progress": False, "sam": sam}
    assert MemoryBank.from_labels(tmp_path / "set" / "labels.json", **options).equals(bank)


def test_vectors_of_a_model_that_samlab_did_not_load_are_checked(files, sam):
    """Whichever way they were made: the bank knows its own model, and refuses any other."""
    other = build_tiny(fetch("tiny").path).eval()
    with torch.no_grad():
        next(other.parameters()).mul_(1.01)
    picture = next(iter(read_coco(files.coco, files.images))).path
    bank = MemoryBank.from_coco(files.coco, files.images, sam, progress=False)
    options = {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    assert len(bank.classify(segment(picture, sam, **options)))
    boxes = segment_boxes(picture, [[2, 2, 40, 40]], sam=other)
    boxes = boxes.with_embedding("sam", np.ones((len(boxes), 256)))
    for strange in (segment(picture, other, **options), boxes):
        with pytest.raises(InputError, match="This bank was made with weights of SHA-256"):
            bank.classify(strange)
    theirs = MemoryBank.from_coco(files.coco, files.images, other, progress=False)
    assert len(theirs.classify(segment(picture, other, **options)))
    with pytest.raises(InputError, match="the other bank with"):
        bank.add(theirs)
