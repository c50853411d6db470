"""Reports: whole or not at all, failures kept beside, nothing loaded from anywhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from PIL import Image

from samlab.errors import FormatError, ImageError, InputError, SamlabError
from samlab.reports import notebook as report
from samlab.reports.page import notebook_page, outside_loads

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "my <photo> & co.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).save(path)
    return path


def write_notebook(path: Path, *cells: str) -> Path:
    parameters = nbformat.v4.new_code_cell('image: str = ""  # the picture\nlevel: float = 1.0')
    parameters.metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=[parameters, *map(nbformat.v4.new_code_cell, cells)])
    notebook.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3", "language": "python"
    }  # fmt: skip
    nbformat.write(notebook, path)
    return path


GOOD = """
from IPython.display import HTML
import samlab
print("not in the page")
HTML(f"<p>{samlab.read_image(image).shape} level {level}</p>")
"""


class Loads(HTMLParser):
    """What a browser would fetch, seen by a parser and not by the pattern under test."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "srcset", "data") or (name == "href" and tag != "a"):
                self.found.append(value or "")

    @property
    def outside(self) -> list[str]:
        return [v for v in self.found if not v.startswith(("data:", "#"))]


# -- one run, looked at from several sides --------------------------------------------------------


def test_report_is_one_page_with_the_cells_outputs_and_no_code(tmp_path, photo):
    notebook = write_notebook(tmp_path / "n.ipynb", GOOD)
    out = tmp_path / "new folder" / "r.html"
    assert report.write_report(photo, out, notebook=notebook, level=0.5) == out
    html = out.read_text()
    assert "(48, 64, 3) level 0.5" in html
    assert "my &lt;photo&gt; &amp; co.png" in html
    assert "<photo>" not in html
    assert "not in the page" not in html
    assert "samlab.read_image" not in html
    assert Loads(html).outside == []
    assert "default-src 'none'" in html
    assert [p.name for p in out.parent.iterdir()] == ["r.html"]


def test_failure_keeps_the_last_good_report_and_the_notebook(tmp_path, photo):
    out = tmp_path / "r.html"
    out.write_text("the last good one")
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:200])
    notebook = write_notebook(tmp_path / "n.ipynb", GOOD)
    with pytest.raises(report.ReportError, match=r"could not be decoded.*r\.failed\.ipynb"):
        report.write_report(broken, out, notebook=notebook)
    assert out.read_text() == "the last good one"
    failed = nbformat.read(tmp_path / "r.failed.ipynb", as_version=4)
    assert any(o.output_type == "error" for c in failed.cells for o in c.get("outputs", []))

    report.write_report(photo, out, notebook=notebook)
    assert "(48, 64, 3)" in out.read_text()
    assert not (tmp_path / "r.failed.ipynb").exists()  # of the past, and misleading now


def test_other_errors_are_told_with_type_and_cell(tmp_path, photo):
    notebook = write_notebook(tmp_path / "n.ipynb", "1 / 0")
    with pytest.raises(report.ReportError, match=r"in cell \d with ZeroDivisionError: division by"):
        report.write_report(photo, tmp_path / "r.html", notebook=notebook)
    assert not (tmp_path / "r.html").exists()


def test_a_kernel_that_dies_is_a_clear_error(tmp_path, photo):
    notebook = write_notebook(tmp_path / "n.ipynb", "import os; os._exit(3)")
    with pytest.raises(report.ReportError, match="notebook stopped: .*died"):
        report.write_report(photo, tmp_path / "r.html", notebook=notebook)
    assert not (tmp_path / "r.html").exists()


def test_arrays_are_taken_too(tmp_path):
    notebook = write_notebook(tmp_path / "n.ipynb", GOOD)
    out = report.write_report(np.zeros((5, 7), np.uint8), tmp_path / "r.html", notebook=notebook)
    assert "(5, 7, 3)" in out.read_text()


# -- before anything runs -------------------------------------------------------------------------


def test_missing_picture_and_unknown_parameter_stop_at_once(tmp_path, photo):
    with pytest.raises(ImageError, match="does not exist"):
        report.write_report(tmp_path / "no.png", tmp_path / "r.html")
    with pytest.raises(InputError, match=r"got 'epz'\. It has: image, sam, .*eps"):
        report.write_report(photo, tmp_path / "r.html", epz=0.1)
    with pytest.raises(InputError, match="No notebook at"):
        report.write_report(photo, tmp_path / "r.html", notebook=tmp_path / "no.ipynb")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "bare.ipynb")
    with pytest.raises(
        InputError, match=r"cell tagged 'parameters' that sets image; '.*bare.ipynb' sets none"
    ):
        report.write_report(photo, tmp_path / "r.html", notebook=tmp_path / "bare.ipynb")
    with pytest.raises(InputError, match=r"got the folder '.*'. For example: .*report.html"):
        report.write_report(photo, tmp_path)
    assert not list(tmp_path.glob("*.failed.ipynb"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path, photo):
    (tmp_path / "file").write_text("")
    with pytest.raises(SamlabError, match=r"Could not write '.*file/sub'"):
        report.write_report(photo, tmp_path / "file" / "sub" / "r.html")


def test_parameters_of_the_report_notebook_are_documented():
    parameters = report.report_parameters()
    assert {"image", "sam", "eps", "min_samples", "points_per_side"} <= set(parameters)
    for name, text in parameters.items():
        assert len(text.split()) >= 3, f"{name} has no comment"


def test_the_notebook_is_found_in_an_installation(tmp_path, monkeypatch):
    """Without a source tree around it, samlab looks through its own installed files."""
    fake = tmp_path / "share" / "samlab" / "notebooks" / "report.ipynb"
    fake.parent.mkdir(parents=True)
    fake.write_text("{}")

    class File:
        name = "report.ipynb"

        def locate(self):
            return fake

    monkeypatch.setattr(
        report.samlab, "__file__", str(tmp_path / "site" / "samlab" / "__init__.py")
    )
    known = [SimpleNamespace(files=None), SimpleNamespace(files=[File()])]
    monkeypatch.setattr(report.metadata, "distributions", lambda name: known)
    assert report.report_notebook() == fake
    known.pop()
    with pytest.raises(report.ReportError, match="neither has it"):
        report.report_notebook()


# -- the page -------------------------------------------------------------------------------------


def with_output(html: str) -> nbformat.NotebookNode:
    output = nbformat.v4.new_output("display_data", {"text/html": html})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])])


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/a.js"></script>',
        "<img src='http://example.com/a.png'>",
        '<link rel="stylesheet" href="//cdn.example/a.css">',
        "<iframe src=https://example.com></iframe>",
    ],
)
def test_an_output_that_loads_from_outside_is_refused(html):
    assert outside_loads(html) == Loads(html).outside
    with pytest.raises(FormatError, match="loads .*example.*Embed it"):
        notebook_page(with_output(html), "t")


def test_links_and_the_text_of_scripts_are_no_loads():
    html = '<a href="https://a.b">x</a><script>s = \'<img src="https://c.d/e.png">\'</script>'
    assert outside_loads(html) == []
    assert html in notebook_page(with_output(html), "t")


def test_cells_for_the_notebook_alone_stay_there():
    cell = nbformat.v4.new_markdown_cell("only here", metadata={"tags": ["notebook-only"]})
    other = nbformat.v4.new_markdown_cell("everywhere")
    page = notebook_page(nbformat.v4.new_notebook(cells=[cell, other]), "<t>", "by & by")
    assert "only here" not in page
    assert "everywhere" in page
    assert "<title>&lt;t&gt;</title>" in page
    assert "by &amp; by" in page
