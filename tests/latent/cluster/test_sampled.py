"""Classes and search across many vectors, against scikit-learn and against all at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

from samlab.errors import InputError
from samlab.latent.cluster.clusters import cluster
from samlab.latent.cluster.sampled import VectorBlocks, cluster_across, nearest_across
from samlab.latent.similarity import nearest


def groups(n: int, kinds: int = 5, width: int = 12, spread: float = 0.15, seed: int = 0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(kinds, width))
    truth = rng.integers(0, kinds, n)
    noise = rng.random(n) < 0.1
    points = centres[truth] + spread * rng.normal(size=(n, width))
    points[noise] = rng.normal(size=(int(noise.sum()), width))
    return points.astype(np.float32), np.where(noise, -1, truth)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_with_all_in_the_sample_it_is_scikit_learns_dbscan(metric):
    points, _ = groups(400)
    eps = 0.1 if metric == "cosine" else 0.8
    found = cluster_across(points, eps, 5, metric, sample=400)
    expected = DBSCAN(eps=eps, min_samples=5, metric=metric).fit(points).labels_
    np.testing.assert_array_equal(found.labels, expected)
    assert 1 < len(set(expected.tolist())) < 20


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_rest_follows_dbscans_rule(metric):
    """A point has a class exactly if a core of the sample is within eps, and then its nearest's."""
    points, _ = groups(600)
    eps = 0.1 if metric == "cosine" else 0.8
    found = cluster_across(points, eps, 5, metric, sample=200, seed=3)
    drawn = points[found.sample]
    model = DBSCAN(eps=eps, min_samples=5, metric=metric).fit(drawn)
    np.testing.assert_array_equal(found.labels[found.sample], model.labels_)
    cores = drawn[model.core_sample_indices_].astype(np.float64)
    labels = model.labels_[model.core_sample_indices_]
    rest = np.setdiff1d(np.arange(600), found.sample)
    assert len(rest) == 400
    seen = set()
    for row in rest:
        point = points[row].astype(np.float64)
        if metric == "cosine":
            away = 1 - cores @ point / (np.linalg.norm(cores, axis=1) * np.linalg.norm(point))
        else:
            away = np.linalg.norm(cores - point, axis=1)
        expected = labels[away.argmin()] if away.min() <= eps else -1
        assert found.labels[row] == expected
        seen.add(int(expected))
    assert {-1, 0, 1} <= seen


@pytest.mark.parametrize("method", ["dbscan", "hdbscan"])
def test_a_sample_finds_the_classes_of_the_whole(method):
    points, truth = groups(3000, spread=0.1)
    found = cluster_across(points, method=method, sample=600)
    known = truth >= 0
    assert adjusted_rand_score(truth[known], found.labels[known]) > 0.95
    assert (found.labels[~known] == -1).mean() > 0.7
    again = cluster_across(points, method=method, sample=600)
    np.testing.assert_array_equal(found.labels, again.labels)
    assert found.fit.n_clusters == 5


def test_blocks_may_come_in_any_order_and_twice():
    points, _ = groups(500)
    whole = cluster_across(points, 0.1, 5, sample=100)

    def read() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in (300, 0, 400, 100, 200, 0):
            yield np.arange(start, start + 100), points[start : start + 100]

    parts = cluster_across(VectorBlocks(500, read), 0.1, 5, sample=100)
    np.testing.assert_array_equal(whole.labels, parts.labels)
    ids, scores = nearest_across(points[:3], VectorBlocks(500, read), 7)
    expected_ids, expected_scores = nearest(points[:3], points, 7)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)


def test_a_memory_map_is_read_in_blocks(tmp_path: Path):
    points, _ = groups(1000)
    np.save(tmp_path / "v.npy", points)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    blocks = VectorBlocks.of(mapped, rows=64)
    assert max(len(rows) for rows, _ in blocks.read()) == 64
    np.testing.assert_array_equal(
        cluster_across(blocks, sample=200).labels, cluster_across(points, sample=200).labels
    )


def test_few_and_none():
    nothing = cluster_across(np.zeros((0, 4), np.float32))
    assert nothing.labels.shape == (0,)
    assert cluster_across(np.ones((1, 4))).labels.tolist() == [-1]
    ids, scores = nearest_across(np.ones(4), np.zeros((0, 4)), 3)
    assert ids.shape == scores.shape == (1, 0)
    alone = cluster_across(np.eye(50), eps=0.1, sample=10)
    assert (alone.labels == -1).all()


def test_what_cannot_be_meant_is_said():
    with pytest.raises(InputError, match="a sample of 1 or more segments, got 0"):
        cluster_across(np.eye(3), sample=0)
    with pytest.raises(InputError, match="k of 1 or more, got 0"):
        nearest_across(np.ones(3), np.eye(3), 0)
    with pytest.raises(InputError, match="are all zeros"):
        cluster_across(np.zeros((10, 3)), eps=0.1, sample=2)


def test_as_cluster_where_the_sample_is_everything():
    points, _ = groups(300)
    for method in ("dbscan", "hdbscan"):
        across = cluster_across(points, method=method, sample=10_000)
        np.testing.assert_array_equal(across.labels, cluster(points, method=method).labels)


def test_where_auto_leaves_noise_the_radius_with_the_most_classes_is_taken(monkeypatch):
    points, truth = groups(400, spread=0.1)
    monkeypatch.setattr(
        "samlab.latent.cluster.clusters.choose_eps", lambda tree: (1e-6, "too small")
    )
    found = cluster_across(points, sample=200)
    assert found.fit.reason == "the radius with the most classes; 1e-06 puts 100% into no class"
    assert found.fit.n_clusters >= 5
    known = truth >= 0
    assert adjusted_rand_score(truth[known], found.labels[known]) > 0.9
    monkeypatch.setattr(
        "samlab.latent.cluster.clusters.choose_eps", lambda tree: (1.9, "too large")
    )
    found = cluster_across(points, sample=200)
    assert found.fit.reason == "the radius with the most classes; 1.9 puts 100% into one class"
    assert found.fit.n_clusters >= 5
    alone = cluster_across(np.eye(50, dtype=np.float32))
    assert alone.fit.reason == "too large"
