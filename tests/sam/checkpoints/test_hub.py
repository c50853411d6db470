"""Weights of the hub: found, fetched, verified, or one sentence; with a hub on localhost."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import shutil
import threading
from collections import namedtuple
from dataclasses import replace

import pytest

from samlab.errors import CheckpointError, MissingExtraError, SamlabWarning
from samlab.sam.checkpoints import catalogue, hub

pytest.importorskip("huggingface_hub")

WEIGHTS = bytes(range(256)) * 40
SHA = hashlib.sha256(WEIGHTS).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "sam2.1_hiera_tiny"


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub's manners as its client asks for."""

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        server = self.server
        server.requested.append(self.path)
        if server.silent in self.path:
            return  # the connection is closed without an answer
        if server.gated:
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("X-Error-Message", "Access to this model is restricted.")
            self.end_headers()
            return
        content = server.files.get(self.path.rpartition("/")[2])
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            return
        large = self.path.endswith(".safetensors")
        etag = SHA if large else hashlib.sha1(content).hexdigest()
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Etag" if large else "ETag", f'"{etag}"')
        if large:
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def world(monkeypatch, tmp_path):
    """An empty machine: own caches, no Kaggle, no hub to be reached."""
    monkeypatch.setenv("SAMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("SAMLAB_CHECKPOINTS", raising=False)
    monkeypatch.setattr(catalogue, "KAGGLE_INPUT", tmp_path / "kaggle" / "input")
    pin(monkeypatch)
    return tmp_path


def pin(monkeypatch, **pinned):
    """The model that the tests fetch: not pinned, or to what they serve."""
    nothing = {"revision": "", "sha256": "", "original_sha256": ""}
    model = replace(hub.MODELS[NAME], **{**nothing, **pinned})
    monkeypatch.setitem(hub.MODELS, NAME, model)


@pytest.fixture
def server(world, monkeypatch):
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    made.requested, made.gated, made.silent = [], False, "\0"
    made.files = {"config.json": b'{"model_type": "sam2"}', "model.safetensors": WEIGHTS}
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{made.server_port}")
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_downloaded_once_and_compared_with_what_the_hub_states(server):
    found = catalogue.fetch(NAME, progress=False)
    assert (found.source, found.path.read_bytes()) == ("download", WEIGHTS)
    assert found.path.with_name("config.json").is_file()
    assert hub.is_whole(hub.MODELS[NAME], found.path) is True
    server.requested.clear()
    again = catalogue.fetch(NAME, progress=False)
    assert (again.source, again.path) == ("Hugging Face cache", found.path)
    assert server.requested == []


def test_a_damaged_file_in_the_cache_is_fetched_again(server):
    path = catalogue.fetch(NAME, progress=False).path
    path.resolve().write_bytes(WEIGHTS[:-1] + b"x")
    with pytest.warns(SamlabWarning, match="is damaged .its SHA-256 is not the expected one"):
        found = catalogue.fetch(NAME, progress=False)
    assert found.path.read_bytes() == WEIGHTS


def test_a_download_that_arrives_damaged_is_refused(server):
    server.files["model.safetensors"] = WEIGHTS[:-1] + b"x"
    with (
        pytest.warns(SamlabWarning, match="is damaged"),
        pytest.raises(CheckpointError, match=f"is damaged: expected SHA-256 {SHA}, got"),
    ):
        catalogue.fetch(NAME, progress=False)


def test_a_pinned_revision_is_the_one_that_is_fetched(server, monkeypatch):
    pin(monkeypatch, revision=COMMIT, sha256=SHA)
    found = catalogue.fetch(NAME, progress=False)
    assert server.requested
    assert all(f"/resolve/{COMMIT}/" in path for path in server.requested)
    server.requested.clear()
    assert catalogue.fetch(NAME, progress=False).path == found.path
    assert server.requested == []


def test_other_weights_than_the_pinned_ones_are_refused(server, monkeypatch):
    pin(monkeypatch, revision=COMMIT, sha256="0" * 64)
    with (
        pytest.warns(SamlabWarning, match="is damaged"),
        pytest.raises(CheckpointError, match=f"expected SHA-256 {'0' * 64}, got {SHA}"),
    ):
        catalogue.fetch(NAME, progress=False)


@pytest.mark.parametrize("name", ["sam2.1-hiera-tiny/model.safetensors", f"{NAME}.pt"])
def test_a_file_under_the_name_must_be_the_official_one(world, monkeypatch, name):
    path = world / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(WEIGHTS)
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", str(world / "mine"))
    pin(monkeypatch, sha256="0" * 64, original_sha256="0" * 64)
    expected = f"SAMLAB_CHECKPOINTS. is not the official {NAME}: expected SHA-256 0+, got {SHA}"
    with pytest.raises(CheckpointError, match=expected):
        catalogue.fetch(NAME)
    status = {row.name: row for row in catalogue.status(verify=True)}[NAME]
    assert status.verified is False
    pin(monkeypatch, sha256=SHA, original_sha256=SHA)
    assert catalogue.fetch(NAME).path == path


def test_meta_s_models_are_pinned():
    pinned = {name for name, model in hub.MODELS.items() if model.revision}
    assert pinned == {name for name in hub.MODELS if name.startswith(("sam2.1", "sam3"))}
    for name in pinned:
        model = hub.MODELS[name]
        assert re.fullmatch(r"[0-9a-f]{40}", model.revision)
        assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)


