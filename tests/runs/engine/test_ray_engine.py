"""The same run on a Ray of two workers on this machine, and what a dying worker costs: nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import samlab
from samlab.errors import InputError
from samlab.pictures import Picture, list_pictures
from samlab.runs.disk.storage import open_storage
from samlab.runs.disk.store import RunStore
from samlab.runs.engine.attempts import Attempts, forget_attempts
from samlab.runs.engine.collect import RunError
from samlab.runs.engine.job import Job
from samlab.runs.engine.progress import Progress
from samlab.runs.engine.ray_engine import (
    RayEngine,
    ShardWorker,
    WorkerSetup,
    _resources,
    shard_name,
)
from samlab.runs.results import open_run
from tests.runs.engine.test_processes import deadly
from tests.runs.light import SETTINGS, LightConfig, make_pictures, run_light, tables_of

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.xdist_group("ray")  # one Ray: a test kills whatever worker it finds


@pytest.fixture(scope="module")
def two_workers():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    options = {
        "num_cpus": 2,
        "object_store_memory": 100 * 2**20,
        "include_dashboard": False,
        "log_to_driver": False,
        "runtime_env": {"env_vars": {"PYTHONPATH": str(ROOT)}},
    }
    try:
        ray.init(**options)
    except Exception:  # noqa: BLE001  after 30 seconds, too few on a busy machine
        ray.shutdown()
        ray.init(**options)
    yield ray
    ray.shutdown()


@pytest.fixture
def one_thread():
    """What Ray gives a worker of one CPU; sums over more threads differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pictures(tmp_path) -> Path:
    return make_pictures(tmp_path / "pictures", 40, broken=2)


def setup_for(out: Path) -> WorkerSetup:
    out.mkdir(parents=True, exist_ok=True)
    about = out / "run.json"  # a worker writes nowhere but into a run
    if not about.exists():
        about.write_text("{}")
    return WorkerSetup(str(out), LightConfig(), dict(SETTINGS), None, None, None, 2)


def run_cluster(pictures: Path, out: Path, deadly: str, engine: RayEngine) -> list[Progress]:
    states: list[Progress] = []
    run_light(
        pictures, out, deadly=deadly, engine=engine, workers=2, batch=None,
        on_progress=states.append,
    )  # fmt: skip
    return states


