"""How threads wait, how many there are, and who says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from samlab.doctor import hardware
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.process import threads
from samlab.runs.engine.processes import DeviceProcesses

ROOT = Path(__file__).parents[2]
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*WAITING, "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def said_in_a_command(tmp_path: Path, **environment: str) -> str:
    """What a command has in its environment when it asks for the model list, and whether torch came
    before it."""
    code = (
        "import sys, os, samlab.cli.main as cli, samlab.sam.checkpoints as c\n"
        "def status(verify):\n"
        "    print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)\n    return []\n"
        "c.status = status\ncli.app(['models'])"
    )
    own = {k: v for k, v in os.environ.items() if k not in WAITING}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**own, **environment}, cwd=ROOT, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_the_command_waits_passively_unless_somebody_has_said_how(tmp_path: Path) -> None:
    assert said_in_a_command(tmp_path) == "PASSIVE False"
    assert said_in_a_command(tmp_path, OMP_WAIT_POLICY="active") == "active False"
    assert said_in_a_command(tmp_path, GOMP_SPINCOUNT="1000") == "None False"


def test_importing_samlab_says_nothing_of_it() -> None:
    code = "import os, samlab; samlab.Segments; print(os.environ.get('OMP_WAIT_POLICY'))"
    own = {k: v for k, v in os.environ.items() if k not in WAITING}
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True)
    assert done.stdout.strip() == "None"


def test_workers_of_a_run_wait_passively(nothing_said: None) -> None:
    worker = DeviceProcesses(SegmenterConfig("tiny"), ["cpu", "cpu"])._worker("cpu")
    assert worker._environment["OMP_WAIT_POLICY"] == "PASSIVE"


def test_make_waits_passively() -> None:
    own = {k: v for k, v in os.environ.items() if k not in WAITING}
    shown = subprocess.run(
        ["make", "-pn", "help"], cwd=ROOT, env=own, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"^(export )?OMP_WAIT_POLICY = PASSIVE$", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "unreadable"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_container(
    tmp_path: Path, files: dict[str, str], expected: float | None
) -> None:
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert threads.cgroup_quota(tmp_path) == expected


def test_threads_are_as_many_as_the_quota_gives(
    nothing_said: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "visible_cores", lambda: 64)
    monkeypatch.setattr(threads, "cgroup_quota", lambda: 3.6)
    assert threads.usable_cores() == 4
    assert threads.computing_environment()["OMP_NUM_THREADS"] == "4"
    monkeypatch.setattr(threads, "cgroup_quota", lambda: 0.5)
    assert threads.usable_cores() == 1
    monkeypatch.setattr(threads, "cgroup_quota", lambda: None)
    assert "OMP_NUM_THREADS" not in threads.computing_environment()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert threads.usable_cores() == 7
    assert "OMP_NUM_THREADS" not in threads.computing_environment()


def test_two_threads_of_one_core_get_as_much_done_as_one() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("binds threads to a core as Linux does")
    found: list[float] = []

    def on_one_core() -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        while len(found) < 8 and (not found or found[-1] >= 1.6):  # others disturb it at times
            found.append(threads.measured_cores(2, 0.2))

    thread = threading.Thread(target=on_one_core)
    thread.start()
    thread.join()
    assert 0.3 < found[-1] < 1.6


def test_the_doctor_tells_of_threads_that_spin(
    nothing_said: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 2)
    monkeypatch.setattr(hardware, "measured_cores", lambda threads: 1.04)
    finding = hardware.check_threads()
    assert finding.status == "warn"
    assert "2 busy threads get 1.0 times as much done as one" in finding.found
    assert 'os.environ["OMP_WAIT_POLICY"] = "PASSIVE"' in finding.advice
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert hardware.check_threads().status == "ok"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setattr(hardware, "measured_cores", lambda threads: 1.9)
    assert hardware.check_threads().status == "ok"
