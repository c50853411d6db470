"""Methods beside DBSCAN and Ward: HDBSCAN, k-means and Leiden.

HDBSCAN (Campello et al. 2013; McInnes and Healy 2017) stands on the hierarchy that is there
already. It is not scikit-learn's, whose `cluster_selection_epsilon` above 0 fails with NumPy 2.4;
the classes are the same, in the order of their first members, as those of DBSCAN.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from sklearn.cluster import KMeans
from sklearn.neighbors import kneighbors_graph

from samlab.errors import require_extra
from samlab.latent.cluster.hierarchy import Hierarchy

NEIGHBOURS = 15
"""At most so many nearest neighbours is each segment linked to, as in UMAP; in small tables the
root of their number, at least 3."""


@dataclass
class _Condensed:
    """Clusters that have at least the least size, 0 is everything.

    parent, birth: of each cluster, and at which density, 1 / distance, it appears; points, left:
    the cluster of which each point falls out at last, and at which density.
    """

    parent: list[int] = field(default_factory=lambda: [-1])
    birth: list[float] = field(default_factory=lambda: [0.0])
    points: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    left: np.ndarray = field(default_factory=lambda: np.zeros(0))


def hdbscan(tree: Hierarchy, least: int, eps: float = 0.0) -> np.ndarray:
    """Labels int64 (N,) of the classes with the largest excess of mass; -1 is noise.

    Args:
        tree: Of N points.
        least: Points that a class has at least, 2 or more.
        eps: Classes are not split below this distance (Malzer and Baum 2020), 0 for everywhere.
    """
    n = len(tree.distances)
    if n < max(least, tree.min_samples):
        return np.full(n, -1, np.int64)
    found = _condense(tree.tree, n, least)
    chosen = _largest_mass(found)
    if eps > 0:
        chosen = _not_below(found, chosen, eps)
    number = np.full(len(found.parent), -1, np.int64)
    number[chosen] = np.arange(len(chosen))
    for cluster in range(1, len(number)):  # what lies in a chosen one belongs to it
        if number[cluster] < 0:
            number[cluster] = number[found.parent[cluster]]
    labels = number[found.points]
    _, first, place = np.unique(labels[labels >= 0], return_index=True, return_inverse=True)
    labels[labels >= 0] = np.argsort(np.argsort(first))[place]
    return labels


def _condense(links: np.ndarray, n: int, least: int) -> _Condensed:
    """The single-linkage tree without splits that only shed points."""
    found = _Condensed(points=np.zeros(n, np.int64), left=np.zeros(n))
    children = links[:, :2].astype(int)
    sizes = np.concatenate([np.ones(n, int), links[:, 3].astype(int)])
    level = [(2 * n - 2, 0)]
    while level:  # level by level, as scikit-learn counts its clusters
        below: list[tuple[int, int]] = []
        for node, cluster in level:
            density = 1 / max(links[node - n, 2], 1e-12)
            parts = children[node - n].tolist()
            large = [part for part in parts if sizes[part] >= least]
            for part in parts:
                if part not in large:
                    own = _leaves(part, children, n)
                    found.points[own], found.left[own] = cluster, density
                elif len(large) == 1:
                    below.append((part, cluster))
                else:
                    found.parent.append(cluster)
                    found.birth.append(density)
                    below.append((part, len(found.parent) - 1))
        level = below
    return found


def _leaves(node: int, children: np.ndarray, n: int) -> list[int]:
    open_nodes, out = [node], []
    while open_nodes:
        here = open_nodes.pop()
        if here < n:
            out.append(here)
        else:
            open_nodes.extend(children[here - n].tolist())
    return out


def _largest_mass(found: _Condensed) -> np.ndarray:
    """Ids of the clusters with the largest sum of the excess of mass, ascending; never 0."""
    count = len(found.parent)
    birth, parent = np.array(found.birth), np.array(found.parent)
    inside = np.bincount(found.points, minlength=count)
    mass = np.bincount(found.points, found.left, count) - birth * inside
    for cluster in range(count - 1, 0, -1):
        inside[parent[cluster]] += inside[cluster]
        mass[parent[cluster]] += inside[cluster] * (birth[cluster] - birth[parent[cluster]])
    below = np.zeros(count)
    kept = np.ones(count, bool)
    for cluster in range(count - 1, 0, -1):
        if below[cluster] > mass[cluster]:
            kept[cluster], mass[cluster] = False, below[cluster]
        below[parent[cluster]] += mass[cluster]
    kept[0] = False
    return np.flatnonzero(_outermost(kept, parent))


def _outermost(kept: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """Without those that lie in another that is kept."""
    inside = np.zeros(len(kept), bool)
    for cluster in range(1, len(kept)):
        above = parent[cluster]
        inside[cluster] = inside[above] or (above > 0 and kept[above])
    return kept & ~inside


def _not_below(found: _Condensed, chosen: np.ndarray, eps: float) -> np.ndarray:
    """Instead of each cluster that appears below eps the nearest around it that does not."""
    kept = np.zeros(len(found.parent), bool)
    for cluster in chosen.tolist():
        here = cluster
        while 1 / found.birth[here] < eps and found.parent[here] > 0:
            here = found.parent[here]
        kept[here] = True
    return np.flatnonzero(_outermost(kept, np.array(found.parent)))


def k_means(points: np.ndarray, areas: np.ndarray, count: int) -> np.ndarray:
    """Labels int64 (N,) of k-means, the best of ten starts; weighted by the root of area."""
    model = KMeans(min(count, len(points)), n_init=10, random_state=0)
    return np.asarray(model.fit(points, sample_weight=np.sqrt(areas)).labels_, np.int64)


def leiden(points: np.ndarray) -> np.ndarray:
    """Labels int64 (N,) of the communities with the largest modularity of the graph of nearest
    neighbours (Traag et al., "From Louvain to Leiden", 2019)."""
    for module in ("igraph", "leidenalg"):
        require_extra(module, "graph", "method='leiden'")
    import igraph
    import leidenalg

    n = len(points)
    if n < 2:
        return np.zeros(n, np.int64)
    neighbours = int(np.clip(round(np.sqrt(n)), 3, NEIGHBOURS))
    linked = kneighbors_graph(points, min(neighbours, n - 1)).tocoo()
    graph = igraph.Graph(n, list(zip(linked.row.tolist(), linked.col.tolist(), strict=True)))
    graph.simplify()
    found = leidenalg.find_partition(graph, leidenalg.ModularityVertexPartition, seed=0)
    return np.asarray(found.membership, np.int64)
