"""One process that answers requests: in order, without the caller's script, and never left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from samlab.worker import NotPrepared, Worker, WorkerDied
from tests.processes import is_running

WORK = """
import os, sys, time
from pathlib import Path

def doubling(folder):
    if folder == "nowhere":
        raise OSError("no such folder")
    return lambda requests: answers(requests)

def answers(requests):
    for request in requests:
        if request == "die":
            sys.stderr.write("first line\\nI am out of memory\\n")
            sys.stderr.flush()
            os._exit(7)
        if request == "print":
            print("into the answers?")
            os.system("echo and this?")
        if request == "read":
            request = sys.stdin.read()
        if request == "who":
            request = [os.getpid(), os.environ.get("COLOUR")]
        yield [request, request]
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function in a module that only this process's sys.path knows."""
    (tmp_path / "users_module.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    import users_module

    yield users_module.doubling
    del sys.modules["users_module"]


def test_answers_come_in_order_whatever_else_the_process_writes_and_reads(work) -> None:
    worker = Worker(work, "here", environment={"COLOUR": "blue"})
    worker.start()
    for request in (1, "print", "read", b"x" * 10**6):
        worker.send(request)
    assert [worker.receive() for _ in range(4)] == [
        [1, 1], ["print", "print"], ["", ""], [b"x" * 10**6, b"x" * 10**6],
    ]  # fmt: skip
    worker.start()  # runs already
    worker.send("who")
    (process, colour), _ = worker.receive()
    assert colour == "blue"
    assert process != os.getpid()
    worker.close()


def test_a_death_tells_its_code_and_last_line_and_another_one_starts(work, tmp_path) -> None:
    worker = Worker(work, "here", log=tmp_path / "log")
    worker.start()
    worker.send("die")
    with pytest.raises(WorkerDied, match="ended with code 7") as caught:
        worker.receive()
    assert (caught.value.code, caught.value.last_line) == (7, "I am out of memory")
    with pytest.raises(WorkerDied):
        worker.send(1)
    worker.start()
    worker.send(2)
    assert worker.receive() == [2, 2]
    worker.kill()
    with pytest.raises(WorkerDied, match="was stopped"):
        worker.start()


def test_what_cannot_be_prepared_says_why(work, tmp_path) -> None:
    with pytest.raises(NotPrepared, match="OSError: no such folder"):
        Worker(work, "nowhere").start()
    worker = Worker(work, "here")
    (tmp_path / "users_module.py").write_text("")
    with pytest.raises(NotPrepared, match="AttributeError: .*doubling"):
        worker.start()
    with pytest.raises(AttributeError, match="local object"):
        Worker(lambda: None)


SCRIPT = """
import os, sys, time
sys.path.insert(0, {folder!r})
open({folder!r} + "/begun", "a").write("x")
from samlab.worker import Worker
import users_module
worker = Worker(users_module.doubling, "here")
worker.start()
worker.send("who")
sys.stdout.write(str(worker.receive()[0][0]) + chr(10))
sys.stdout.flush()
if {waits}:
    time.sleep(600)
worker.close()
"""


def started(tmp_path: Path, waits: bool) -> tuple[subprocess.Popen[str], int]:
    """A script without `if __name__ == "__main__"`, and the process that works for it."""
    (tmp_path / "script.py").write_text(SCRIPT.format(folder=str(tmp_path), waits=waits))
    script = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    return script, int(script.stdout.readline())


def test_the_callers_script_is_not_run_again(work, tmp_path) -> None:
    script, _ = started(tmp_path, waits=False)
    assert script.wait(60) == 0
    assert (tmp_path / "begun").read_text() == "x"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_the_process_does_not_outlive_its_owner(end, work, tmp_path) -> None:
    script, process = started(tmp_path, waits=True)
    assert is_running(process)
    script.send_signal(end)
    script.wait(60)
    limit = time.monotonic() + 60
    while is_running(process) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not is_running(process)
