"""Words and examples through SAM 3's detector: the same as transformers' own forward."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import skimage.data
import torch
from torch.nn import functional as F

from samlab import segment_text
from samlab.errors import CheckpointError, InputError
from samlab.latent.embed import text_table

pytest.importorskip("transformers", minversion="5.0")

from samlab.sam.concepts import Concepts, is_concepts, load_concepts
from tests.sam.families.small import spread

TEXTS = ["yellow taxi", "cat"]


def build_detector():
    import transformers as t

    t.logging.set_verbosity_error()
    torch.manual_seed(0)
    backbone = t.Sam3ViTConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        global_attn_indexes=[1], image_size=252, pretrain_image_size=252, window_size=6,
    )  # fmt: skip
    vision = {
        "backbone_config": backbone,
        "backbone_feature_sizes": [[72, 72], [36, 36], [18, 18]],
    }
    text = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 2, "projection_dim": 16, "vocab_size": 600,
        "max_position_embeddings": 32, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
    }  # fmt: skip
    few = {"num_layers": 1}
    config = t.Sam3Config(
        vision_config=vision, text_config=text, geometry_encoder_config=few,
        detr_encoder_config=few, detr_decoder_config={**few, "num_queries": 20},
    )  # fmt: skip
    return spread(t.Sam3Model(config))


def write_tokenizer(folder):
    """A CLIP tokenizer that knows letters only."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizerFast

    letters = sorted(ByteLevel.alphabet())
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(c + "</w>" for c in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("concepts") / "sam3"
    path.mkdir()
    build_detector().save_pretrained(path)
    write_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def concepts(folder):
    return load_concepts(folder, device="cpu")


@pytest.fixture(scope="module")
def image():
    return np.ascontiguousarray(skimage.data.astronaut()[:120, 100:300])


def expected(concepts, image, text, boxes=None, labels=None):
    """Scores and full-size masks of all queries, by transformers' processor and model."""
    from transformers import Sam3ImageProcessor, Sam3Processor

    processor = Sam3Processor(
        Sam3ImageProcessor(size={"height": 252, "width": 252}), concepts.tokenizer
    )
    given = {} if boxes is None else {"input_boxes": [boxes], "input_boxes_labels": [labels]}
    inputs = processor(images=image, text=text, return_tensors="pt", **given)
    names = ("pixel_values", "input_ids", "attention_mask", "input_boxes", "input_boxes_labels")
    with torch.inference_mode():
        out = concepts.model(**{name: inputs[name] for name in names if name in inputs})
    scores = out.pred_logits[0].sigmoid() * out.presence_logits[0].sigmoid()
    # Logits are resized, as in SAM 3's own processor, and not probabilities.
    masks = F.interpolate(out.pred_masks, image.shape[:2], mode="bilinear", align_corners=False)[0]
    order = scores.argsort(descending=True)
    return scores[order].numpy(), (masks[order] > 0).numpy()


def compare(found, scores, masks):
    np.testing.assert_allclose(found.predicted_iou, scores, atol=1e-5)
    assert len(found) == len(masks) > 0
    differ = [np.mean(found.mask(i) != mask) for i, mask in enumerate(masks)]
    assert max(differ) < 1e-3


def test_texts(concepts, image):
    found = concepts.find(image, TEXTS, threshold=0.0)
    for i, text in enumerate(TEXTS):
        compare(found.segments[found.text == i], *expected(concepts, image, text))


def test_examples(concepts, image):
    boxes, labels = [[20.0, 10, 90, 80], [100, 20, 150, 110]], [1, 0]
    found = concepts.find(image, ["cat"], boxes=boxes, box_labels=labels, threshold=0.0)
    compare(found.segments, *expected(concepts, image, "cat", boxes, labels))
    alone = concepts.find(image, [], boxes=boxes[:1], threshold=0.0)
    compare(alone.segments, *expected(concepts, image, "visual", boxes[:1], [1]))


def test_segment_text_hands_on_a_table_with_scores_names_and_vectors(folder, concepts, image):
    every = concepts.find(image, TEXTS, threshold=0.0)
    least = float(np.median(every.segments.predicted_iou))
    found = segment_text(image, TEXTS, model=str(folder), threshold=least)
    assert 0 < len(found) < len(every.segments)
    assert dict(found.class_names) == {0: "yellow taxi", 1: "cat"}
    rows = np.arange(len(found))
    np.testing.assert_array_equal(found.scores["text"][rows, found.labels], found.predicted_iou)
    np.testing.assert_array_equal(found.scores["text"][rows, 1 - found.labels], 0)
    assert found.embeddings["sam"].shape == (len(found), 256)
    assert np.isfinite(found.embeddings["sam"]).all()
    assert list(text_table(found).columns) == ["text", *TEXTS]
    assert found.provenance["model"] == "sam3"
    assert len(found.provenance["weights_sha256"]) == 64


def test_the_best_of_each_text(concepts, image):
    pair = (concepts.model, concepts.tokenizer)
    found = segment_text(image, TEXTS, model=pair, threshold=0.0, top_k=2)
    assert found.labels.tolist() == [0, 0, 1, 1]


def test_nothing_answers(concepts, image):
    found = segment_text(image, TEXTS, model=concepts, threshold=1.0)
    assert len(found) == 0
    assert found.scores["text"].shape == (0, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"texts": "a cat"}, r"Expected texts of segment_text to be a list .*Write \['a cat'\]"),
        ({"texts": []}, "Expected texts or example boxes, got neither"),
        ({"texts": ["cat"], "threshold": 2.0}, "Expected a threshold between 0 and 1, got 2.0"),
        ({"texts": ["cat"], "examples": [[0, 0, 999, 9]]}, "Expected boxes inside the picture"),
    ],
)
def test_input_that_is_refused(concepts, image, given, message):
    with pytest.raises(InputError, match=message):
        segment_text(image, model=concepts, **given)


