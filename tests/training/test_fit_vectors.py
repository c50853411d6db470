"""How the parts of the vectors are weighed."""

from __future__ import annotations

import numpy as np
import torch

from samlab.sam.tiny.descriptor import COUNTED, LEARNT, PARTS, Descriptor
from training.fit_vectors import fit_descriptor, pooled


def test_means_over_leaves_weigh_cells_by_cover():
    """A picture of 32 x 48 pixels, two leaves, the border through the middle of a cell."""
    maps = np.arange(6, dtype=np.float32).reshape(1, 2, 3).repeat(COUNTED + 128, 0)
    leaf = np.zeros((32, 48), int)
    leaf[:, 24:] = 1
    counted, learnt = pooled(maps, leaf, (32, 48))
    left = (0 + 3 + 0.5 * (1 + 4)) / 3
    right = (2 + 5 + 0.5 * (1 + 4)) / 3
    np.testing.assert_allclose(counted[:, 0], [left, right], rtol=1e-5)
    np.testing.assert_allclose(learnt[:, 5], [left, right], rtol=1e-5)


def test_all_parts_vary_alike_after_fitting():
    rng = np.random.default_rng(0)
    counted = rng.random((200, COUNTED)) * np.exp(rng.normal(size=COUNTED))
    # Like the network's vectors: nearly all in few directions.
    learnt = rng.normal(size=(200, 40)) @ rng.normal(size=(40, 128))
    buffers = fit_descriptor([(counted[:100], learnt[:100]), (counted[100:], learnt[100:])])
    Descriptor().load_state_dict({k: torch.from_numpy(v) for k, v in buffers.items()})
    basis = buffers["basis"]
    np.testing.assert_allclose(basis @ basis.T, np.eye(LEARNT), atol=1e-5)
    whole = np.concatenate([counted - buffers["centre"], learnt @ basis.T], 1) * buffers["scale"]
    start = 0
    for size in (*PARTS, LEARNT):
        part = whole[:, start : start + size]
        spread = ((part - part.mean(0)) ** 2).sum(1).mean()
        np.testing.assert_allclose(spread, 1, rtol=1e-3)
        start += size
