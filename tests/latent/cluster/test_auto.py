"""Classes where nobody has chosen: Ward's tree, what lasts, the ladder, filling, and bad input."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from skimage.data import coins as coins_photo
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

import samlab
from samlab import masks
from samlab.errors import InputError, MissingExtraError
from samlab.latent.cluster import Clustering, cluster, ladder, lasting_steps
from samlab.latent.cluster.filling import fill
from samlab.latent.cluster.merging import Merging
from samlab.segments import Segments


def grid_of(labels, tile=6, width=8, spread=0.05, seed=0):
    """Disjoint square segments side by side, with vectors around one direction per class."""
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    vectors = np.eye(width)[labels] + spread * rng.normal(size=(len(labels), width))
    rles = []
    for i in range(len(labels)):
        mask = np.zeros((tile, tile * len(labels)), bool)
        mask[:, i * tile : (i + 1) * tile] = True
        rles.append(masks.encode(mask))
    return Segments(rles, embeddings={"sam": vectors}, image_id="a.jpg")


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 40), seed=st.integers(0, 2**31))
def test_the_tree_is_scipys_ward(n, seed):
    points = np.random.default_rng(seed).normal(size=(n, 3))
    ours = Merging(squareform(pdist(points)) ** 2, np.ones(n))
    theirs = linkage(points, "ward")
    # scipy's heights are the roots of twice the growth of the spread.
    expected = theirs[:, 2] ** 2 / theirs[-1, 2] ** 2
    np.testing.assert_allclose(ours.heights, expected, rtol=1e-6, atol=1e-9)
    for count in (1, 2, n // 2 or 1, n):
        own = fcluster(theirs, count, "maxclust")
        assert adjusted_rand_score(own, ours.into(count)) == 1
        assert ours.count(ours.height(count)) == count


def test_weights_count_as_copies():
    points = np.random.default_rng(0).normal(size=(6, 2))
    copies = np.repeat(points, 4, axis=0)  # a weight is the root of an area
    single = Merging(squareform(pdist(points)) ** 2, np.full(6, 16.0))
    many = Merging(squareform(pdist(copies)) ** 2, np.ones(24))
    np.testing.assert_allclose(single.heights, many.heights[-5:], rtol=1e-9)


@pytest.mark.parametrize("sizes", [(9, 9), (12, 5, 4), (6, 6, 6, 6, 3)])
def test_the_classes_that_last_are_the_groups(sizes):
    truth = np.repeat(np.arange(len(sizes)), sizes)
    found = cluster(grid_of(truth))
    assert found.method == "ward"
    assert adjusted_rand_score(truth, found.labels) == 1
    assert (
        found.reason == f"{len(sizes)} classes last longest while {sum(sizes)} regions are joined"
    )
    assert found.unassigned == 0
    assert found.class_areas.sum() == pytest.approx(1)
    assert np.isnan(found.eps)
    again = cluster(grid_of(truth), found.cut, method="ward")
    np.testing.assert_array_equal(again.labels, found.labels)
    assert again.reason == "given"


def test_what_a_person_chose_is_still_dbscan():
    """An eps or a min_samples means DBSCAN, labels equal to scikit-learn's, for segments too."""
    segments = grid_of(np.repeat([0, 1, 2], [12, 9, 5]), spread=0.3)
    vectors = segments.embedding().astype(np.float64)
    for eps in (0.01, 0.05, 0.2, 0.6):
        found = cluster(segments, eps, 3)
        own = DBSCAN(eps=eps, min_samples=3, metric="cosine").fit(vectors)
        assert found.method == "dbscan"
        np.testing.assert_array_equal(found.labels, own.labels_)
        np.testing.assert_array_equal(
            cluster(segments, eps).labels, cluster(segments, eps, 3).labels
        )
    assert cluster(segments, min_samples=4).method == "dbscan"
    assert cluster(vectors).method == "dbscan"
    two = Segments.concat([segments, segments.with_image_id("b.jpg")])
    assert cluster(two).method == "dbscan"
    assert cluster(segments, n_classes=2).n_clusters == 2


@pytest.fixture(scope="module")
def coins():
    return samlab.segment(coins_photo()[:, :256], points_per_side=8)


@pytest.mark.parametrize("cut", [False, True])
def test_a_given_eps_gives_scikit_learns_labels_on_a_photo(coins, cut):
    """Bit for bit, for masks as they are and for the regions that stand for them."""
    segments = samlab.partition(coins) if cut else coins
    vectors = segments.embedding().astype(np.float64)
    for metric, radii in (("cosine", (0.01, 0.05, 0.1, 0.4)), ("euclidean", (0.5, 2.0, 4.0))):
        scale = 1.0 if metric == "cosine" else float(np.linalg.norm(vectors, axis=1).mean()) / 4
        for eps, needed in zip(np.multiply(radii, scale), (2, 3, 5, 8), strict=False):
            own = DBSCAN(eps=eps, min_samples=needed, metric=metric).fit(vectors).labels_
            found = cluster(segments, float(eps), needed, metric)
            np.testing.assert_array_equal(found.labels, own)


