"""Segments that overlap to regions that do not: what a class map begins with."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from scipy import ndimage, sparse
from sklearn.utils.extmath import randomized_svd

from samlab import masks
from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.latent.partition import consensus
from samlab.latent.partition.arrangement import Arrangement, arrange
from samlab.segments import Segments

TOGETHER = "together"
"""Name of the scores by which `samlab.cluster` knows what the masks say about pairs of regions."""

FACTORS = 32
"""Numbers per region in those scores."""

SMALLEST_CELL = 2e-4
"""Share of the picture: smaller cells are slivers between outlines that all but coincide, and go to
the cell that most nearly lies in the same masks."""

MANY, BEST = 6, 12
"""Powers of the predicted IoU that a mask weighs: where it is asked what belongs together, which
many may say, and where it is asked what is true, which the best know. Chosen on CamVid's training
frames and photos of BSDS500 val that `benchmarks/first_answer.py` does not judge by, for the masks
of both generations of the embedded model together. Flatter weights are as good where masks are few
and their scores calibrated, but lose where masks are many and nested; ranks instead of scores the
other way."""

MOST_CELLS = 3000
"""Cells that are weighed one against the other. Where there are more (thousands of segments in one
picture), segments are kept greedily: the best score first, if at most half is covered already."""


@checked_arguments
def partition(segments: Segments, *, unassigned: Literal["keep", "nearest"] = "keep") -> Segments:
    """Choose disjoint regions that stand for all the segments, each pixel in one at most.

    SAM's masks nest and overlap. Taken as so many guesses at the true regions, weighted by powers
    of their predicted IoU, they say how likely two pixels belong together; what is likely is joined
    into a tree of regions, and the tree is cut so that the expected covering, the mean IoU of a
    pixel's region with the true one, is the largest. See `samlab.latent.partition.consensus` for
    formulas and sources. No threshold depends on the picture's size.

    Args:
        segments: N segments, of one picture or of several (each is cut on its own).
        unassigned: Pixels in no segment stay so (`"keep"`), or go to the nearest region
            (`"nearest"`).

    Returns:
        Segments, disjoint, none empty. A region has the scores, point, level, label and vectors of
        the segment that it matches best, no `parent`, and `scores["together"]`, float32 (R, 32),
        which lets `samlab.cluster` know which neighbours have no outline between them. Segments
        that overlap no other come back as they are; no segments give none.

    Example:
        >>> nested = Segments(masks.encode(np.tril(np.ones((3, 4, 4), bool), 1)))
        >>> len(partition(nested))
        1
    """
    if unassigned not in ("keep", "nearest"):
        raise InputError(f"Expected unassigned='keep' or 'nearest', got {unassigned!r}.")
    pictures = np.asarray(segments.image_ids)
    names = list(dict.fromkeys(pictures.tolist()))
    if len(names) > 1:
        parts = [segments[pictures == name] for name in names]
        return Segments.concat([partition(part, unassigned=unassigned) for part in parts])
    full = segments[np.asarray(segments.areas) > 0]
    if len(full) == 0:
        return full
    whole = arrange(full.rles, full.image_size)
    held = np.asarray(whole.inside.sum(axis=0)).ravel()
    if held.max() > 1:
        full = _regions(full, whole, held)
    return _filled(full) if unassigned == "nearest" else full


def shared_pixels(one: Segments, other: Segments) -> sparse.csr_matrix:
    """Pixels that segments of one picture share, int64 sparse (N, M)."""
    cells = arrange([*one.rles, *other.rles], one.image_size)
    a, b = cells.inside[: len(one)], cells.inside[len(one) :]
    return a.multiply(cells.areas[None]).tocsr() @ b.T.astype(np.int64).tocsr()


def _regions(segments: Segments, whole: Arrangement, held: np.ndarray) -> Segments:
    """Segments of which some overlap, not one of them empty."""
    score = _scores(np.asarray(segments.predicted_iou, np.float64))
    likely, odds = score**MANY, score**BEST
    large = _main_cells(whole, held)
    if len(large) > MOST_CELLS:
        of_cell = _greedy(whole, score)
    else:
        of_cell = _consensus(whole, held, large, likely, odds)
    return _described(segments, whole, of_cell, likely)


def _consensus(
    whole: Arrangement,
    held: np.ndarray,
    large: np.ndarray,
    likely: np.ndarray,
    odds: np.ndarray,
) -> np.ndarray:
    """The region of each cell, int64 (M,), -1 outside all masks."""
    inside, areas = whole.inside[:, large], np.zeros(len(large))
    nearest = _nearest_cells(whole, held, large, likely)
    np.add.at(areas, nearest[nearest >= 0], whole.areas[nearest >= 0])
    tree = consensus.merge_tree(consensus.together(inside.toarray(), likely))
    nodes = consensus.members(tree)
    values = consensus.expected_covering(nodes, inside, areas, odds)
    region = np.unique(consensus.best_cut(tree, values), return_inverse=True)[1].ravel()
    return np.where(nearest >= 0, region[nearest], -1)


def _greedy(whole: Arrangement, score: np.ndarray) -> np.ndarray:
    """The same by taking the best segments first; cells of none that is taken have no region."""
    result = np.full(len(whole.areas), -1)
    count = 0
    for i in np.argsort(-score, kind="stable"):
        own = whole.inside.indices[whole.inside.indptr[i] : whole.inside.indptr[i + 1]]
        free = own[result[own] < 0]
        if 2 * whole.areas[free].sum() >= whole.areas[own].sum():
            result[free] = count
            count += 1
    return result


def _scores(predicted_iou: np.ndarray) -> np.ndarray:
    """As shares of the best, above 0; what is unknown has the median, without any all are 1."""
    known = np.isfinite(predicted_iou)
    if not known.any() or predicted_iou[known].max() <= 0:
        return np.ones(len(predicted_iou))
    scores = np.where(known, predicted_iou, np.median(predicted_iou[known]))
    return np.maximum(scores / predicted_iou[known].max(), 0.01)


def _main_cells(whole: Arrangement, held: np.ndarray) -> np.ndarray:
    """Ids of the cells that count: those that are large enough, and each mask's largest where none
    of its cells is."""
    wanted = (held > 0) & (whole.areas >= SMALLEST_CELL * whole.areas.sum())
    bare = np.flatnonzero(whole.inside @ wanted.astype(np.int64) == 0)
    if len(bare):
        sizes = whole.inside[bare].multiply(whole.areas[None]).tocsr()
        wanted[np.unique(np.asarray(sizes.argmax(axis=1)).ravel())] = True
    return np.flatnonzero(wanted)


def _nearest_cells(
    whole: Arrangement, held: np.ndarray, large: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """For each cell the place in `large` of the one in most nearly the same masks; -1 outside all
    masks. int64 (M,)."""
    result = np.full(len(held), -1)
    result[large] = np.arange(len(large))
    rest = np.flatnonzero((held > 0) & (result < 0))
    weighted = whole.inside.multiply(weights[:, None]).tocsc()
    total = np.asarray(weighted.sum(axis=0)).ravel()
    inside = whole.inside[:, large].astype(np.float64).tocsr()
    for start in range(0, len(rest), 4096):
        part = rest[start : start + 4096]
        both = (weighted[:, part].T @ inside).toarray()
        result[part] = (both / (total[part, None] + total[large][None] - both)).argmax(axis=1)
    return result


def _described(
    segments: Segments, whole: Arrangement, of_cell: np.ndarray, weights: np.ndarray
) -> Segments:
    """The regions as Segments, in the order of the segments that they match best."""
    count = int(of_cell.max()) + 1
    covered = np.flatnonzero(of_cell >= 0)
    cells = sparse.csr_matrix(
        (whole.areas[covered].astype(np.float64), (of_cell[covered], covered)),
        shape=(count, len(of_cell)),
    )
    shared = (cells @ whole.inside.T.astype(np.float64)).tocoo()
    sizes = np.asarray(cells.sum(axis=1)).ravel()
    union = sizes[shared.row] + segments.areas[shared.col] - shared.data
    best = np.lexsort((-shared.data / union, shared.row))
    match = shared.col[best[np.searchsorted(shared.row[best], np.arange(count))]]
    order = np.lexsort((-sizes, match))
    rles = whole.joined(np.where(of_cell >= 0, np.argsort(order)[of_cell], -1))
    found = segments[match[order]].with_masks(rles)
    held = sparse.csr_matrix(
        (shared.data / sizes[shared.row] * np.sqrt(weights)[shared.col], (shared.row, shared.col)),
        shape=shared.shape,
    )
    return replace(
        found,
        parent=np.full(count, -1),
        scores={**found.scores, TOGETHER: _factors(held[order])},
    )


def _factors(held: sparse.csr_matrix) -> np.ndarray:
    """float32 (R, FACTORS), with all but the same products between rows as held (R, N)."""
    rank = min(held.shape)
    if rank > 2 * FACTORS:
        found, strength, _ = randomized_svd(held, FACTORS, n_iter=4, random_state=0)
    else:
        found, strength, _ = np.linalg.svd(held.toarray(), full_matrices=False)
    order = np.argsort(-strength)[:FACTORS]
    found = (found * strength)[:, order]
    return np.pad(found, ((0, 0), (0, FACTORS - found.shape[1]))).astype(np.float32)


def _filled(segments: Segments) -> Segments:
    """Disjoint segments that share out the pixels of no segment by distance."""
    count = len(segments)
    index = segments.label_map(np.arange(count))
    bare = index < 0
    if not bare.any():
        return segments
    rows, columns = ndimage.distance_transform_edt(
        bare, return_distances=False, return_indices=True
    )
    index = index[rows, columns]
    return segments.with_masks([masks.compress(masks.encode(index == i)) for i in range(count)])  # type: ignore[arg-type]
