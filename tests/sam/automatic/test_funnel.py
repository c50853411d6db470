"""The funnel counts what select() does."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data

from samlab.sam.automatic.funnel import box_iou, filter_funnel, suppressed_by
from samlab.sam.automatic.generator import MaskGenerator
from samlab.sam.load import load_sam


@pytest.fixture(scope="module")
def proposals():
    generator = MaskGenerator(load_sam("tiny", device="cpu"), points_per_side=12)
    return generator.propose(skimage.data.coins(), pred_iou_floor=0, stability_score_floor=0)


@pytest.mark.parametrize("thresholds", [(None, None, None), (0.9, 0.97, 0.5), (0, 0, 1), (1, 1, 0)])
def test_the_end_of_the_funnel_is_what_is_selected(proposals, thresholds):
    funnel = filter_funnel(proposals, *thresholds)
    names = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh")
    chosen = proposals.select(**dict(zip(names, thresholds, strict=True)))
    counts = list(funnel.counts.values())
    assert counts[0] == len(proposals) == 3 * 144
    assert counts[-1] == len(chosen)
    assert counts == sorted(counts, reverse=True)
    for later, earlier in zip(funnel.ids[1:], funnel.ids, strict=False):
        assert np.isin(later, earlier).all()


def test_duplicates_overlap_what_stands_for_them(proposals):
    funnel = filter_funnel(proposals)
    pairs = suppressed_by(proposals, funnel)
    assert len(pairs) == len(funnel.ids[-2])
    same = pairs[:, 0] == pairs[:, 1]
    np.testing.assert_array_equal(np.sort(pairs[same, 0]), np.sort(funnel.ids[-1]))
    boxes = proposals.candidates.boxes.astype(float)
    overlap = [box_iou(boxes[[a]], boxes[[b]])[0, 0] for a, b in pairs[~same]]
    assert min(overlap) > funnel.thresholds[2]


def test_nothing_left(proposals):
    funnel = filter_funnel(proposals, 1.0, 1.0)
    assert funnel.counts["no duplicates"] == 0
    assert suppressed_by(proposals, funnel).shape == (0, 2)


def test_box_iou_of_empty_boxes():
    empty = np.zeros((1, 4))
    assert box_iou(empty, empty).tolist() == [[0.0]]
    assert box_iou(np.zeros((0, 4)), empty).shape == (0, 1)
