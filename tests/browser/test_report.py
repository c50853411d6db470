"""papermill, then nbconvert: the explorer in the report is alive, without kernel and network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.browser.test_notebook import EXPLORE

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


def test_report_of_papermill_and_nbconvert_is_alive(tmp_path: Path, offline_page: Any) -> None:
    papermill = pytest.importorskip("papermill")
    document = nbformat.v4.new_notebook()
    document.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3", "language": "python",
    }  # fmt: skip
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{EXPLORE}"
    document.cells = [nbformat.v4.new_code_cell(code)]
    source, done = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(document, source)
    papermill.execute_notebook(source, done, progress_bar=False)
    data = nbformat.read(done, 4).cells[0].outputs[0].data
    assert set(data) == {"text/html", "image/png", "text/plain"}
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(done)]
    subprocess.run(command, check=True, capture_output=True)

    offline_page.goto((tmp_path / "out.html").as_uri())
    frame = offline_page.frame_locator("iframe")
    frame.locator(".sl-row").first.wait_for()
    summary = frame.locator(".sl-tune .sl-summary")
    assert summary.inner_text().startswith("6 classes · 0 of 300 unassigned")
    frame.locator(".sl-tune .sl-slider").fill("0")
    assert summary.inner_text().startswith("0 classes · 300 of 300 unassigned")
    # The template of nbconvert itself asks for MathJax and RequireJS; the explorer for nothing.
    assert not [url for url in offline_page.requests if "cdnjs" not in url]
