"""Who is told how far long work is, and when."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import samlab
from samlab.process import progress
from samlab.process.progress import hushed, shown_from, stage

ROOT = Path(__file__).parents[2]


class Tty:
    """A terminal that remembers."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Tty:
    found = Tty()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=found, modules=sys.modules))
    monkeypatch.setattr(progress, "_DELAY", 0.05)
    monkeypatch.setattr(progress, "_EVERY", 0.02)
    return found


def test_long_work_is_told_at_a_terminal_and_its_line_taken_away(tty: Tty) -> None:
    with stage("Masks", 8, "point") as told:
        told.step(2)
        time.sleep(0.3)
    assert "Masks:  25%" in tty.text
    assert "2/8" in tty.text
    assert tty.text.endswith("\r")
    assert tty.text.split("\r")[-2].strip() == ""


def test_short_and_hushed_work_says_nothing(tty: Tty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_DELAY", 5)
    with stage("Masks", 8):
        pass
    monkeypatch.setattr(progress, "_DELAY", 0.02)
    with hushed(), stage("Masks", 8):
        time.sleep(0.2)
    with stage("Masks", 8, show=False):
        time.sleep(0.2)
    monkeypatch.setenv(progress.WANTED, "0")
    with stage("Masks", 8):
        time.sleep(0.2)
    assert tty.text == ""


def test_a_stage_inside_another_says_nothing(tty: Tty) -> None:
    with stage("UMAP"), stage("Inner", 3):
        time.sleep(0.2)
    assert "UMAP: 00:00" in tty.text
    assert "Inner" not in tty.text


def test_nobody_waits_where_stderr_is_a_file(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(progress, "_DELAY", 0.02)
    with stage("Masks", 8):
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_segmenting_tells_of_the_encoder_and_of_the_points(
    tty: Tty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    picture = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    samlab.segment(picture, points_per_side=24)
    assert "Encode" in tty.text
    assert "/576" in tty.text


def test_stages_of_another_process_are_shown(tty: Tty, tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    with shown_from(file):
        state = {"name": "Masks", "done": 3, "total": 4, "unit": "point"}
        file.write_text(json.dumps(state))
        time.sleep(0.3)
        file.unlink()
        time.sleep(0.3)
    assert "3/4" in tty.text
    assert "Plots and page" in tty.text
    assert tty.text.endswith("\r")


def test_a_log_has_one_line_for_each_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.02)
    file = tmp_path / "progress.json"
    with shown_from(file):
        for done in range(3):
            file.write_text(json.dumps({"name": "Masks", "done": done, "total": 4, "unit": ""}))
            time.sleep(0.1)
    assert capsys.readouterr().err == "Masks\n"


@pytest.mark.slow
def test_a_report_tells_its_stages_at_a_terminal(tmp_path: Path) -> None:
    """In a terminal of its own, as a person has it."""
    leader, follower = pty.openpty()
    command = [
        sys.executable, "-m", "samlab.cli.main", "report", str(ROOT / "data" / "coins.png"),
        "-o", str(tmp_path / "r.html"), "-p", "points_per_side", "16",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=follower, stdout=subprocess.PIPE, cwd=ROOT)
    os.close(follower)
    text = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    assert process.wait() == 0
    said = text.decode()
    assert "UMAP" in said
    assert "/17 " not in said
