"""load_sam: official and fine-tuned weights, and files that are not what they should be."""

from __future__ import annotations

import functools
import http.server
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from samlab.errors import CheckpointError
from samlab.sam import device
from samlab.sam.checkpoints import catalogue as checkpoints
from samlab.sam.checkpoints.hashes import sha256
from samlab.sam.checkpoints.reading import read_state
from samlab.sam.load import _encode_in, load_sam


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SAMLAB_CHECKPOINTS", raising=False)
    monkeypatch.setattr(checkpoints, "KAGGLE_INPUT", tmp_path / "kaggle")


@functools.cache
def shaped_like(architecture: str) -> dict[str, torch.Tensor]:
    """A state dict of that architecture's shapes in which every tensor is one number, expanded:
    the files take kilobytes instead of gigabytes."""
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in sam_model_registry[architecture]().state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    return {k: torch.randn(1, generator=generator).expand(s) for k, s in shapes.items()}


@pytest.fixture
def save(tmp_path):
    def write(content, name="some.pth", **options):
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.mark.parametrize("architecture", ["vit_b", "vit_l", "vit_h"])
def test_the_architecture_is_read_from_the_shapes_not_the_name(save, architecture):
    state = shaped_like(architecture)
    path = save(state, "sam_vit_z_misleading.pt")
    sam = load_sam(path, device="cpu")
    assert isinstance(sam, Sam)
    assert sam.samlab_architecture == architecture
    assert sam.samlab_name == "sam_vit_z_misleading.pt"
    assert sam.weights_sha256 == sha256(path)
    assert not sam.training
    assert not any(p.requires_grad for p in sam.parameters())
    assert not any(t.is_meta for t in [*sam.parameters(), *sam.buffers()])
    loaded = sam.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[k], state[k]) for k in state)
    reference = sam_model_registry["vit_b"].__globals__["Sam"]
    assert type(sam) is reference
    assert sam.pixel_mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert sam.pixel_std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"model": s, "epoch": 3},
        lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}, "lr": 0.1},
        lambda s: {"model_state": {f"sam.{k}": v for k, v in s.items()}},
        lambda s: {"state_dict": {"model": s}},
        lambda s: {k: v.half() for k, v in s.items()},
    ],
)
def test_fine_tuned_weights_in_their_wrappers(save, wrap):
    state = shaped_like("vit_b")
    sam = load_sam(str(save(wrap(state))), device="cpu")
    assert sam.samlab_architecture == "vit_b"
    key = "mask_decoder.iou_token.weight"
    got = sam.state_dict()[key]
    assert got.dtype == torch.float32
    assert torch.allclose(got, state[key], rtol=1e-3)


def test_safetensors_are_read_whatever_the_suffix(tmp_path):
    state = {"module.image_encoder.x": torch.arange(3.0), "module.y": torch.ones(2)}
    for name in ("a.safetensors", "b.pth"):
        save_file(state, tmp_path / name)
        read = read_state(tmp_path / name)
        assert list(read) == ["image_encoder.x", "y"]
        assert read["image_encoder.x"].tolist() == [0, 1, 2]


