"""Figures about memory banks: what stands in them, and that odd input gives a figure too."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from samlab import masks
from samlab.formats.labelled import LabelledImage
from samlab.latent.classification import Classification
from samlab.latent.evaluation import evaluate
from samlab.segments import Segments
from samlab.view.plots import banks as bank_plots

NAMES = ("car", "<b>bus</b>", "tram")


def evaluation(best, truth, confidence=None):
    best = np.array(best, np.int64)
    sure = np.linspace(0.9, 0.5, len(best)) if confidence is None else np.array(confidence)
    scores = np.eye(3, dtype=np.float32)[best] if len(best) else np.zeros((0, 3), np.float32)
    answer = Classification(best, best, sure.astype(np.float32), scores, NAMES, (), -1.0)
    return evaluate(answer, np.array(truth, np.int64))


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.fixture
def labelled(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    boxes = np.array([[2, 3, 9, 12], [10, 4, 25, 18]], np.float32)
    return [LabelledImage(path, "a.png", (20, 30), boxes, ("car", "bus"), (None, None))]


def test_ways_name_every_step():
    figure = bank_plots.plot_bank_ways()
    assert len(figure.axes) == 2
    assert "KMeans\nper class" in texts(figure)
    assert "projection,\nmargin loss" in texts(figure)
    figure.canvas.draw()


def test_boxes_carry_their_names(labelled):
    figure = bank_plots.plot_boxes(labelled)
    assert texts(figure) == ["car", "bus"]
    assert [patch.get_width() for patch in figure.axes[0].patches] == [7, 15]
    assert len(bank_plots.plot_boxes([]).axes) == 1


def test_confusion_shows_the_counts_and_leaves_unused_classes_out():
    figure = bank_plots.plot_confusion(evaluation([0, 0, 1, 0], [0, 0, 1, 1]))
    assert sorted(texts(figure)) == ["1", "1", "2"]
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["car", "<b>bus</b>"]
    assert axes.get_title(loc="right") == "accuracy 0.750"
    figure.canvas.draw()


def test_doubtful_are_the_wrong_ones_least_certain_first(labelled):
    boxes = np.zeros((3, 20, 30), bool)
    boxes[0, 2:5, 2:5] = boxes[1, 6:9, 6:9] = boxes[2, 10:15, 10:20] = True
    table = Segments(rles=masks.encode(boxes), image_id="a.png")
    found = evaluation([0, 1, 2], [1, 1, 0], [0.9, 0.1, 0.3])
    figure = bank_plots.plot_doubtful(found, table, labelled)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["car → tram\n0.30", "<b>bus</b> → car\n0.90"]
    right = bank_plots.plot_doubtful(evaluation([1], [1]), table[:1], labelled)
    assert len(right.axes) == 1


def test_coverage_of_a_perfect_answer_is_a_figure_too():
    for found in (evaluation([0, 1], [0, 1]), evaluation([0, 1, 1], [1, 1, 0])):
        line = bank_plots.plot_coverage(found).axes[0].lines[0]
        np.testing.assert_allclose(line.get_ydata(), found.coverage["error"])
