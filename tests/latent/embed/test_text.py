"""Text prompts: on a model whose answers are known by construction, and on tiny CLIP and SigLIP."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import samlab
from samlab import masks
from samlab.errors import CheckpointError, InputError, MissingExtraError, SamlabWarning
from samlab.latent.embed.crops import square_crops
from samlab.latent.embed.embedders import embed
from samlab.latent.embed.text import TextEmbedder, score_texts, search_text, text_table
from samlab.latent.embed.text_model import TransformersText
from samlab.pipeline.prompting import segment_text
from samlab.segments import Segments

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "grey": (1, 1, 1)}


class ColourModel:
    """Sees the mean colour of a crop; reads the colour words of a text."""

    name = "colours"
    size = 16
    fill = (60, 60, 60)

    def image_vectors(self, crops):
        colours = [crop.reshape(-1, 3).mean(0) for crop in crops]
        return np.array(colours, np.float32).reshape(len(crops), 3) + 1

    def text_vectors(self, texts):
        words = [
            [COLOURS[w] for w in text.split() if w in COLOURS] or [(1, 1, 1)] for text in texts
        ]
        return np.array([np.mean(w, axis=0) for w in words], np.float32)

    def probabilities(self, cosines):
        odds = np.exp(20 * cosines)
        return odds / odds.sum(1, keepdims=True)


@pytest.fixture
def scene():
    """Grey, 60 x 90, with one red, one green and two blue patches; and a patch of the ground."""
    picture = np.full((60, 90, 3), 60, np.uint8)
    dense = np.zeros((5, 60, 90), bool)
    dense[0, 5:25, 5:25] = True
    dense[1, 5:25, 35:55] = True
    dense[2, 5:25, 65:85] = True
    dense[3, 32:56, 5:30] = True
    dense[4, 35:55, 55:85] = True
    for i, colour in enumerate([(220, 20, 20), (30, 220, 30), (20, 20, 230), (35, 35, 200)]):
        picture[dense[i]] = colour
    return picture, Segments(rles=masks.encode(dense))


# ---------------------------------------------------------------- a known answer


def test_each_text_finds_its_colour_and_the_background_the_rest(scene):
    picture, segments = scene
    got = segment_text(
        picture, ["green", "red", "blue"], segments=segments, model=ColourModel(),
        background=("grey",),
    )  # fmt: skip
    assert [got.class_name(int(i)) for i in got.labels] == ["green", "red", "blue", "blue"]
    boxes = segments.boxes
    np.testing.assert_array_equal(got.boxes, boxes[[1, 0, 2, 3]])  # the purer blue first
    assert got.scores["text"].shape == (4, 3)
    assert got.scores["text"].argmax(1).tolist() == [0, 1, 2, 2]
    assert got.provenance["text"]["texts"] == ["green", "red", "blue"]
    assert got.provenance["text"]["segments"] == 5


def test_without_a_background_everything_answers(scene):
    picture, segments = scene
    got = segment_text(
        picture, ["red", "blue"], segments=segments, model=ColourModel(), background=()
    )
    assert len(got) == 5


def test_top_k_is_per_text_and_stronger_than_the_background(scene):
    picture, segments = scene
    options = {"segments": segments, "model": ColourModel(), "background": ("grey",)}
    one = segment_text(picture, ["red", "blue"], top_k=1, **options)
    assert [one.class_name(int(i)) for i in one.labels] == ["red", "blue"]
    np.testing.assert_array_equal(one.boxes, segments.boxes[[0, 2]])
    alone = segment_text(picture, ["red"], top_k=2, **options)
    assert len(alone) == 2
    np.testing.assert_array_equal(alone.boxes[0], segments.boxes[0])


def test_the_threshold_is_on_the_score(scene):
    picture, segments = scene
    options = {"segments": segments, "model": ColourModel(), "background": ("grey",)}
    every = segment_text(picture, ["red", "green", "blue"], **options)
    best = every.scores["text"].max(1)
    limit = float(np.sort(best)[1])
    some = segment_text(picture, ["red", "green", "blue"], threshold=limit, **options)
    assert len(some) == (best >= limit).sum() == 3


def test_the_mask_decides_and_not_its_surroundings():
    """A thin red ring around green: what is seen of the ring is red, unless all of it is kept."""
    picture = np.full((60, 60, 3), 60, np.uint8)
    picture[10:50, 10:50] = (20, 220, 20)
    ring = np.zeros((60, 60), bool)
    ring[8:52, 8:52] = True
    ring[12:48, 12:48] = False
    picture[ring] = (220, 20, 20)
    segments = Segments(rles=[masks.encode(ring)])
    seen = {}
    for outside in ("grey", "keep"):
        embedder = TextEmbedder(ColourModel(), crops=(1.0,), outside=outside)
        cosines = score_texts(
            embed(picture, segments, embedder), ["red", "green"], embedder
        ).cosines
        seen[outside] = cosines[0, 0] > cosines[0, 1]
    assert seen == {"grey": True, "keep": False}


def test_several_crops_are_averaged(scene):
    picture, segments = scene
    single = [TextEmbedder(ColourModel(), crops=(f,))(picture, segments) for f in (1.0, 2.0)]
    both = TextEmbedder(ColourModel(), crops=(1.0, 2.0))(picture, segments)
    mean = np.mean(single, axis=0)
    np.testing.assert_allclose(both, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-6)


def test_the_table_of_scores(scene):
    picture, segments = scene
    got = segment_text(
        picture, ["green", "red"], segments=segments, model=ColourModel(), background=("grey",)
    )
    table = text_table(got)
    assert list(table.columns) == ["text", "green", "red"]
    np.testing.assert_allclose(table["red"], got.scores["text"][:, 1])
    with pytest.raises(InputError, match="from samlab.segment_text; these have no text scores"):
        text_table(segments)


def test_the_mask_generator_goes_first_where_no_segments_are_given():
    picture = np.full((120, 160, 3), 60, np.uint8)
    picture[20:70, 30:90] = (230, 20, 20)
    picture[50:110, 110:150] = (20, 20, 230)
    got = segment_text(
        picture, ["red", "blue"], model=ColourModel(), background=("grey",), crops=(1.0,),
        outside="grey", points_per_side=8,
    )  # fmt: skip
    names = [got.class_name(int(i)) for i in got.labels]
    assert {"red", "blue"} == set(names)
    for i, name in enumerate(names):
        seen = picture[got.mask(i)].mean(axis=0)
        assert COLOURS[name][int(seen.argmax())] == 1
    assert got.embedding("sam").shape == (len(got), 256)


# ---------------------------------------------------------------- many pictures


def test_a_query_over_a_folder(tmp_path, scene):
    import PIL.Image

    picture, segments = scene
    parts = []
    for name, order in (("a.png", [0, 1, 2]), ("b.png", [1, 0, 2])):
        PIL.Image.fromarray(picture[..., order]).save(tmp_path / name)
        parts.append(Segments(rles=segments.rles, image_id=name))
    everything = Segments.concat(parts)
    table = search_text(["red", "green"], everything, tmp_path, model=ColourModel(), k=1)
    assert table.text.tolist() == ["red", "green"]
    assert table["rank"].tolist() == [1, 1]
    # In b.png red and green are exchanged, so both words have a perfect match in each picture.
    top = search_text(["red"], everything, tmp_path, model=ColourModel(), k=2)
    assert set(zip(top.image_id, top.segment, strict=True)) == {("a.png", 0), ("b.png", 6)}
    found = everything[top.segment.to_numpy()]
    assert sorted(found.image_ids.tolist()) == ["a.png", "b.png"]

    embedder = TextEmbedder(ColourModel())
    kept = [
        embed(tmp_path / part.image_id, part, embedder).to_parquet(tmp_path / f"{i}.parquet")
        for i, part in enumerate(parts)
    ]
    stored = Segments.concat([Segments.from_parquet(path) for path in kept])
    again = search_text(["red"], stored, model=embedder, k=2)  # no pictures needed
    np.testing.assert_allclose(again.cosine, top.cosine, atol=1e-6)
    with pytest.raises(InputError, match="the vectors 'colours', or images to make them from"):
        search_text(["red"], everything, model=embedder)
    with pytest.raises(InputError, match=r"Expected a picture for 'b.png' in images"):
        search_text(["red"], everything, {"a.png": picture}, model=embedder)


# ---------------------------------------------------------------- nothing, and very much


def test_no_segments_answer_nothing(scene):
    picture, _ = scene
    none = Segments(image_size=(60, 90))
    got = segment_text(picture, ["red"], segments=none, model=ColourModel())
    assert len(got) == 0
    assert got.scores["text"].shape == (0, 1)
    assert len(text_table(got)) == 0
    assert len(search_text(["red"], none, model=ColourModel(), images={})) == 0


def test_five_thousand_texts(scene):
    picture, segments = scene
    texts = [f"thing {i}" for i in range(5000)] + ["blue"]
    got = segment_text(picture, texts, segments=segments, model=ColourModel(), top_k=1)
    assert "blue" in {got.class_name(int(i)) for i in got.labels}
    assert got.scores["text"].shape[1] == 5001


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texts": "a dog"}, r"to be a list .*, got 'a dog' \(str\). Write \['a dog'\]"),
        ({"texts": []}, "at least one text"),
        ({"texts": ["red", " "]}, "words in texts; number 1 is ' '"),
        (
            {"texts": ["red", None]},
            r"texts of segment_text to be a list \(a text\), got \['red', None\]",
        ),
        ({"texts": ["red"], "background": [""]}, "words in background; number 0 is ''"),
        ({"texts": ["red", "red"]}, "texts that differ; 'red' is given twice"),
        ({"texts": ["red"], "background": ["red"]}, "'red' is given twice"),
        ({"texts": ["red"], "background": []}, "something beside the one text 'red'"),
        ({"texts": ["red"], "threshold": 2}, "threshold from 0 to 1, got 2"),
        (
            {"texts": ["red"], "threshold": float("nan")},
            "threshold of .* to be a number .* got nan",
        ),
        ({"texts": ["red"], "top_k": 0}, "top_k as a whole number of at least 1, got 0"),
        ({"texts": ["red"], "crops": ()}, "at least one crop"),
        ({"texts": ["red"], "crops": (0,)}, "crops as factors above 0, got 0"),
        ({"texts": ["red"], "outside": "black"}, "outside='blur', 'grey' or 'keep', got 'black'"),
    ],
)
def test_senseless_questions_are_refused(scene, options, message):
    picture, segments = scene
    with pytest.raises(InputError, match=message) as raised:
        segment_text(picture, segments=segments, model=ColourModel(), **options)
    assert "\n" not in str(raised.value)


# ---------------------------------------------------------------- crops


def test_a_crop_is_square_and_filled_beyond_the_picture(scene):
    picture, segments = scene
    crops = list(square_crops(picture, segments[[3]], enlarge=2, size=40, fill=(1, 2, 3)))
    assert [crop.shape for crop in crops] == [(40, 40, 3)]
    # The box begins 5 pixels from the left edge, and the square 12 pixels before the box.
    assert np.abs(crops[0][20, 2].astype(int) - [1, 2, 3]).max() < 25
    kept = next(square_crops(picture, segments[[0]], size=20, outside="keep"))
    np.testing.assert_array_equal(kept, picture[5:25, 5:25])


def test_a_mask_of_one_pixel_has_a_crop():
    dense = np.zeros((5, 7), bool)
    dense[4, 6] = True
    segments = Segments(rles=[masks.encode(dense)])
    crop = next(square_crops(np.full((5, 7, 3), 9, np.uint8), segments, enlarge=1.5, size=8))
    assert crop.shape == (8, 8, 3)


# ---------------------------------------------------------------- transformers


def words_tokenizer(length):
    """A tokenizer of whole words, made on the spot."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    vocabulary = {"<pad>": 0, "<unk>": 1, "<end>": 2}
    for word in ["a", "red", "green", "blue", "dog", "of", "photo", "background", "long"]:
        vocabulary[word] = len(vocabulary)
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A <end>", special_tokens=[("<end>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", eos_token="<end>",
        model_max_length=length,
    )  # fmt: skip


