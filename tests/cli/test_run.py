"""samlab run and samlab cache, as a person calls them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import samlab
from samlab.cli.main import app
from samlab.runs.engine.collect import RunInterrupted

runner = CliRunner()


@pytest.fixture
def photos(tmp_path) -> Path:
    import skimage.data

    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(skimage.data.coins()[:120, :150]).save(folder / "coins.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    return folder


def test_run_and_cache(photos, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SAMLAB_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    command = ["run", str(photos), "-o", str(out), "--points-per-side", "6", "--cache"]
    done = runner.invoke(app, command)
    assert done.exit_code == 0, done.output
    run = samlab.open_run(out)
    assert f"1 picture, {run.n_segments} segments, 1 error\n{out}\n" in done.stdout
    assert "broken.jpg: '" in done.stderr
    again = runner.invoke(app, command)
    assert again.exit_code == 0
    shown = runner.invoke(app, ["cache"])
    assert str(tmp_path / "cache" / "segments") in shown.stdout
    assert re.search(r" 1 picture, 0\.\d MB of at most 5,369 MB\n", shown.stdout)
    assert "0 files, 0.0 MB (see samlab models)" in shown.stdout
    cleared = runner.invoke(app, ["cache", "clear"])
    assert "removed from" in cleared.stdout
    assert " 0 pictures, 0.0 MB" in runner.invoke(app, ["cache"]).stdout


def test_a_second_call_says_what_is_unchanged_and_what_to_do(photos, tmp_path) -> None:
    command = ["run", str(photos), "-o", str(tmp_path / "out"), "--points-per-side", "6"]
    first = runner.invoke(app, command)
    assert "unchanged" not in first.stdout
    again = runner.invoke(app, command)
    assert "1 error (2 unchanged, 0 new)\n" in again.stdout
    assert again.stdout.rstrip().endswith(
        "Everything was done already. --retry-errors does the failed ones again. Other settings "
        "need another folder: -o."
    )
    told = json.loads(runner.invoke(app, [*command, "--json"]).stdout)
    assert (told["pictures"], told["errors"], told["unchanged"], told["new"]) == (1, 1, 2, 0)
    assert told["folder"] == str(tmp_path / "out")
    quiet = runner.invoke(app, [*command, "--quiet"])
    assert quiet.stdout == ""
    assert "broken.jpg" in quiet.stderr
    assert "Pictures" not in quiet.stderr


def test_mistakes_are_one_sentence(photos, tmp_path) -> None:
    out = str(tmp_path / "out")
    for arguments, said in (
        (["run", str(tmp_path / "no"), "-o", out], "Expected a folder, a picture or a glob; '"),
        (["run", str(photos), "-o", out, "--sam", "vit_x"], "Expected a model name out of tiny"),
        (["run", str(photos), "-o", out, "--how", "x"], "Expected how='coverage' or how='any'"),
        (["run", str(photos), "-o", out, "--classify", "no"], "No memory bank at 'no'"),
    ):
        done = runner.invoke(app, arguments)
        assert done.exit_code == 1
        assert done.stderr.startswith(f"samlab: {said}")


def test_nothing_but_errors_is_a_failure(photos, tmp_path) -> None:
    done = runner.invoke(app, ["run", str(photos / "broken.jpg"), "-o", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "0 pictures, 0 segments, 1 error" in done.stdout


def test_pictures_that_are_gone_are_told_and_kept(photos, tmp_path) -> None:
    command = ["run", str(photos), "-o", str(tmp_path / "out"), "--points-per-side", "6"]
    assert "not among the pictures named now" not in runner.invoke(app, command).stderr
    (photos / "broken.jpg").unlink()
    done = runner.invoke(app, command)
    assert "1 picture of these results is not among the pictures named now" in done.stderr
    assert len(samlab.open_run(tmp_path / "out")) == 2


def test_a_wrong_device_is_told_before_anything_is_written(photos, tmp_path) -> None:
    out = tmp_path / "out"
    done = runner.invoke(app, ["run", str(photos), "-o", str(out), "--device", "nonsense"])
    assert done.exit_code == 1
    assert done.stderr.startswith("samlab: Expected a device such as 'cpu'")
    assert not out.exists()


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (RunInterrupted("Stopped by Ctrl-C. 3 pictures are done."), "3 pictures are done"),
        (KeyboardInterrupt(), "before the first picture"),  # while the model is loaded
    ],
)
def test_ctrl_c_says_how_to_go_on(photos, monkeypatch, stop, said) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise stop

    monkeypatch.setattr("samlab.runs.folder.run", stopped)
    done = runner.invoke(app, ["run", str(photos)])
    assert done.exit_code == 130
    assert done.stderr.startswith("samlab: Stopped by Ctrl-C")
    assert f"{said}.\n" in done.stderr


def test_help_shows_an_example() -> None:
    for name in ("run", "cache"):
        shown = runner.invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert f"Example: samlab {name}" in shown.output
