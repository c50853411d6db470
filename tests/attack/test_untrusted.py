"""Fault matrix, folders from strangers: nobody is called, nothing outside is opened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import samlab
from samlab import Segments, masks, pictures
from samlab.errors import ImageError, InputError, SamlabError
from tests.runs.light import make_pictures, run_light


def finished(folder: Path) -> Path:
    run_light(make_pictures(folder / "in", 6), folder / "out")
    return folder / "out"


def changed(out: Path, **columns: object) -> Path:
    """The run with other values in its table of pictures; a column that is None is left out."""
    [file] = (out / "pictures").iterdir()
    table = pq.read_table(file)
    for name, value in columns.items():
        place = table.column_names.index(name)
        if value is None:
            table = table.remove_column(place)
        else:
            array = value if isinstance(value, pa.Array) else pa.array([value] * len(table))
            table = table.set_column(place, name, array)
    pq.write_table(table, file)
    return out


ADDRESSES = [
    "ftp://127.0.0.1/a.png",
    "http://127.0.0.1/a",
    "\\\\host\\share\\a.png",
    "//h/a.png",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_run_folder_makes_samlab_call_nobody(tmp_path, monkeypatch, address) -> None:
    out = changed(finished(tmp_path), path=address)
    monkeypatch.setattr(pictures, "_read_remote", lambda url: pytest.fail(f"called {url}"))
    monkeypatch.setattr(pictures, "read_bytes", lambda path: pytest.fail(f"opened {path}"))
    with pytest.raises(ImageError, match="connects to no address that a folder names.*fetch=True"):
        samlab.open_run(out).image("00000.png")


def test_who_trusts_a_run_may_fetch_from_where_it_says(tmp_path) -> None:
    fsspec = pytest.importorskip("fsspec")
    out = finished(tmp_path)
    data = (tmp_path / "in" / "00000.png").read_bytes()
    fsspec.filesystem("memory").pipe_file("/photos/00000.png", data)
    changed(out, path="memory://photos/00000.png")
    assert samlab.open_run(out, fetch=True).image("00000.png").shape == (24, 24, 3)
    opened = samlab.open_run(out, pictures="memory://photos")
    assert opened.image("00000.png").shape == (24, 24, 3)


NAMES = ["../secret.png", "a/../../secret.png", "/etc/passwd", "..\\secret.png", "C:\\a.png"]


@pytest.mark.parametrize("name", [*NAMES, "..\\x2fsecret.png"])
@pytest.mark.parametrize("root", ["in", "memory://photos"])
def test_names_in_a_run_do_not_lead_out_of_the_folder_of_pictures(tmp_path, name, root) -> None:
    out = finished(tmp_path)
    (tmp_path / "secret.png").write_bytes((tmp_path / "in" / "00000.png").read_bytes())
    run = samlab.open_run(out, pictures=root if "://" in root else tmp_path / root)
    if "://" in root and "\\" in name and "x2f" not in name:
        pytest.skip("a backslash is a letter in a URL")
    with pytest.raises(InputError, match="which leads out of it"):
        run.path(name)


def test_a_link_in_the_folder_of_pictures_does_not_lead_out_of_it(tmp_path) -> None:
    out = finished(tmp_path)
    (tmp_path / "secret.png").write_bytes((tmp_path / "in" / "00000.png").read_bytes())
    (tmp_path / "in" / "00000.png").unlink()
    (tmp_path / "in" / "00000.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="which leads out of it"):
        samlab.open_run(out, pictures=tmp_path / "in").image("00000.png")


ABOUTS = [
    "{",
    "[" * 100_000,
    "[]",
    '{"format": "samlab run"}',
    '{"format": "samlab run", "version": "1"}',
    '{"format": "samlab run", "version": 1, "settings": [], "versions": {}}',
    '{"format": "samlab run", "version": 1, "settings": {}}',
    '{"format": "samlab run", "version": 99, "settings": {}, "versions": {}}',
]


@pytest.mark.parametrize("text", ABOUTS, ids=range(len(ABOUTS)))
def test_a_crafted_run_json_is_one_sentence(tmp_path, text) -> None:
    out = finished(tmp_path)
    (out / "run.json").write_text(text)
    with pytest.raises(SamlabError, match=r"is not the description of a|is damaged|newer samlab"):
        samlab.open_run(out)


ROWS = [
    ({"n_segments": -4}, "of the kind int64, not int32"),
    ({"n_segments": pa.array([-4] * 6, pa.int32())}, "is below zero"),
    ({"position": 1.5}, "its column 'position' is of the kind double"),
    ({"image_id": "a.png"}, "it names a picture twice"),
    ({"image_id": pa.array([None] * 6, pa.string())}, "its column 'image_id' has gaps"),
    ({"status": "odd"}, "its column 'status' holds 'odd'"),
    ({"path": 3}, "its column 'path' is of the kind int64"),
    ({"path": None}, "it has no column path"),
]


@pytest.mark.parametrize(("columns", "message"), ROWS, ids=range(len(ROWS)))
def test_crafted_rows_of_pictures_are_refused_by_name(tmp_path, columns, message) -> None:
    with pytest.raises(SamlabError, match=message):
        samlab.open_run(changed(finished(tmp_path), **columns))


@pytest.mark.parametrize(
    "said", [b"{", b"[]", b'{"segments_bytes": "x"}', b'{"segments_bytes": -1}']
)
def test_a_crafted_size_of_the_file_of_segments_is_refused(tmp_path, said) -> None:
    out = finished(tmp_path)
    [file] = (out / "pictures").iterdir()
    pq.write_table(pq.read_table(file).replace_schema_metadata({b"samlab.run": said}), file)
    with pytest.raises(SamlabError, match="does not say how large the file of segments is"):
        samlab.open_run(out)


@pytest.mark.parametrize("deed", ["names", "numbers", "kinds", "none"])
def test_crafted_segments_of_a_run_are_one_sentence(tmp_path, deed) -> None:
    out = finished(tmp_path)
    [file], [listed] = (out / "segments").iterdir(), (out / "pictures").iterdir()
    table = pq.read_table(file)
    other = {
        "names": ("image_id", pa.array(["nobody.png"] * len(table))),
        "numbers": ("segment", pa.array([10**6] * len(table), pa.int32())),
        "kinds": ("area", pa.array(["x"] * len(table))),
        "none": ("segment", pa.array([None] * len(table), pa.int32())),
    }[deed]
    pq.write_table(table.set_column(table.column_names.index(other[0]), *other), file)
    about = {b"samlab.run": json.dumps({"segments_bytes": file.stat().st_size}).encode()}
    pq.write_table(pq.read_table(listed).replace_schema_metadata(about), listed)
    run = samlab.open_run(out)
    name = run.pictures.loc[run.pictures["n_segments"] > 0, "image_id"].iloc[0]
    for ask in (run.segments, lambda: run.segments(name), lambda: list(run)):
        with pytest.raises(SamlabError):
            ask()


def test_areas_that_somebody_states_do_not_reach_coco(tmp_path) -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:5] = True
    lying = Segments([masks.encode(mask)], areas=[4711], image_id="a.png")
    samlab.export(lying, tmp_path / "a.json")
    [written] = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert written["area"] == 6
