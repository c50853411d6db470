"""Prompts answer as SamPredictor.predict does, many at a time, and bad ones are refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from segment_anything import SamPredictor

from samlab import masks
from samlab.errors import InputError, SamlabWarning
from samlab.sam.fast.decoder import PromptDecoder
from samlab.sam.fast.encoder import encode
from samlab.sam.load import load_sam
from samlab.sam.prompt_answers import ask, prompts_for
from samlab.sam.prompt_checks import cell_shares, check_masks
from samlab.sam.prompts import segment_boxes, segment_masks, segment_points
from samlab.segments import Segments

P = 3
COMBINATIONS = [
    ("point",),
    ("points",),
    ("boxes",),
    ("masks",),
    ("point", "boxes"),
    ("points", "boxes"),
    ("points", "masks"),
    ("boxes", "masks"),
    ("points", "boxes", "masks"),
]


@pytest.fixture(scope="module")
def photo():
    return np.asarray(skimage.data.coffee())[:, :, :3]


@pytest.fixture(scope="module")
def tiny():
    return load_sam("tiny", device="cpu")


@pytest.fixture(scope="module")
def encoded(photo, tiny):
    return encode(photo, tiny)


def predictor_for(sam, embedding):
    predictor = SamPredictor(sam)
    predictor.features = embedding.features
    predictor.original_size, predictor.input_size = embedding.image_size, embedding.input_size
    predictor.is_image_set = True
    return predictor


def prompts(predictor, parts):
    """P prompts of the given kinds, with masks that the model itself answered to other points."""
    rng = np.random.default_rng(0)
    height, width = predictor.original_size
    size = np.array([width, height])
    points = rng.uniform(0, 1, (P, 3, 2)) * size
    labels = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1]])
    corner = rng.uniform(0, 0.6, (P, 2)) * size
    boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.39, (P, 2)) * size], axis=1)
    made = {}
    if "point" in parts:
        made |= {"points": points[:, :1], "labels": np.ones((P, 1))}
    if "points" in parts:
        made |= {"points": points, "labels": labels}
    if "boxes" in parts:
        made["boxes"] = boxes
    if "masks" in parts:
        logits = [predictor.predict(points[i, :1] / 2, np.ones(1))[2][0] for i in range(P)]
        made["masks"] = np.stack(logits)
    return made


def reference(predictor, made, i, multimask, **options):
    def part(name):
        return made[name][i] if name in made else None

    mask = part("masks")
    return predictor.predict(
        part("points"), part("labels"), part("boxes"), None if mask is None else mask[None],
        multimask_output=multimask, **options,
    )  # fmt: skip


def assert_equal_to_predictor(sam, embedding, parts, multimask, spare):
    """Masks identical but for pixels whose logit is 0 up to rounding, at most `spare` per mask.

    With random weights logits are noise around 0 everywhere, so that is the worst case: of 2.9
    million pixels 3 differed at most, 2 in one mask. `tiny` has cells whose logit is exactly 0; on
    the way up torch's interpolation makes 0 of them for one mask and 3e-8 for three at a time, so
    a mask of three may differ by some dozen pixels, as it does from SamPredictor's own answer for
    that mask alone. Single masks are identical.
    """
    predictor = predictor_for(sam, embedding)
    made = prompts(predictor, parts)
    answers = ask(sam, embedding, prompts_for(sam, embedding, **made), multimask=multimask)
    got, each = answers.segments, 3 if multimask else 1
    assert len(got) == P * each
    np.testing.assert_array_equal(answers.prompt, np.repeat(np.arange(P), each))
    np.testing.assert_array_equal(answers.output, np.tile(np.arange(each), P))
    for i in range(P):
        logits, scores, _ = reference(predictor, made, i, multimask, return_logits=True)
        rows = range(i * each, (i + 1) * each)
        np.testing.assert_allclose(got.predicted_iou[list(rows)], scores, atol=1e-4)
        for row, expected in zip(rows, logits, strict=True):
            differ = got.mask(row) != (expected > 0)
            assert differ.sum() <= spare
            assert np.abs(expected[differ]).max(initial=0) <= 1e-6 * np.ptp(expected)


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("parts", COMBINATIONS, ids="+".join)
def test_equal_to_the_predictor_on_the_official_architecture(mini_sam, photo, parts, multimask):
    assert_equal_to_predictor(mini_sam, encode(photo, mini_sam), parts, multimask, spare=3)


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("parts", COMBINATIONS, ids="+".join)
def test_equal_to_the_predictor_on_tiny(tiny, encoded, parts, multimask):
    assert_equal_to_predictor(tiny, encoded, parts, multimask, spare=40 if multimask else 0)


@pytest.mark.slow
def test_equal_to_the_predictor_on_vit_b(vit_b, photo):
    embedding = encode(photo, vit_b)
    for parts in (("point",), ("boxes",), ("masks",), ("points", "boxes", "masks")):
        assert_equal_to_predictor(vit_b, embedding, parts, True, spare=3)


def test_refining_is_feeding_the_best_logits_back(mini_sam, photo):
    embedding = encode(photo, mini_sam)
    predictor = predictor_for(mini_sam, embedding)
    point = np.array([[300.0, 200.0]])
    _, scores, logits = predictor.predict(point, np.ones(1))
    for _ in range(2):
        best = logits[scores.argmax()][None]
        mask, scores, logits = predictor.predict(
            point, np.ones(1), mask_input=best, multimask_output=False
        )
    got = segment_points(embedding, point, sam=mini_sam, refine=2)
    assert len(got) == 1
    np.testing.assert_allclose(got.predicted_iou, scores, atol=1e-4)
    assert (got.mask(0) != mask[0]).sum() <= 3
    assert got.provenance["prompts"]["masks_per_prompt"] == 1


def test_the_best_of_three(mini_sam, photo):
    embedding = encode(photo, mini_sam)
    points = np.random.default_rng(3).uniform(0, 400, (9, 2))
    everything = segment_points(embedding, points, sam=mini_sam)
    best = segment_points(embedding, points, sam=mini_sam, keep="best")
    place = everything.predicted_iou.reshape(9, 3).argmax(1) + 3 * np.arange(9)
    assert [r["counts"] for r in best.rles] == [everything.rles[i]["counts"] for i in place]
    each = everything.provenance["prompts"]["masks_per_prompt"]
    np.testing.assert_allclose(everything.points, np.repeat(points, each, axis=0), rtol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_more_prompts_than_fit_a_batch(mini_sam, photo, monkeypatch, masked):
    from samlab.sam import prompt_answers as module

    embedding = encode(photo, mini_sam)
    boxes = np.array([[x, 20, x + 90, 200] for x in range(0, 110, 10)])
    rough = np.zeros((11, *embedding.image_size), bool)
    rough[:, 50:200, 50:300] = True
    parts = {"masks": rough} if masked else {}
    whole = segment_boxes(embedding, boxes, sam=mini_sam, multimask=True, **parts)
    monkeypatch.setattr(module, "_PROMPTS_AT_ONCE", {"cpu": 4})
    monkeypatch.setattr(module, "_MASK_PROMPTS_AT_ONCE", {"cpu": 4})
    monkeypatch.setattr(module, "_MASKS_AT_ONCE", {"cpu": 5})
    parted = ask(
        mini_sam, embedding, prompts_for(mini_sam, embedding, boxes=boxes, **parts), logits=True
    )
    np.testing.assert_allclose(parted.segments.predicted_iou, whole.predicted_iou, atol=1e-5)
    np.testing.assert_array_equal(parted.prompt, np.repeat(np.arange(11), 3))
    assert parted.logits is not None
    assert parted.logits.shape == (33, 64, 64)
    assert np.abs(parted.segments.areas - whole.areas).max() <= 3


def test_first_foreground_point_is_kept(tiny, encoded):
    points = [[[10, 20], [30, 40]], [[50, 60], [70, 80]]]
    got = segment_points(encoded, points, [[0, 1], [0, 0]], sam=tiny, multimask=False)
    np.testing.assert_array_equal(got.points, [[30, 40], [np.nan, np.nan]])


def test_scores_of_the_result(tiny, encoded):
    got = segment_boxes(encoded, [[100, 100, 300, 300]], sam=tiny)
    assert 0 < got.predicted_iou[0] <= 1
    assert 0 < got.stability_score[0] <= 1
    assert got.provenance["weights_sha256"] == tiny.weights_sha256
    assert got.provenance["prompts"]["kinds"] == ["boxes"]


def test_a_picture_by_path_is_encoded_and_named(tmp_path, tiny):
    import PIL.Image

    path = tmp_path / "cup.png"
    PIL.Image.fromarray(np.asarray(skimage.data.coffee())[::4, ::4]).save(path)
    got = segment_points(path, [[75, 50]], sam=tiny, keep="best")
    assert got.image_id == "cup.png"
    assert got.image_size == (100, 150)
    assert got.mask(0)[50, 75]


def test_every_pixel_of_a_large_picture_can_be_clicked(tiny):
    picture = np.zeros((40, 2048, 3), np.uint8)
    picture[:, 1500:] = 200
    embedding = encode(picture, tiny)
    ends = [[0, 0], [2047, 39], [2048, 40]]
    got = segment_points(embedding, ends, sam=tiny, keep="best")
    assert (got.areas > 0).all()


# ---------------------------------------------------------------- nothing


@pytest.mark.parametrize(
    ("call", "empty"),
    [
        (segment_points, []),
        (segment_points, np.zeros((0, 2))),
        (segment_points, np.zeros((0, 5, 2))),
        (segment_boxes, []),
        (segment_boxes, np.zeros((0, 4))),
        (segment_masks, []),
        (segment_masks, np.zeros((0, 400, 600), bool)),
        (segment_masks, Segments()),
    ],
)
def test_no_prompts_give_no_segments(tiny, encoded, call, empty):
    got = call(encoded, empty, sam=tiny)
    assert len(got) == 0
    assert got.image_size == (400, 600)
    assert got.provenance["prompts"]["prompts"] == 0


# ---------------------------------------------------------------- masks as prompts


def test_masks_of_every_kind_ask_the_same(tiny, encoded):
    mask = np.zeros((400, 600), bool)
    mask[100:300, 200:450] = True
    rle = masks.encode(mask)
    as_bool = segment_masks(encoded, mask, sam=tiny)
    for other in (mask[None], mask.astype(np.uint8), rle, [rle], Segments(rles=[rle])):
        got = segment_masks(encoded, other, sam=tiny)
        assert got.rles == as_bool.rles
        np.testing.assert_array_equal(got.predicted_iou, as_bool.predicted_iou)


def test_a_mask_of_the_model_finds_itself_again(tiny, encoded):
    first = segment_points(encoded, [[300, 200]], sam=tiny)
    again = segment_masks(encoded, first, sam=tiny, multimask=True)
    same = masks.iou(first.rles, again.rles).reshape(3, 3, 3)
    assert (same[range(3), range(3)].max(axis=1) > 0.95).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1), st.sampled_from([32, 64]))
@example(37, 15, 0, 32)  # 15 / 13 * 13 is over 15 in floating point
def test_logits_of_a_mask_are_its_share_in_each_cell(height, width, seed, side):
    """Against a brute-force mean over a 60-fold finer picture."""
    mask = np.random.default_rng(seed).random((height, width)) > 0.5
    mask[0, 0] = True  # an empty one is refused
    img_size = 4 * side
    scale = img_size / max(height, width)
    input_size = (max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5)))
    got = check_masks(mask, (height, width), input_size, img_size, side)[0]
    share = 1 / (1 + np.exp(-got.astype(np.float64)))
    rows = -(-input_size[0] // 4)
    columns = -(-input_size[1] // 4)
    fine = 60
    y = (np.arange(rows * fine) + 0.5) / fine * 4 * height / input_size[0]
    x = (np.arange(columns * fine) + 0.5) / fine * 4 * width / input_size[1]
    inside = (y < height)[:, None] & (x < width)[None]
    values = mask[np.minimum(y.astype(int), height - 1)][:, np.minimum(x.astype(int), width - 1)]
    grid = (rows, fine, columns, fine)
    part = (values & inside).reshape(grid).sum((1, 3))
    all_of_it = inside.reshape(grid).sum((1, 3))
    assert np.abs(share[:rows, :columns] - part / all_of_it).max() < 0.04
    outside = np.ones((side, side), bool)
    outside[:rows, :columns] = False
    assert (share[outside] < 0.0011).all()


def test_cell_shares_sum_to_one_where_there_is_picture():
    shares = cell_shares(683, 170.75, 256)
    np.testing.assert_allclose(shares[:171].sum(1), 1, rtol=1e-6)
    assert (shares[171:] == 0).all()


# ---------------------------------------------------------------- bad input


SQUARE = np.zeros((1, 400, 600), bool)
SQUARE[:, 50:90, 50:90] = True
SENSELESS = [
    (segment_points, {"points": [[700, 20]]}, r"0 <= x <= 600 and 0 <= y <= 400; point 0 of prompt "
     r"0 is \(700, 20\)"),
    (segment_points, {"points": [[[1, 1], [5, -1]]]}, r"point 1 of prompt 0 is \(5, -1\)"),
    (segment_points, {"points": [[5, 5], [np.nan, 3]]}, r"point 0 of prompt 1 is \(nan, 3\)"),
    (segment_points, {"points": [1, 2, 3]}, r"shape \(P, 2\), .* got \(3,\)"),
    (segment_points, {"points": np.zeros((2, 0, 2))}, r"\(P, K, 2\), K for each; got \(2, 0, 2\)"),
    (segment_points, {"points": [[[1, 1]], [[1, 1], [2, 2]]]}, "different numbers of points"),
    (segment_points, {"points": [[5, 5]], "labels": [2]}, r"labels 1 \(foreground\) or 0 "
     r"\(background\); got 2 for prompt 0"),
    (segment_points, {"points": [[5, 5]], "labels": [np.nan]}, "got nan for prompt 0"),
    (segment_points, {"points": [[5, 5]], "labels": [-1]}, "got -1 for prompt 0"),
    (segment_points, {"points": [[5, 5]], "labels": [1, 0]}, r"one label per point, shape \(1, 1\);"
     r" got \(2,\)"),
    (segment_points, {"points": None}, "at least one of points, boxes and masks; got none"),
    (segment_points, {"points": None, "labels": [1], "boxes": [[1, 1, 9, 9]]},
     "labels belong to points"),
    (segment_points, {"points": [[5, 5]], "boxes": [[1, 1, 9, 9], [1, 1, 9, 9]]},
     "as many of each kind, .* got 1 points, 2 boxes"),
    (segment_boxes, {"boxes": [[9, 9, 3, 30]]}, r"x1 > x0 and y1 > y0; box 0 is \[9, 9, 3, 30\]"),
    (segment_boxes, {"boxes": [[1, 1, 5, 5], [9, 9, 9, 30]]}, "box 1 is .* COCO's x, y, width"),
    (segment_boxes, {"boxes": [[1, 1, 5, np.inf]]}, r"finite coordinates; box 0 is \[1, 1, 5, inf"),
    (segment_boxes, {"boxes": [[-5, 1, 5, 5]]}, "inside the picture of 600 x 400 .* box 0 is .*"
     r"segment_detections, which does"),
    (segment_boxes, {"boxes": [1, 1, 5, 5]}, r"shape \(P, 4\), .* single box is \[\[x0"),
    (segment_boxes, {"boxes": ["a", "b"]}, "Expected boxes as numbers"),
    (segment_masks, {"masks": np.zeros((300, 600), bool)}, r"picture's size, \(400, 600\) or "
     r"\(P, 400, 600\); got \(1, 300, 600\)"),
    (segment_masks, {"masks": [{"size": [3, 3], "counts": [9]}]}, r"size \(400, 600\) .* got "
     r"\(3, 3\) for mask 0"),
    (segment_masks, {"masks": np.zeros((128, 128))}, r"logits of shape \(P, 256, 256\), SAM's low "
     r"resolution; got \(1, 128, 128\)"),
    (segment_masks, {"masks": np.zeros((400, 600))}, r"binary mask .* has to be bool \(400, 600\)"),
    (segment_masks, {"masks": np.full((256, 256), np.nan)}, "finite logits in masks; got NaN"),
    (segment_masks, {"masks": np.ones((256, 256))}, "got only 0 and 1"),
    (segment_masks, {"masks": np.full((400, 600), 7)}, "label_map == i"),
    (segment_masks, {"masks": [np.zeros((4, 4), bool), np.zeros((4, 5), bool)]}, "of one size"),
    (segment_masks, {"masks": [*SQUARE, *~SQUARE & SQUARE]}, "at least one pixel; mask 1 is empty"),
    (segment_masks, {"masks": SQUARE, "refine": -1}, "0 or more; got -1"),
    (segment_masks, {"masks": SQUARE, "refine": 1.5}, "refine .* to be a whole number, got 1.5"),
    (segment_masks, {"masks": SQUARE, "keep": "largest"}, "keep='best', got 'largest'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "options", "message"), SENSELESS, ids=range(len(SENSELESS)))
def test_senseless_prompts_are_refused_by_name(tiny, encoded, call, options, message):
    with pytest.raises(InputError, match=message) as raised:
        call(encoded, **options, sam=tiny)
    assert "\n" not in str(raised.value)


def test_an_embedding_needs_its_own_model(encoded):
    with pytest.raises(InputError, match="the model that made the embedding, got the name 'tiny'"):
        segment_points(encoded, [[5, 5]])


def test_tensors_and_lists_are_taken(tiny, encoded):
    as_list = segment_points(encoded, [[50, 60]], [1], sam=tiny)
    as_tensor = segment_points(encoded, torch.tensor([[50, 60]]), torch.tensor([1]), sam=tiny)
    assert as_list.rles == as_tensor.rles


def test_nan_of_half_precision_is_asked_again_in_float32(mini_sam, photo, monkeypatch):
    embedding, points = encode(photo, mini_sam), np.array([[50.0, 60.0], [200.0, 90.0]])
    expected = segment_points(embedding, points, sam=mini_sam, dtype="float32")
    answer = PromptDecoder._answer

    def overflowing(self, tokens, masks):
        chunk = answer(self, tokens, masks)
        if self.dtype != torch.float32:
            chunk.iou[0] = float("nan")
        return chunk

    monkeypatch.setattr(PromptDecoder, "_answer", overflowing)
    with pytest.warns(SamlabWarning, match=r"gave NaN in torch.bfloat16; going on in float32"):
        got = segment_points(embedding, points, sam=mini_sam, dtype="bfloat16")
    assert got.rles == expected.rles
    np.testing.assert_array_equal(got.predicted_iou, expected.predicted_iou)
