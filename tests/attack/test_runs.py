"""Fault matrix, runs: nothing lost, nothing for nothing, nobody else's pictures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import samlab
from samlab import Segments
from samlab.errors import InputError, StorageError, is_out_of_memory
from samlab.pictures import Picture, escaped_name, list_pictures, unescaped_name
from samlab.pipeline.cache import cache_key
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.runs.disk.shards import Outcome
from samlab.runs.disk.store import RunStore
from samlab.runs.engine.collect import collect
from samlab.runs.engine.job import Job
from samlab.runs.engine.progress import ProgressBar
from samlab.runs.engine.read_ahead import load_picture
from tests.runs.light import make_pictures, run_light

ODD = b"b\xff.png"


def odd_file(folder: Path) -> str:
    """A picture whose name is no UTF-8, as the system calls it."""
    make_pictures(folder, 1)
    odd = os.path.join(folder, os.fsdecode(ODD))
    try:
        os.rename(folder / "00000.png", odd)
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    return odd


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a/ü.png", "a/ü.png"),
        ("a\\b.png", "a\\b.png"),
        ("b\udcff.png", "b\\xff.png"),
        ("b\\xff.png", "b\\x5cxff.png"),
        ("é\udcff\\x\\", "é\\xff\\x5cx\\x5c"),
    ],
)
def test_names_become_text_and_come_back(name, text) -> None:
    assert escaped_name(name) == text
    assert unescaped_name(text) == name


def test_a_run_does_a_file_whose_name_is_no_utf_8(tmp_path) -> None:
    odd_file(tmp_path / "in")
    run = run_light(tmp_path / "in", tmp_path / "out")
    assert run.pictures["image_id"].tolist() == ["b\\xff.png"]
    assert run.pictures["status"].tolist() == ["ok"]
    assert run.image("b\\xff.png").shape == (24, 24, 3)
    again = run_light(tmp_path / "in", tmp_path / "out")
    assert len(again) == 1
    assert samlab.open_run(tmp_path / "out", pictures=tmp_path / "in").image("b\\xff.png").ndim == 3


def test_a_broken_file_whose_name_is_no_utf_8_is_a_row(tmp_path) -> None:
    odd = odd_file(tmp_path / "in")
    Path(odd).write_bytes(b"no picture")
    run = run_light(tmp_path / "in", tmp_path / "out")
    assert run.errors["image_id"].tolist() == ["b\\xff.png"]
    assert "not a picture" in run.errors["error"][0]


def test_segments_of_such_a_file_are_written_and_exported(tmp_path) -> None:
    segments = samlab.segment(odd_file(tmp_path / "in"), points_per_side=2)
    assert segments.image_id == "b\\xff.png"
    back = Segments.from_parquet(segments.to_parquet(tmp_path / "a.parquet"))
    assert back.image_id == segments.image_id
    samlab.export(segments, tmp_path / "a.json")


def test_one_name_for_two_pictures_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="'1' stands for two of the mapping"):
        list_pictures({1: "a.png", "1": "b.png"})


def test_two_pictures_of_one_name_are_not_exported_as_one(tmp_path) -> None:
    found = []
    for name in "ab":
        make_pictures(tmp_path / name, 1)
        if name == "b":
            Image.new("RGB", (24, 24), (200, 10, 10)).save(tmp_path / "b" / "00000.png")
        whole = samlab.masks.encode(np.ones((24, 24), bool))
        made = samlab.segment(tmp_path / name / "00000.png", points_per_side=2)
        found.append(made.with_masks([whole] * len(made)) if len(made) else made)
    a, b = found
    message = "'00000.png' stands for two different ones"
    with pytest.raises(InputError, match=message):
        samlab.export([a, b], tmp_path / "a.json")
    if len(a) and len(b):
        with pytest.raises(InputError, match=message):
            Segments.concat([a, b])
    samlab.export([a, b.with_image_id("b/00000.png")], tmp_path / "b.json")
    samlab.export([a, a], tmp_path / "c.json")


# -- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("deed", ["removed", "another"])
def test_a_run_whose_folder_goes_stops_at_the_next_commit(tmp_path, deed) -> None:
    pictures, out = make_pictures(tmp_path / "in", 40), tmp_path / "out"

    def disturb(state: object) -> None:
        if state.done == 10 and deed == "removed":  # type: ignore[attr-defined]
            shutil.rmtree(out)
        elif state.done == 10:  # type: ignore[attr-defined]
            (out / "run.json").write_text("{}")

    said = "is gone" if deed == "removed" else "is another run's now"
    with pytest.raises(StorageError, match=f"{said}.*was removed, moved or used for something"):
        run_light(pictures, out, flush_pictures=8, on_progress=disturb)
    if deed == "removed":
        assert not out.exists()


def outcomes_every(seconds: float, clock: list[float], n: int):
    for i in range(n):
        clock[0] += seconds
        yield Outcome(Picture(i, f"{i}.png", f"/{i}.png"), Segments(image_size=(4, 4)))


@pytest.mark.parametrize("seconds", [0.01, 0.7, 2.0, 4.0, 30.0])
def test_a_kill_costs_at_most_ten_seconds_of_finished_work(tmp_path, monkeypatch, seconds) -> None:
    clock, lost = [0.0], []
    monkeypatch.setattr("samlab.runs.engine.collect.time.monotonic", lambda: clock[0])
    with RunStore.open(tmp_path, {}) as store:
        saved_at = [0.0]
        real = store.commit

        def commit(*args: object) -> None:
            real(*args)  # type: ignore[arg-type]
            saved_at[0] = clock[0]

        monkeypatch.setattr(store, "commit", commit)
        bar = ProgressBar(
            None, 0, show=False, on_progress=lambda _: lost.append(clock[0] - saved_at[0])
        )
        collect(outcomes_every(seconds, clock, 600), store, bar)
    assert max(lost) <= 10


def test_a_change_of_a_file_dated_1970_is_seen(tmp_path) -> None:
    pictures = make_pictures(tmp_path / "in", 3)
    changing = pictures / "00001.png"
    Image.new("RGB", (24, 24), (3, 0, 0)).save(changing, compress_level=0)
    os.utime(changing, (0, 0))
    first = run_light(pictures, tmp_path / "out").pictures.set_index("image_id")["sha256"]
    size = changing.stat().st_size
    Image.new("RGB", (24, 24), (2, 0, 0)).save(changing, compress_level=0)
    os.utime(changing, (0, 0))
    assert changing.stat().st_size == size
    again = run_light(pictures, tmp_path / "out").pictures.set_index("image_id")["sha256"]
    assert (first != again).tolist() == [False, True, False]


# -- what decides a result ------------------------------------------------------------------------


def test_a_run_records_the_threads_of_each_picture(tmp_path) -> None:
    import torch

    make_pictures(tmp_path / "in", 1)
    run = samlab.run(tmp_path / "in", tmp_path / "out", points_per_side=2, progress=False)
    assert run.pictures["threads"].tolist() == [torch.get_num_threads()]
    alone = samlab.segment(tmp_path / "in" / "00000.png", points_per_side=2)
    assert alone.provenance["threads"] == torch.get_num_threads()


def test_another_version_of_samlab_does_not_use_the_cache_of_this_one(monkeypatch) -> None:
    now = cache_key("ab", {"x": 1})
    monkeypatch.setattr("samlab.pipeline.cache.version", lambda name: "99.0")
    assert cache_key("ab", {"x": 1}) != now


def constant(value: float):
    class Embedder:
        name = "mine"

        def __init__(self) -> None:
            self.size = value

        def __call__(self, image: np.ndarray, segments: Segments) -> np.ndarray:
            return np.full((len(segments), 2), self.size)

    return Embedder()


def test_two_embedders_of_one_name_have_keys_of_their_own() -> None:
    told = [SegmenterConfig(embed=("sam", constant(v))).settings() for v in (1.0, 2.0, 1.0)]
    assert told[0] != told[1]
    assert told[0] == told[2]


def test_embedders_that_differ_in_a_function_have_keys_of_their_own() -> None:
    from samlab.embedders import PatchEmbedder

    def reader(scale: int):
        return PatchEmbedder(lambda image: image * scale, "mine")

    told = [SegmenterConfig(embed=(reader(v),)).settings() for v in (1, 2, 1)]
    assert told[0] != told[1]
    assert told[0] == told[2]


def test_a_transformers_embedder_is_told_by_its_weights_and_size() -> None:
    transformers = pytest.importorskip("transformers")
    from samlab.embedders import TransformersEmbedder

    def of(size: int, seed: int):
        import torch

        torch.manual_seed(seed)
        config = transformers.Dinov2Config(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
        )
        return TransformersEmbedder(transformers.Dinov2Model(config), size=size, name="dino")

    told = [
        SegmenterConfig(embed=(of(*v),)).settings() for v in ((28, 0), (56, 0), (28, 1), (28, 0))
    ]
    assert told[0] == told[3]
    assert told[0] != told[1]
    assert told[0] != told[2]


# -- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "DefaultCPUAllocator: can't allocate memory",
    ],
)
def test_a_batch_that_is_too_large_for_cuda_is_halved(tmp_path, words) -> None:
    listed = list_pictures(make_pictures(tmp_path, 8))

    def work(images: list[np.ndarray]) -> list[Segments]:
        if len(images) > 2:
            raise RuntimeError(words)
        return [Segments(image_size=image.shape[:2]) for image in images]

    job = Job(work, batch=8)
    found = list(job.of_group([load_picture(p) for p in listed]))
    assert [outcome.error for outcome in found] == [""] * 8
    assert job.batch <= 2
    assert is_out_of_memory(RuntimeError(words))
