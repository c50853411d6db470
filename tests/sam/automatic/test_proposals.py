"""Choosing among a thousand proposals takes no model and no time."""

from __future__ import annotations

import time

import numpy as np

from samlab import masks
from samlab.sam.automatic.proposals import Candidates, Proposals
from samlab.sam.fast.upsample import mask_to_runs, runs_to_rle


def thousand():
    rng = np.random.default_rng(0)
    runs, boxes, areas = [], [], []
    for _ in range(1000):
        mask = np.zeros((200, 300), bool)
        x, y = rng.integers(0, 250), rng.integers(0, 150)
        w, h = rng.integers(1, 50, 2)
        mask[y : y + h, x : x + w] = True
        runs.append(mask_to_runs(mask))
        boxes.append([x, y, x + w - 1, y + h - 1])
        areas.append(w * h)
    scores = rng.random((2, 1000)).astype(np.float32)
    candidates = Candidates(
        runs=runs,
        boxes=np.array(boxes),
        areas=np.array(areas),
        iou=scores[0],
        stability=scores[1],
        points=rng.random((1000, 2)),
        crops=np.zeros(1000, np.int64),
        ids=np.arange(1000),
        tokens=np.zeros((1000, 0), np.float32),
        levels=np.full(1000, -1),
        crop_boxes=[(0, 0, 300, 200)],
        image_size=(200, 300),
    )
    defaults = {
        "pred_iou_thresh": 0.5,
        "stability_score_thresh": 0.5,
        "box_nms_thresh": 0.7,
        "crop_nms_thresh": 0.7,
        "min_mask_region_area": 0,
    }
    return Proposals(
        candidates=candidates,
        rles=[runs_to_rle(r, (200, 300)) for r in runs],
        pred_iou_floor=0.0,
        stability_score_floor=0.0,
        defaults=defaults,
    )


def test_selecting_among_a_thousand_is_quick():
    proposals = thousand()
    everything = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
    took = []
    for _ in range(5):
        start = time.process_time()
        assert len(proposals.select(**everything)) == 1000
        took.append(time.process_time() - start)
    assert min(took) < 0.05


def test_columns_stay_together():
    proposals = thousand()
    got = proposals.select(pred_iou_thresh=0.3, box_nms_thresh=0.5)
    assert 0 < len(got) < 1000
    np.testing.assert_array_equal(got.areas, masks.area(got.rles))
    np.testing.assert_array_equal(got.boxes, masks.boxes(got.rles))
    assert float(got.predicted_iou.min()) > 0.3
    assert float(got.stability_score.min()) >= 0.5
    assert got.provenance["selected"]["box_nms_thresh"] == 0.5