@pytest.mark.slow
def test_official_weights_downloaded_loaded_and_encoded(vit_b, tmp_path, monkeypatch, capfd):
    """The way of a first use, on the real architecture: serve, download, verify, load, encode;
    then a second process without network."""
    served = tmp_path / "served"
    served.mkdir()
    torch.save(vit_b.state_dict(), served / "sam_vit_b_01ec64.pth")
    digest = sha256(served / "sam_vit_b_01ec64.pth")
    monkeypatch.setitem(
        checkpoints.OFFICIAL, "vit_b", replace(checkpoints.OFFICIAL["vit_b"], sha256=digest)
    )
    handler = functools.partial(_Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
        for name in ("NO_PROXY", "no_proxy"):  # the second one wins where both are set
            monkeypatch.setenv(name, "127.0.0.1")
        monkeypatch.setenv("SAMLAB_CHECKPOINT_URL", f"http://127.0.0.1:{web.server_port}/")
        sam = load_sam("vit_b", device="cpu")
        web.shutdown()
    assert "100%" in capfd.readouterr().err
    assert (sam.samlab_name, sam.weights_sha256) == ("vit_b", digest)
    assert all(torch.equal(a, b) for a, b in zip(sam.parameters(), vit_b.parameters(), strict=True))

    predictor = SamPredictor(sam)
    predictor.set_image(np.full((32, 48, 3), 90, np.uint8))
    assert predictor.features.shape == (1, 256, 64, 64)
    assert torch.isfinite(predictor.features).all()

    (served / "sam_vit_b_01ec64.pth").unlink()
    program = (
        "import dataclasses\n"
        "from samlab.sam import checkpoints\n"
        "from samlab.sam.load import load_sam\n"
        f"old = checkpoints.OFFICIAL['vit_b']\n"
        f"checkpoints.OFFICIAL['vit_b'] = dataclasses.replace(old, sha256={digest!r})\n"
        "sam = load_sam('vit_b', device='cpu')\n"
        "print(sam.samlab_name, sam.weights_sha256)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ), capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["vit_b", digest]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class _Touch:
    """Pickled, this makes a file when it is read by plain pickle."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("kind", ["archive", "legacy", "raw pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(save, tmp_path, kind):
    marker = tmp_path / "it-ran"
    content = {**shaped_like("vit_b"), "extra": _Touch(marker)}
    path = save(content, _use_new_zipfile_serialization=kind == "archive")
    if kind == "raw pickle":
        path.write_bytes(pickle.dumps(_Touch(marker), protocol=2))
    with pytest.raises(CheckpointError) as refused:
        load_sam(path, device="cpu")
    assert not marker.exists()
    text = str(refused.value)
    assert text.startswith(f"'{path}' was refused and nothing in it was run")
    assert "it is a pickle that calls 'posix.mkdir', not only weights" in text
    assert "weights_only" not in text  # torch's advice to switch the safeguard off
    pickle.loads(pickle.dumps(_Touch(marker)))
    assert marker.exists()  # the trap itself works


@pytest.mark.parametrize("share", [0, 50, 99])
@pytest.mark.parametrize("kind", ["archive", "legacy", "safetensors"])
def test_a_truncated_file(save, tmp_path, share, kind):
    path = save(shaped_like("vit_b"), _use_new_zipfile_serialization=kind == "archive")
    if kind == "safetensors":
        path = tmp_path / "some.safetensors"
        save_file({"image_encoder.x": torch.zeros(500)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * share // 100])
    with pytest.raises(CheckpointError) as refused:
        load_sam(path, device="cpu")
    text = str(refused.value)
    if share == 0:
        assert text == (
            f"'{path}' is empty (0 bytes): the download or copy failed. Fetch the file again."
        )
    else:
        size = f"{len(whole) * share // 100:,} bytes"
        assert text.startswith(f"'{path}' is damaged or cut short ({size};")
        assert text.endswith("compare its size and SHA-256 with those of its source.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>Sign in</html>", "is a web page, not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "is a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(80), "is no checkpoint of torch or safetensors"),
        (b"just some text, long enough to be looked at", "is no checkpoint of torch or"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, content, message):
    path = tmp_path / "sam.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        load_sam(path, device="cpu")
    assert str(refused.value).startswith(f"'{path}' {message}")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["archive", "legacy", "noise"])
def test_garbled_files_give_one_kind_of_error(save, kind, rng):
    path = save({"a": torch.zeros(9)}, _use_new_zipfile_serialization=kind == "archive")
    whole = path.read_bytes()
    messages = []
    for _ in range(150):
        garbled = bytearray(rng.bytes(60) if kind == "noise" else whole)
        for position in rng.integers(0, len(garbled), 4):
            garbled[position] = rng.integers(0, 256)
        path.write_bytes(garbled)
        try:
            read_state(path)
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "by itself or under 'model', 'state_dict'"),
        ({"epoch": 1, "lr": 0.1}, "got a dictionary with the keys epoch, lr."),
        ({}, "got a dictionary with the keys (none)."),
        (torch.zeros(2), "got a Tensor."),
    ],
)
def test_checkpoints_without_a_state_dict(save, content, message):
    with pytest.raises(CheckpointError) as refused:
        load_sam(save(content), device="cpu")
    assert message in str(refused.value)


def _with(changes):
    state = dict(shaped_like("vit_b"))
    for key, value in changes.items():
        state.pop(key, None)
        if value is not None:
            state[key] = torch.zeros(1).expand(value)
    return state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_decoder.hf_token.weight": (1, 256)}, "look like SAM-HQ but do not fit it"),
        ({"image_encoder.trunk.pos_embed": (1, 7, 7, 96)}, "Expected one of SAM 2's four sizes"),
        (
            {"image_encoder.pos_embed": (1, 16, 16, 768)},
            "got 12 blocks of width 768 on a 16 x 16 grid.",
        ),
        (
            {"image_encoder.blocks.12.norm1.weight": (768,)},
            "got 13 blocks of width 768 on a 64 x 64 grid.",
        ),
        (
            {"mask_decoder.iou_token.weight": None},
            "look like vit_b but do not fit it: 1 missing: mask_decoder.iou_token.weight.",
        ),
        (
            {f"adapter.{i}.weight": (1,) for i in range(4)},
            "do not fit it: 4 unknown: adapter.0.weight, adapter.1.weight, adapter.2.weight, ...",
        ),
        (
            {"mask_decoder.iou_token.weight": (2, 256)},
            "1 of other shape: mask_decoder.iou_token.weight (2, 256) instead of (1, 256)",
        ),
    ],
)
def test_another_architecture_is_named(save, changes, message):
    with pytest.raises(CheckpointError) as refused:
        load_sam(save(_with(changes)), device="cpu")
    assert message in str(refused.value)


def test_another_model_altogether_is_shown(save):
    state = torch.nn.Sequential(torch.nn.Linear(2, 3)).state_dict()
    with pytest.raises(CheckpointError) as refused:
        load_sam(save(state), device="cpu")
    assert "got 2 tensors of another model, beginning with 0.weight, 0.bias." in str(refused.value)


def test_two_models_in_one_file(save):
    both = {f"{who}.image_encoder.x": torch.zeros(1) for who in ("student", "teacher")}
    with pytest.raises(CheckpointError, match=r"image encoders under 'student\.', 'teacher\.'"):
        load_sam(save(both), device="cpu")


def test_an_official_name_must_hold_that_model(save, tmp_path, monkeypatch):
    path = save(shaped_like("vit_l"), "sam_vit_b_01ec64.pth")
    official = replace(checkpoints.OFFICIAL["vit_b"], sha256=sha256(path))
    monkeypatch.setitem(checkpoints.OFFICIAL, "vit_b", official)
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", str(tmp_path))
    with pytest.raises(
        CheckpointError, match="Expected the weights of vit_b in .* look like vit_l"
    ):
        load_sam("vit_b", device="cpu")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(CheckpointError) as refused:
        load_sam("vit_huge")
    text = str(refused.value)
    assert "Expected a model name out of tiny, vit_b, vit_l, vit_h, mobile_sam, sam2.1_" in text
    assert "got 'vit_huge'. Did you mean 'vit_h'" in text


def test_half_precision_keeps_the_decoder_in_float32(save, monkeypatch):
    monkeypatch.setattr(device, "_cpu_features", lambda: {"bf16"})
    sam = load_sam(save(shaped_like("vit_b")), device="cpu", dtype="auto")
    assert {p.dtype for p in sam.image_encoder.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in sam.mask_decoder.parameters()} == {torch.float32}
    assert {p.dtype for p in sam.prompt_encoder.parameters()} == {torch.float32}


def small_sam() -> Sam:
    torch.manual_seed(1)
    return Sam(
        ImageEncoderViT(
            img_size=64, depth=2, embed_dim=32, num_heads=2, out_chans=32, use_rel_pos=True,
            rel_pos_zero_init=False, window_size=2, global_attn_indexes=(1,),
        ),
        PromptEncoder(32, (4, 4), (64, 64), 4),
        MaskDecoder(transformer_dim=32, transformer=TwoWayTransformer(2, 32, 2, 64)),
    ).eval()  # fmt: skip


def test_sams_own_predictor_and_generator_run_on_a_half_precision_encoder(rng):
    image = rng.integers(0, 256, (40, 64, 3), dtype=np.uint8)
    answers = []
    for precision in (torch.float32, torch.bfloat16):
        sam = small_sam()
        if precision != torch.float32:
            _encode_in(sam, precision)
        predictor = SamPredictor(sam)
        predictor.set_image(image)
        assert predictor.features.dtype == torch.float32
        _, scores, logits = predictor.predict(np.array([[20.0, 20.0]]), np.array([1]))
        assert logits.dtype == np.float32
        answers.append((predictor.features.numpy(), scores))
        SamAutomaticMaskGenerator(sam, points_per_side=2).generate(image)
    np.testing.assert_allclose(answers[0][0], answers[1][0], atol=0.1)
    assert np.abs(answers[0][0] - answers[1][0]).max() > 0
    np.testing.assert_allclose(answers[0][1], answers[1][1], atol=0.05)


def test_a_loaded_model_survives_pickling_to_another_process():
    sam = small_sam()
    _encode_in(sam, torch.bfloat16)
    copy = pickle.loads(pickle.dumps(sam))
    picture = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(copy.image_encoder(picture), sam.image_encoder(picture))


def test_the_embedded_model_needs_neither_network_nor_cache():
    found = checkpoints.find("tiny")
    if found is None:
        pytest.skip("the embedded weights are not in this checkout")
    sam = load_sam(device="cpu", dtype="auto")
    assert isinstance(sam, Sam)
    assert (sam.samlab_name, sam.samlab_architecture) == ("tiny", "tiny")
    assert sam.weights_sha256 == sha256(found.path)
    assert not sam.training
    assert {p.dtype for p in sam.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in sam.parameters())
