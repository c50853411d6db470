"""Reports of a folder: an index, failures that stop nothing, workers that die or are ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from PIL import Image

from samlab import worker as worker_module
from samlab.errors import FormatError, InputError
from samlab.reports.folder import find_pictures, write_reports
from samlab.reports.index import Entry, index_page, link, read_entries, write_index
from samlab.reports.making import report_worker, request_report
from samlab.reports.page import outside_loads
from samlab.reports.summary import MIME, read_summary
from tests.processes import is_running
from tests.reports.test_notebook import GOOD, ROOT, write_notebook

SUMMARY = """
import numpy as np, samlab
from samlab.reports.summary import Summary
from tests.processes import is_running
pixels = samlab.read_image(image)
shapes = np.zeros((4, *pixels.shape[:2]), bool)
for i in range(4):
    shapes[i, i * 4 : i * 4 + 3, :8] = True
vectors = np.eye(2)[[0, 0, 1, 1]] + 0.01 * np.arange(8).reshape(4, 2)
segments = samlab.Segments(rles=samlab.masks.encode(shapes), embeddings={"sam": vectors})
clustering = samlab.cluster(segments, eps=0.1, min_samples=2)
Summary(segments.with_labels(clustering.labels), clustering, image, 1.5)
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures of one stem, one of the same name in a sub-folder, and a broken one."""
    folder = tmp_path / "my <photos>"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "a.png", "sub/a.jpg"):
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(folder / name)
    whole = (folder / "a.png").read_bytes()
    (folder / "50% #1?.png").write_bytes(whole[:200])
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(whole)
    return folder


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


# -- a whole run -----------------------------------------------------------------------------------


def test_a_folder_becomes_reports_and_an_index(tmp_path, photos):
    notebook = write_notebook(tmp_path / "n.ipynb", SUMMARY)
    out = tmp_path / "reports"
    entries = write_reports(photos, out, jobs=2, notebook=notebook)
    assert [entry.name for entry in entries] == ["50% #1?.png", "a.jpg", "a.png", "sub/a.jpg"]
    assert [entry.ok for entry in entries] == [False, True, True, True]
    assert "could not be decoded" in entries[0].error
    for entry in entries[1:]:
        assert (entry.segments, entry.classes, entry.noise) == (4, 2, 0)
        assert entry.unassigned == round(1 - 4 * 3 * 8 / (48 * 64), 4)
        with Image.open(out / entry.thumbnail) as picture:
            assert picture.size == (64, 48)
    page = (out / "index.html").read_text()
    assert "my &lt;photos&gt;" in page
    assert "<photos>" not in page
    assert "3 reports · 1 failed · 12 segments" in page
    assert page.count("4 segments · 2 classes · 96.9 % of the picture unassigned") == 3
    assert "could not be decoded" in page
    assert outside_loads(page) == []
    links = Links(page).found
    assert len(links) == 3 * 2 + 1
    for address in links:
        assert (out / unquote(address)).is_file(), address
    assert {str(p.relative_to(out)) for p in out.rglob("*.*")} == {
        "index.html", "index.json", "a.jpg.html", "a.png.html", "sub/a.jpg.html",
        "50% #1?.png.failed.ipynb", "thumbnails/a.jpg.jpg", "thumbnails/a.png.jpg",
        "thumbnails/sub/a.jpg.jpg",
    }  # fmt: skip


def test_a_failure_keeps_the_last_good_report_in_the_index(tmp_path, photos):
    notebook = write_notebook(tmp_path / "n.ipynb", SUMMARY)
    out = photos / "reports"  # inside the folder of pictures: its thumbnails are no pictures
    write_reports([photos / "a.jpg", photos / "a.png"], out, notebook=notebook)
    good = (out / "a.jpg.html").read_text()
    (photos / "a.jpg").write_bytes(b"no longer a picture")
    for broken in (photos, photos):
        entries = write_reports(broken, out, notebook=notebook)
        assert [entry.name for entry in entries] == ["50% #1?.png", "a.jpg", "a.png", "sub/a.jpg"]
    assert (out / "a.jpg.html").read_text() == good
    assert nbformat.read(out / "a.jpg.failed.ipynb", as_version=4).cells
    kept = read_entries(out)["a.jpg"]
    assert "is not a picture" in kept.error
    assert (kept.report, kept.segments) == ("a.jpg.html", 4)
    page = (out / "index.html").read_text()
    assert "3 reports · 2 failed" in page
    assert page.count("last good report") == 2  # among the failures, and on its card


def test_a_dying_kernel_or_worker_costs_one_picture(tmp_path, photos):
    (photos / "50% #1?.png").unlink()
    kill = "import os, signal\nif image.endswith('a.png'): os.kill({}, signal.SIGKILL)"
    for victim, said in (("os.getppid()", "ended with code -9"), ("os.getpid()", "died")):
        notebook = write_notebook(tmp_path / "n.ipynb", kill.format(victim), GOOD)
        entries = write_reports(photos, tmp_path / "out", notebook=notebook)
        assert [entry.ok for entry in entries] == [True, False, True]
        assert said in entries[1].error
    assert "enough memory" in index_page([Entry("a", "/a", error="enough memory")], "t")


def test_a_notebook_without_a_summary_has_a_plain_thumbnail(tmp_path, photos):
    notebook = write_notebook(tmp_path / "n.ipynb", GOOD)
    (entry,) = write_reports(photos / "a.jpg", tmp_path / "out", notebook=notebook, level=3)
    assert entry.ok
    assert entry.segments is None
    assert (tmp_path / "out" / entry.thumbnail).exists()
    assert "level 3" in (tmp_path / "out" / "index.html").read_text()
    assert "level 3" in (tmp_path / "out" / "a.jpg.html").read_text()


def test_each_kernel_has_its_share_of_the_threads(tmp_path, photos, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    (photos / "50% #1?.png").unlink()
    show = "import os\nfrom IPython.display import HTML\nHTML('threads ' + os.environ['{}'])"
    notebook = write_notebook(
        tmp_path / "n.ipynb", show.format("OMP_NUM_THREADS"), show.format("NUMBA_NUM_THREADS")
    )
    write_reports(photos, tmp_path / "out", jobs=2, notebook=notebook)
    assert (tmp_path / "out" / "a.jpg.html").read_text().count("threads 3") == 2


def hear_ctrl_c() -> None:
    """Jobs in the background of a shell, as in CI, are started deaf to Ctrl-C, and so is what they
    start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")