def test_segments_are_clip_s_matter(concepts, image):
    from samlab.segments import Segments

    with pytest.raises(InputError, match="Expected no segments with SAM 3, which finds its own"):
        segment_text(image, ["cat"], model=concepts, segments=Segments(image_size=(120, 200)))


def test_examples_are_sam3_s_matter(image):
    with pytest.raises(InputError, match="Expected examples only with SAM 3"):
        segment_text(image, ["cat"], examples=[[0, 0, 9, 9]])


def test_which_models_are_concepts(folder, concepts, tmp_path):
    assert is_concepts("sam3")
    assert is_concepts(str(folder))
    assert is_concepts(concepts)
    assert is_concepts((concepts.model, None))
    assert not is_concepts("openai/clip-vit-base-patch32")
    assert not is_concepts(tmp_path)
    assert load_concepts(concepts) is concepts
    assert isinstance(load_concepts((concepts.model, concepts.tokenizer)), Concepts)


def test_a_folder_without_tokenizer(folder, tmp_path):
    import shutil

    path = shutil.copytree(folder, tmp_path / "sam3")
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (path / name).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="Expected the tokenizer of SAM 3"):
        load_concepts(path)


def test_words_in_the_prompter(concepts, image):
    from samlab import prompt

    prompter = prompt(image, "tiny")
    expected = segment_text(image, TEXTS, model=concepts, threshold=0.0, top_k=2)
    assert prompter.find(TEXTS, concepts, threshold=0.0, top_k=2) == 4
    kept = prompter.segments
    assert list(kept.rles) == list(expected.rles)
    assert [kept.class_names[i] for i in kept.labels.tolist()] == [
        expected.class_names[i] for i in expected.labels.tolist()
    ]
    assert prompter.find([], concepts, examples=[[20, 10, 90, 80]], threshold=0.0, top_k=1) == 1
    assert prompter.kept[-1]["name"] == "visual"


def test_words_in_the_annotator(concepts, image, tmp_path):
    from PIL import Image

    from samlab import annotate, encode, load_sam, pool
    from samlab.sam.provenance import weights_sha256

    (tmp_path / "pictures").mkdir()
    Image.fromarray(image).save(tmp_path / "pictures" / "a.png")
    sam = load_sam("tiny")
    annotator = annotate(tmp_path / "pictures", out=tmp_path / "out", sam=sam, classes=["cat"])
    assert annotator.find(["cat"], concepts, threshold=0.0, top_k=2) == 2
    assert annotator.find(["cat"], concepts, threshold=0.0, top_k=2) == 0  # there already
    expected = segment_text(image, ["cat"], model=concepts, threshold=0.0, top_k=2)
    kept = annotator.segments
    assert list(kept.rles) == list(expected.rles)
    assert (list(kept.labels), dict(kept.class_names)) == ([0, 0], {0: "cat"})
    own = pool(encode(image, sam), expected)
    np.testing.assert_allclose(kept.embeddings["sam"], own, rtol=1e-3, atol=1e-3)
    masks = annotator.session.annotations.masks("a.png")
    assert {(mask.source, mask.weights) for mask in masks} == {("text", weights_sha256(sam))}
    annotator.session.undo()
    assert len(annotator.segments) == 0


def test_words_and_examples_on_the_command_line(folder, image, tmp_path, monkeypatch):
    from PIL import Image
    from typer.testing import CliRunner

    import samlab
    from samlab.cli.main import app

    few = partial(segment_text, threshold=0.0, top_k=2)  # random weights are sure of nothing
    monkeypatch.setattr(samlab, "segment_text", few)
    Image.fromarray(image).save(tmp_path / "a.png")
    arguments = ["segment", str(tmp_path / "a.png"), "-o", str(tmp_path), "--text-model"]
    example, box = "20,10,90,80", [[20.0, 10, 90, 80]]
    for words in (["cat"], []):
        given = [part for word in words for part in ("--text", word)]
        done = CliRunner().invoke(app, [*arguments, str(folder), *given, "--example", example])
        assert done.exit_code == 0, done.output
        expected = few(image, words, model=str(folder), examples=box)
        found = samlab.Segments.from_parquet(tmp_path / "a.parquet")
        assert list(found.rles) == list(expected.rles)
        assert done.stdout.startswith(f"2 {(words or ['visual'])[0]}\n")
    done = CliRunner().invoke(app, [*arguments, str(folder), "--example", "20;10"])
    assert "Expected a box as X0,Y0,X1,Y1 in pixels, got '20;10'" in done.stderr