def actors() -> list[int]:
    """The processes of the one Ray of these tests that are at work."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            title = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if title.startswith(b"ray::") and b"ShardWorker" in title:
            found.append(int(entry.name))
    return found


def kill_a_worker_of(out: Path, held: Path, killed: list[int]) -> None:
    """SIGKILL one of the actors as soon as something is written; then let go what is held up."""
    try:
        while not ((out / "pictures").exists() and any((out / "pictures").iterdir())):
            time.sleep(0.02)
        killed.append(actors()[0])
        os.kill(killed[0], signal.SIGKILL)
    finally:
        held.unlink()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at /proc")
def test_two_workers_of_which_one_is_killed_give_the_same_table(
    pictures, tmp_path, two_workers
) -> None:
    out, killed = tmp_path / "a", []
    # One picture is held up until a worker was killed, so that the work is not over before.
    folder = deadly(tmp_path, pictures, "00034.png", "waits")
    (held,) = Path(folder).iterdir()
    killer = threading.Thread(target=kill_a_worker_of, args=(out, held, killed), daemon=True)
    killer.start()
    engine = RayEngine(pictures_per_shard=2, workers=2)
    states = run_cluster(pictures, out, folder, engine)
    killer.join()
    assert len(killed) == 1
    assert (states[-1].done, states[-1].errors) == (40, 2)
    run = open_run(out)
    assert tables_of(run) == tables_of(run_light(pictures, tmp_path / "b"))
    assert len(run.shards) == 20
    assert not list((out / "attempts").iterdir())


@pytest.mark.slow
def test_it_goes_on_and_leaves_a_picture_alone_that_kills_workers(
    pictures, tmp_path, two_workers
) -> None:
    out = tmp_path / "a"
    run_light({f"{i:05d}.png": pictures / f"{i:05d}.png" for i in range(30)}, out)
    folder = deadly(tmp_path, pictures, "00034.png", "always")
    engine = RayEngine(pictures_per_shard=10, workers=1)
    states = run_cluster(pictures, out, folder, engine)
    assert len(states) == 10
    run = open_run(out)
    row = run.pictures.set_index("image_id").loc["00034.png"]
    assert row["error"] == "The process working on it died, 2 times."
    assert (len(run), len(run.errors)) == (40, 3)
    assert len(run.shards) == 2
    run_light(pictures, out, retry_errors=True)
    assert tables_of(open_run(out)) == tables_of(run_light(pictures, tmp_path / "b"))


@pytest.mark.slow
def test_the_real_model_on_ray(tmp_path, two_workers, one_thread) -> None:
    pictures = make_pictures(tmp_path / "pictures", 3, broken=1, size=48)
    options = {"points_per_side": 4, "progress": False}
    engine = RayEngine(workers=1, pictures_per_shard=2)
    cluster = samlab.run(pictures, tmp_path / "a", engine=engine, **options)
    one = samlab.run(pictures, tmp_path / "b", **options)
    assert tables_of(cluster) == tables_of(one)
    again = samlab.run(pictures, tmp_path / "a", engine="ray", **options)
    assert tables_of(again) == tables_of(one)


# -- without Ray --------------------------------------------------------------------------------


def test_a_worker_does_a_batch_once(pictures, tmp_path) -> None:
    """What Ray calls: the second time, the shard is there and is only counted."""
    out = tmp_path / "a"
    rows = [vars(p) for p in list_pictures(pictures)][:4]
    batch = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    with RunStore.open(out, SETTINGS):
        answer = ShardWorker(setup_for(out))(batch)
        file = Path(open_run(out).files[0])
        before = file.stat().st_mtime_ns
        again = ShardWorker(setup_for(out))(batch)
    assert file.stat().st_mtime_ns == before
    assert not list((out / "attempts").iterdir())
    for one in (answer, again):
        assert one["image_id"].tolist() == [row["image_id"] for row in rows]
        assert one["error"].tolist() == [True, False, False, False]


def test_a_worker_with_other_weights_refuses(tmp_path) -> None:
    setup = replace(setup_for(tmp_path), settings={"model": "another"})
    with pytest.raises(RunError, match=r"worker's settings differ .*{'model': 'light'}\. Give the"):
        ShardWorker(setup)


def test_a_worker_stops_where_the_model_fails_on_everything(tmp_path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 9)
    worker = ShardWorker(setup_for(tmp_path / "out"))

    def broken(images):
        raise RuntimeError("no kernel image is available")

    worker._job = Job(broken)
    rows = [vars(p) for p in list_pictures(pictures)]
    with pytest.raises(RunError, match="failed on all 9 pictures of a batch.*RuntimeError: no ker"):
        worker({name: np.array([row[name] for row in rows]) for name in rows[0]})


def test_resources_follow_the_cluster() -> None:
    cpu, gpu = {"CPU": 16.0}, {"CPU": 16.0, "GPU": 4.0}
    assert _resources(RayEngine(), cpu, 100) == (0.0, (1, 16))
    assert _resources(RayEngine(), cpu, 3) == (0.0, (1, 3))
    assert _resources(RayEngine(), gpu, 100) == (1.0, (1, 4))
    assert _resources(RayEngine(gpus=0.5), gpu, 100) == (0.5, (1, 8))
    assert _resources(RayEngine(gpus=0.5, cpus=4), gpu, 100) == (0.5, (1, 4))
    assert _resources(RayEngine(workers=3), cpu, 100) == (0.0, (3, 3))
    assert _resources(RayEngine(workers=(2, 5), gpus=0), gpu, 100) == (0, (2, 5))


def test_a_shard_is_named_after_its_pictures() -> None:
    some = [Picture(0, "a", "x"), Picture(1, "b", "y")]
    moved = [Picture(5, "a", "z"), Picture(6, "b", "w")]
    assert shard_name(some) == shard_name(moved)
    assert shard_name(some) != shard_name(some[:1])


def test_notes_find_the_picture_that_kills(tmp_path) -> None:
    storage = open_storage(tmp_path)
    pictures = [Picture(i, name, name) for i, name in enumerate("abc")]
    for _ in range(2):  # two workers die on the whole batch
        assert not Attempts(storage, "s").one_by_one
    for _ in range(2):  # two die on "b"
        third = Attempts(storage, "s")
        assert third.one_by_one
        assert third.given_up(pictures) == []
        names = third.singly(pictures)
        assert [next(names).image_id for _ in range(2)] == ["a", "b"]
    last = Attempts(storage, "s")
    assert [p.image_id for p in last.singly(pictures)] == ["a", "c"]
    assert [o.picture.image_id for o in last.given_up(pictures)] == ["b"]
    last.finish()
    assert list((tmp_path / "attempts").iterdir()) == []
    Attempts(storage, "s")
    forget_attempts(storage)
    assert list((tmp_path / "attempts").iterdir()) == []


def test_wrong_engines_are_named(pictures, tmp_path) -> None:
    with pytest.raises(InputError, match="engine 'local', 'ray' or a RayEngine, got 'dask"):
        samlab.run(pictures, tmp_path / "out", engine="dask")
    with pytest.raises(InputError, match="Expected pictures_per_shard of at least 1"):
        RayEngine(pictures_per_shard=0)
