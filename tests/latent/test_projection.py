"""The map: from no segment on, seeded, apart for what is apart, and open to newcomers."""

from __future__ import annotations

import numpy as np
import pytest

from samlab.errors import InputError
from samlab.latent.projection import fit_projection, project
from samlab.segments import Segments


def two_groups(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(2, 16)), n, axis=0)
    return (centres + 0.1 * rng.normal(size=centres.shape)).astype(np.float32)


@pytest.mark.parametrize("n", range(9))
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_few_segments_have_a_place(n, metric):
    vectors = np.random.default_rng(n).normal(size=(n, 8))
    points = project(vectors, metric=metric)
    assert points.shape == (n, 2)
    assert points.dtype == np.float32
    assert np.isfinite(points).all()


def test_empty_segments_have_an_empty_map():
    assert project(Segments()).shape == (0, 2)


def test_equal_vectors_do_not_break_it():
    assert np.isfinite(project(np.ones((4, 3)))).all()
    assert np.isfinite(project(np.ones((30, 3)))).all()


def test_groups_lie_apart_the_same_way_every_time_and_newcomers_join_theirs():
    vectors = two_groups(25)
    first = fit_projection(vectors)
    np.testing.assert_array_equal(first.points, project(vectors))
    a, b = first.points[:25], first.points[25:]
    gap = np.linalg.norm(a.mean(axis=0) - b.mean(axis=0))
    assert gap > 2 * max(a.std(), b.std())
    new = first.transform(vectors[[0, 30]] + 0.01)
    near = np.linalg.norm(first.points[None] - new[:, None], axis=2).argmin(axis=1)
    assert near[0] < 25 <= near[1]
    assert first.transform(vectors[:0]).shape == (0, 2)


def test_another_embedding_does_not_fit():
    fitted = fit_projection(np.eye(4))
    np.testing.assert_allclose(fitted.transform(np.eye(4)), fitted.points, atol=1e-6)
    with pytest.raises(InputError, match="Expected vectors of 4 numbers.*got 3"):
        fitted.transform(np.eye(3))
