"""The embedded model behind SAM's interface: SAM's own classes, all prompts, and bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from scipy import ndimage
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import Sam
from skimage import color, data, segmentation
from threadpoolctl import threadpool_limits

from samlab.errors import CheckpointError, InputError
from samlab.sam.tiny.decoder import SHOWN_BONUS
from samlab.sam.tiny.model import WEIGHTS, _lab_of_cells, build_tiny, read_maps, valid_size
from samlab.sam.tiny.net import PIXEL_MEAN, PIXEL_STD
from samlab.sam.tiny.ranking import LIKELY, probability_of


@pytest.fixture(scope="module")
def sam() -> Sam:
    return build_tiny()


@pytest.fixture(scope="module")
def coins() -> np.ndarray:
    return np.stack([data.coins()] * 3, axis=2)


@pytest.fixture(scope="module")
def predictor(sam, coins) -> SamPredictor:
    found = SamPredictor(sam)
    found.set_image(coins)
    return found


@pytest.fixture(scope="module")
def coin_masks(coins) -> np.ndarray:
    """The 24 coins by marker watershed, as in scikit-image's gallery, each (H, W) bool."""
    gray = coins[:, :, 0]
    markers = np.where(gray < 30, 1, np.where(gray > 150, 2, 0))
    from skimage.filters import sobel

    filled = ndimage.binary_fill_holes(segmentation.watershed(sobel(gray), markers) == 2)
    labels, count = ndimage.label(filled)
    sizes = np.bincount(labels.ravel())
    masks = np.stack([labels == k for k in range(1, count + 1) if sizes[k] > 500])
    assert len(masks) == 24
    return masks


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


# ---------------------------------------------------------------- SAM's own classes


def test_every_coin_is_a_mask_of_sams_generator(sam, coins, coin_masks):
    records = SamAutomaticMaskGenerator(sam, points_per_batch=32).generate(coins)
    masks = [record["segmentation"] for record in records]
    best = [max(iou(mask, coin) for mask in masks) for coin in coin_masks]
    assert sum(value >= 0.9 for value in best) >= 23
    assert min(best) >= 0.85
    assert 24 <= len(records) <= 60
    stable = np.float32(0.95)  # the reference compares in float32
    assert all(r["predicted_iou"] > 0.88 and r["stability_score"] >= stable for r in records)


def test_a_click_on_a_coin_gives_the_coin(predictor, coin_masks):
    good = 0
    for coin in coin_masks[::4]:
        y, x = np.argwhere(coin).mean(0)
        masks, scores, logits = predictor.predict(np.array([[x, y]]), np.array([1]))
        assert masks.shape == (3, 303, 384)
        assert logits.shape == (3, 256, 256)
        assert ((scores >= 0) & (scores <= 1)).all()
        good += max(iou(mask, coin) for mask in masks) > 0.7
    assert good >= 5


def test_a_box_around_a_coin_gives_the_coin(predictor, coin_masks):
    for coin in coin_masks[::5]:
        y, x = np.nonzero(coin)
        box = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        masks, _, _ = predictor.predict(box=box, multimask_output=False)
        assert masks.shape[0] == 1
        assert iou(masks[0], coin) > 0.7


def test_a_mask_prompt_gives_back_its_region(predictor):
    first, _, logits = predictor.predict(np.array([[200, 150]]), np.array([1]))
    again, _, _ = predictor.predict(mask_input=logits[1:2], multimask_output=False)
    assert iou(again[0], first[1]) > 0.9


def test_background_points_are_left_out(predictor, coin_masks):
    inside, outside = (np.argwhere(mask).mean(0)[::-1] for mask in coin_masks[:2])
    for masks in (
        predictor.predict(np.array([inside, outside]), np.array([1, 0]))[0],
        predictor.predict(np.array([inside, outside]), np.array([1, 0]), multimask_output=False)[0],
    ):
        x, y = outside.astype(int)
        assert not masks[:, y, x].any()
        x, y = inside.astype(int)
        assert masks[:, y, x].any()


