"""Figures about prompts: they draw what they are given, empty things too."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from matplotlib.backends.backend_agg import FigureCanvasAgg

from samlab import masks
from samlab.errors import InputError
from samlab.sam.automatic.generator import MaskGenerator
from samlab.sam.load import load_sam
from samlab.segments import Segments
from samlab.view.plots.prompts import plot_funnel, plot_prompt, plot_stability, plot_suppression


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


@pytest.fixture(scope="module")
def coins():
    return skimage.data.coins()


@pytest.fixture(scope="module")
def proposals(coins):
    generator = MaskGenerator(load_sam("tiny", device="cpu"), points_per_side=8)
    return generator.propose(coins, pred_iou_floor=0, stability_score_floor=0)


@pytest.fixture
def two(coins):
    dense = np.zeros((2, *coins.shape), bool)
    dense[0, 20:80, 20:80] = True
    dense[1, 100:200, 100:200] = True
    return Segments(rles=masks.encode(dense), predicted_iou=[0.5, 0.75], stability_score=[1, 0.9])


def test_a_panel_per_mask_with_prompts_and_scores(coins, two):
    figure = plot_prompt(
        two, coins, points=[[30, 30], [150, 150]], labels=[1, 0], boxes=[[20, 20, 80, 80]] * 2
    )
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title("left") for axes in shown] == ["mask 0", "mask 1"]
    assert shown[1].get_title("right") == "IoU 0.75, stability 0.90"
    painted = shown[0].images[0].get_array()
    blue = painted[50, 50].astype(int)
    assert blue[2] > blue[0] + 50
    assert len(shown[0].collections) == 2  # a star and a cross
    assert len(shown[0].patches) == 2  # a box with a dark rim


def test_each_panel_may_have_its_own_prompt(coins, two):
    figure = plot_prompt(two, coins, points=[[[30, 30]], [[150, 150]]], titles=["a", "b"])
    at = [axes.collections[0].get_offsets().tolist() for axes in figure.axes if axes.collections]
    assert at == [[[30, 30]], [[150, 150]]]
    with pytest.raises(InputError, match="2 titles, one per mask; got 1"):
        plot_prompt(two, coins, titles=["a"])


def test_no_masks_are_a_figure_too(coins):
    assert pixels(plot_prompt(Segments(image_size=coins.shape), coins)).std() > 0


def test_stability_says_its_share(coins):
    logits = np.full(coins.shape, -5.0)
    logits[100:140, 100:200] = 5
    logits[140:150, 100:200] = 0.5
    figure = plot_stability(logits, coins)
    axes = figure.axes[0]
    assert axes.get_title("right") == "4,000 of 5,000 pixels: 0.800"
    assert axes.get_xlim()[1] - axes.get_xlim()[0] < coins.shape[1]  # zoomed in
    assert pixels(plot_stability(np.full(coins.shape, -5.0), coins)).std() > 0
    with pytest.raises(InputError, match="logits of shape"):
        plot_stability(logits[1:], coins)


@pytest.mark.parametrize("strict", [0.88, 1.0])
def test_the_funnel_and_the_suppression(coins, proposals, strict):
    figure = plot_funnel(proposals, pred_iou_thresh=strict)
    numbers = [text.get_text().strip() for text in figure.axes[1].texts]
    kept = len(proposals.select(pred_iou_thresh=strict))
    assert numbers[0] == "192"
    assert numbers[-1] == f"{kept:,}"
    assert pixels(figure).std() > 5
    after = plot_suppression(proposals, coins, pred_iou_thresh=strict)
    assert after.axes[1].get_title("right") == f"{kept:,} boxes"
    assert pixels(after).std() > 5
