"""DBSCAN from one hierarchy against scikit-learn, the automatic eps, and classes of nothing."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN
from sklearn.cluster import HDBSCAN as SklearnHDBSCAN
from sklearn.metrics import adjusted_rand_score, homogeneity_score

from samlab.errors import InputError
from samlab.latent.cluster.blockwise import radius_graph
from samlab.latent.cluster.clusters import cluster, sweep
from samlab.latent.cluster.distances import distance_matrix
from samlab.latent.cluster.hierarchy import Hierarchy
from samlab.latent.cluster.methods import hdbscan
from samlab.segments import Segments


def groups(sizes, spread=0.3, width=64, noise=0, seed=0):
    """Gaussian groups around random directions, and noise; returns vectors and true classes."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), width))
    parts = [c + spread * rng.normal(size=(n, width)) for c, n in zip(centres, sizes, strict=True)]
    vectors = np.concatenate([*parts, rng.normal(size=(noise, width))])
    truth = np.repeat(np.arange(len(sizes)), sizes)
    return vectors.astype(np.float32), np.concatenate([truth, np.full(noise, -1)])


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(1, 40), min_samples=st.integers(1, 9), width=st.integers(1, 3),
    seed=st.integers(0, 2**31), metric=st.sampled_from(["cosine", "euclidean"]),
    rounded=st.booleans(),
)  # fmt: skip
def test_every_cut_equals_scikit_learn(n, min_samples, width, seed, metric, rounded):
    vectors = np.random.default_rng(seed).normal(size=(n, width)) + 0.1
    if rounded:  # many equal distances and duplicates
        vectors = np.round(vectors) + 0.25
    distances = distance_matrix(vectors.astype(np.float32), metric)
    radii = np.unique(distances[distances > 0]) if n > 1 else np.array([0.5])
    result = sweep(vectors, radii, min_samples, metric)
    for eps, labels in zip(result.eps, result.labels, strict=True):
        model = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed")
        np.testing.assert_array_equal(labels, model.fit(distances).labels_)


def test_a_sweep_equals_scikit_learns_own_cosine():
    vectors, _ = groups([30, 20, 15], noise=15)
    radii = np.linspace(0.011, 0.9, 25)
    result = sweep(vectors, radii, min_samples=5)
    for eps, labels in zip(radii, result.labels, strict=True):
        own = DBSCAN(eps=eps, min_samples=5, metric="cosine").fit(vectors.astype(np.float64))
        np.testing.assert_array_equal(labels, own.labels_)
        np.testing.assert_array_equal(labels, cluster(vectors, eps, 5).labels)
    frame = result.to_pandas()
    assert list(frame) == ["eps", "n_clusters", "noise_fraction", "largest"]
    assert frame.n_clusters.max() == 3
    assert (np.diff(frame.noise_fraction) <= 0).all()


def test_a_hundred_eps_over_five_hundred_segments_in_under_a_second():
    vectors, _ = groups([50] * 9, width=256, noise=50)
    radii, seconds = np.linspace(0.005, 0.5, 100), []
    for _ in range(3):
        start = time.process_time()
        sweep(vectors, radii, 8)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1


