"""Kill a run at random moments, and at every single step of its writing; also measure its memory.

A script, in a process that has nothing else in it: it forks a child for each piece of work and
does none itself, which makes a hundred kills a matter of seconds.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from samlab.runs.results import open_run
from samlab.segments import Segments
from tests.runs.light import check_folder, light, make_pictures, run_light, tables_of


def kill_often(folder: Path, kills: int, seed: int) -> None:
    """SIGKILL a run until that has happened so often; then let it end and compare."""
    rng = random.Random(seed)
    pictures, calm = _pictures_and_calm_run(folder, 300)
    rounds = done = 0
    out = folder / "killed-0"
    while done < kills:
        pid = _start(partial(_small_shards, pictures, out))
        time.sleep(rng.uniform(0, 0.15))
        os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in (0, -signal.SIGKILL), code
        done += code != 0
        assert _child(partial(check_folder, out)) == 0
        if code == 0:  # it was quicker: compare, and go on with a fresh folder
            assert _child(partial(_compare, calm, out)) == 0
            rounds += 1
            out = folder / f"killed-{rounds}"
    assert _child(partial(_small_shards, pictures, out)) == 0
    assert _child(partial(_compare, calm, out)) == 0
    sys.stdout.write(f"{done} kills\n")


def crash_everywhere(folder: Path, *, retry: bool) -> None:
    """End the process at each step of its writing, one after the other; then resume and compare.

    With `retry`, the run that is ended is one that does failed pictures again, which rewrites
    shards.
    """
    pictures, calm = _pictures_and_calm_run(folder, 16)
    step = 0
    while True:
        out = folder / f"crashed-{step}"
        if retry:
            assert _child(partial(_small_shards, pictures, out)) == 0
        code = _child(partial(_dying, step, pictures, out, retry))
        assert code in (0, 9), code
        assert _child(partial(check_folder, out)) == 0
        assert _child(partial(_small_shards, pictures, out)) == 0
        assert _child(partial(_compare, calm, out)) == 0
        step += 1
        if code == 0:
            break
    sys.stdout.write(f"{step - 1} crashes\n")


def kill_slow_work(folder: Path, kills: int, seed: int) -> None:
    """SIGKILL a run of slow pictures, with its own limits, and say what each kill cost.

    A picture takes from 0.05 to 1.5 s, most of them little. Lost are those that were finished and
    not written: their seconds are done again.
    """
    rng = random.Random(seed)
    pictures, journal, lost = folder / "pictures", folder / "journal", []
    assert _child(partial(make_pictures, pictures, 400)) == 0
    done, out = 0, folder / "slow-0"
    while done < kills:
        journal.write_text("")
        pid = _start(partial(run_light, pictures, out, segment=partial(_slow, journal)))
        time.sleep(rng.uniform(1, 30))
        os.kill(pid, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
            out = folder / f"slow-{done}"
            continue
        done += 1
        finished = [line.split() for line in journal.read_text().splitlines()]
        written = folder / "written"
        assert _child(partial(_write_hashes, out, pictures, written)) == 0
        kept = set(written.read_text().split())
        lost.append(sum(float(seconds) for name, seconds in finished if name not in kept))
    lost.sort()
    sys.stdout.write(f"{done} kills: median {lost[done // 2]:.1f} s, at most {lost[-1]:.1f} s\n")
    assert lost[-1] <= 11, lost  # ten seconds, and the picture at hand


def _slow(journal: Path, images: Sequence[np.ndarray]) -> list[Segments]:
    begun = time.monotonic()
    seconds = 0.05 + 1.45 * (int(images[0][0, 0, 0]) / 255) ** 3
    time.sleep(seconds)
    found = light(images)
    line = f"{_hash(images[0])} {time.monotonic() - begun}\n"
    descriptor = os.open(journal, os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    return found


def _write_hashes(out: Path, pictures: Path, into: Path) -> None:
    """The pixels' hashes of those pictures that a run has written."""
    check_folder(out)
    names = open_run(out).pictures["image_id"] if (out / "run.json").exists() else []
    into.write_text(" ".join(_hash(np.asarray(Image.open(pictures / name))) for name in names))


def _hash(pixels: np.ndarray) -> str:
    return hashlib.sha1(pixels.tobytes()).hexdigest()


def peak_memory(pictures: Path, out: Path) -> None:
    """Run and say the peak of resident memory in KiB, and how many pictures went well or not."""
    import resource

    status = run_light(pictures, out).pictures["status"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(f"{peak} {(status == 'ok').sum()} {(status == 'error').sum()}\n")


def _pictures_and_calm_run(folder: Path, n: int) -> tuple[Path, Path]:
    pictures, calm = folder / "pictures", folder / "calm"
    assert _child(partial(make_pictures, pictures, n, broken=3)) == 0
    assert _child(partial(_small_shards, pictures, calm)) == 0
    return pictures, calm


def _small_shards(pictures: Path, out: Path, retry: bool = False) -> None:
    run_light(pictures, out, retry_errors=retry, flush_pictures=8, workers=2)


def _compare(calm: Path, killed: Path) -> None:
    check_folder(killed)
    assert tables_of(open_run(calm)) == tables_of(open_run(killed))
    left = [p for p in killed.rglob(".*") if p.is_file() and not p.name.startswith(".writer")]
    assert not left, left
    pairs = [sorted(p.name for p in (killed / kind).iterdir()) for kind in ("pictures", "segments")]
    assert set(pairs[1]) <= set(pairs[0]), pairs


def _dying(step: int, pictures: Path, out: Path, retry: bool) -> None:
    """Run, and end the process, as by SIGKILL, before the given call that changes the disk.

    Before a call that flushes a file, half of the file is cut off: it was still on its way.
    """
    count = 0

    def end_before(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **options: object) -> object:
            nonlocal count
            if count == step:
                if name == "fsync" and not os.path.isdir(f"/proc/self/fd/{args[0]}"):
                    os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)  # type: ignore[arg-type]
                os._exit(9)
            count += 1
            return real(*args, **options)

        setattr(os, name, call)

    for name in ("fsync", "replace", "unlink"):
        end_before(name)
    _small_shards(pictures, out, retry)


def _child(function: Callable[[], object]) -> int:
    """Fork, call, and return the child's exit code; -N where signal N ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(_start(function), 0)[1])


def _start(function: Callable[[], object]) -> int:
    """Fork and call; returns the child's process id."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    return pid


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "kill":
        kill_often(Path(rest[0]), int(rest[1]), int(rest[2]))
    elif what == "slow":
        kill_slow_work(Path(rest[0]), int(rest[1]), int(rest[2]))
    elif what == "crash":
        crash_everywhere(Path(rest[0]), retry=rest[1] == "retry")
    else:
        peak_memory(Path(rest[0]), Path(rest[1]))
    assert "torch" not in sys.modules
