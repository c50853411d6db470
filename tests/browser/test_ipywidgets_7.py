"""With the versions of Colab and Kaggle (ipywidgets 7): the same reports, the same pictures.

Their environment is another one: SAMLAB_PYTHON_7 names its Python. Made so:

    python3.12 -m venv env && env/bin/pip install torch torchvision
    env/bin/pip install . notebook==6.5.7 ipywidgets==7.7.1 ipython==7.34.0 ipykernel==6.17.1
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("SAMLAB_PYTHON_7", "")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="SAMLAB_PYTHON_7 names no Python with ipywidgets 7"),
]


def in_that_environment(*arguments: str) -> str:
    done = subprocess.run(
        [PYTHON, *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_report_has_its_explorer(tmp_path: Path, offline_page: Any) -> None:
    version = in_that_environment("-c", "import ipywidgets; print(ipywidgets.__version__)")
    assert version.startswith("7.")
    report = tmp_path / "report.html"
    in_that_environment(
        "-m", "samlab.cli.main", "report", str(ROOT / "data" / "coins.png"), "-o", str(report),
        "-p", "points_per_side", "12", "--quiet",
    )  # fmt: skip
    offline_page.goto(report.as_uri())
    offline_page.locator("iframe").scroll_into_view_if_needed()
    frame = offline_page.frame_locator("iframe")
    frame.locator(".sl-row").first.wait_for()
    before = frame.locator(".sl-tune .sl-summary").inner_text()
    frame.locator(".sl-tune .sl-slider").fill("0")
    assert frame.locator(".sl-tune .sl-summary").inner_text() != before
    assert "Explorer(" not in offline_page.locator("body").inner_text()
    assert offline_page.requests == []


@pytest.mark.parametrize("live", ["0", "1"])
def test_a_widget_publishes_what_version_8_publishes(tmp_path: Path, live: str) -> None:
    """Executed as by papermill, and as asked for by a front end."""
    document = nbformat.v4.new_notebook()
    document.cells = [
        nbformat.v4.new_code_cell(
            f"import os; os.environ['SAMLAB_STATIC'] = {str(1 - int(live))!r}\n"
            "import numpy as np, samlab\n"
            "squares = np.zeros((6, 32, 32), bool)\n"
            "for i in range(6): squares[i, :8, 5 * i : 5 * i + 4] = True\n"
            "segments = samlab.Segments(rles=[samlab.masks.encode(s) for s in squares],\n"
            "    embeddings={'sam': np.eye(6, 4) + 1})\n"
            "picture = np.zeros((32, 32, 3), np.uint8)\n"
            "samlab.explore(segments, picture, points=np.zeros((6, 2)), eps=0.3)"
        )
    ]
    source = tmp_path / "in.ipynb"
    nbformat.write(document, source)
    in_that_environment(
        "-m", "nbconvert", "--to", "notebook", "--execute", "--output", "out", str(source)
    )
    outputs = nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs
    forms = [set(output.data) for output in outputs]
    if live == "0":
        assert forms == [{"text/html", "image/png", "text/plain"}]
        assert "<iframe srcdoc=" in outputs[0].data["text/html"]
    else:
        view = "application/vnd.jupyter.widget-view+json"
        assert forms == [{"text/html", "text/plain"}, {view, "text/html", "text/plain"}]
        assert "data:image/jpeg" in outputs[0].data["text/html"]