def test_gated_weights_say_what_to_do(server):
    server.gated = True
    expected = (
        "The weights of sam3 are gated, under SAM License: accept it at "
        "https://huggingface.co/facebook/sam3, run 'hf auth login' .or set HF_TOKEN., and call "
        "load_sam again."
    )
    with pytest.raises(CheckpointError, match=expected):
        catalogue.fetch("sam3", progress=False)


@pytest.fixture
def impatient(monkeypatch):
    """Without the half minute for which the hub's client tries again."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)


def test_a_hub_that_cannot_be_reached(world, impatient):
    expected = (
        r"The weights of sam2.1_hiera_tiny \(facebook/sam2.1-hiera-tiny, 156 MB\) are not on this "
        r"machine and the Hugging Face hub could not be reached \(.*refused\)\. Download the"
    )
    with pytest.raises(CheckpointError, match=expected):
        catalogue.fetch(NAME, progress=False)


@pytest.mark.parametrize("silent", ["config.json", "model.safetensors"])
def test_a_hub_that_hangs_up(server, impatient, silent):
    server.silent = silent
    expected = f"The weights of {NAME} .* hub could not be reached .*pass its folder to load_sam"
    with pytest.raises(CheckpointError, match=expected):
        catalogue.fetch(NAME, progress=False)


def test_a_proxy_that_does_not_answer(world, impatient, monkeypatch):
    from huggingface_hub import close_session

    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    close_session()
    with pytest.raises(CheckpointError, match=f"The weights of {NAME} .* could not be reached"):
        catalogue.fetch(NAME, progress=False)
    close_session()


def test_a_repository_without_weights(server):
    del server.files["model.safetensors"]
    with pytest.raises(CheckpointError, match="The hub has no 'model.safetensors' and 'config"):
        catalogue.fetch(NAME, progress=False)


@pytest.mark.filterwarnings("ignore:Not enough free disk space")
def test_no_room_on_the_disk(server, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 10))
    expected = rf"Not enough room in '.*' for {NAME}: 10,240 bytes are needed, 10 are free"
    with pytest.raises(CheckpointError, match=expected):
        catalogue.fetch(NAME, progress=False)


def test_without_the_extra(world, monkeypatch):
    monkeypatch.setattr("samlab.errors.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r'pip install "samlab\[hf\]"'):
        catalogue.fetch(NAME, progress=False)


@pytest.mark.parametrize(
    "place",
    ["sam2.1-hiera-tiny/model.safetensors", f"{NAME}.safetensors", f"{NAME}.pt"],
)
def test_found_in_named_folders_and_on_kaggle(world, monkeypatch, place):
    named, kaggle = world / "mine", catalogue.KAGGLE_INPUT / "owner"
    for root in (kaggle, named):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(b"x")
    on_kaggle = catalogue.Found(NAME, kaggle / place, "Kaggle input")
    assert catalogue.fetch(NAME) == on_kaggle
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", str(named))
    assert catalogue.fetch(NAME) == catalogue.Found(NAME, named / place, "SAMLAB_CHECKPOINTS")


def test_the_folder_itself_may_be_named(world, monkeypatch):
    file = world / "sam2.1-hiera-tiny" / "model.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"x")
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", str(file.parent))
    assert catalogue.find(NAME).path == file


def test_status_has_every_model_with_its_licence(world):
    rows = {row.name: row for row in catalogue.status()}
    assert list(rows) == catalogue.names()
    assert rows["sam3"].gated
    assert rows["sam3"].licence == "SAM License"
    assert [name for name, row in rows.items() if row.gated] == ["sam3"]
    assert rows["sam2.1_hiera_large"].size == 898_000_000
    assert rows["sam2.1_hiera_large"].path is None


def test_status_of_what_is_in_the_cache(server):
    catalogue.fetch(NAME, progress=False)
    row = next(row for row in catalogue.status(verify=True) if row.name == NAME)
    assert (row.verified, row.size, row.source) == (True, len(WEIGHTS), "Hugging Face cache")


def test_a_wrong_name_is_answered_with_the_nearest(world):
    with pytest.raises(CheckpointError, match="Did you mean 'sam2.1_hiera_tiny'"):
        catalogue.find("sam2.1-hiera-tini")


def test_the_hub_s_own_name_of_a_model_is_answered_with_ours(world):
    with pytest.raises(CheckpointError, match="of the hub is called 'sam2.1_hiera_tiny' here"):
        catalogue.find("facebook/sam2.1-hiera-tiny")


def test_weights_in_several_files(world):
    (world / "model.safetensors.index.json").write_text(json.dumps({}))
    with pytest.raises(CheckpointError, match="are in several files. Save them in one"):
        catalogue.find(world)


def test_a_folder_without_weights(world):
    with pytest.raises(CheckpointError, match="or a folder with model.safetensors or py"):
        catalogue.find(world)


def test_models_are_data(world):
    model = replace(hub.MODELS["sam3"], name="x")
    assert model.filenames[0] == "sam3/model.safetensors"
