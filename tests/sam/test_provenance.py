"""One identity per model: of its file where samlab loaded it, else of its numbers."""

from __future__ import annotations

import copy
import gc
import hashlib

import pytest
import torch
from segment_anything.modeling import Sam

from samlab import load_sam
from samlab.sam import provenance
from samlab.sam.checkpoints.catalogue import fetch
from samlab.sam.checkpoints.hashes import sha256
from samlab.sam.provenance import model_name, origin, weights_sha256
from samlab.sam.tiny.model import build_tiny


def plain() -> Sam:
    torch.manual_seed(0)
    return Sam(torch.nn.Linear(2, 3), torch.nn.Identity(), torch.nn.Identity())


def test_a_loaded_model_is_known_by_its_file() -> None:
    sam = load_sam("tiny", device="cpu")
    assert weights_sha256(sam) == sha256(fetch("tiny").path) == sam.weights_sha256
    assert origin(sam) | {"versions": {}} == {
        "model": "tiny", "weights_sha256": sam.weights_sha256, "versions": {},
    }  # fmt: skip
    assert set(origin(sam)["versions"]) == {"samlab", "torch", "numpy"}


def test_any_other_model_is_known_by_its_numbers() -> None:
    sam = plain()
    by_hand = hashlib.sha256()
    for name in ("image_encoder.bias", "image_encoder.weight"):
        by_hand.update(name.encode() + sam.state_dict()[name].numpy().tobytes())
    assert weights_sha256(sam) == weights_sha256(plain()) == by_hand.hexdigest()
    assert model_name(sam) == "Linear"
    foreign = build_tiny(fetch("tiny").path)
    assert len(origin(foreign)["weights_sha256"]) == 64


def test_it_is_computed_once_per_model(monkeypatch: pytest.MonkeyPatch) -> None:
    sam, calls = plain(), []
    state = Sam.state_dict
    monkeypatch.setattr(Sam, "state_dict", lambda self: calls.append(1) or state(self))
    assert {weights_sha256(sam) for _ in range(3)} == {weights_sha256(sam)}
    assert len(calls) == 1


def test_models_are_not_kept_alive() -> None:
    before = len(provenance._KNOWN)
    sam = plain()
    weights_sha256(sam)
    assert len(provenance._KNOWN) == before + 1
    del sam
    gc.collect()
    assert len(provenance._KNOWN) == before


@pytest.mark.parametrize("make", [plain, lambda: load_sam("tiny", device="cpu")])
def test_changed_weights_are_other_weights(make) -> None:
    sam = make()
    before = weights_sha256(sam)
    optimizer = torch.optim.SGD(sam.requires_grad_(True).parameters(), 0.1)
    next(sam.parameters()).sum().backward()
    optimizer.step()
    trained = weights_sha256(sam)
    other = {name: value + 1 for name, value in sam.state_dict().items()}
    sam.load_state_dict(other)
    copied = weights_sha256(sam)
    sam.load_state_dict({name: value + 1 for name, value in other.items()}, assign=True)
    replaced = weights_sha256(sam)
    assert len({before, trained, copied, replaced}) == 4


def test_a_copy_that_was_trained_is_not_taken_for_the_file() -> None:
    sam = load_sam("tiny", device="cpu")
    other = copy.deepcopy(sam)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    other = copy.deepcopy(other)  # begins to count its changes anew
    assert other.weights_sha256 == sam.weights_sha256
    assert weights_sha256(other) != weights_sha256(sam)


def test_another_place_or_precision_is_the_same_model() -> None:
    sam = load_sam("tiny", device="cpu")
    before = weights_sha256(sam)
    sam.requires_grad_(True).train()
    sam.to(torch.float64)
    assert weights_sha256(sam) == before


def test_models_made_in_inference_mode_have_no_counters() -> None:
    with torch.inference_mode():
        sam = plain()
        assert weights_sha256(sam) == weights_sha256(plain())
