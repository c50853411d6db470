"""Finding, downloading and verifying weights, with small files and a server on localhost."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from samlab.errors import CheckpointError, SamlabError, SamlabWarning
from samlab.sam.checkpoints import catalogue as ck
from samlab.sam.checkpoints import hashes

GOOD = bytes(range(256)) * 400
SHA = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture
def world(monkeypatch, tmp_path):
    """An empty machine: own cache, no Kaggle, no folders named, no network, a small 'vit_b'."""
    monkeypatch.setenv("SAMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SAMLAB_CHECKPOINTS", raising=False)
    for name in ("NO_PROXY", "no_proxy"):  # the second one wins where both are set
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("SAMLAB_CHECKPOINT_URL", "http://127.0.0.1:9/weights/")  # nobody listens
    monkeypatch.setattr(ck, "KAGGLE_INPUT", tmp_path / "kaggle" / "input")
    small = replace(ck.OFFICIAL["vit_b"], sha256=SHA, size=len(GOOD))
    monkeypatch.setitem(ck.OFFICIAL, "vit_b", small)
    return tmp_path


class _Server(http.server.ThreadingHTTPServer):
    requested: list[str]


class _Handler(http.server.SimpleHTTPRequestHandler):
    cut = 0

    def do_GET(self):
        self.server.requested.append(self.path)
        super().do_GET()

    def copyfile(self, source, outputfile):
        data = source.read()
        outputfile.write(data[: len(data) - self.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(world, monkeypatch):
    """Serve world/served; `server.cut` bytes are missing at the end of what is sent."""
    (world / "served").mkdir()
    handler = type("Handler", (_Handler,), {})
    web = _Server(("127.0.0.1", 0), functools.partial(handler, directory=str(world / "served")))
    web.requested, web.handler = [], handler
    monkeypatch.setenv("SAMLAB_CHECKPOINT_URL", f"http://127.0.0.1:{web.server_port}")
    thread = threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield web
    web.shutdown()
    web.server_close()


def put(folder: Path, content: bytes = GOOD, name: str = "sam_vit_b_01ec64.pth") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def files_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_the_official_files_are_those_of_the_publishers():
    by_name = {c.name: (c.url, c.sha256[:8], len(c.sha256)) for c in ck.OFFICIAL.values()}
    meta = "https://dl.fbaipublicfiles.com/segment_anything/"
    assert by_name == {
        "vit_b": (meta + "sam_vit_b_01ec64.pth", "ec2df627", 64),
        "vit_l": (meta + "sam_vit_l_0b3195.pth", "3adcc431", 64),
        "vit_h": (meta + "sam_vit_h_4b8939.pth", "a7bf3b02", 64),
        "mobile_sam": (
            "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
            "6dbb9052",
            64,
        ),
    }


def test_the_order_of_places(world, monkeypatch):
    """Named folders come before Kaggle inputs, these before the cache; a path before all."""
    assert ck.find("vit_b") is None
    cached = put(world / "cache" / "checkpoints")
    assert ck.find("vit_b") == ck.Found("vit_b", cached, "cache")
    kaggle = put(world / "kaggle" / "input" / "models" / "meta" / "sam" / "pytorch" / "b" / "1")
    assert ck.find("vit_b") == ck.Found("vit_b", kaggle, "Kaggle input")
    named = put(world / "second")
    both = os.pathsep.join([str(world / "first"), str(world / "second")])
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", both)
    assert ck.find("vit_b") == ck.Found("vit_b", named, "SAMLAB_CHECKPOINTS")
    first = put(world / "first")
    assert ck.find("vit_b").path == first
    assert ck.find(cached) == ck.Found(str(cached), cached, "path")
    for where in (first, named, kaggle, cached):
        assert ck.fetch("vit_b").path == where
        where.unlink()


def test_samlab_checkpoints_may_name_the_file_itself(world, monkeypatch):
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", str(put(world / "here")))
    assert ck.fetch("vit_b").path == world / "here" / "sam_vit_b_01ec64.pth"


def test_the_nearest_kaggle_file_wins_and_the_search_is_bounded(world):
    root = world / "kaggle" / "input"
    put(root / "a" / "deep" / "deeper")
    near = put(root / "z")
    assert ck.find("vit_b").path == near
    near.unlink()
    (root / "a" / "deep" / "deeper" / "sam_vit_b_01ec64.pth").unlink()
    put(root / "1" / "2" / "3" / "4" / "5" / "6" / "7" / "8" / "9")
    assert ck.find("vit_b") is None


def test_download_with_progress_then_from_the_cache_in_another_process(server, world, capfd):
    put(world / "served")
    found = ck.fetch("vit_b")
    assert found.source == "download"
    assert found.path == world / "cache" / "checkpoints" / "sam_vit_b_01ec64.pth"
    assert found.path.read_bytes() == GOOD
    assert "100%" in capfd.readouterr().err
    assert server.requested == ["/sam_vit_b_01ec64.pth"]
    program = (
        "import sys, dataclasses\n"
        "from samlab.sam import checkpoints as ck\n"
        f"ck.OFFICIAL['vit_b'] = dataclasses.replace(ck.OFFICIAL['vit_b'], sha256={SHA!r})\n"
        "found = ck.fetch('vit_b')\n"
        "assert 'torch' not in sys.modules\n"
        "print(found.source, found.path)\n"
    )
    environment = {**os.environ, "SAMLAB_CHECKPOINT_URL": "http://127.0.0.1:9"}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["cache", str(found.path)]
    assert files_in(world / "cache") == ["hashes.json", "sam_vit_b_01ec64.pth"]


def test_no_bar_where_none_is_wanted(server, world, capfd):
    put(world / "served")
    ck.fetch("vit_b", progress=False)
    assert "100%" not in capfd.readouterr().err


def test_a_wrong_hash_is_refused_and_nothing_kept(server, world):
    put(world / "served", GOOD[:-1] + b"!")
    with pytest.raises(CheckpointError) as refused:
        ck.fetch("vit_b")
    text = str(refused.value)
    assert "SHA256 hash of downloaded file (sam_vit_b_01ec64.pth) does not match" in text
    assert f"expected sha256:{SHA}" in text or f"expected {SHA}" in text
    assert "Nothing was kept." in text
    assert "SAMLAB_CHECKPOINTS" in text
    assert files_in(world / "cache") == []


def test_a_connection_cut_in_the_middle_leaves_nothing(server, world):
    put(world / "served")
    server.handler.cut = 50_000
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        ck.fetch("vit_b")
    assert files_in(world / "cache") == []


def test_a_missing_address_is_told(server, world):
    with pytest.raises(CheckpointError, match="404"):
        ck.fetch("vit_b")
    assert files_in(world / "cache") == []


def test_offline_tells_what_was_looked_for_where_and_the_way_by_hand(world, monkeypatch):
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", str(world / "nowhere"))
    with pytest.raises(CheckpointError) as refused:
        ck.fetch("vit_b")
    text = str(refused.value)
    assert text.startswith("The weights of vit_b (sam_vit_b_01ec64.pth, 0 MB) are not on this")
    assert f"SAMLAB_CHECKPOINTS ('{world / 'nowhere'}' (does not exist))" in text
    assert f"Kaggle inputs '{world / 'kaggle' / 'input'}' (not there)" in text
    target = world / "cache" / "checkpoints" / "sam_vit_b_01ec64.pth"
    assert "Download of http://127.0.0.1:9/weights/sam_vit_b_01ec64.pth failed:" in text
    assert f"By hand: download that address elsewhere and save it as '{target}'" in text
    assert "load_sam('tiny') needs no download" in text
    assert files_in(world / "cache") == []


@pytest.mark.parametrize("share", [0, 50, 99])
def test_a_truncated_file_under_an_official_name_is_refused(world, monkeypatch, share):
    put(world / "mine", GOOD[: len(GOOD) * share // 100])
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", str(world / "mine"))
    with pytest.raises(CheckpointError) as refused:
        ck.fetch("vit_b")
    text = str(refused.value)
    assert "(found through SAMLAB_CHECKPOINTS) is not the official vit_b" in text
    assert f"it has {len(GOOD) * share // 100:,} of 102,400 bytes, so it is cut short" in text
    assert "pass this path instead of the name" in text


def test_weights_of_ones_own_are_taken_by_path_but_not_by_name(world, monkeypatch):
    own = put(world / "mine", GOOD[::-1])
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", str(world / "mine"))
    with pytest.raises(CheckpointError, match=f"expected SHA-256 {SHA}, got "):
        ck.fetch("vit_b")
    assert ck.fetch(own).path == own
    assert ck.fetch(str(own)).source == "path"


def test_a_damaged_cache_is_downloaded_again(server, world):
    put(world / "served")
    cached = put(world / "cache" / "checkpoints", GOOD[:1000])
    with pytest.warns(SamlabWarning, match="is damaged .* 1,000 of 102,400 bytes"):
        found = ck.fetch("vit_b")
    assert found == ck.Found("vit_b", cached, "download")
    assert cached.read_bytes() == GOOD
    assert ck.fetch("vit_b").source == "cache"


def test_a_cache_that_cannot_be_made_is_named(world, monkeypatch):
    (world / "file").write_text("not a folder")
    monkeypatch.setenv("SAMLAB_CACHE", str(world / "file" / "cache"))
    with pytest.raises(CheckpointError) as refused:
        ck.fetch("vit_b")
    text = str(refused.value)
    assert text.startswith(f"Cannot write to the cache folder '{world / 'file' / 'cache'}")
    assert "Set the environment variable SAMLAB_CACHE to a folder that can be written" in text


@contextlib.contextmanager
def powerless():
    """Root may write anywhere: give that up for a while, as far as files are concerned."""
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_cache_is_named_and_still_read(server, world, monkeypatch):
    put(world / "served")
    with tempfile.TemporaryDirectory() as name:
        cache, folder = Path(name), Path(name) / "checkpoints"
        monkeypatch.setenv("SAMLAB_CACHE", name)
        assert ck.fetch("vit_b").source == "download"  # and all modules are imported
        (folder / "sam_vit_b_01ec64.pth").rename(cache / "aside")
        server.requested.clear()
        for path in (cache, folder):
            path.chmod(0o555)
        (cache / "aside").chmod(0o444)
        with powerless(), pytest.raises(CheckpointError) as refused:
            ck.fetch("vit_b")
        text = str(refused.value)
        assert text.startswith(f"Cannot write to the cache folder '{folder}': Permission denied.")
        assert "Set the environment variable SAMLAB_CACHE" in text
        assert server.requested == []
        for path in (cache, folder):
            path.chmod(0o755)
        (cache / "aside").rename(folder / "sam_vit_b_01ec64.pth")
        (cache / "hashes.json").unlink()
        for path in (cache, folder):
            path.chmod(0o555)
        with powerless():
            assert ck.fetch("vit_b").source == "cache"
        assert files_in(cache) == ["sam_vit_b_01ec64.pth"]
        (folder / "sam_vit_b_01ec64.pth").chmod(0)
        with powerless(), pytest.raises(CheckpointError, match="cannot be read: Permission denied"):
            ck.fetch("vit_b")
        for path in (cache, folder):
            path.chmod(0o755)


def test_too_little_room_is_told_before_the_download(server, world, monkeypatch):
    put(world / "served")
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(ck.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CheckpointError, match=r"102,400 bytes are needed, 1,000 are free"):
        ck.fetch("vit_b")
    assert server.requested == []


@pytest.mark.parametrize(
    ("failure", "raised", "message"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
        (OSError(28, "No space left on device"), CheckpointError, "102,400 bytes are needed"),
    ],
)
def test_an_interrupted_download_leaves_nothing(
    server, world, monkeypatch, failure, raised, message
):
    def half(self, url, output_file, pooch, check_only=False):
        Path(output_file).write_bytes(GOOD[:500])
        raise failure

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", half)
    with pytest.raises(raised) as stopped:
        ck.fetch("vit_b")
    assert message in str(stopped.value)
    assert files_in(world / "cache") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit-h", "got 'vit-h'. Did you mean 'vit_h'"),
        ("vitb", "Did you mean 'vit_b'"),
        ("mobilesam", "Did you mean 'mobile_sam'?"),
        ("zebra", "Expected a model name out of tiny, vit_b, vit_l, vit_h, mobile_sam, sam2.1_"),
        ("weights/none.pth", "No checkpoint at 'weights/none.pth': the file does not exist."),
        ("none.safetensors", "No checkpoint at 'none.safetensors'"),
        (Path("nothing"), "No checkpoint at 'nothing'"),
        (Path("/"), "in it; got the folder '/' without. Name a file."),
    ],
)
def test_unknown_names_and_missing_files(world, name, message):
    with pytest.raises(CheckpointError) as refused:
        ck.fetch(name)
    assert message in str(refused.value)
    assert isinstance(refused.value, SamlabError)


def test_an_unlike_name_gets_no_guess(world):
    with pytest.raises(CheckpointError) as refused:
        ck.find("zebra")
    assert "Did you mean" not in str(refused.value)


def test_hashes_are_remembered_until_the_file_changes(world, monkeypatch):
    path = put(world / "mine")
    assert hashes.remembered_sha256(path) is None
    assert hashes.sha256(path) == SHA
    count = []
    digest = hashlib.file_digest

    def counted(*args):
        count.append(1)
        return digest(*args)

    monkeypatch.setattr(hashes.hashlib, "file_digest", counted)
    assert hashes.sha256(path) == SHA
    assert not count
    path.write_bytes(GOOD[::-1])
    os.utime(path, ns=(1, 1))
    assert hashes.sha256(path) == hashlib.sha256(GOOD[::-1]).hexdigest()
    assert len(count) == 1


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"x": 3}'])
def test_a_damaged_memory_of_hashes_is_no_harm(world, damage):
    path = put(world / "mine")
    memory = world / "cache" / "hashes.json"
    memory.parent.mkdir()
    memory.write_text(damage)
    assert hashes.sha256(path) == SHA
    assert str(path.resolve()) in json.loads(memory.read_text())


def test_status_tells_what_is_where(world):
    rows = {row.name: row for row in ck.status()}
    assert list(rows) == ck.names()
    assert rows["tiny"].source == "package"
    assert rows["vit_b"] == ck.Status("vit_b", "sam_vit_b_01ec64.pth", len(GOOD), None, "", None)
    cached = put(world / "cache" / "checkpoints")
    row = ck.status()[1]
    assert (row.path, row.source, row.verified) == (cached, "cache", None)
    assert ck.status(verify=True)[1].verified is True
    assert ck.status()[1].verified is True
    cached.write_bytes(b"else")
    assert ck.status()[1].verified is None
    assert ck.status(verify=True)[1].verified is False
