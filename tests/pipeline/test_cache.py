"""The cache of segments: what it holds is right or recomputed, whatever happens to the files."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

import samlab
from samlab.errors import InputError, SamlabWarning, StorageError
from samlab.pipeline.cache import SegmentCache, cache_key, open_cache
from samlab.segments import Segments
from tests.runs.light import light, make_pictures, run_light, tables_of

ROOT = Path(__file__).parents[2]
KEY = "ab" + "0" * 62


@pytest.fixture
def segments() -> Segments:
    image = np.random.default_rng(3).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    image[0, 0, 0] = 3
    return light([image])[0]


@pytest.fixture
def cache(tmp_path) -> SegmentCache:
    return SegmentCache(tmp_path / "cache")


def only_file(cache: SegmentCache) -> Path:
    (entry,) = cache.entries()
    return entry.path


def same(a: Segments, b: Segments) -> bool:
    return a.rles == b.rles and np.array_equal(a.embedding(), b.embedding())


def test_it_gives_back_what_was_put_in(cache, segments) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, segments)
    assert same(cache.get(KEY), segments)
    assert same(Segments.from_parquet(only_file(cache)), segments)
    assert cache.clear() > 0
    assert cache.get(KEY) is None
    assert list(cache.entries()) == []


def test_the_key_follows_everything_that_decides() -> None:
    key = cache_key("a", {"weights_sha256": "1", "masks": {"n": 1}})
    others = [
        cache_key("b", {"weights_sha256": "1", "masks": {"n": 1}}),
        cache_key("a", {"weights_sha256": "2", "masks": {"n": 1}}),
        cache_key("a", {"weights_sha256": "1", "masks": {"n": 2}}),
    ]
    assert len({key, *others}) == 4
    assert key == cache_key("a", {"masks": {"n": 1}, "weights_sha256": "1"})


def test_twenty_flipped_bits_are_twenty_times_noticed(cache, segments) -> None:
    rng = random.Random(0)
    for _ in range(20):
        cache.put(KEY, segments)
        file = only_file(cache)
        data = bytearray(file.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        with pytest.warns(
            SamlabWarning, match=r"is damaged: .* It is moved to '.*damaged' and com"
        ):
            assert cache.get(KEY) is None
        assert not file.exists()
        assert (cache.folder / "damaged" / file.name).read_bytes() == bytes(data)
    cache.put(KEY, segments)
    assert same(cache.get(KEY), segments)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_file_cut_short_is_noticed(cache, segments, keep) -> None:
    cache.put(KEY, segments)
    file = only_file(cache)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.warns(SamlabWarning, match="is damaged"):
        assert cache.get(KEY) is None


def test_the_longest_unused_go_first(tmp_path, segments) -> None:
    size = len(_one_entry(tmp_path / "other", segments))
    cache = SegmentCache(tmp_path / "cache", max_bytes=10 * size)
    for i in range(10):
        cache.put(f"{i:02d}" + "0" * 62, segments)
        _set_age(cache, f"{i:02d}", 1000 - i)
    assert cache.get("00" + "0" * 62) is not None  # used now, so the second one is the oldest
    cache.put("10" + "0" * 62, segments)
    left = {entry.path.name[:2] for entry in cache.entries()}
    assert left == {"00", "03", "04", "05", "06", "07", "08", "09", "10"}
    assert sum(entry.bytes for entry in cache.entries()) <= 10 * size


def test_leftovers_of_killed_writers_go(cache, segments) -> None:
    cache.put(KEY, segments)
    old, new = (only_file(cache).with_name(f".{n}.tmp") for n in ("old", "new"))
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (0, 0))
    SegmentCache(cache.folder).put("cd" + "0" * 62, segments)
    assert not old.exists()
    assert new.exists()


def test_a_full_disk_names_path_and_bytes_and_leaves_nothing(cache, segments, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError) as caught:
        cache.put(KEY, segments)
    message = str(caught.value)
    assert f"Could not write '{cache.folder / 'ab' / KEY}" in message
    assert "No space left on device. " in message
    assert "bytes are needed, " in message
    assert [p for p in cache.folder.rglob("*") if p.is_file()] == []


def test_a_run_goes_on_without_a_cache_that_cannot_be_written(tmp_path, monkeypatch) -> None:
    pictures = make_pictures(tmp_path / "pictures", 4)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.warns(SamlabWarning, match="goes on without it: Could not write .*file/cache") as w:
        run = run_light(pictures, tmp_path / "out", cache=blocked / "cache")
    assert len(w) == 1
    assert tables_of(run) == tables_of(run_light(pictures, tmp_path / "plain"))


def test_a_run_asks_the_model_only_what_is_not_there(tmp_path) -> None:
    pictures = make_pictures(tmp_path / "pictures", 6, broken=1)
    cache = tmp_path / "cache"
    asked = []

    def watched(images):
        asked.append(len(images))
        return light(images)

    first = run_light(pictures, tmp_path / "a", segment=watched, cache=cache, batch=4)
    assert sum(asked) == 5
    (next(SegmentCache(cache).entries())).path.unlink()
    second = run_light(pictures, tmp_path / "b", segment=watched, cache=cache, batch=4)
    assert sum(asked) == 6
    assert tables_of(first) == tables_of(second)
    run_light(pictures, tmp_path / "c", segment=watched, cache=cache, about={"model": "other"})
    assert sum(asked) == 11


@pytest.mark.slow
def test_eight_processes_share_one_cache(tmp_path) -> None:
    """Twenty rounds of reading and writing 16 keys, with a limit that makes them evict as well."""
    command = [sys.executable, "-m", "tests.pipeline.sharing", str(tmp_path / "cache")]
    env = {**os.environ, "PYTHONWARNINGS": "error"}
    workers = [
        subprocess.Popen([*command, str(seed)], cwd=ROOT, env=env, stdout=subprocess.PIPE)
        for seed in range(8)
    ]
    said = [worker.communicate(timeout=600)[0].decode().split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 8
    assert sum(int(hits) for hits, _ in said) > 0
    assert sum(int(writes) for _, writes in said) > 16  # so some were evicted and written again
    cache = SegmentCache(tmp_path / "cache")
    assert not (cache.folder / "damaged").exists()
    assert not list(cache.folder.rglob("*.tmp"))


def test_segmenting_a_picture_again_looks_it_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SAMLAB_CACHE", str(tmp_path))
    picture = skimage.data.coins()[:120, :150]
    plain = samlab.segment(picture, points_per_side=6, image_id="coins")
    first = samlab.segment(picture, points_per_side=6, image_id="coins", cache=True)
    assert same(first, plain)
    assert first.image_id == "coins"
    assert first.provenance == plain.provenance
    assert only_file(SegmentCache()).is_relative_to(tmp_path / "segments")
    monkeypatch.setattr("samlab.sam.load.load_sam", lambda *_, **__: pytest.fail("loaded a model"))
    again = samlab.segment(picture, points_per_side=6, cache=True)
    assert same(first, again)
    assert again.image_id == ""
    unnamed = {key: value for key, value in plain.provenance.items() if key != "pictures"}
    assert again.provenance == unnamed


def test_a_run_and_a_single_picture_share_the_cache(tmp_path, monkeypatch) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(skimage.data.coins()[:60, :80]).save(pictures / "coins.png")
    options = {"points_per_side": 4, "cache": tmp_path / "cache"}
    run = samlab.run(pictures, tmp_path / "out", progress=False, **options)
    monkeypatch.setattr("samlab.sam.load.load_sam", lambda *_, **__: pytest.fail("loaded a model"))
    found = samlab.segment(pictures / "coins.png", **options)
    assert same(found, run.segments("coins.png"))
    assert found.image_id == "coins.png"


def test_what_the_argument_means(tmp_path) -> None:
    assert open_cache(None) is open_cache(False) is None
    mine = SegmentCache(tmp_path)
    assert open_cache(mine) is mine
    assert open_cache(tmp_path).folder == tmp_path
    with pytest.raises(InputError, match="Expected max_bytes of 0 or more, got -1"):
        SegmentCache(tmp_path, max_bytes=-1)


def _one_entry(folder: Path, segments: Segments) -> bytes:
    cache = SegmentCache(folder)
    cache.put(KEY, segments)
    return only_file(cache).read_bytes()


def _set_age(cache: SegmentCache, start: str, age: float) -> None:
    for entry in cache.entries():
        if entry.path.name.startswith(start):
            os.utime(entry.path, (entry.used - age, entry.used - age))
