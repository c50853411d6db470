"""One process per device: the same table, and nothing lost when processes die."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samlab
from samlab.errors import InputError
from samlab.pictures import list_pictures, read_picture
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.runs.disk.shards import Outcome
from samlab.runs.engine import processes
from samlab.runs.engine.collect import RunError
from samlab.runs.engine.processes import DeviceProcesses
from samlab.runs.results import Run, open_run
from samlab.worker import Worker
from tests.runs.light import LightConfig, make_pictures, run_light, tables_of


@pytest.fixture
def pictures(tmp_path) -> Path:
    return make_pictures(tmp_path / "pictures", 40, broken=2)


def run_two(pictures: Path, out: Path, **options: Any) -> Run:
    """The light model in two processes."""
    return run_light(pictures, out, devices=["cpu"] * 2, batch=2, flush_pictures=5, **options)


def in_one_process(config: SegmenterConfig, pictures: Path) -> list[Outcome]:
    return list(DeviceProcesses(config, ["cpu"]).outcomes(iter(list_pictures(pictures))))


def deadly(tmp_path: Path, pictures: Path, name: str, ending: str = "") -> str:
    """Mark a picture as one on which the process ends."""
    folder = tmp_path / "deadly"
    folder.mkdir(exist_ok=True)
    pixels = read_picture(str(pictures / name))[0]
    (folder / f"{pixels[0, 0, 0]}-{pixels[0, 1, 0]}{ending}").touch()
    return str(folder)


def test_two_processes_give_the_same_table(pictures, tmp_path) -> None:
    together = run_two(pictures, tmp_path / "a")
    assert tables_of(together) == tables_of(run_light(pictures, tmp_path / "b"))


def test_a_process_that_dies_once_loses_nothing(pictures, tmp_path) -> None:
    folder = deadly(tmp_path, pictures, "00007.png")
    run = run_two(pictures, tmp_path / "a", deadly=folder)
    assert not list(Path(folder).iterdir())
    assert tables_of(run) == tables_of(run_light(pictures, tmp_path / "b"))


def test_a_picture_that_kills_every_process_fails_alone(pictures, tmp_path) -> None:
    folder = deadly(tmp_path, pictures, "00007.png", "always")
    run = run_two(pictures, tmp_path / "a", deadly=folder)
    row = run.pictures.set_index("image_id").loc["00007.png"]
    assert (row["error_type"], row["status"]) == ("ProcessDied", "error")
    assert row["error"] == "The process working on it ended with code 7."
    assert len(run.errors) == 3
    assert len(run) == 40


def test_processes_that_die_all_the_time_stop_the_run(pictures, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(processes, "_RESTARTS", 0)
    folder = deadly(tmp_path, pictures, "00003.png", "always")
    deadly(tmp_path, pictures, "00012.png", "always")
    with pytest.raises(
        RunError, match="The processes on cpu, cpu ended too often; .* ended with code 7"
    ):
        run_two(pictures, tmp_path / "out", deadly=folder)
    assert len(open_run(tmp_path / "out")) >= 1
    # Whichever picture both processes died on counts as failed.
    again = run_two(pictures, tmp_path / "out", retry_errors=True)
    assert tables_of(again) == tables_of(run_light(pictures, tmp_path / "b"))


def test_stopping_ends_the_processes_and_starts_no_others(pictures, monkeypatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = Worker._popen
    monkeypatch.setattr(Worker, "_popen", lambda own: started.append(start(own)) or started[-1])
    two = DeviceProcesses(LightConfig(), ["cpu", "cpu"], batch=2)
    outcomes = two.outcomes(iter(list_pictures(pictures)))
    next(outcomes)
    outcomes.close()  # waits for the threads, which wait for the processes
    assert 1 <= len(started) <= 2
    assert all(process.poll() is not None for process in started)


def test_a_model_that_cannot_be_loaded_says_so(pictures) -> None:
    with pytest.raises(
        RunError, match=r"could not start: CheckpointError: No checkpoint at 'no\.p"
    ):
        in_one_process(SegmenterConfig("no.pth"), pictures)


def test_what_cannot_travel_is_refused(pictures, tmp_path) -> None:
    class Local:
        name = "local"

        def __call__(self, image, segments):
            return np.zeros((len(segments), 2))

    with pytest.raises(InputError, match="cannot be sent to another process .* define it in a mod"):
        in_one_process(SegmenterConfig(embed=(Local(),)), pictures)
    with pytest.raises(InputError, match="for several the model by its name"):
        samlab.run(pictures, tmp_path / "out", sam=samlab.load_sam("tiny"), device=["cpu", "cpu"])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_real_model_in_two_processes(tmp_path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 3, broken=1, size=48)
    options = {"points_per_side": 4, "progress": False}
    two = samlab.run(pictures, tmp_path / "a", device=["cpu", "cpu"], cache=tmp_path, **options)
    one = samlab.run(pictures, tmp_path / "b", **options)
    assert len(one.errors) == 1
    assert tables_of(two) == tables_of(one)