def test_ctrl_c_ends_the_workers_and_leaves_an_index(tmp_path, photos):
    mark = "import os, time\nopen({!r} + str(os.getpid()), 'w').close()\n{}"
    folder = str(tmp_path / "kernel.")
    slow = "if not image.endswith('50% #1?.png'): time.sleep(600)"
    notebook = write_notebook(tmp_path / "n.ipynb", mark.format(folder, slow))
    command = [
        sys.executable, "-m", "samlab.cli.main", "report", str(photos), "-o", str(tmp_path / "out"),
        "--notebook", str(notebook), "-j", "2",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=hear_ctrl_c
    )
    kernels: list[Path] = []
    try:
        # One report is in the index, and two kernels are at work.
        while len(kernels) < 3 or not read_entries(tmp_path / "out"):
            assert process.poll() is None
            time.sleep(0.1)
            kernels = list(tmp_path.glob("kernel.*"))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert f"Interrupted. What is done: {tmp_path / 'out' / 'index.html'}" in said
    assert "Traceback" not in said
    assert list(read_entries(tmp_path / "out")) == ["50% #1?.png"]
    assert not list((tmp_path / "out").rglob("*.tmp"))
    ids = [int(kernel.name.split(".")[1]) for kernel in kernels]
    for _ in range(600):
        if not any(map(is_running, ids)):
            break
        time.sleep(0.1)
    assert [process for process in ids if is_running(process)] == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_worker_that_is_ended_while_it_starts_does_not_outlive_it(tmp_path, monkeypatch):
    worker = report_worker(tmp_path, threads=1)
    end = threading.Thread(target=worker.kill)
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def slow_start(*arguments, **options):
        end.start()
        time.sleep(0.1)  # now it has found nothing to end, or waits
        started.append(start(*arguments, **options))
        return started[0]

    monkeypatch.setattr(worker_module.subprocess, "Popen", slow_start)
    missing = str(tmp_path / "no.png")
    task = {"picture": missing, "report": f"{missing}.html", "thumbnail": f"{missing}.jpg"}
    request_report(worker, {**task, "notebook": None, "parameters": {}})
    end.join()
    assert started[0].wait(timeout=60) == -signal.SIGKILL
    assert "stopped before this one was begun" in request_report(worker, task)["error"]
    assert len(started) == 1