def test_overlapping_segments_take_the_class_of_their_pixels():
    left, right, whole = np.zeros((3, 12, 12), bool)
    left[:, :6], right[:, 6:], whole[:] = True, True, True
    spot = np.zeros((12, 12), bool)
    spot[2:4, 2:4] = True
    segments = Segments(
        [masks.encode(mask) for mask in (left, spot, right, whole)],
        predicted_iou=[0.99, 0.9, 0.98, 0.5],
        embeddings={"sam": np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 0], [1, 1, 0.0]])},
    )
    found = cluster(segments)
    assert found.labels[0] == found.labels[1] != found.labels[2]
    assert (found.labels >= 0).all()


def test_neighbours_without_an_outline_share_a_class():
    """Four equal regions; the masks put the first two together, the vectors say nothing."""
    quarters = np.zeros((4, 8, 8), bool)
    quarters[0, :4, :4], quarters[1, :4, 4:], quarters[2, 4:, :4], quarters[3, 4:, 4:] = 1, 1, 1, 1
    dense = [*quarters, quarters[0] | quarters[1]]
    segments = Segments(
        [masks.encode(mask) for mask in dense],
        predicted_iou=[0.9, 0.91, 0.92, 0.93, 0.5],
        embeddings={"sam": np.vstack([np.eye(4), [1, 1, 0, 0]])},
    )
    labels = cluster(segments, n_classes=3).labels
    assert labels[0] == labels[1]
    assert len({labels[0], labels[2], labels[3]}) == 3


def test_wholes_hand_their_class_down():
    segments = grid_of([0, 0, 1, 1, 2, 2])
    parent = np.array([-1, 0, -1, 2, -1, 4])
    found = cluster(replace(segments, parent=parent), wholes=True, n_classes=3)
    assert found.labels.tolist() == [found.labels[i] for i in (0, 0, 2, 2, 4, 4)]
    assert found.reason.endswith("of 3 wholes")
    assert cluster(segments, wholes=True, n_classes=3).n_clusters == 3


def test_the_ladder_goes_from_coarse_to_fine_and_each_rung_can_be_taken():
    truth = np.repeat(np.arange(6), 4)
    segments = grid_of(truth, spread=0.08)
    for source in (segments, segments.embedding()):
        rungs = ladder(source)
        counts = [rung.n_clusters for rung in rungs]
        assert 4 <= len(rungs) <= 6
        assert counts == sorted(set(counts))
        assert [rung.n_clusters for rung in rungs if rung.chosen] == [6]
        assert max(rungs, key=lambda rung: rung.stability).n_clusters == 6
        for rung in rungs:
            taken = cluster(source, rung.eps, method="ward")
            np.testing.assert_array_equal(taken.labels, rung.labels)
            assert rung.sentence.startswith(f"{rung.n_clusters} class")
    radii = ladder(segments, "dbscan", min_samples=3)
    assert 6 in [rung.n_clusters for rung in radii]
    for rung in radii:
        np.testing.assert_array_equal(cluster(segments, rung.eps, 3).labels, rung.labels)
        assert rung.unassigned == pytest.approx(np.mean(rung.labels < 0))
    assert ladder(segments[:1]) == [] == ladder(np.ones((5, 3)))
    with pytest.raises(InputError, match="method='ward' or method='dbscan', got 'leiden'"):
        ladder(segments, "leiden")


