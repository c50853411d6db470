"""samlab run and samlab cache, as a person calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import samlab
from samlab.cli import app
from samlab.runs.collect import RunInterrupted

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
    assert " 1 picture, 0.1 MB of at most 5,369 MB\n" in shown.stdout
    assert "0 files, 0.0 MB (see samlab models)" in shown.stdout
    cleared = runner.invoke(app, ["cache", "clear"])
    assert "removed from" in cleared.stdout
    assert " 0 pictures, 0.0 MB" in runner.invoke(app, ["cache"]).stdout


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


def test_ctrl_c_says_how_to_go_on(photos, monkeypatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise RunInterrupted("Stopped by Ctrl-C. 3 pictures are done.")

    monkeypatch.setattr("samlab.runs.folder.run", stopped)
    done = runner.invoke(app, ["run", str(photos)])
    assert done.exit_code == 130
    assert done.stderr == "samlab: Stopped by Ctrl-C. 3 pictures are done.\n"


def test_help_shows_an_example() -> None:
    for name in ("run", "cache"):
        shown = runner.invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert f"Example: samlab {name}" in shown.output
