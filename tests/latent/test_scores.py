"""Scores on clusterings whose quality is known by construction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from samlab import masks
from samlab.errors import InputError
from samlab.latent.cluster.table import COLUMNS, class_sizes, cluster_table
from samlab.latent.compare import class_cosines, compare_embedders
from samlab.latent.embed.embedders import ColourTexture
from samlab.latent.scores import (
    clustering_scores,
    knn_accuracy,
    label_from_map,
    linear_probe_accuracy,
    match_classes,
    stability,
)
from samlab.segments import Segments
from samlab.view.tables import class_table


def clouds(per_class=20, spread=0.3, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(classes), per_class)
    centres = rng.normal(size=(classes, 16))
    return (centres[truth] + spread * rng.normal(size=(len(truth), 16))).astype(np.float32), truth


@settings(max_examples=100, deadline=None)
@given(truth=st.lists(st.integers(-1, 4), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_renaming_classes_costs_nothing(truth, seed):
    truth = np.array(truth)
    names = np.random.default_rng(seed).permutation(5) + 7
    scores = clustering_scores(truth, np.where(truth >= 0, names[truth], -1))
    if (truth >= 0).any():
        values = [scores[key] for key in ("purity", "ari", "miou")]
        np.testing.assert_allclose(values, 1)
        assert (
            match_classes(truth, names[truth]).items()
            >= {int(names[t]): int(t) for t in truth if t >= 0}.items()
        )
    else:
        assert np.isnan(scores["ari"])


def test_one_big_cluster_and_pure_noise_are_worth_nothing():
    truth = np.repeat([0, 1], 10)
    whole = clustering_scores(truth, np.zeros(20, int))
    assert (whole["ari"], whole["purity"]) == (0, 0.5)
    assert whole["miou"] == pytest.approx(0.25)  # one class matched at IoU 0.5, the other lost
    noise = clustering_scores(truth, np.full(20, -1))
    assert (noise["ari"], noise["miou"], noise["noise_fraction"]) == (0, 0, 1)
    assert np.isnan(noise["purity"])


def test_weights_turn_counts_into_areas():
    truth, labels = np.array([0, 0, 1]), np.array([0, 1, 1])
    assert clustering_scores(truth, labels)["purity"] == pytest.approx(2 / 3)
    weighted = clustering_scores(truth, labels, weights=np.array([1.0, 8.0, 1.0]))
    assert weighted["purity"] == pytest.approx(0.9)


def test_knn_equals_scikit_learn_leaving_one_out():
    vectors, truth = clouds(spread=1.2)
    right = 0
    for i in range(len(vectors)):
        rest = np.arange(len(vectors)) != i
        model = KNeighborsClassifier(1, metric="cosine").fit(vectors[rest], truth[rest])
        right += int(model.predict(vectors[i : i + 1])[0] == truth[i])
    assert knn_accuracy(vectors, truth, k=1) == pytest.approx(right / len(vectors))


def test_groups_keep_neighbours_of_the_same_picture_out():
    rng = np.random.default_rng(0)
    pictures = np.repeat(np.arange(12), 6)
    truth = np.tile([0, 1], 36)
    vectors = rng.normal(size=(12, 16))[pictures] + 0.01 * rng.normal(size=(72, 16))
    vectors[truth == 1, 0] += 0.001  # nothing but the picture can be told from these
    vectors[np.arange(0, 72, 6)] = vectors[np.arange(1, 72, 6)]
    own = np.where(pictures % 2 == 0, 0, 1)
    assert knn_accuracy(vectors, own, k=3) == 1
    assert knn_accuracy(vectors, own, k=3, groups=pictures) < 0.9


def test_linear_probe_learns_what_is_linear():
    vectors, truth = clouds(spread=0.5)
    assert linear_probe_accuracy(vectors, truth) > 0.95
    shuffled = np.random.default_rng(0).permutation(truth)
    assert linear_probe_accuracy(vectors, shuffled) < 0.6
    pictures = np.tile(np.arange(10), 6)
    assert linear_probe_accuracy(vectors, truth, groups=pictures) > 0.95


@pytest.mark.parametrize("measure", [knn_accuracy, linear_probe_accuracy])
def test_nothing_to_tell_apart_is_nan(measure):
    vectors, truth = clouds(5)
    assert np.isnan(measure(vectors, np.zeros(15, int)))
    assert np.isnan(measure(vectors, np.full(15, -1)))
    assert np.isnan(measure(vectors[:0], truth[:0]))
    assert np.isnan(measure(vectors, truth, groups=np.zeros(15)))
    with pytest.raises(InputError, match=r"one true class .* shape \(15,\); got \(3,\)"):
        measure(vectors, truth[:3])


def test_stability_is_high_for_real_groups_and_undefined_without_any():
    vectors, _ = clouds(30, spread=0.2)
    assert stability(vectors) > 0.95
    scattered = np.random.default_rng(0).normal(size=(60, 64))
    assert np.isnan(stability(scattered, eps=0.01))
    with pytest.raises(InputError, match="0 < share < 1"):
        stability(vectors, share=1.5)


def stripes() -> tuple[Segments, np.ndarray]:
    """A 20 x 30 picture of three stripes of ten columns, and four segments on it."""
    truth = np.repeat([0, 1, 2], 10)[None].repeat(20, 0)
    dense = np.zeros((4, 20, 30), bool)
    dense[0, :, :10] = True  # all of class 0
    dense[1, :, 8:18] = True  # 80 % class 1
    dense[2, :, 5:15] = True  # half and half
    dense[3, :, 20:] = True  # all of class 2
    return Segments(rles=masks.encode(dense), image_size=(20, 30)), truth


def test_labels_come_from_what_fills_most_of_a_segment():
    segments, truth = stripes()
    named = label_from_map(segments, truth, {0: "road"}, ignore=[2], min_share=0.6)
    assert named.labels.tolist() == [0, 1, -1, -1]
    assert named.class_name(0) == "road"
    assert label_from_map(segments, truth - 1).labels.tolist()[3] == 1
    with pytest.raises(InputError, match=r"label map of the segments' size \(20, 30\)"):
        label_from_map(segments, truth.T)


def test_cosines_within_and_between_equal_a_loop():
    vectors, truth = clouds(4)
    truth[0] = -1
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j and truth[[i, j]].min() >= 0]
    within = np.mean([unit[i] @ unit[j] for i, j in pairs if truth[i] == truth[j]])
    between = np.mean([unit[i] @ unit[j] for i, j in pairs if truth[i] != truth[j]])
    np.testing.assert_allclose(class_cosines(vectors, truth), (within, between), atol=1e-5)


def test_cluster_table_names_medoid_and_nearest_class():
    places = np.eye(6, dtype=bool).reshape(6, 2, 3)  # a pixel each
    vectors = np.array(
        [[1, 0, 0], [0.9, 0.1, 0], [0.8, 0.2, 0], [0, 0, 1], [0.1, 0.9, 0], [0, 1, 0]]
    )
    segments = Segments(
        rles=masks.encode(places), embeddings={"sam": vectors}, labels=[1, 1, 1, -1, 4, 4],
        predicted_iou=[0.9, 0.8, 0.7, 0.5, np.nan, np.nan], class_names={1: "coin"},
    )  # fmt: skip
    table = cluster_table(segments)
    assert table.index.tolist() == [1, 4, -1]
    assert table.name.tolist() == ["coin", "class 4", "unassigned"]
    assert table["segments"].tolist() == [3, 2, 1]
    assert table.medoid.tolist()[0] == 1
    assert table.nearest.tolist() == [4, 1, -1]
    assert table.pictures.tolist() == [1, 1, 1]
    np.testing.assert_allclose(table.predicted_iou, [0.8, np.nan, 0.5], atol=1e-6)
    assert list(cluster_table(segments[:0])) == list(COLUMNS)
    assert cluster_table(segments, np.zeros(6, int)).nearest.tolist() == [-1]
    assert cluster_table(segments, np.full(6, -1)).index.tolist() == [-1]


def test_all_class_tables_speak_of_the_same_figures():
    """name, segments, pictures and area_share, over pictures of two sizes; figures by hand."""
    left, right = np.zeros((2, 4, 8), bool)
    left[:, :4], right[:, 3:] = True, True
    small = np.zeros((2, 2), bool)
    small[0] = True
    pictures = [
        Segments([masks.encode(left), masks.encode(right)], labels=[0, 1], image_id="a"),
        Segments([masks.encode(small)], labels=[1], image_id="b"),
    ]
    segments = Segments.concat(pictures).with_embedding("sam", np.eye(3))
    sizes = class_sizes(segments)
    assert sizes["segments"].to_dict() == {1: 2, 0: 1}
    assert sizes["pictures"].to_dict() == {1: 2, 0: 1}
    # The left one is the smaller: the column that both cover is its own.
    assert sizes["area_share"].to_dict() == {1: (16 + 2) / 36, 0: 16 / 36}
    columns = list(sizes)
    by_area = class_table(segments)
    pd.testing.assert_frame_equal(by_area[columns], sizes.loc[by_area.index])
    pd.testing.assert_frame_equal(cluster_table(segments)[columns], sizes)


def coloured_pictures(n=4):
    """Pictures of red and grey squares, with true labels, and vectors that know nothing."""
    rng = np.random.default_rng(0)
    pictures, tables = [], []
    for _ in range(n):
        picture = rng.integers(0, 40, (40, 60, 3))
        dense, labels = np.zeros((12, 40, 60), bool), np.arange(12) % 2
        for i in range(12):
            window = (
                slice(10 * (i // 6) + 2, 10 * (i // 6) + 10),
                slice(10 * (i % 6), 10 * (i % 6) + 8),
            )
            dense[i][window] = True
            picture[window] += np.array([200, 20, 20] if labels[i] else [110, 110, 110])
        blind = rng.normal(size=(12, 8))
        tables.append(
            Segments(rles=masks.encode(dense), labels=labels, embeddings={"blind": blind})
        )
        pictures.append(picture.clip(0, 255).astype(np.uint8))
    return pictures, tables


def test_compare_puts_the_embedder_that_sees_first():
    pictures, tables = coloured_pictures()
    frame = compare_embedders(tables, pictures, [ColourTexture()])
    assert frame.index.tolist()[0] == "colour_texture"
    assert set(frame.index) == {"colour_texture", "blind", "(most frequent class)"}
    best = frame.loc["colour_texture"]
    assert best.knn_accuracy == 1
    assert best.linear_accuracy == 1
    assert best.ari > 0.9
    assert best.cosine_within > best.cosine_between
    assert frame.loc["blind"].knn_accuracy < 0.8
    assert frame.loc["(most frequent class)"].knn_accuracy == 0.5


def test_compare_without_truth_still_says_what_it_can():
    pictures, tables = coloured_pictures(1)
    bare = tables[0].with_labels(np.full(12, -1))
    frame = compare_embedders(bare, pictures[0], [ColourTexture()])
    assert frame.knn_accuracy.isna().all()
    assert frame.loc["colour_texture"].clusters >= 1
    empty = compare_embedders(tables[0][:0])
    assert empty.loc["blind"].segments == 0


def test_compare_names_what_is_missing():
    pictures, tables = coloured_pictures(2)
    with pytest.raises(InputError, match="Embedders need the pictures"):
        compare_embedders(tables, embedders=[ColourTexture()])
    with pytest.raises(InputError, match=r"one picture per table of segments, 2; got 1"):
        compare_embedders(tables, pictures[:1], [ColourTexture()])
    with pytest.raises(InputError, match="Expected segments with vectors, or embedders"):
        compare_embedders(Segments(rles=tables[0].rles))