def test_two_foreground_points_are_both_inside(predictor, coin_masks):
    points = np.array([np.argwhere(mask).mean(0)[::-1] for mask in coin_masks[:2]])
    masks, _, _ = predictor.predict(points, np.array([1, 1]))
    for x, y in points.astype(int):
        assert masks[:, y, x].all()


def test_a_point_outside_of_the_picture_gives_an_empty_mask_of_score_zero(predictor):
    masks, scores, _ = predictor.predict(np.array([[100.0, 5000.0]]), np.array([1]))
    assert not masks.any()
    assert (scores == 0).all()


def test_sams_forward_takes_a_batch_of_pictures_and_prompts(sam, coins):
    x = torch.from_numpy(coins).permute(2, 0, 1)
    x = torch.nn.functional.interpolate(x[None].float(), size=(808, 1024))[0]
    size = (303, 384)
    both = sam(
        [
            {
                "image": x,
                "original_size": size,
                "point_coords": torch.tensor([[[300.0, 200.0]], [[600.0, 500.0]]]),
                "point_labels": torch.ones(2, 1),
            },
            {
                "image": x.flip(2),
                "original_size": size,
                "boxes": torch.tensor([[100.0, 100, 300, 300]]),
            },
        ],
        multimask_output=True,
    )
    assert both[0]["masks"].shape == (2, 3, *size)
    assert both[1]["masks"].shape == (1, 3, *size)
    assert both[0]["low_res_logits"].shape == (2, 3, 256, 256)


# ---------------------------------------------------------------- the fast path is the same