def test_of_each_number_of_classes_the_radii_with_most_area_over_eps_last():
    rows = np.array(
        [[-1, -1, -1, -1], [0, 0, -1, -1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1],
         [0, 0, 1, -1], [0, 0, 0, -1], [0, 0, 0, 0]]
    )  # fmt: skip
    radii, areas = 0.01 * 2.0 ** np.arange(8), np.array([10.0, 20, 30, 20])
    found = lasting_steps(radii, rows, areas)
    # Of one class, equally wide, the one with less unassigned; never all in one, nor none.
    assert [step for step, _ in found] == [6, 3]
    assert [factor for _, factor in found] == pytest.approx([2, 16])
    rows = np.array([[i // (k + 1) for i in range(16)] for k in range(12)])
    steps = [step for step, _ in lasting_steps(0.01 * 1.5 ** np.arange(12), rows, np.ones(16))]
    assert len(steps) == 6
    counts = [rows[step].max() + 1 for step in steps]
    assert counts == sorted(set(counts))
    assert lasting_steps(np.zeros(0), np.zeros((0, 4), int), np.ones(4)) == []
    assert lasting_steps(np.array([0.1, 0.2]), np.array([[-1], [0]]), np.ones(1)) == []


def test_filling_takes_what_is_near_and_leaves_what_is_far():
    vectors = np.array([[0, 0], [0, 1], [10, 0], [10, 1], [1, 0.5], [40, 40]], float)
    labels = np.array([0, 0, 1, 1, -1, -1])
    assert fill(vectors, labels, "euclidean").tolist() == [0, 0, 1, 1, 0, -1]
    assert fill(vectors, np.full(6, -1), "euclidean").tolist() == [-1] * 6
    assert fill(vectors, np.array([0, 0, -1, -1, -1, -1]), "euclidean").tolist() == [
        0, 0, -1, -1, -1, -1,
    ]  # fmt: skip


def test_filled_segments_are_marked_and_both_shares_told():
    segments = grid_of(np.repeat([0, 1], [10, 10]), spread=0.2)
    bare, filled = (cluster(segments, 0.15, 4, fill=flag) for flag in (False, True))
    assert bare.unassigned > 0
    assert not bare.filled.any()
    assert filled.filled.any()
    np.testing.assert_array_equal(filled.labels[~filled.filled], bare.labels[~filled.filled])
    assert filled.unassigned < bare.unassigned == filled.unassigned_before_filling
    assert filled.noise_fraction == pytest.approx(filled.unassigned)


def test_k_means_takes_a_number_or_what_lasts():
    truth = np.repeat([0, 1, 2], [20, 15, 10])
    segments = grid_of(truth)
    for options in ({"n_classes": 3}, {}):
        found = cluster(segments, method="kmeans", **options)
        assert adjusted_rand_score(truth, found.labels) == 1
        assert found.reason.startswith("k-means into 3 classes: ")
        assert np.isnan(found.eps)


def test_leiden_finds_the_groups_or_names_its_extra():
    truth = np.repeat([0, 1, 2], [20, 15, 10])
    if find_spec("leidenalg") is None:
        with pytest.raises(MissingExtraError, match=r'pip install "samlab\[graph\]"'):
            cluster(grid_of(truth), method="leiden")
    else:
        found = cluster(grid_of(truth), method="leiden")
        assert adjusted_rand_score(truth, found.labels) > 0.9


@pytest.mark.parametrize("method", ["auto", "ward", "kmeans", "dbscan", "hdbscan"])
def test_bad_input_gets_a_sensible_answer(method):
    one = cluster(grid_of([0]), method=method)
    assert len(one.labels) == 1
    alike = cluster(grid_of([0] * 12, spread=0), method=method)
    assert alike.n_clusters <= 1
    if method in ("auto", "ward", "kmeans"):
        assert one.labels.tolist() == [0]
        assert one.reason.endswith("there is one segment")
        assert alike.reason.endswith("all segments are alike")
    assert cluster(Segments(), method=method).reason == "there are no segments"
    noise = cluster(np.eye(12), method=method)  # no two alike
    assert len(noise.labels) == 12
    wrong = grid_of([0, 1, 2]).with_embedding("sam", np.array([[1.0], [np.nan], [2.0]]))
    with pytest.raises(InputError, match=r"1 segment\(s\) \(segment ids 1\) contain NaN"):
        cluster(wrong, method=method)


def test_segments_without_pixels_have_no_class():
    segments = Segments.concat([grid_of([0, 0, 1, 1])])
    empty = masks.encode(np.zeros(segments.image_size, bool))
    more = Segments(
        [*segments.rles, empty], embeddings={"sam": np.vstack([segments.embedding(), np.ones(8)])}
    )
    assert cluster(more).labels.tolist()[-1] == -1
    assert cluster(more, 0.2, 2).method == "dbscan"


def test_wrong_combinations_are_said():
    segments = grid_of([0, 1])
    with pytest.raises(InputError, match="n_classes with method='ward' or 'kmeans', got"):
        cluster(segments, method="dbscan", n_classes=2)
    with pytest.raises(InputError, match="n_classes of 1 or more, got 0"):
        cluster(segments, method="ward", n_classes=0)
    with pytest.raises(InputError, match="no eps with method='kmeans', got 0.3"):
        cluster(segments, 0.3, method="kmeans")
    with pytest.raises(InputError, match="2 segments take .* use method='dbscan'"):
        cluster(segments, method="ward", max_memory=10)


def test_more_segments_than_the_memory_holds_are_left_to_dbscan():
    points, truth = grid_of(np.repeat([0, 1], 40)), np.repeat([0, 1], 40)
    found = cluster(points, max_memory=40_000)
    assert found.method == "dbscan"
    assert adjusted_rand_score(truth[found.labels >= 0], found.labels[found.labels >= 0]) == 1


def test_a_bare_clustering_weighs_all_alike():
    found = Clustering(np.array([0, -1, 0, 1]), 0.1, 3, np.zeros(4), np.nan, "given")
    assert found.unassigned == found.noise_fraction == 0.25
    assert found.class_areas.tolist() == [0.5, 0.25]
