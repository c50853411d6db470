"""Meta's own SAM 2 (package sam2, or Roboflow's wheel of it): one set of random weights, its names
of weights and its automatic mask generator against ours."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from skimage.transform import resize

from samlab.masks import iou
from samlab.sam.automatic import MaskGenerator
from samlab.sam.fast import encode as encode_picture
from samlab.sam.fast import open_decoder
from samlab.sam.load import load_sam
from tests.sam.families.small import spread

pytest.importorskip("sam2")
pytestmark = pytest.mark.slow

OFFSET = 0.5


@pytest.fixture(scope="module")
def theirs():
    from sam2.build_sam import build_sam2

    torch.manual_seed(0)
    model = build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", None, "cpu", "eval")
    return spread(model)


@pytest.fixture(scope="module")
def ours(theirs, tmp_path_factory):
    """The same weights, through a file as Meta publishes them."""
    path = tmp_path_factory.mktemp("meta") / "sam2.1_hiera_tiny.pt"
    torch.save({"model": theirs.state_dict()}, path)
    return load_sam(path, device="cpu")


@pytest.fixture(scope="module")
def image():
    """Of the model's own size: Meta resizes floats, transformers and we whole numbers."""
    picture = resize(skimage.data.astronaut(), (1024, 1024), order=1, preserve_range=True)
    return picture.astype(np.uint8)


@pytest.fixture(scope="module")
def predictor(theirs, image):
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    made = SAM2ImagePredictor(theirs)
    made.set_image(image)
    return made


@pytest.fixture(scope="module")
def features(ours, image):
    return encode_picture(image, ours)


def test_the_features_are_the_same(ours, predictor, features):
    constant = ours.no_memory.view(1, -1, 1, 1)
    embedding = predictor._features["image_embed"]
    torch.testing.assert_close(features.features + constant, embedding, atol=1e-3, rtol=1e-3)
    for mine, other in zip(features.details, predictor._features["high_res_feats"], strict=True):
        torch.testing.assert_close(mine, other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("multimask", [True, False])
def test_a_box_with_a_point(ours, predictor, features, multimask):
    points, labels = np.array([[300.0, 400], [600, 100]]), np.array([1, 0])
    box = np.array([200.0, 150, 800, 900])
    _, scores, low = predictor.predict(
        points, labels, box=box, multimask_output=multimask, return_logits=True
    )
    found = open_decoder(ours, features).predict(
        torch.tensor(points[None]).float(), torch.tensor(labels[None]),
        torch.tensor(box[None]).float(), multimask_output=multimask,
    )  # fmt: skip
    np.testing.assert_allclose(found.iou[0].numpy(), scores, atol=1e-4)
    mine = found.logits(torch.nonzero(torch.ones_like(found.iou))).clamp(-32, 32).numpy()
    assert np.mean((mine > 0) == (low > 0)) > 0.999


@pytest.mark.parametrize(("box_nms_thresh", "fewest"), [(0.7, 1), (1.0, 6)])
def test_the_same_records(theirs, ours, image, features, box_nms_thresh, fewest):
    """Masks of random weights fill the picture, so that usual suppression leaves one of them."""
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    probe = MaskGenerator(ours, points_per_side=4, stability_score_offset=OFFSET)
    every = probe.propose(image, features, pred_iou_floor=0.0, stability_score_floor=0.0)
    least = float(np.quantile(every.candidates.iou, 0.4))
    stable = every.candidates.stability[every.candidates.iou > least]
    options = {
        "points_per_side": 4,
        "pred_iou_thresh": least,
        "stability_score_thresh": float(np.nanquantile(stable, 0.4)),
        "stability_score_offset": OFFSET,
        "box_nms_thresh": box_nms_thresh,
        "output_mode": "coco_rle",
    }
    expected = SAM2AutomaticMaskGenerator(theirs, **options).generate(image)
    generator = MaskGenerator(ours, **options)
    got = generator._chosen(image, features, False).to_records("coco_rle")
    assert len(got) == len(expected) >= fewest
    for mine, other in zip(got, expected, strict=True):
        assert list(mine) == list(other)
        assert mine["crop_box"] == other["crop_box"]
        np.testing.assert_allclose(mine["point_coords"], other["point_coords"], rtol=1e-6)
        assert mine["predicted_iou"] == pytest.approx(other["predicted_iou"], abs=1e-4)
        assert mine["stability_score"] == pytest.approx(other["stability_score"], abs=1e-3)
        assert np.abs(np.subtract(mine["bbox"], other["bbox"])).max() <= 1
        assert iou([mine["segmentation"]], [other["segmentation"]])[0, 0] > 0.99


def test_default_thresholds_are_metas(theirs, ours):
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    reference, mine = SAM2AutomaticMaskGenerator(theirs), MaskGenerator(ours)
    for name in (
        "pred_iou_thresh", "stability_score_thresh", "stability_score_offset", "box_nms_thresh",
        "crop_n_layers", "crop_nms_thresh", "crop_overlap_ratio", "min_mask_region_area",
    ):  # fmt: skip
        assert getattr(mine, name) == getattr(reference, name), name
