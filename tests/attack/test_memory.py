"""Fault matrix, memory: what is promised is kept."""

from __future__ import annotations

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource")

PEAK = """
import resource, numpy as np
from samlab.latent.cluster import cluster
rng = np.random.default_rng(0)
points = np.repeat(rng.random((40, 16)), 60, axis=0) + 0.02 * rng.random((2400, 16))
cluster(points[:200], method={method!r})
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
cluster(points, method={method!r}, max_memory={allowed})
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak as Linux counts it")
@pytest.mark.parametrize("method", ["dbscan", "hdbscan"])
def test_clustering_takes_no_more_memory_than_it_may(method) -> None:
    from samlab.latent.cluster.distances import matrix_bytes

    allowed = matrix_bytes(2400)
    script = PEAK.format(method=method, allowed=allowed)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) <= allowed
    assert allowed < 6 * 8 * 2400**2
