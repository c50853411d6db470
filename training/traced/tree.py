"""From ids of objects and materials to leaf map and tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMALLEST = 16
"""Pixels; of less is visible nothing that counts, its pixels go to what lies nearest."""

MOST = 240
"""Nodes; leaf numbers fit into a byte. The smallest leaves go first."""


@dataclass(frozen=True)
class Tree:
    """parents and materials of the nodes, as in `training.flat.scenes.Scene`."""

    parents: NDArray[np.int32]
    materials: NDArray[np.int32]


def _calmed(index: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Each pixel's most frequent id among the 5 x 5 around it: out of focus, ids are scattered, as
    each pixel has that of one ray. What a thin thing would lose there it keeps."""
    votes = np.zeros(index.shape, np.float32)
    result = index.copy()
    for value in range(count):
        mine = ndimage.uniform_filter((index == value).astype(np.float32), 5)
        better = mine > votes + 1e-6
        votes, result = np.where(better, mine, votes), np.where(better, value, result)
    kept = np.bincount(result.ravel(), minlength=count) / np.maximum(
        np.bincount(index.ravel(), minlength=count), 1
    )
    thin = kept[index] < 0.8
    return np.where(thin, index, result)


def _cleaned(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ids without specks: a key that covers too little becomes that of the nearest pixel."""
    found, index, count = np.unique(keys, return_inverse=True, return_counts=True)
    index = index.reshape(keys.shape)
    small = count < SMALLEST
    for limit in sorted(count.tolist()):
        if (~small).sum() <= MOST // 2:
            break
        small |= count <= limit
    bad = small[index]
    if bad.any() and not bad.all():
        nearest = ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
        index = index[tuple(nearest)]
    return found[_calmed(index, len(found))]


def tree_of(
    objects: NDArray[np.int64],
    materials: NDArray[np.int64],
    owner: Sequence[int],
    kind: Sequence[int],
) -> tuple[NDArray[np.uint8], Tree]:
    """Leaf map uint8 (H, W) and tree.

    objects, materials (H, W): indices per pixel; owner: whole of each object; kind: of each whole.
    A whole is a child of the root; below it come its visible objects if it has several, below
    those their visible materials.

    >>> leaf, tree = tree_of(np.array([[1] * 9, [1] * 9, [2] * 9, [2] * 9]),
    ...     np.array([[1] * 9, [1] * 9, [2] * 9, [2] * 9]), [0, 1, 1], [1, 2])
    >>> tree.parents.tolist(), leaf[0, 0], leaf[3, 0]
    ([0, 0, 1, 1], 2, 3)
    """
    keys = _cleaned(objects.astype(np.int64) * 4096 + materials)
    visible = np.unique(keys)
    parents, kinds = [0], [0]
    number: dict[int, int] = {}
    whole_of = np.array(owner)[visible // 4096]
    for whole in np.unique(whole_of):
        mine = visible[whole_of == whole]
        parents.append(0)
        kinds.append(int(kind[whole]))
        top = len(parents) - 1
        pieces = np.unique(mine // 4096)
        for piece in pieces:
            below = top
            used = mine[mine // 4096 == piece]
            if len(pieces) > 1:
                parents.append(top)
                kinds.append(_kind(used[0] % 4096))
                below = len(parents) - 1
            for key in used.tolist():
                if len(used) > 1:
                    parents.append(below)
                    kinds.append(_kind(key % 4096))
                    number[key] = len(parents) - 1
                else:
                    number[key] = below
    if len(parents) > 255:
        raise ValueError(f"{len(parents)} nodes; leaf numbers must fit into a byte")
    lookup = np.array([number[key] for key in visible.tolist()], np.uint8)
    leaf = lookup[np.searchsorted(visible, keys)]
    return leaf, Tree(np.array(parents, np.int32), np.array(kinds, np.int32))


def _kind(material: int) -> int:
    """Kinds of parts are those of their material, apart from the kinds of wholes."""
    return 500 + int(material) % 480
