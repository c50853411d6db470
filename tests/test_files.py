"""Files appear whole or not at all, however many write them at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from samlab import files
from samlab.errors import InputError, StorageError
from samlab.files import (
    atomic_file,
    atomic_folder,
    free_file,
    scratch_folder,
    write_atomic,
    write_json,
)

# Eight processes write one path again and again, each a content of its own, and read it between.
RACE = """
import os, sys
from pathlib import Path
import numpy as np
from samlab import masks
from samlab.bank.memory_bank import MemoryBank
from samlab.files import write_atomic
from samlab.segments import Segments

target = Path(sys.argv[2])

class Plain:
    def content(mark):
        return bytes([mark]) * 3_000_000
    def write(content):
        write_atomic(target, content)
    def read():
        return set(target.read_bytes())

class Table:
    def content(mark):
        rles = [masks.encode(np.ones((4, 4), bool))] * 3000
        return Segments(rles, image_size=(4, 4)).with_labels(np.full(3000, mark))
    def write(content):
        content.to_parquet(target)
    def read():
        return set(Segments.from_parquet(target).labels.tolist())

class Bank:
    def content(mark):
        rows = np.tile(np.eye(8, 200, dtype=np.float32)[mark], (3000, 1))
        return MemoryBank(rows, np.zeros(3000, int), ("a",))
    def write(content):
        content.save(target)
    def read():
        return set(MemoryBank.load(target).prototypes.argmax(axis=1).tolist())

def race(kind, mark):
    content = kind.content(mark)
    for _ in range(25):
        kind.write(content)
        found = kind.read()
        assert len(found) == 1, f"a mixture of {found}"

children = []
for mark in range(8):
    child = os.fork()
    if child == 0:
        try:
            race(globals()[sys.argv[1]], mark)
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\\n".encode())
            os._exit(1)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("kind", ["Plain", "Table", "Bank"])
def test_eight_writers_of_one_path_never_show_a_mixture(kind: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RACE, kind, str(tmp_path / "one")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_writing_whole_replaces_or_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sub" / "a.bin"
    assert write_atomic(file, b"old") == file
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_atomic(file, b"new")
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert [p.name for p in file.parent.iterdir()] == ["a.bin"]
    write_atomic(file, "né")
    assert file.read_bytes() == b"n\xc3\xa9"


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_promised_to_be_on_the_disk_is_flushed_before_the_rename(
    durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts: list[str] = []
    flush, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (acts.append("flush"), flush(handle)))
    monkeypatch.setattr(os, "replace", lambda *names: (acts.append("rename"), rename(*names)))
    write_atomic(tmp_path / "a", b"x", durable=durable)
    folder = ["flush"] if os.name == "posix" else []
    assert acts == (["flush", "rename", *folder] if durable else ["rename"])


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    def torn() -> None:
        with atomic_file(tmp_path / "a") as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        torn()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127, "\U0001f41f" * 63])
def test_the_longest_names_that_a_disk_takes_can_be_written(name: str, tmp_path: Path) -> None:
    write_atomic(tmp_path / name, b"x")
    with atomic_folder(tmp_path / name[::-1][1:]) as staging:
        write_json(staging / "b", 1)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError) as caught:
        write_atomic(tmp_path / "taken", b"xyz")
    sentence = str(caught.value)
    assert sentence.startswith(f"Could not write '{tmp_path / 'taken'}': Is a directory. 3 bytes")
    assert sentence.endswith("Make room there, or choose a folder that can be written.")
    with pytest.raises(StorageError, match=r"file/sub/a': Not a directory \('.*file/sub'\)\. "):
        write_atomic(tmp_path / "file" / "sub" / "a", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_nothing_is_replaced_by_accident(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(InputError, match="exists already and was left as it is"):
        write_json(tmp_path / "a.json", {})
    assert write_json(tmp_path / "a.json", {}, overwrite=True).read_text() == "{}"
    with pytest.raises(InputError, match="Expected the name of a file to write, got the folder"):
        free_file(tmp_path, overwrite=True)
    with pytest.raises(InputError, match="Expected the name of a folder to write, got the file"):
        atomic_folder(tmp_path / "a.json").__enter__()


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        "import os, tempfile; from samlab.files import scratch_folder\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "with scratch_folder('test') as folder:\n"
        "    (folder / 'large').write_bytes(bytes(1000)); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = tmp_path.iterdir()
    assert killed.returncode == -9
    assert (left / "large").exists()
    other = tmp_path / "samlab-test-of-somebody-else"
    other.mkdir()
    monkeypatch.setattr(files, "_AGE", -1)
    with scratch_folder("test") as first:
        assert not left.exists()
        with scratch_folder("test") as second:
            assert first.exists()
            assert first != second
        assert not second.exists()
    assert [path.name for path in tmp_path.iterdir()] == [other.name]
