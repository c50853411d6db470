"""Which pictures a run is about, and how they are read ahead."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samlab.errors import ImageError, InputError
from samlab.formats.yolo import read_yolo
from samlab.pictures import Picture, list_pictures, pictures_in, read_picture
from samlab.pipeline.fingerprint import fingerprint
from samlab.reports.folder import find_pictures
from samlab.runs.engine.read_ahead import read_ahead
from samlab.view.annotate.queue import Queue
from tests.runs.light import make_pictures


def ids(pictures) -> list[str]:
    return [p.image_id for p in list_pictures(pictures)]


@pytest.fixture
def tree(tmp_path) -> Path:
    for name in ("b.jpg", "a.PNG", "x/a.png", "x/y/a.png", ".hidden.png", ".trash/a.png", "t.txt"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"?")
    return tmp_path / "tree"


def test_a_folder_gives_relative_names_in_a_stable_order(tree) -> None:
    assert ids(tree) == ["a.PNG", "b.jpg", "x/a.png", "x/y/a.png"]
    listed = list_pictures(str(tree))
    assert listed.total == 4
    assert [p.position for p in listed] == [0, 1, 2, 3]
    assert [p.path for p in listed][2] == str(tree / "x" / "a.png")


def test_results_and_loops_below_a_folder_are_not_pictures(tree) -> None:
    (tree / "out" / "thumbs").mkdir(parents=True)
    (tree / "out" / "run.json").write_text("{}")
    (tree / "out" / "thumbs" / "a.png").write_bytes(b"?")
    os.symlink(tree, tree / "x" / "loop")
    assert ids(tree) == ["a.PNG", "b.jpg", "x/a.png", "x/y/a.png"]


def test_globs_lists_mappings_and_generators(tree, monkeypatch) -> None:
    assert ids(f"{tree}/**/*.png") == ["x/a.png", "x/y/a.png"]
    monkeypatch.chdir(tree)
    assert ids("*/a.png") == ["x/a.png"]
    assert ids("b.jpg") == ["b.jpg"]
    assert ids(["b.jpg", Path("x/a.png"), "b.jpg"]) == ["b.jpg", "x/a.png"]
    assert [p.path for p in list_pictures(["b.jpg"])] == [str(tree / "b.jpg")]
    assert ids({"one": "b.jpg", "two": "b.jpg"}) == ["one", "two"]
    stream = list_pictures(name for name in ("b.jpg", "x/a.png"))
    assert stream.total is None
    assert [p.image_id for p in stream] == ["b.jpg", "x/a.png"]


def test_nothing_to_do_is_an_error_with_a_hint(tree, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"at least one picture in the folder '.*empty'.*\.jpg"):
        list_pictures(tmp_path / "empty")
    with pytest.raises(InputError, match="Expected a folder, a picture or a glob; 'nowhere' does"):
        list_pictures("nowhere")
    with pytest.raises(InputError, match="at least one picture in the list"):
        list_pictures([])
    with pytest.raises(InputError, match="in the pattern"):
        list_pictures(f"{tree}/*.tiff")
    with pytest.raises(InputError, match="as paths, got ndarray. .* use samlab.segment"):
        list_pictures([np.zeros((2, 2))])
    with pytest.raises(InputError, match="or a mapping from names to paths; got int"):
        list_pictures(5)  # type: ignore[arg-type]


def test_pictures_behind_a_url(tmp_path) -> None:
    fsspec = pytest.importorskip("fsspec")
    folder = make_pictures(tmp_path / "p", 2, broken=1)
    memory = fsspec.filesystem("memory")
    for path in folder.iterdir():
        memory.pipe_file(f"/bucket-{tmp_path.name}/sub/{path.name}", path.read_bytes())
    listed = list(list_pictures(f"memory://bucket-{tmp_path.name}"))
    assert [p.image_id for p in listed] == ["sub/00000.png", "sub/00001.png"]
    array, size, digest = read_picture(listed[1].path)
    local = read_picture(str(folder / "00001.png"))
    assert np.array_equal(array, local[0])
    assert (size, digest) == local[1:]
    with pytest.raises(ImageError, match="is not a picture that samlab reads"):
        read_picture(listed[0].path)
    with pytest.raises(ImageError, match="nothing.png' could not be read"):
        read_picture(f"memory://bucket-{tmp_path.name}/nothing.png")


def test_reading_ahead_keeps_order_and_distance(tmp_path) -> None:
    folder = make_pictures(tmp_path / "p", 12, broken=2)
    paths = sorted(map(str, folder.iterdir()))
    asked = []

    def source():
        for i, path in enumerate(paths):
            asked.append(i)
            yield Picture(i, str(i), path)

    loaded = read_ahead(source(), threads=3, ahead=4)
    first = next(loaded)
    assert first.error is not None
    time.sleep(0.05)
    assert len(asked) <= 6
    rest = list(loaded)
    assert [one.picture.position for one in [first, *rest]] == list(range(12))
    assert sum(one.array is None for one in [first, *rest]) == 2


def test_reading_ahead_stops_where_memory_would_run_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("samlab.runs.engine.read_ahead.WAITING_BYTES", 1)
    folder = make_pictures(tmp_path / "p", 6)
    asked = []

    def source():
        for i, path in enumerate(sorted(folder.iterdir())):
            asked.append(i)
            yield Picture(i, str(i), str(path))

    class AtOnce(ThreadPoolExecutor):
        """Reads when it is asked to, so that the test does not depend on timing."""

        def submit(self, function, *arguments):
            future = Future()
            future.set_result(function(*arguments))
            return future

    monkeypatch.setattr("samlab.runs.engine.read_ahead.ThreadPoolExecutor", AtOnce)
    loaded = read_ahead(source(), threads=1, ahead=4)
    for i in range(6):  # the one that waits is large enough already
        assert next(loaded).picture.position == i
        assert len(asked) == i + 1


def test_fingerprints_follow_the_contents() -> None:
    class Thing:
        def __init__(self, value) -> None:
            self.value = value

    a = {"x": np.arange(3), "y": [1, "two", None, 3.0, b"4"], "z": Thing(np.ones(2))}
    b = {"z": Thing(np.ones(2)), "y": [1, "two", None, 3.0, b"4"], "x": np.arange(3)}
    assert fingerprint(a) == fingerprint(b)
    assert fingerprint(a) != fingerprint({**a, "z": Thing(np.zeros(2))})
    assert fingerprint([1, 2]) != fingerprint([12])
    assert fingerprint(np.arange(4)) != fingerprint(np.arange(4).reshape(2, 2))


def test_everybody_takes_the_same_files_for_pictures(tmp_path) -> None:
    """Runs, reports, the annotator and the readers of labels."""
    folder, labels = tmp_path / "pictures", tmp_path / "labels"
    (folder / "sub" / ".thumbnails").mkdir(parents=True)
    (folder / "run" / "pictures").mkdir(parents=True)
    (folder / "run" / "run.json").write_text("{}")
    labels.mkdir()
    (labels / "classes.txt").write_text("thing\n")
    pixels = Image.new("RGB", (8, 6))
    taken = ["a.JPG", "b.jfif", "sub/c.pgm", "sub/d.tiff"]
    others = ["sub/.thumbnails/e.png", ".f.png", "run/pictures/g.png", "h.ico", "i.eps"]
    for name in [*taken, *others]:
        pixels.save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    for name in [*taken, *others]:
        text = labels / Path(name).with_suffix(".txt")
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("0 .5 .5 .4 .4\n")
    assert pictures_in(folder) == taken
    assert [picture.image_id for picture in list_pictures(folder)] == taken
    assert list(find_pictures(folder)[1]) == taken
    assert Queue(folder).names == taken
    assert [image.name for image in read_yolo(labels, folder)] == taken
    assert pictures_in(folder, leave_out=folder / "sub") == taken[:2]


def test_a_protocol_that_is_not_known_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"'foo://x' cannot be opened: Protocol not known: foo\."):
        list_pictures("foo://x")