@pytest.mark.parametrize("sizes", [[20, 20], [60, 25, 10, 8], [8] * 12, [150, 30, 30, 12]])
@pytest.mark.parametrize("spread", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("noise", [0, 6])
def test_auto_eps_finds_known_groups(sizes, spread, noise):
    vectors, truth = groups(sizes, spread, noise=noise)
    result = cluster(vectors)
    assert adjusted_rand_score(truth[truth >= 0], result.labels[truth >= 0]) >= 0.9
    assert result.n_clusters == len(sizes)
    assert result.reason


def test_one_class_and_a_few_strangers():
    vectors, truth = groups([24], 0.2, noise=4)
    result = cluster(vectors)
    assert result.n_clusters == 1
    assert (result.labels[truth == 0] == 0).sum() >= 22
    assert (result.labels[truth == -1] == 0).sum() <= 1


def test_all_alike_are_one_class():
    result = cluster(np.ones((20, 4)))
    assert result.n_clusters == 1
    assert result.noise_fraction == 0
    assert result.reason == "all segments have the same vector"


def test_many_duplicates():
    vectors = np.concatenate([np.repeat(np.eye(4), 30, axis=0), [[1, 1, 0, 0]]])
    result = cluster(vectors)
    assert result.n_clusters == 4
    assert result.labels[-1] == -1


@pytest.mark.parametrize("method", ["dbscan", "hdbscan"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_segments_are_noise(n, method):
    result = cluster(np.eye(3, dtype=np.float32)[:n], method=method)
    assert result.labels.tolist() == [-1] * n
    assert result.labels.dtype == np.int64
    assert len(result.k_distances) == n
    assert result.noise_fraction == (1.0 if n else 0.0)
    assert np.isnan(result.silhouette)
    assert sweep(np.eye(3)[:n], [0.1, 0.2]).labels.shape == (2, n)


def test_segments_without_vectors_and_without_rows_go_through():
    assert len(cluster(Segments()).labels) == 0
    assert sweep(Segments()).labels.shape == (0, 0)


def test_k_distances_are_the_distance_to_the_nth_neighbour():
    vectors, _ = groups([10, 10])
    result = cluster(vectors, 0.1, 4)
    expected = np.sort(np.sort(distance_matrix(vectors), axis=1)[:, 3])
    np.testing.assert_allclose(result.k_distances, expected)


def same_classes(one, other):
    """Whether two labellings part alike, whatever their numbers; -1 is noise in both."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist())) and all(
        (a == -1) == (b == -1) for a, b in pairs
    )


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 80), least=st.integers(2, 7), spread=st.floats(0.05, 0.6),
    seed=st.integers(0, 2**31), eps=st.sampled_from([0.0, 0.02, 0.1, 0.3]),
)  # fmt: skip
def test_hdbscan_is_scikit_learns(n, least, spread, seed, eps):
    """With min_samples of 1: otherwise equal distances abound, and more than one tree is right."""
    vectors, _ = groups([n, max(n // 2, 1), 10], spread, width=8, noise=n // 5, seed=seed)
    distances = distance_matrix(vectors)
    own = SklearnHDBSCAN(
        min_cluster_size=least, min_samples=1, metric="precomputed", copy=True,
        cluster_selection_epsilon=eps,
    )  # fmt: skip
    try:
        theirs = own.fit(distances).labels_
    except TypeError:  # scikit-learn's own, with NumPy 2.4
        assert eps > 0
        return
    assert same_classes(hdbscan(Hierarchy(distances, 1), least, eps), theirs)


def test_hdbscan_of_groups_is_scikit_learns():
    vectors, truth = groups([30, 20, 15], noise=5)
    result = cluster(vectors, min_samples=5, method="hdbscan")
    own = SklearnHDBSCAN(min_cluster_size=5, min_samples=5, metric="precomputed", copy=True)
    assert same_classes(result.labels, own.fit(distance_matrix(vectors)).labels_)
    assert adjusted_rand_score(truth[:65], result.labels[:65]) > 0.9


def test_hdbscan_with_eps_joins_what_lies_nearer():
    """Two pairs of groups; in a pair they are 0.02 apart, the pairs 0.5."""
    rng = np.random.default_rng(0)
    angles = np.repeat([0.0, 0.2, 1.5, 1.7], 20) + 0.01 * rng.normal(size=80)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert cluster(vectors, min_samples=5, method="hdbscan").n_clusters >= 4
    found = cluster(vectors, 0.1, 5, method="hdbscan")
    assert found.labels.tolist() == [0] * 40 + [1] * 40


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_blocks_give_the_same_classes_as_the_matrix(metric):
    vectors, truth = groups([200, 150, 100], 0.2, noise=30)
    whole = cluster(vectors, 0.06 if metric == "cosine" else 2.2, 8, metric)
    blocks = cluster(vectors, whole.eps, 8, metric, max_memory=1_000_000)
    np.testing.assert_array_equal(whole.labels, blocks.labels)
    assert whole.n_clusters == 3
    auto = cluster(vectors, min_samples=8, metric=metric, max_memory=1_000_000)
    assert adjusted_rand_score(truth[truth >= 0], auto.labels[truth >= 0]) > 0.9
    assert "judged on 480 of 480 segments" in auto.reason


def test_too_large_says_how_to_go_on():
    vectors, _ = groups([300])
    with pytest.raises(InputError, match=r"300 segments take .* raise max_memory"):
        sweep(vectors, [0.1], max_memory=1000)
    with pytest.raises(InputError, match=r"use method='dbscan'"):
        cluster(vectors, method="hdbscan", max_memory=1000)
    with pytest.raises(InputError, match=r"Lower eps, raise max_memory, or cluster a sample"):
        radius_graph(vectors, 1.9, True, 1000)


def test_bad_input_is_named():
    vectors, _ = groups([5, 5])
    vectors[3, 2] = np.nan
    with pytest.raises(InputError, match=r"1 segment\(s\) \(segment ids 3\) contain NaN"):
        cluster(vectors)
    vectors[3] = 0
    with pytest.raises(InputError, match=r"segment ids 3\) are all zeros.*metric='euclidean'"):
        cluster(vectors)
    assert len(cluster(vectors, metric="euclidean").labels) == 10
    good = np.ones((3, 2))
    for eps in (0, -1, np.nan, "large"):
        with pytest.raises(InputError, match="Expected eps to be 'auto' or above 0"):
            cluster(good, eps)
    with pytest.raises(InputError, match="min_samples to be 'auto' or 1 or more, got 0"):
        cluster(good, min_samples=0)
    with pytest.raises(InputError, match="a method among auto, dbscan, .*; got 'spectral'"):
        cluster(good, method="spectral")
    with pytest.raises(InputError, match="metric 'cosine' or 'euclidean', got 'l1'"):
        cluster(good, metric="l1")
    with pytest.raises(InputError, match=r"vectors of shape \(N, D\).*got the shape \(3,\)"):
        cluster(np.ones(3))


def test_the_hierarchy_is_made_once():
    tree = Hierarchy(distance_matrix(groups([10, 10])[0]), 3)
    assert tree.tree is tree.tree


def test_where_auto_says_little_the_radius_with_the_most_classes_is_taken(monkeypatch):
    """Photos of evenly varied things: one class of all, or none, is the best silhouette there."""
    points, truth = groups((40, 30, 20), spread=0.1)
    for eps, said in ((1e-6, "1e-06 puts 100% into no class"), (1.9, "1.9 puts 100% into one")):
        with monkeypatch.context() as patch:
            patch.setattr(
                "samlab.latent.cluster.clusters.choose_eps", lambda tree, eps=eps: (eps, "x")
            )
            found = cluster(points)
        assert found.reason.startswith(f"the radius with the most classes; {said}")
        assert 3 <= found.n_clusters <= 6
        kept = found.labels >= 0
        assert homogeneity_score(truth[kept], found.labels[kept]) == 1  # split, never mixed
        assert cluster(points, eps=eps).reason == "given"
    assert cluster(np.ones((20, 3))).reason == "all segments have the same vector"
    assert cluster(np.eye(30)).n_clusters <= 1