def random_model(kind):
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    half = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2}
    half["num_attention_heads"] = 4
    text = {**half, "vocab_size": 20, "max_position_embeddings": 12, "eos_token_id": 2}
    text |= {"bos_token_id": 1, "pad_token_id": 0}
    vision = {**half, "image_size": 32, "patch_size": 8}
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
        return transformers.CLIPModel(config).eval()
    config = transformers.SiglipConfig(text_config=text, vision_config=vision)
    return transformers.SiglipModel(config).eval()


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_probabilities_are_those_of_the_model_itself(kind):
    import torch

    model, tokenizer = random_model(kind), words_tokenizer(12)
    ours = TransformersText((model, tokenizer), name="mine")
    assert (ours.name, ours.size) == ("mine", 32)
    rng = np.random.default_rng(0)
    crops = list(rng.integers(0, 255, (5, 32, 32, 3), dtype=np.uint8))
    texts = ["a red dog", "a photo of a green dog", "blue"]
    images, words = ours.image_vectors(crops), ours.text_vectors(texts)
    images, words = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (images, words))
    pixels = torch.from_numpy((np.stack(crops).astype(np.float32) / 255 - ours.mean) / ours.std)
    padding = "max_length" if kind == "siglip" else True
    inputs = tokenizer(texts, padding=padding, truncation=True, max_length=12, return_tensors="pt")
    given = {"input_ids": inputs["input_ids"]}
    if kind == "clip":
        given["attention_mask"] = inputs["attention_mask"]
    with torch.no_grad():
        logits = model(pixel_values=pixels.permute(0, 3, 1, 2), **given).logits_per_image
    expected = logits.sigmoid() if kind == "siglip" else logits.softmax(1)
    np.testing.assert_allclose(ours.probabilities(images @ words.T), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_segments_by_text_through_transformers(scene, kind):
    picture, segments = scene
    pair = random_model(kind), words_tokenizer(12)
    got = segment_text(
        picture, ["a red dog", "a green dog"], segments=segments, model=pair, top_k=2
    )
    assert 1 <= len(got) <= 4
    scores = got.scores["text"]
    assert scores.shape == (len(got), 2)
    assert ((scores >= 0) & (scores <= 1)).all()
    name = got.provenance["text"]["model"]
    table = search_text(["a red dog"], got, model=TextEmbedder(pair))
    assert name in got.embeddings
    assert len(table) == len(got)
    assert len(TextEmbedder(pair)(picture, segments[:0])) == 0


def test_long_texts_are_cut_with_a_warning():
    model = TransformersText((random_model("clip"), words_tokenizer(12)), name="mine")
    with pytest.warns(SamlabWarning, match="1 of 2 texts are longer than the 12 tokens that mine"):
        vectors = model.text_vectors(["a dog", "long " * 40])
    assert np.isfinite(vectors).all()


def test_batches_do_not_change_the_vectors():
    pair = random_model("clip"), words_tokenizer(12)
    crops = list(np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), dtype=np.uint8))
    texts = ["a dog", "red", "a photo of a blue dog"]
    whole, parted = TransformersText(pair), TransformersText(pair, batch_size=2)
    np.testing.assert_allclose(whole.image_vectors(crops), parted.image_vectors(crops), atol=1e-5)
    np.testing.assert_allclose(whole.text_vectors(texts), parted.text_vectors(texts), atol=1e-5)