# -- before anything runs --------------------------------------------------------------------------


def test_what_cannot_be_meant_is_said_at_once(tmp_path, photos):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="jobs of 1 or more, got 0"):
        write_reports(photos, out, jobs=0)
    with pytest.raises(InputError, match=r"save_segments to be left out .* use samlab\.run"):
        write_reports(photos, out, save_segments="x.parquet")
    with pytest.raises(InputError, match=r"a folder for the reports .* got the file '.*r\.html'"):
        write_reports(photos, tmp_path / "r.html")
    with pytest.raises(InputError, match="got 'epz'"):
        write_reports(photos, out, epz=1)
    with pytest.raises(InputError, match="'nowhere' does not exist"):
        write_reports("nowhere", out)
    with pytest.raises(InputError, match="pictures on this machine, got 's3://bucket/a.jpg'"):
        write_reports("s3://bucket/a.jpg", out)
    with pytest.raises(InputError, match="at least one picture in an empty list; found none"):
        write_reports([], out)
    assert not out.exists()


def test_pictures_are_found_and_named_by_the_folder_all_are_in(photos):
    base, found = find_pictures([photos / "a.jpg", str(photos / "sub" / "*.jpg")])
    assert base == photos
    assert list(found) == ["a.jpg", "sub/a.jpg"]
    base, found = find_pictures(photos / "sub")
    assert (base, list(found)) == (photos / "sub", ["a.jpg"])


# -- the index -------------------------------------------------------------------------------------


def test_links_survive_what_file_names_may_contain(tmp_path):
    for name in ("a b.jpg", "50%.jpg", "#1?.jpg", "x:y.jpg", "<i>&'\".jpg", "ü/日本.jpg"):
        (address,) = Links(f"<a href='{link(name)}'>").found
        assert unquote(address).removeprefix("./") == name
    assert not link("x:y.jpg").startswith("x:")


def test_texts_are_escaped_and_names_without_unicode_do_not_break_it(tmp_path):
    bad = os.fsdecode(b"\xff.jpg")
    entry = Entry("<script>", "/x", report="x.html", error="<img src=x onerror=alert(1)>")
    page = index_page([entry, Entry(bad, "/y", report=f"{bad}.html")], "<b>", "eps <1>")
    assert "<script>" not in page
    assert "<img" not in page
    assert "%FF.jpg.html" in page
    write_index(tmp_path, [Entry(bad, "/y", error="no")], "t")
    assert list(read_entries(tmp_path)) == [bad]


def test_entries_whose_files_are_gone_are_forgotten(tmp_path):
    (tmp_path / "a.html").write_text("")
    rows = [Entry("a", "/a", report="a.html"), Entry("b", "/b", report="b.html")]
    write_index(tmp_path, rows, "t")
    assert list(read_entries(tmp_path)) == ["a"]
    (tmp_path / "index.json").write_text('{"reports": [{"no": "name"}]}')
    with pytest.raises(FormatError, match="Delete it: the reports stay"):
        read_entries(tmp_path)
    assert read_entries(tmp_path / "nowhere") == {}


def test_an_index_of_nothing_says_so():
    assert "No picture has been reported on yet." in index_page([], "t")


def test_summary_is_found_among_outputs():
    facts = {"segments": 2, "thumbnail": "eHk="}
    output = nbformat.v4.new_output("display_data", {MIME: facts, "text/html": "<p>"})
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("x"), nbformat.v4.new_code_cell("", outputs=[output])]
    )
    assert read_summary(notebook) == {"segments": 2, "thumbnail": b"xy"}
    assert read_summary(nbformat.v4.new_notebook()) == {}


def test_index_data_is_json_with_relative_paths(tmp_path):
    write_index(tmp_path, [Entry("a.jpg", "/photos/a.jpg", report="a.jpg.html")], "t")
    data = json.loads((tmp_path / "index.json").read_text())
    assert data["reports"][0]["report"] == "a.jpg.html"
