"""Which cells belong together, as far as many overlapping masks can tell.

The masks are taken as guesses at the true regions of the picture: at a pixel, the truth is one of
the masks around it, with a probability that follows their weights. Two questions are answered from
that: how likely two cells lie in one true region (evidence accumulation: Fred and Jain, "Combining
multiple clusterings using evidence accumulation", 2005), which gives a tree of regions, and how
well a set of disjoint regions covers the truth on average (covering: Arbelaez et al., "Contour
detection and hierarchical image segmentation", 2011), which says where to cut the tree.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

_ROWS = 512


def together(inside: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How likely two cells lie in one region: the weight of the masks that hold both, as a share of
    that of the masks that hold either. float64 (M, M) in 0 .. 1.

    inside (N, M) in 0 .. 1: the share of each cell that lies in each mask; weights (N,).
    """
    held = np.asarray(inside, np.float64)
    both = (held * weights[:, None]).T @ held
    one = np.diag(both)
    either = one[:, None] + one[None] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def merge_tree(likely: np.ndarray) -> np.ndarray:
    """Cells joined by average linkage, the likeliest first; scipy's linkage (M - 1, 4)."""
    if len(likely) < 2:
        return np.zeros((0, 4))
    apart = 1 - likely
    np.fill_diagonal(apart, 0)
    return linkage(squareform(np.maximum(apart, 0), checks=False), "average")


def members(tree: np.ndarray) -> np.ndarray:
    """Which of the M cells each of the 2 M - 1 nodes holds, bool; the root is last."""
    count = len(tree) + 1
    held = np.zeros((2 * count - 1, count), bool)
    held[np.arange(count), np.arange(count)] = True
    for k, (one, other) in enumerate(tree[:, :2].astype(int).tolist()):
        held[count + k] = held[one] | held[other]
    return held


def expected_covering(
    nodes: np.ndarray, inside: sparse.csr_matrix, areas: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """What each node would add to the expected covering, in pixels, float64 (K,).

    The sum over its pixels of the IoU of the node with the true region there, whose odds are the
    weights of the masks around the pixel.

    nodes (K, M) bool; inside (N, M) bool; areas (M,); weights (N,), above 0.
    """
    size = inside @ areas
    around = np.maximum(inside.T @ weights, np.finfo(float).tiny)
    odds = inside.multiply(weights[:, None]).multiply(1 / around[None]).T.tocsr()
    held = inside.T.astype(np.float64).tocsr()
    result = np.zeros(len(nodes))
    for start in range(0, len(nodes), _ROWS):
        own = nodes[start : start + _ROWS] * areas.astype(np.float64)
        shared = own @ held
        union = own.sum(axis=1)[:, None] + size[None] - shared
        iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        result[start : start + _ROWS] = (iou * (own @ odds)).sum(axis=1)
    return result


def best_cut(tree: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The cut through a binary tree whose nodes have the largest sum of values, by dynamic
    programming from the leaves (Guigues et al., "Scale-sets image analysis", 2006).

    values (2 M - 1,). Returns the chosen node of each leaf, int64 (M,).
    """
    count = len(tree) + 1
    best = np.array(values, float)
    children = tree[:, :2].astype(int)
    for k, pair in enumerate(children):
        best[count + k] = max(values[count + k], best[pair].sum())
    chosen = np.arange(2 * count - 1)
    for k in range(count - 2, -1, -1):  # from the root: what is chosen holds for all below
        node = count + k
        whole = chosen[node] != node or values[node] >= best[node]
        chosen[children[k]] = chosen[node] if whole else children[k]
    return chosen[:count]
