"""The folder of a run after kills, crashes, damage and a full disk, and under two writers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samlab.errors import FormatError, InputError, SamlabWarning, StorageError
from samlab.runs.disk import lock
from samlab.runs.disk.storage import open_storage
from samlab.runs.disk.store import RunStore
from samlab.runs.results import open_run
from tests.runs.light import SETTINGS, check_folder, make_pictures, run_light, tables_of

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("pictures"), 20, broken=2)


def script(*words: object) -> str:
    """tests/runs/killing.py in a process of its own."""
    command = [sys.executable, "-m", "tests.runs.killing", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- ends of every kind -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_hundred_kills_lose_nothing_and_do_nothing_twice(tmp_path) -> None:
    assert script("kill", tmp_path, 100, 0) == "100 kills\n"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at /proc")
@pytest.mark.parametrize("what", ["first", "retry"])
def test_an_end_before_any_step_of_writing_loses_nothing(tmp_path, what) -> None:
    crashes = int(script("crash", tmp_path, what).split()[0])
    assert crashes >= 8


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path) -> None:
    few = make_pictures(tmp_path / "few", 100, broken=2)
    many = make_pictures(tmp_path / "many", 1000, broken=20)
    small, *_ = map(int, script("memory", few, tmp_path / "a").split())
    large, ok, errors = map(int, script("memory", many, tmp_path / "b").split())
    assert (ok, errors) == (980, 20)
    assert large <= 1.1 * small


# -- what does not count ------------------------------------------------------------------------


def test_segments_without_their_pictures_do_not_count(pictures, tmp_path) -> None:
    whole = run_light(pictures, tmp_path / "a")
    run_light(pictures, tmp_path / "b", flush_pictures=5)
    lost = sorted((tmp_path / "b" / "pictures").iterdir())[1]
    lost.unlink()
    assert len(open_run(tmp_path / "b")) == 15
    again = run_light(pictures, tmp_path / "b")
    assert tables_of(again) == tables_of(whole)
    assert {Path(f).stem for f in again.files} <= {shard.name for shard, _ in again.shards}
    assert not (tmp_path / "b" / "segments" / lost.name).exists()


def test_pictures_whose_segments_are_cut_short_are_done_again(pictures, tmp_path) -> None:
    run = run_light(pictures, tmp_path / "out", flush_pictures=5)
    whole = tables_of(run)
    file = Path(run.files[0])
    file.write_bytes(file.read_bytes()[:-10])
    assert len(open_run(tmp_path / "out")) == 15
    assert tables_of(run_light(pictures, tmp_path / "out")) == whole
    with pytest.raises(FormatError, match=r"is gone: the run .* Call samlab\.open_run again"):
        run.segments()


def test_a_damaged_file_is_put_aside_and_its_pictures_are_done_again(pictures, tmp_path) -> None:
    whole = tables_of(run_light(pictures, tmp_path / "out", flush_pictures=5))
    file = sorted((tmp_path / "out" / "pictures").iterdir())[0]
    data = bytearray(file.read_bytes())
    data[60] ^= 4
    file.write_bytes(data)
    with pytest.raises(FormatError, match=r"is damaged: .* call samlab\.run again"):
        open_run(tmp_path / "out")
    with pytest.warns(SamlabWarning, match="is damaged. It is moved to 'damaged/part-000001"):
        again = run_light(pictures, tmp_path / "out")
    assert tables_of(again) == whole
    assert (tmp_path / "out" / "damaged" / file.name).read_bytes() == bytes(data)


def test_a_flipped_bit_in_the_segments_is_noticed_when_they_are_read(pictures, tmp_path) -> None:
    run = run_light(pictures, tmp_path / "out")
    file = Path(run.files[0])
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with pytest.raises(FormatError, match=r"cannot be read: .* remove the two files pictures/part"):
        open_run(tmp_path / "out").segments()


# -- several writers ----------------------------------------------------------------------------


def test_a_second_writer_is_refused(pictures, tmp_path) -> None:
    with (
        RunStore.open(tmp_path / "out", SETTINGS),
        pytest.raises(InputError, match=rf"Another process is writing .*process {os.getpid()} on"),
    ):
        run_light(pictures, tmp_path / "out")
    assert len(run_light(pictures, tmp_path / "out")) == 20


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_two_writers_without_locks_do_no_harm(pictures, tmp_path, monkeypatch) -> None:
    whole = run_light(pictures, tmp_path / "alone")
    monkeypatch.setattr(lock.FileLock, "acquire", no_locks)
    with RunStore.open(tmp_path / "out", SETTINGS):
        run_light(pictures, tmp_path / "out", flush_pictures=7)  # does not know of the other one
        for name in (tmp_path / "out").rglob("*.parquet"):
            name.with_name("copy-" + name.name).write_bytes(name.read_bytes())
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 6
    assert tables_of(open_run(tmp_path / "out")) == tables_of(whole)
    again = run_light(pictures, tmp_path / "out")
    assert tables_of(again) == tables_of(whole)
    check_folder(tmp_path / "out")


# -- settings and strangers ---------------------------------------------------------------------


def test_other_settings_are_refused_by_name(pictures, tmp_path) -> None:
    run_light(pictures, tmp_path / "out", about={"model": "light", "masks": {"n": 1, "m": 2}})
    with pytest.raises(InputError) as caught:
        run_light(pictures, tmp_path / "out", about={"model": "dark", "masks": {"n": 1, "m": 3}})
    assert str(caught.value) == (
        f"'{tmp_path / 'out'}' holds a run with other settings: "
        'model was "light" and is now "dark"; masks.m was 2 and is now 3. '
        "Use the same settings to go on with it, or choose another folder."
    )


def test_a_folder_of_something_else_is_refused(pictures, tmp_path) -> None:
    (tmp_path / "run.json").write_text('{"name": "a web app"}')
    with pytest.raises(FormatError, match="is not the description of a samlab run"):
        run_light(pictures, tmp_path)
    with pytest.raises(InputError, match="Expected a folder for the results, got the file"):
        run_light(pictures, tmp_path / "run.json")
    with pytest.raises(InputError, match=r"Expected the folder of a run, with a file run\.json"):
        open_run(tmp_path / "nothing")


def test_a_newer_format_is_refused(pictures, tmp_path) -> None:
    run_light(pictures, tmp_path / "out")
    file = tmp_path / "out" / "run.json"
    file.write_text(file.read_text().replace('"version": 1', '"version": 9'))
    with pytest.raises(FormatError, match="format version 1 or lower .* got 9.*upgrade samlab"):
        open_run(tmp_path / "out")


# -- disks --------------------------------------------------------------------------------------


def test_a_full_disk_is_named_and_nothing_is_half_written(pictures, tmp_path, monkeypatch) -> None:
    out = tmp_path / "out"
    real = os.fsync
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        run_light(pictures, out, flush_pictures=4)
    monkeypatch.undo()
    message = str(caught.value)
    assert message.startswith(f"Could not write '{out / 'pictures' / 'part-'}")
    assert "No space left on device. " in message
    assert "bytes are needed, " in message
    assert "are free; nothing was half-written." in message
    assert not list(out.rglob("*.tmp"))
    check_folder(out)
    assert len(run_light(pictures, out)) == 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
def test_a_really_full_and_a_really_read_only_disk(pictures, tmp_path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount")
    try:
        # What is left is about half of what the run takes, in whole pages of 4 KB.
        (disk / "ballast").write_bytes(b"0" * 60_000)
        with pytest.raises(StorageError, match=r"No space left on device\. [\d,]+ bytes are need"):
            run_light(pictures, disk / "out", flush_pictures=1)
        assert not list((disk / "out").rglob("*.tmp"))
        check_folder(disk / "out")
        done = len(open_run(disk / "out"))
        assert 0 < done < 20
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert len(open_run(disk / "out")) == done
        with pytest.raises(StorageError, match=r"writer': Read-only file system\. Choose a folder"):
            run_light(pictures, disk / "out")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


# -- object storage -----------------------------------------------------------------------------


def test_a_run_in_object_storage_is_the_same(pictures, tmp_path) -> None:
    pytest.importorskip("fsspec")
    whole = run_light(pictures, tmp_path / "out")
    url = f"memory://test-{tmp_path.name}/run"
    run_light(pictures, url, flush_pictures=6)
    storage = open_storage(url)
    storage.remove(sorted(storage.names("pictures"))[0])
    assert len(open_run(url)) == 14
    remote = run_light(pictures, url)
    assert tables_of(remote) == tables_of(whole)
    assert len(remote.segments("00001.png")) == len(whole.segments("00001.png"))
    assert remote.dataset.count_rows() == whole.n_segments


def test_an_unknown_storage_is_named() -> None:
    with pytest.raises(InputError, match="'nowhere://bucket/run' cannot be opened: .* fsspec"):
        open_storage("nowhere://bucket/run")


def test_an_empty_run_goes_through_everything(tmp_path) -> None:
    folder = make_pictures(tmp_path / "pictures", 2, broken=2)
    run = run_light(folder, tmp_path / "out")
    assert len(run) == len(run.errors) == 2
    assert run.n_segments == 0
    assert run.files == []
    assert len(run.segments()) == 0
    assert list(run) == []
    assert run.to_pandas().empty
    assert run.table(["image_id"]).num_rows == 0
    assert run.dataset.count_rows() == 0
    assert np.array_equal(run.pictures["position"], [0, 1])


def test_results_go_nowhere_by_accident(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="folder for the results, got an empty path"):
        open_storage("")
    with pytest.raises(InputError, match="got 's3:/bucket/run'. Did you mean 's3://bucket/run'?"):
        open_storage("s3:/bucket/run")
    assert open_storage("a:/b")
    assert not list(tmp_path.iterdir())