def test_a_model_saved_in_a_folder_is_found(tmp_path, scene):
    transformers = pytest.importorskip("transformers")
    random_model("clip").save_pretrained(tmp_path / "mini-clip")
    words_tokenizer(12).save_pretrained(tmp_path / "mini-clip")
    transformers.CLIPImageProcessor(image_mean=[0.4, 0.5, 0.6]).save_pretrained(
        tmp_path / "mini-clip"
    )
    picture, segments = scene
    model = TransformersText(str(tmp_path / "mini-clip"), download=False)
    assert model.name == "mini-clip"
    np.testing.assert_allclose(model.mean, [0.4, 0.5, 0.6])
    assert TextEmbedder(model)(picture, segments).shape == (5, 16)


def test_missing_weights_are_one_sentence(scene):
    pytest.importorskip("transformers")
    with pytest.raises(CheckpointError, match="and was not to be downloaded") as raised:
        TextEmbedder("nobody/no-such-model", download=False)
    message = str(raised.value)
    assert message.startswith("Expected the model 'nobody/no-such-model' in a folder")
    assert message.endswith("pass a folder or a pair (model, processor).")
    assert "\n" not in message


def test_without_transformers_the_extra_is_named(monkeypatch, scene):
    picture, segments = scene
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr("samlab.errors.find_spec", lambda name: None)
    message = r"Text as a prompt needs the package 'transformers'.*samlab\[hf\]"
    with pytest.raises(MissingExtraError, match=message):
        segment_text(picture, ["red"], segments=segments)


def test_a_model_without_texts_is_refused():
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=37, num_hidden_layers=1, num_attention_heads=4
    )
    vision = transformers.CLIPVisionModel(config)
    with pytest.raises(InputError, match="CLIPVisionModel, which has no text encoder"):
        TransformersText((vision, None))
    with pytest.raises(InputError, match="a name, a folder or a pair .* got CLIPVisionModel"):
        TransformersText(vision)


def test_names_at_the_top():
    assert samlab.segment_text is segment_text
    assert samlab.search_text is search_text
