"""The whole program in minutes: every stage runs, a second start has nothing left to do."""

from __future__ import annotations

import pytest

from samlab.sam.tiny import build_tiny
from training import __main__ as program


@pytest.mark.slow
def test_quick_makes_weights_that_open(tmp_path, capsys):
    weights = tmp_path / "tiny.safetensors"
    command = ["--quick", "--out", str(tmp_path / "run"), "--weights", str(weights)]
    command += ["--threads", "1", "--device", "cpu", "--workers", "0"]
    program.main(command)
    assert "rendered shard 0" in capsys.readouterr().out
    build_tiny(weights)
    network = tmp_path / "run" / "network" / "tiny_final.safetensors"
    before = network.stat().st_mtime_ns
    program.main(command)
    assert network.stat().st_mtime_ns == before
    assert "rendered shard" not in capsys.readouterr().out
