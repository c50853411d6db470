"""The first screen of a report: one card per class, by area, and what to try next."""

from __future__ import annotations

import re

import numpy as np
import pytest

import samlab
from samlab import masks
from samlab.segments import Segments
from samlab.view import class_cards_html, summary_html
from samlab.view.cards import other_eps
from tests.view.explorer.test_explorer import regions, strips


def three() -> tuple[Segments, np.ndarray]:
    """10 rows: class 0 has one, class 1 four, three are unassigned, two have no segment."""
    rows = [(0, 1), (1, 5), (5, 8)]
    rles = []
    for first, last in rows:
        mask = np.zeros((10, 8), bool)
        mask[first:last] = True
        rles.append(masks.encode(mask))
    segments = Segments(rles=rles, labels=np.array([0, 1, -1]), image_id="rows.png")
    return segments, np.zeros((10, 8, 3), np.uint8)


def test_cards_go_by_area_and_what_is_unassigned_comes_last() -> None:
    segments, picture = three()
    text = class_cards_html(segments.with_labels(segments.labels, {1: "<b>field</b>"}), picture)
    cards = [
        re.sub(r"<[^>]*>?", " ", card).split() for card in text.split("class='samlab-card'>")[1:]
    ]
    assert cards == [
        ["&lt;b&gt;field&lt;/b&gt;", "40.0", "%"], ["class", "0", "10.0", "%"],
        ["unassigned", "50.0", "%"],
    ]  # fmt: skip
    assert "<b>2 classes</b> · 50.0 % of the picture unassigned" in text
    assert text.count("<img") == 3
    assert not re.search(r"src='(?!data:)", text)


def test_other_eps_give_what_they_say() -> None:
    segments, picture = strips(40)
    vectors = segments.embedding() + np.eye(40, 16, dtype=np.float32)[:, ::-1] * 0.3
    segments = segments.with_embedding("sam", vectors)
    clustering = samlab.cluster(segments, eps=0.02, min_samples=3)
    sweep = samlab.sweep(segments, min_samples=3)
    found = other_eps(sweep, clustering, segments.areas)
    assert found
    for eps, gives in found:
        again = samlab.cluster(segments, eps=eps, min_samples=3)
        assert f"({again.n_clusters} class" in gives
        more = again.n_clusters > clustering.n_clusters
        assert gives.startswith("more" if more else "fewer")
    labelled = segments.with_labels(clustering.labels)
    text = class_cards_html(labelled, picture, clustering, sweep)
    assert all(f"eps={eps:g}" in text for eps, _ in found)


def test_rungs_of_the_ladder_give_what_they_say() -> None:
    segments, picture = regions()
    clustering = samlab.cluster(segments)
    text = class_cards_html(segments, picture, clustering, samlab.ladder(segments))
    said = re.findall(
        r'eps=([\d.e-]+), method="ward"</code> for (fewer|more) classes \((\d+) ', text
    )
    assert [kind for _, kind, _ in said] == ["fewer", "more"]
    for eps, _, count in said:
        assert samlab.cluster(segments, float(eps), method="ward").n_clusters == int(count)


@pytest.mark.parametrize("n", [0, 3])
def test_where_there_is_nothing_it_says_what_to_do(n: int) -> None:
    segments, picture = strips(n)
    text = class_cards_html(segments, picture)
    assert ("lower <code>pred_iou_thresh" if n == 0 else "raise <code>eps</code>") in text
    assert "<b>0 classes</b> · 100.0 % of the picture unassigned" in text


def test_a_report_tells_what_is_unassigned_before_and_after_filling() -> None:
    segments, _ = strips(40)
    rng = np.random.default_rng(5)
    vectors = segments.embedding() + rng.normal(size=(40, 16)) * 0.15
    segments = segments.with_embedding("sam", vectors.astype(np.float32))
    radii = samlab.sweep(segments, min_samples=4)
    eps = float(radii.eps[radii.noise_fraction < 0.4][0])
    told = []
    for fill in (False, True):
        found = samlab.cluster(segments, eps, 4, fill=fill)
        text = summary_html(segments.with_labels(found.labels), found)
        told.append(re.findall(r">([\d.]+) %</b><br><span[^>]*>([^<]*unassigned[^<]*)", text))
    ((before, _),) = told[0]
    assert told[1][0][1] == "of the picture unassigned"
    assert told[1][1] == (before, "unassigned before filling")
    assert float(told[1][0][0]) < float(before)


def test_figures_of_the_method_are_not_on_the_first_screen() -> None:
    segments, picture = strips(30)
    clustering = samlab.cluster(segments)
    labelled = segments.with_labels(clustering.labels)
    first = class_cards_html(labelled, picture, clustering, samlab.sweep(segments))
    below = summary_html(labelled, clustering, 1.0)
    for word in ("silhouette", "seconds"):
        assert word not in first
        assert word in below
