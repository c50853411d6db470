"""Figures of a model's inside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from samlab.errors import InputError
from samlab.sam.fast.encoder import ImageEmbedding
from samlab.view.plots.anatomy import plot_costs, plot_maps, plot_matrix, valid_part

EMBEDDING = ImageEmbedding(torch.zeros(1, 4, 16, 16), (170, 256), (340, 512), 256)
PICTURE = np.full((340, 512, 3), 128, np.uint8)


def test_maps_are_cut_to_the_picture_and_laid_over_it():
    maps = np.zeros((2, 64, 64))
    maps[0, :, :32] = 1  # the left half
    maps[1, 50:] = np.nan  # padding
    figure = plot_maps(maps, PICTURE, EMBEDDING, titles=["a", "b"], point=[10, 10], caption="c")
    assert valid_part(maps[0], EMBEDDING).shape == (42, 64)
    left, right = (axes.images[0].get_array()[100] for axes in figure.axes)
    assert left[100].sum() > left[400].sum() + 100  # bright where the map is 1
    assert (left[100] != right[100]).any()
    assert [axes.get_title("left") for axes in figure.axes] == ["a", "b"]


def test_a_symmetric_scale_has_its_middle_at_0():
    maps = np.zeros((1, 16, 16))
    maps[0, 0, 0] = 5
    maps[0, :5, 8:] = -1
    figure = plot_maps(maps, PICTURE, EMBEDDING, titles=["x"], cmap="RdBu_r", symmetric=True)
    red, _, blue = figure.axes[0].images[0].get_array()[10, 400].astype(int)
    assert blue > red
    with pytest.raises(InputError, match=r"shape \(2, G, G\), one per title; got \(1, 16, 16\)"):
        plot_maps(maps, PICTURE, EMBEDDING, titles=["x", "y"])


def test_no_maps_and_no_costs():
    assert plot_maps(np.zeros((0, 8, 8)), PICTURE, EMBEDDING, titles=[]).axes
    assert plot_costs({}).axes


def test_a_matrix_shows_its_numbers():
    figure = plot_matrix(np.eye(2), ["a", "b"])
    assert [t.get_text() for t in figure.axes[0].texts] == ["1.00", "0.00", "0.00", "1.00"]
    with pytest.raises(InputError, match=r"shape \(2, 3\), got \(2, 2\)"):
        plot_matrix(np.eye(2), ["a", "b"], others=["c", "d", "e"])


def test_costs_add_up():
    figure = plot_costs({"one": {"x": 1.0, "y": 2.0}, "two": {"y": 5.0}})
    assert [t.get_text().strip() for t in figure.axes[0].texts] == ["3 s", "5 s"]
    assert len(figure.axes[0].patches) == 4
