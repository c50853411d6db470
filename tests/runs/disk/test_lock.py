"""The lock of a folder names its owner and goes with it."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from samlab.errors import InputError, StorageError
from samlab.runs.disk import lock
from samlab.runs.disk.lock import WriterLock

HOLDER = """
import sys
from pathlib import Path
from samlab.runs.disk.lock import WriterLock

held = WriterLock.take(Path(sys.argv[1]))
sys.stdout.write("held\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_the_owner_is_named_and_its_death_frees_the_folder(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError) as caught:
            WriterLock.take(tmp_path)
        assert str(caught.value).startswith(
            f"Another process is writing into '{tmp_path}' (process {holder.pid} on "
        )
        assert str(caught.value).endswith(" Wait for it to end, or choose another folder.")
        holder.kill()
        holder.wait()
    own = WriterLock.take(tmp_path)
    assert own.held
    with pytest.raises(InputError, match="Another process"):  # in one process too
        WriterLock.take(tmp_path)
    own.release()
    WriterLock.take(tmp_path).release()


def test_a_file_system_without_locks_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.FileLock, "acquire", fails)
    own = WriterLock.take(tmp_path)
    assert not own.held
    own.release()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"Could not write '.*out/.writer': Not a directory"):
        WriterLock.take(tmp_path / "file" / "out")
