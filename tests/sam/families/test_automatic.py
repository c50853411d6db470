"""Every mask of a picture: the same as transformers' mask-generation pipeline finds."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from torchvision.ops import batched_nms
from transformers import Sam2ImageProcessor, Sam3ImageProcessor, SamImageProcessorPil, pipeline

from samlab.masks import encode, iou
from samlab.sam.automatic import MaskGenerator
from tests.sam.families.small import small

#: The pipeline scales points as if the picture were padded, which is wrong for SAM 2 and later
#: unless it is square.
SIZES = {"sam": (150, 220), "sam_hq": (150, 220)}
OFFSET = 0.5


@pytest.fixture(scope="module")
def photo():
    return skimage.data.astronaut()


def processor(family):
    side = {"sam3": 252}.get(family, 256)
    if family in ("sam", "sam_hq"):
        return SamImageProcessorPil(
            size={"longest_edge": side}, pad_size={"height": side, "width": side}
        )
    kind = Sam3ImageProcessor if family == "sam3" else Sam2ImageProcessor
    return kind(size={"height": side, "width": side})


def theirs(family, image, options):
    from PIL import Image

    made = pipeline(
        "mask-generation", model=small(family), image_processor=processor(family), device="cpu"
    )
    out = made(Image.fromarray(image), points_per_batch=16, output_bboxes_mask=True, **options)
    masks = np.array([np.asarray(mask) for mask in out["masks"]])
    return masks, np.asarray(out["scores"]), out["bounding_boxes"]


def thresholds(sam, image):
    """Scores that about a half and a third of all candidates pass."""
    probe = MaskGenerator(sam, points_per_side=4, stability_score_offset=OFFSET)
    every = probe.propose(image, pred_iou_floor=0.0, stability_score_floor=0.0).candidates
    assert len(every) == 48
    least = float(np.quantile(every.iou, 0.5))
    assert least > 0
    return least, float(np.nanquantile(every.stability[every.iou > least], 0.4))


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("family", ["sam", "sam_hq", "sam2", "edgetam", "sam3"])
def test_the_pipeline_finds_the_same_masks(loaded, photo, family, layers):
    sam = loaded(family)
    height, width = SIZES.get(family, (180, 180))
    image = np.ascontiguousarray(photo[:height, 100 : 100 + width])
    least, stability = thresholds(sam, image)
    # The pipeline suppresses once over all crops, SAM first in each crop: without any suppression
    # both must have all candidates. One suppression over ours is then compared as well.
    their_masks, their_scores, their_boxes = theirs(
        family, image,
        {
            "points_per_crop": 4, "crops_n_layers": layers, "pred_iou_thresh": least,
            "stability_score_thresh": stability, "stability_score_offset": OFFSET,
            "crops_nms_thresh": 1.0,
        },
    )  # fmt: skip
    ours = MaskGenerator(
        sam, points_per_side=4, crop_n_layers=layers, pred_iou_thresh=least,
        stability_score_thresh=stability, stability_score_offset=OFFSET,
        box_nms_thresh=1.0, crop_nms_thresh=1.0, output_mode="coco_rle",
    ).generate(image)  # fmt: skip
    assert len(their_masks) > 5
    assert abs(len(ours) - len(their_masks)) <= 1 + len(ours) // 100  # scores on a threshold
    matrix = iou(
        [record["segmentation"] for record in ours], [encode(mask) for mask in their_masks]
    )
    assert (matrix.max(axis=1) >= 0.99).mean() > 0.97
    assert (matrix.max(axis=0) >= 0.99).mean() > 0.97
    boxes = np.array([record["bbox"] for record in ours], np.float64)
    boxes[:, 2:] += boxes[:, :2]
    scores = np.array([record["predicted_iou"] for record in ours])
    mine, other = (
        batched_nms(
            torch.as_tensor(np.asarray(b)).float(), torch.as_tensor(s).float(),
            torch.zeros(len(s)), 0.95,
        ).numpy()
        for b, s in ((boxes, scores), (np.asarray(their_boxes), their_scores))
    )  # fmt: skip
    assert abs(len(mine) - len(other)) <= 1
    np.testing.assert_allclose(
        np.sort(scores[mine])[-5:], np.sort(their_scores[other])[-5:], atol=1e-4
    )


@pytest.mark.parametrize("family", ["sam_hq", "sam2"])
def test_proposals_are_chosen_again_without_the_model(loaded, photo, family):
    sam, image = loaded(family), np.ascontiguousarray(photo[:150, 100:320])
    least, stability = thresholds(sam, image)
    options = {"points_per_side": 4, "stability_score_offset": OFFSET}
    generator = MaskGenerator(
        sam, pred_iou_thresh=least, stability_score_thresh=stability, **options
    )
    proposals = generator.propose(image, pred_iou_floor=0.0, stability_score_floor=0.0)
    chosen = proposals.select(pred_iou_thresh=least, stability_score_thresh=stability)
    direct = generator.segments(image)
    assert [dict(rle) for rle in chosen.rles] == [dict(rle) for rle in direct.rles]
    assert len(proposals) > len(direct) > 0


def test_sam2_begins_with_its_own_threshold(loaded, mini_sam):
    assert MaskGenerator(loaded("sam2")).pred_iou_thresh == 0.8
    assert MaskGenerator(loaded("sam_hq")).pred_iou_thresh == 0.88
    assert MaskGenerator(mini_sam).pred_iou_thresh == 0.88
    assert MaskGenerator(loaded("sam2"), pred_iou_thresh=0.9).pred_iou_thresh == 0.9
