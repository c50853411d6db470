"""Every notebook runs top to bottom on the embedded model, and every figure shows something."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import papermill
import pytest
from PIL import Image

from samlab.reports.notebook import write_report
from samlab.reports.page import notebook_page, outside_loads

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
QUIET = {"progress_bar": False, "extra_arguments": ["--log-level=40"]}


@pytest.fixture(autouse=True)
def kernels_find_samlab(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def pictures(notebook: Any) -> list[np.ndarray]:
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for mime in ("image/png", "image/jpeg"):
                if mime in output.get("data", {}):
                    picture = Image.open(BytesIO(b64decode(output["data"][mime])))
                    found.append(np.asarray(picture.convert("RGB")))
    return found


def test_there_are_notebooks():
    assert {"00_start_here.ipynb", "report.ipynb"} <= {path.name for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_in_git_a_notebook_is_clean_and_names_a_kernel_everyone_has(path: Path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_one_parameters_cell(path: Path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1


@pytest.mark.parametrize("path", [*NOTEBOOKS, ROOT / "README.md"], ids=lambda path: path.stem)
def test_only_public_names_are_imported(path: Path):
    deep = re.findall(r"(?:from|import) samlab\.\w+\.\w+", path.read_text(encoding="utf-8"))
    assert deep == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_figures_are_not_empty(path: Path, tmp_path: Path):
    # A copy of the folder, so that what a notebook writes beside itself does not stay.
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "data").symlink_to(ROOT / "data")
    out = tmp_path / "out.ipynb"
    papermill.execute_notebook(
        str(path), str(out), cwd=str(folder), kernel_name="python3", execution_timeout=900, **QUIET
    )
    done = nbformat.read(out, as_version=4)
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    plots = sum("samlab.plot." in cell.source for cell in done.cells if cell.cell_type == "code")
    shown = pictures(done)
    assert len(shown) >= max(plots, 1)
    for picture in shown:
        assert picture.std() > 3, "a figure of one colour"
    if path.name == "report.ipynb":
        page = notebook_page(done, "coins.png")
        assert outside_loads(page) == []
        assert page.count("<img") >= 5
        assert " srcdoc=" in page  # the explorer, alive in its frame


@pytest.mark.slow
def test_a_picture_without_segments_still_becomes_a_report(tmp_path: Path):
    out = write_report(
        np.zeros((1, 1), np.uint8), tmp_path / "r.html", points_per_side=1,
        pred_iou_thresh=1.0, stability_score_thresh=1.0,
    )  # fmt: skip
    page = out.read_text(encoding="utf-8")
    assert "No segment passed the thresholds" in page
    assert "Traceback" not in page
