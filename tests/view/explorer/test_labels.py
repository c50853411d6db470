"""Edits of class labels, run by node against scikit-learn."""

from __future__ import annotations

import numpy as np

from tests.view.javascript import needs_node, run_js


@needs_node
def test_js_names_follow_what_was_named_and_edits_keep_the_rest() -> None:
    found = run_js(
        """() => {
          const labels = [0, 0, 0, 1, 1, -1];
          const records = rename([], 0, " coin ", [0, 1, 2]);
          const at = (l) => namesFor(records, membersOf(l));
          return [at(labels), at([0, 0, -1, -1, -1, -1]), at([1, 1, 1, 0, 0, 0]),
            mergeClasses(labels, [2, 4]), mergeClasses(labels, [5, 4]), splitClass(labels, [0, 5]),
            toNoise(labels, [0]), rename(records, 0, "  ", []),
            [...toggled(new Set([1]), [1, 2], true)]];
        }"""
    )
    assert found == [
        {"0": "coin"}, {"0": "coin"}, {},
        [0, 0, 0, 0, 0, -1], [0, 0, 0, 1, 1, 1], [2, 0, 0, 1, 1, 2],
        [-1, 0, 0, 1, 1, -1], [], [1, 2],
    ]  # fmt: skip


@needs_node
def test_js_splits_a_class_as_clustering_it_alone_would() -> None:
    from sklearn.cluster import DBSCAN
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(0)
    # Two crowds near each other and one far away, which is not to be touched.
    points = np.concatenate([rng.normal((c, 0), 0.12, (25, 2)) for c in (0, 1, 9)])
    wide = DBSCAN(eps=1.2, min_samples=4).fit(points).labels_
    assert sorted(set(wide)) == [0, 1]
    grid = [0.05, 0.1, 0.15, 0.2, 0.3, 1.2]
    rows = [DBSCAN(eps=eps, min_samples=4).fit(points).labels_ for eps in grid]
    found = run_js(
        """({ labels, rows }) => {
          const sweep = { n: labels.length, table: Int16Array.from(rows.flat()) };
          const step = splitStep(labels, [0], sweep, rows.length - 1);
          return [step, splitAlong(labels, [0], sweepLabels(sweep, step)),
            splitStep(labels, [1], { n: labels.length, table: Int16Array.from(labels) }, 0)];
        }""",
        labels=wide.tolist(),
        rows=[row.tolist() for row in rows],
    )
    step, labels, none = found
    assert none == -1
    inside = wide == 0
    alone = [DBSCAN(eps=eps, min_samples=4).fit(points[inside]).labels_ for eps in grid]
    assert step == max(i for i, row in enumerate(alone) if row.max() >= 1)
    assert adjusted_rand_score(np.array(labels)[inside], alone[step]) == 1
    assert (np.array(labels)[~inside] == 1).all()
    parts = np.bincount([v for v in np.array(labels)[inside] if v >= 0])
    assert set(np.flatnonzero(parts)) == {0, 2}, "one part keeps the label, another gets a new one"
    assert parts[0] >= parts[2]
