"""Regions joined to classes, the least different first: Ward's tree, and where to cut it.

Ward (1963) joins the two classes by which the spread within all classes grows least. Here the
spread is that of any squared differences between regions (Batagelj, "Generalized Ward and related
clustering problems", 1988), and regions have weights. A cut is a height: a class is what has been
joined below it, as a share of the cost of the last join of all.

How many classes are there? Those that last: a class gains its area times the logarithm of the
factor between the height that makes it and the height that swallows it, and the classes with the
largest sum are chosen (the excess of mass of HDBSCAN; Campello et al., "A framework for
semi-supervised and unsupervised optimal extraction of clusters from hierarchies", 2013).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

LEAST = 0.04
"""Joins below this share of the last one's cost are all the same: within a class."""

MOST_CLASSES = 16
"""More classes than a person keeps apart are not offered as the first answer."""


class Merging:
    """All clusterings of N regions that Ward's tree holds.

    Args:
        squared: float64 (N, N), squared differences, symmetric with a zero diagonal.
        areas: float64 (N,), above 0.

    The spread weighs a region by the root of its area, so that a few large plain surfaces do not
    decide alone.
    """

    def __init__(self, squared: np.ndarray, areas: np.ndarray) -> None:
        self.areas = np.asarray(areas, np.float64)
        self.pairs, costs = _ward(squared, np.sqrt(self.areas))
        top = costs.max(initial=0.0)
        self.heights = costs / top if top > 1e-12 else np.zeros(len(costs))

    def __len__(self) -> int:
        return len(self.areas)

    def into(self, count: int) -> np.ndarray:
        """Labels int64 (N,) for so many classes, 1 to N, the one with the largest area first."""
        n = len(self)
        above = np.arange(2 * n - 1)
        for k, pair in enumerate(self.pairs[: n - count]):
            above[pair] = n + k
        for node in range(2 * n - 2, -1, -1):
            above[node] = above[above[node]]
        _, labels = np.unique(above[:n], return_inverse=True)
        order = np.argsort(-np.bincount(labels.ravel(), self.areas), kind="stable")
        return np.argsort(order)[labels.ravel()].astype(np.int64)

    def count(self, height: float) -> int:
        """Number of classes at a height."""
        return len(self) - int((self.heights <= height).sum())

    def cut(self, height: float) -> np.ndarray:
        """Labels int64 (N,) at a height, 0 .. 1."""
        return self.into(self.count(height))

    def height(self, count: int) -> float:
        """The middle of the heights that give so many classes, in few digits; 1 for all in one."""
        if count == 1:
            return 1.0
        low, high = self.span(count)
        high = max(high, 1e-9)
        middle = float(np.sqrt(max(low, high / 4) * high))  # a low of 0 has no middle by ratios
        rounded = (float(f"{middle:.{digits}g}") for digits in (2, 3, 4, 6))
        return next((value for value in rounded if self.count(value) == count), middle)

    def span(self, count: int) -> tuple[float, float]:
        """The last join that was made for so many classes, and the next."""
        n = len(self)
        low = self.heights[n - count - 1] if count < n else 0.0
        high = self.heights[n - count] if count > 1 else 1.0 if n == 1 or low == 0 else low * 2
        return float(low), float(high)

    @cached_property
    def stable(self) -> int:
        """Number of the classes that last, at most `MOST_CLASSES`; see the module."""
        n = len(self)
        if n < 2 or not self.heights.any():
            return min(n, 1)
        levels = np.log(np.maximum(np.concatenate([np.zeros(n), self.heights]), LEAST))
        sizes = np.concatenate([self.areas, np.zeros(n - 1)])
        swallowed = np.zeros(2 * n - 1)
        for k, pair in enumerate(self.pairs):
            sizes[n + k] = sizes[pair].sum()
            swallowed[pair] = levels[n + k]
        mass = sizes * (swallowed - levels)
        mass[-1] = -np.inf  # all in one says nothing
        best, count = mass.copy(), np.ones(2 * n - 1, np.int64)
        for k, pair in enumerate(self.pairs):
            if best[pair].sum() > mass[n + k]:
                best[n + k], count[n + k] = best[pair].sum(), count[pair].sum()
        return min(int(count[-1]), MOST_CLASSES)


def _ward(squared: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs int64 (N - 1, 2) of nodes in the order of their costs (N - 1,), by chains of nearest
    neighbours (Murtagh 1983), in N * N steps."""
    n = len(weights)
    weight = np.array(weights, np.float64)
    cost = squared * (weight[:, None] * weight / (weight[:, None] + weight))
    np.fill_diagonal(cost, np.inf)
    alive = np.ones(n, bool)
    joined: list[tuple[int, int, float]] = []
    chain = [0]
    while len(joined) < n - 1:
        if not chain:
            chain = [int(alive.argmax())]
        here = chain[-1]
        there = int(cost[here].argmin())
        if len(chain) > 1 and cost[here, chain[-2]] <= cost[here, there]:
            there = chain[-2]
        if len(chain) < 2 or there != chain[-2]:
            chain.append(there)
            continue
        chain = chain[:-2]
        price = cost[here, there]
        joined.append((here, there, price))
        others = alive.copy()
        others[[here, there]] = False
        own, more = weight[here], weight[there]
        total = own + more + weight[others]
        fresh = (own + weight[others]) * cost[here, others]
        fresh += (more + weight[others]) * cost[there, others] - weight[others] * price
        cost[here, others] = cost[others, here] = fresh / total
        cost[there], cost[:, there] = np.inf, np.inf
        alive[there] = False
        weight[here] += more
    return _ordered(joined, n)


def _ordered(joined: list[tuple[int, int, float]], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Joins of rows, each kept under its first, as joins of numbered nodes, the cheapest first."""
    costs = np.array([price for _, _, price in joined], np.float64)
    node, pairs = np.arange(n), np.zeros((len(joined), 2), np.int64)
    order = np.argsort(costs, kind="stable")
    for k, i in enumerate(order.tolist()):
        here, there, _ = joined[i]
        pairs[k] = node[here], node[there]
        node[here] = n + k
    return pairs, np.maximum.accumulate(costs[order])
