"""The command as a person types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import samlab
from samlab.cli.main import _parameters, app
from samlab.errors import InputError, SamlabError
from samlab.latent.cluster.clusters import cluster
from samlab.segments import Segments

ROOT = Path(__file__).resolve().parents[2]
runner = CliRunner()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(path)
    return path


@pytest.fixture
def model(monkeypatch):
    """Segments without a model: six squares, each with a vector of one of two directions."""

    def fake(image, sam, **options):
        options_seen.update(options, sam=sam)
        shapes = np.zeros((6, 40, 60), bool)
        for i in range(6):
            shapes[i, 5:15, 10 * i : 10 * i + 8] = True
        vectors = np.eye(2, 8)[np.arange(6) % 2] + 0.001 * np.arange(48).reshape(6, 8)
        rles = samlab.masks.encode(shapes)
        return Segments(rles=rles, embeddings={"sam": vectors}, image_id="photo.png")

    options_seen: dict = {}
    import samlab.masks

    monkeypatch.setattr(samlab, "segment", fake, raising=False)
    return options_seen


def test_help_of_every_command_shows_an_example():
    top = runner.invoke(app, ["--help"])
    assert top.exit_code == 0
    for name in ("segment", "report", "doctor", "models"):
        assert name in top.output
        shown = runner.invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert f"Example: samlab {name}" in shown.output


def test_no_command_shows_help_and_version_is_told():
    assert "Usage" in runner.invoke(app, []).output
    assert runner.invoke(app, ["--version"]).output.strip() == f"samlab {samlab.__version__}"


def test_start_does_not_import_heavy_packages():
    code = (
        "import sys, samlab.cli.main; "
        "print([m for m in ('torch', 'sklearn', 'matplotlib', 'papermill', 'pandas') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["segment", "no.jpg"], "No picture at 'no.jpg': the file does not exist."),
        (["report", "no.jpg"], "No picture at 'no.jpg'"),
        (["segment", "no.jpg", "--eps", "wide"], "Expected eps as a number or 'auto', got 'wide'"),
        (["report", "no.jpg", "-p", "epz", "1"], "got 'epz'. It has: image, sam"),
        (["report", "no.jpg", "-p", "eps"], "name and value, got only 'eps'"),
    ],
)
def test_errors_are_one_sentence_on_stderr_and_exit_code_one(arguments, said):
    done = runner.invoke(app, arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith("samlab: ")
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_segment_writes_a_table_and_two_pictures(tmp_path, photo, model):
    out = tmp_path / "a" / "b"
    done = runner.invoke(
        app, ["segment", str(photo), "-o", str(out), "--eps", "0.1", "--min-samples", "2",
              "--points-per-side", "8", "--sam", "vit_b"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert model == {
        "sam": "vit_b", "points_per_side": 8, "pred_iou_thresh": None,
        "stability_score_thresh": 0.95,
    }  # fmt: skip
    assert done.output.startswith(
        "6 segments, 2 classes, 80.0 % of the picture unassigned (eps 0.1)"
    )
    segments = Segments.from_parquet(out / "photo.parquet")
    expected = cluster(segments, eps=0.1, min_samples=2).labels
    np.testing.assert_array_equal(segments.labels, expected)
    for name in ("photo_segments.png", "photo_classes.png"):
        with Image.open(out / name) as picture:
            assert np.asarray(picture.convert("RGB")).std() > 5


def test_segment_into_a_file_is_refused_by_name(tmp_path, photo, model):
    done = runner.invoke(app, ["segment", str(photo), "-o", str(photo)])
    assert done.exit_code == 1
    assert f"Expected the name of a folder, got the file '{photo}" in done.stderr


def test_report_passes_typed_parameters(tmp_path, photo, monkeypatch):
    seen = {}

    def fake(picture, out, **more):
        seen.update(more, picture=picture)
        Path(out).write_text("<html>")
        return Path(out)

    monkeypatch.setattr("samlab.reports.notebook.write_report", fake)
    done = runner.invoke(
        app, ["report", str(photo), "-o", str(tmp_path / "r.html"), "-p", "eps", "0.06",
              "-p", "sam=vit_b", "--parameter", "min_samples", "8", "-p", "save_segments", ""],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert seen == {
        "picture": photo, "notebook": None, "progress": True,
        "eps": 0.06, "sam": "vit_b", "min_samples": 8, "save_segments": "",
    }  # fmt: skip
    assert "r.html" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-p", "eps", "abc"], "Expected eps of cluster to be"),
        (["-p", "min_samples", "few"], "Expected min_samples of cluster to be"),
        (["-p", "method", "wart"], "Expected method of cluster to be"),
        (["-p", "points_per_side", "many"], "Expected the parameter points_per_side as a whole"),
        (["-p", "pred_iou_thresh", "high"], "Expected the parameter pred_iou_thresh as a number"),
        (["-p", "sam", "vit_x"], "Expected a model name out of tiny"),
        (["--sam", "vit_x"], "Expected a model name out of tiny"),
        (["--sam", "tiny", "-p", "sam", "vit_b"], "Expected one model, got --sam tiny and -p sam"),
    ],
)
def test_wrong_parameters_of_a_report_are_told_before_a_kernel_starts(
    tmp_path, photo, monkeypatch, arguments, said
):
    def started(*_, **__):
        raise AssertionError("work began")

    monkeypatch.setattr("papermill.execute_notebook", started)
    for source, out in ((photo, "r.html"), (photo.parent, "reports")):
        done = runner.invoke(app, ["report", str(source), "-o", str(tmp_path / out), *arguments])
        assert done.exit_code == 1
        assert done.stderr.startswith(f"samlab: {said}")


def test_a_report_takes_sam_opens_itself_and_speaks_json(tmp_path, photo, monkeypatch):
    seen, opened = {}, []

    def fake(picture, out, **more):
        seen.update(more)
        Path(out).write_text("<html>")
        return Path(out)

    monkeypatch.setattr("samlab.reports.notebook.write_report", fake)
    monkeypatch.setattr("typer.launch", opened.append)
    out = tmp_path / "r.html"
    command = ["report", str(photo), "-o", str(out), "--sam", "vit_b", "--open", "--json"]
    done = runner.invoke(app, command)
    assert json.loads(done.stdout) == {"picture": str(photo), "report": str(out), "bytes": 6}
    assert seen == {"notebook": None, "progress": False, "sam": "vit_b"}
    assert opened == [out.as_uri()]
    assert runner.invoke(app, [*command[:-2], "--quiet"]).stdout == ""


def test_ctrl_c_in_a_report_is_one_line(tmp_path, photo, monkeypatch):
    def fake(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("samlab.reports.notebook.write_report", fake)
    done = runner.invoke(app, ["report", str(photo), "-o", str(tmp_path / "r.html")])
    assert done.exit_code == 130
    assert done.stderr == "samlab: Stopped by Ctrl-C; no report was written.\n"


def test_segment_speaks_json_or_not_at_all(tmp_path, photo, model):
    command = ["segment", str(photo), "-o", str(tmp_path), "--eps", "2", "--min-samples", "2"]
    told = json.loads(runner.invoke(app, [*command, "--json"]).stdout)
    assert (told["segments"], told["classes"]) == (6, 1)
    assert told["unassigned"] == pytest.approx(0.8)  # of the picture
    assert all(Path(file).exists() for file in told["files"])
    assert runner.invoke(app, [*command, "--quiet"]).output == ""


def test_the_shell_can_complete_commands():
    asked = {"_SAMLAB_COMPLETE": "complete_bash", "COMP_WORDS": "samlab se", "COMP_CWORD": "1"}
    code = "from samlab.cli.main import app; app(prog_name='samlab')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["segment"]


def test_one_of_a_kind_is_told_in_the_singular(tmp_path, photo, model):
    arguments = ["segment", str(photo), "-o", str(tmp_path), "--eps", "2", "--min-samples", "2"]
    assert runner.invoke(app, arguments).output.startswith(
        "6 segments, 1 class, 80.0 % of the picture unassigned"
    )


def test_an_eps_that_is_none_is_told_as_it_was_typed(tmp_path, photo, model):
    done = runner.invoke(app, ["segment", str(photo), "-o", str(tmp_path), "--eps", "-1"])
    assert done.stderr.startswith("samlab: Expected eps to be 'auto' or above 0, got -1.0. Cosine")


def test_parameter_values_get_the_types_papermill_gives():
    assert _parameters(["a=1", "b=-0.5", "c=True", "d=x=y", "e=None"]) == {
        "a": 1, "b": -0.5, "c": True, "d": "x=y", "e": None
    }  # fmt: skip
    with pytest.raises(InputError, match="For example: -p eps 0.06"):
        _parameters(["=1"])


def test_models_lists_all_names_and_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", str(tmp_path))
    done = runner.invoke(app, ["models"])
    assert done.exit_code == 0
    names = [line.split()[0] for line in done.output.splitlines()]
    assert names[:6] == ["tiny", "vit_b", "vit_l", "vit_h", "mobile_sam", "sam2.1_hiera_tiny"]
    last = done.output.splitlines()[-1]
    assert last.startswith("sam3 ")
    assert last.endswith("SAM License  not here; gated, accept the licence on the hub first")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/w"), "'/w': Permission denied. Check the path"),
        (OSError(28, "No space left on device"), "No space left on device. Check the path, its"),
    ],
)
def test_what_the_system_refuses_is_one_sentence_too(monkeypatch, error, said):
    def broken(**_):
        raise error

    monkeypatch.setattr("samlab.sam.checkpoints.status", broken)
    done = runner.invoke(app, ["models"])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"samlab: {said}")


@pytest.mark.parametrize(
    ("sam", "said"),
    [
        ("nosuch", "Expected a model name out of tiny, vit_b"),
        ("no.pth", "No checkpoint at 'no.pth'"),
        ("weights.pth", "is no checkpoint of torch or safetensors"),
    ],
)
def test_doctor_looks_at_the_weights_that_are_named(tmp_path, monkeypatch, sam, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pth").write_text("no weights at all")
    done = runner.invoke(app, ["doctor", "--sam", sam])
    assert done.exit_code == 1
    text = " ".join(done.stdout.split())
    assert "fail Model" in text
    assert said in text
    assert "Memory" not in text


def test_own_errors_anywhere_become_exit_code_one(monkeypatch):
    def broken(**_):
        raise SamlabError("it is like this; do that")

    monkeypatch.setattr("samlab.sam.checkpoints.status", broken)
    done = runner.invoke(app, ["models"])
    assert (done.exit_code, done.stderr) == (1, "samlab: it is like this; do that\n")