@pytest.mark.parametrize("multimask", [True, False])
def test_open_equals_forward_bit_for_bit(sam, predictor, multimask):
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.uniform(0, 800, (20, 1, 2)).astype(np.float32))
    labels = torch.ones(20, 1)
    low = torch.from_numpy(rng.uniform(0, 500, (20, 2)).astype(np.float32))
    boxes = torch.cat([low, low + 200], dim=1)
    for prompt in ({"points": (points, labels)}, {"boxes": boxes}):
        sparse, dense = sam.prompt_encoder(
            points=prompt.get("points"), boxes=prompt.get("boxes"), masks=None
        )
        logits, scores = sam.mask_decoder(
            image_embeddings=predictor.features,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
        opened = sam.mask_decoder.open(predictor.features, predictor.input_size)
        found = opened.predict(
            point_coords=points if "points" in prompt else None,
            point_labels=labels if "points" in prompt else None,
            boxes=prompt.get("boxes"),
            multimask_output=multimask,
        )
        assert torch.equal(found.iou, scores)
        index = torch.nonzero(torch.ones_like(scores))
        assert torch.equal(found.logits(index).reshape(logits.shape), logits)


def test_a_region_scores_higher_for_a_click_in_its_middle(sam, predictor, coins, coin_masks):
    opened = sam.mask_decoder.open(predictor.features)
    scale = max(opened.grid) * 4 / max(coins.shape[:2])
    higher, lower = [], []
    for coin in coin_masks:
        y, x = np.nonzero(coin)
        clicks = np.array([[x.mean(), y.mean()], [x.min() + 4, y[x.argmin()]]]) * scale
        found = opened.predict(torch.from_numpy(clicks)[:, None], torch.ones(2, 1))
        middle, rim = (
            dict(zip(a, s, strict=True))
            for a, s in zip(found.answer.tolist(), found.iou.tolist(), strict=True)
        )
        for answer in middle.keys() & rim.keys():
            if iou(opened.rasterise(np.array([answer]))[0] > 0, low_res(coin, scale)) > 0.7:
                higher.append(middle[answer])
                lower.append(rim[answer])
    assert len(higher) >= 10
    assert all(a >= b for a, b in zip(higher, lower, strict=True))
    assert np.mean(higher) > np.mean(lower)


def low_res(mask: np.ndarray, scale: float) -> np.ndarray:
    """The mask on the decoder's 256 x 256 cells."""
    rows, columns = (((np.arange(256) * 4 + 2) / scale).astype(int) for _ in range(2))
    inside = np.ix_(rows < mask.shape[0], columns < mask.shape[1])
    out = np.zeros((256, 256), bool)
    out[inside] = mask[rows[rows < mask.shape[0]]][:, columns[columns < mask.shape[1]]]
    return out


def test_a_grid_returns_nearly_all_shown_regions_and_few_others_pass(sam, predictor):
    opened = sam.mask_decoder.open(predictor.features)
    y, x = np.mgrid[2:800:4, 2:1020:4]
    points = torch.from_numpy(np.stack([x, y], -1).reshape(-1, 1, 2)).float()
    found = opened.predict(points, torch.ones(len(points), 1))
    reached = np.isin(opened.shown, found.answer.numpy())
    assert reached.mean() > 0.85
    above = found.answer.numpy()[found.iou.numpy() > 0.88]
    assert set(above.tolist()) == set(opened.shown[reached].tolist())


def test_predicted_iou_says_how_likely_a_region_is_right(sam, predictor):
    """Shown regions differ by more than SAM's box NMS, and come most likely first."""
    opened = sam.mask_decoder.open(predictor.features)
    right = opened.ranking.right
    assert ((right >= 0) & (right <= 1)).all()
    assert (np.diff(right[opened.shown]) <= 0).all()
    assert right[opened.shown].min() >= LIKELY
    np.testing.assert_allclose(probability_of(opened.iou), right, atol=2e-3)
    assert (opened.iou[opened.shown] > 0.88).all()
    assert (np.delete(opened.iou, opened.shown) <= np.float32(0.88)).all()
    assert set(opened.ranking.level.tolist()) <= {0, 1}


@pytest.mark.parametrize("picture", ["coins", "gray"])
def test_masks_do_not_depend_on_the_number_of_threads(coins, picture):
    image = coins if picture == "coins" else np.full((60, 80, 3), 128, np.uint8)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with threadpool_limits(threads):
                predictor = SamPredictor(build_tiny())
                predictor.set_image(image)
                opened = predictor.model.mask_decoder.open(predictor.features)
            assert torch.get_num_threads() == threads
            found.append((predictor.features, opened.iou, opened.shown, opened.score))
    finally:
        torch.set_num_threads(before)
    for features, iou_, shown, score in found[1:]:
        assert torch.equal(features, found[0][0])
        np.testing.assert_array_equal(iou_, found[0][1])
        np.testing.assert_array_equal(shown, found[0][2])
        np.testing.assert_array_equal(score, found[0][3])


def test_the_answers_to_a_point_are_the_best_of_the_offered_regions_around_it(sam, predictor, rng):
    """The rule of the docstring, one point and one region at a time."""
    opened = sam.mask_decoder.open(predictor.features)
    points = rng.integers(0, [1020, 800], (60, 2))
    prompts = torch.from_numpy(points)[:, None], torch.ones(60, 1)
    many, single = (opened.predict(*prompts, multimask_output=x).answer for x in (True, False))
    offered = opened.offered
    for (x, y), answers, best in zip(points // 4, many.numpy(), single.numpy(), strict=True):
        around = [k for k, depth in enumerate(opened.depth[:, y, x]) if depth]
        rank = {
            k: opened.score[offered[k]]
            + SHOWN_BONUS * (offered[k] in opened.shown)
            + 4 * np.log(max(opened.depth[k, y, x] / 255, 0.02))
            for k in around
        }
        chosen: list[int] = []
        for k in sorted(around, key=lambda k: -rank[k]):
            if len(chosen) < 3 and all(opened.overlap[k, c] < 0.8 for c in chosen):
                chosen.append(k)
        if not chosen:
            assert not np.isin(answers, offered).any()
            continue
        assert set(answers) == set(offered[chosen])
        assert best == offered[chosen[0]]
        assert (np.diff(opened.regions.areas[answers]) >= 0).all()


def test_two_runs_and_two_builds_agree(sam, predictor, coins):
    other = SamPredictor(build_tiny())
    other.set_image(coins)
    assert torch.equal(other.features, predictor.features)
    one = predictor.predict(np.array([[200, 150]]), np.array([1]))[0]
    two = other.predict(np.array([[200, 150]]), np.array([1]))[0]
    np.testing.assert_array_equal(one, two)


def test_trees_are_built_once_per_content(sam, predictor):
    decoder = sam.mask_decoder
    assert decoder.open(predictor.features) is decoder.open(predictor.features.clone())
    assert decoder.open(predictor.features) is not decoder.open(predictor.features + 1e-3)


# ---------------------------------------------------------------- parts


def test_lab_equals_scikit_image():
    rng = np.random.default_rng(0)
    rgb = np.repeat(np.repeat(rng.integers(0, 256, (4, 6, 3)), 4, 0), 4, 1).astype(np.uint8)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    x = (torch.from_numpy(rgb).permute(2, 0, 1).float() - mean) / std
    found = _lab_of_cells(x[None], 16, 24, 4)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, color.rgb2lab(rgb)[::4, ::4], atol=0.02)


@pytest.mark.parametrize("size", [(303, 384), (1, 1), (5, 400), (400, 5), (37, 41)])
def test_the_embedding_says_where_the_picture_ends(sam, size):
    found = SamPredictor(sam)
    found.set_image(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    height, width = found.input_size
    maps = read_maps(found.features)
    assert maps.boundary.shape == (-(-height // 4), -(-width // 4))
    padding = found.features[0, :128, -(-height // 16) :, :]
    assert not padding.any()


def test_valid_size_of_nothing_is_one_pixel():
    assert valid_size(torch.zeros(3, 8, 8)) == (1, 1)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "picture",
    [
        np.full((60, 80, 3), 128, np.uint8),
        np.zeros((60, 80, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (1, 900, 3), np.uint8),
    ],
    ids=["gray", "black", "noise", "1x1", "1x900"],
)
def test_odd_pictures_give_valid_results_without_a_warning(sam, picture):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = SamPredictor(sam)
        found.set_image(picture)
        masks, scores, _ = found.predict(np.array([[0.0, 0.0]]), np.array([1]))
        box = np.array([0, 0, picture.shape[1], picture.shape[0]])
        boxed, _, _ = found.predict(box=box, multimask_output=False)
    assert masks.shape == (3, *picture.shape[:2])
    assert np.isfinite(scores).all()
    assert boxed.shape == (1, *picture.shape[:2])


def test_wrong_shapes_are_refused_by_name(sam):
    with pytest.raises(InputError, match=r"Expected pictures of shape \(B, 3, 1024, 1024\), got"):
        sam.image_encoder(torch.zeros(1, 3, 512, 512))
    with pytest.raises(InputError, match=r"Expected one embedding of shape \(1, 256, h, w\), got"):
        sam.mask_decoder.open(torch.zeros(2, 256, 64, 64))


def test_bad_weights_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be read .*Reinstall samlab"):
        build_tiny(tmp_path / "missing.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(WEIGHTS.read_bytes()[: WEIGHTS.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        build_tiny(cut)
    arrays = load_file(WEIGHTS)
    del arrays["tree.curve"]
    save_file(arrays, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="do not fit"):
        build_tiny(tmp_path / "other.safetensors")


# ---------------------------------------------------------------- boxes


@given(st.floats(0, 300), st.floats(0, 240), st.floats(1, 80), st.floats(1, 60), st.booleans())
@settings(max_examples=30, deadline=None)
def test_nothing_lies_outside_of_a_box(predictor, x, y, width, height, many):
    box = np.array([x, y, x + width, y + height])
    masks, scores, _ = predictor.predict(box=box, multimask_output=many)
    again, _, _ = predictor.predict(box=box, multimask_output=many)
    np.testing.assert_array_equal(masks, again)
    assert masks.any((1, 2)).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    ys, xs = np.nonzero(masks.any(0))
    cell = 4 * 384 / 1024  # of the picture's pixels; an outline lies between two cells
    assert xs.min() >= x - 2.5 * cell
    assert xs.max() <= x + width + 2.5 * cell
    assert ys.min() >= y - 2.5 * cell
    assert ys.max() <= y + height + 2.5 * cell
