"""Which pictures count as changed since they were done."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samlab.errors import InputError
from samlab.pictures import list_pictures
from samlab.runs.disk import shards
from samlab.runs.disk.shards import Outcome
from samlab.runs.disk.storage import open_storage
from samlab.runs.disk.store import RunStore
from samlab.runs.results import open_run
from samlab.segments.tables import to_parquet_bytes
from tests.runs.light import commit, light, make_pictures, run_light, tables_of


@pytest.fixture
def pictures(tmp_path) -> Path:
    """BMP: however its pixels change, a picture keeps its size in bytes."""
    made = make_pictures(tmp_path / "made", 6)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in made.iterdir():
        Image.open(path).save(folder / f"{path.stem}.bmp")
    return folder


class Watched:
    """The light model, which remembers what it was asked about."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, images):
        self.seen.extend(images)
        return light(images)


def test_a_picture_changed_without_changing_its_size_is_done_again(pictures, tmp_path) -> None:
    run_light(pictures, tmp_path / "out")
    target = pictures / "00003.bmp"
    before = target.stat()
    Image.fromarray(255 - np.asarray(Image.open(target))).save(target)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns + 1))  # however fast all this was
    assert target.stat().st_size == before.st_size
    model = Watched()
    run = run_light(pictures, tmp_path / "out", segment=model)
    assert len(model.seen) == 1
    assert np.array_equal(model.seen[0], run.image("00003.bmp"))
    assert tables_of(run) == tables_of(run_light(pictures, tmp_path / "whole"))


def test_a_copy_of_the_same_pictures_is_not_done_again(pictures, tmp_path) -> None:
    """A data set that is mounted or copied anew has other times and the same content."""
    run_light(pictures, tmp_path / "out")
    for path in pictures.iterdir():
        os.utime(path, ns=(0, 10**18))
    model = Watched()
    assert len(run_light(pictures, tmp_path / "out", segment=model)) == 6
    assert model.seen == []


def test_new_pictures_are_done_and_those_that_are_gone_keep_their_rows(pictures, tmp_path) -> None:
    run_light(pictures, tmp_path / "out")
    (pictures / "00001.bmp").unlink()
    (pictures / "00002.bmp").rename(pictures / "renamed.bmp")
    model = Watched()
    run = run_light(pictures, tmp_path / "out", segment=model)
    assert len(model.seen) == 1
    names = set(run.pictures["image_id"])
    assert names == {f"{i:05d}.bmp" for i in range(6)} | {"renamed.bmp"}


def test_a_run_from_before_times_were_kept_is_read_and_goes_on(pictures, tmp_path) -> None:
    """Its pictures are compared by their size alone."""
    out = tmp_path / "out"
    run_light({p.name: p for p in sorted(pictures.iterdir())[:4]}, out)
    storage = open_storage(out)
    for name in storage.names(shards.PICTURES):
        table = shards.from_bytes(storage.read(name), name).drop_columns("modified_ns")
        storage.write(name, to_parquet_bytes(table))
    assert open_run(out).pictures["modified_ns"].tolist() == [0] * 4
    model = Watched()
    run = run_light(pictures, out, segment=model)
    assert len(model.seen) == 2
    assert (run.pictures["modified_ns"] > 0).tolist() == [False] * 4 + [True] * 2
    assert len(run_light(pictures, out, retry_errors=True)) == 6


def test_settings_may_be_put_right_while_there_is_no_result(pictures, tmp_path) -> None:
    """A call that ended before its first result must not block the folder for the next one."""
    out = tmp_path / "out"
    RunStore.open(out, {"model": "wrong"}).close()
    with RunStore.open(out, {"model": "right"}) as store:
        picture = next(iter(list_pictures(pictures)))
        commit(store, [Outcome(picture, error="broken", error_type="ImageError")])
    assert open_run(out).settings == {"model": "right"}
    with pytest.raises(InputError, match='model was "right" and is now "other"'):
        RunStore.open(out, {"model": "other"})
