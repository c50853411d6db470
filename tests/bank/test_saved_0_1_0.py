"""Banks that samlab 0.1.0 saved still open, and answer as they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from samlab.bank.memory_bank import MemoryBank

OLD = Path(__file__).parent / "data" / "v0_1_0"
NAMES = ("plain", "trained_head")


@pytest.fixture(scope="module")
def answers():
    """Query vectors, and what 0.1.0 itself answered to them."""
    return json.loads((OLD / "answers.json").read_text())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["nearest", "softmax", "knn"])
def test_an_old_bank_answers_as_it_did(name, method, answers):
    bank = MemoryBank.load(OLD / f"{name}.safetensors")
    expected = answers[name]
    assert repr(bank) == expected["repr"]
    assert bank.examples.tolist() == expected["examples"]
    assert list(bank.class_names) == expected["class_names"]
    found = bank.classify(np.array(answers["query"], np.float32), method=method, k=3)
    assert found.names() == expected["answers"][method]["names"]
    np.testing.assert_allclose(
        found.confidence, expected["answers"][method]["confidence"], atol=1e-6
    )


def test_nothing_of_an_old_bank_is_lost():
    plain, trained = (MemoryBank.load(OLD / f"{name}.safetensors") for name in NAMES)
    assert plain.background == ("sky",)
    assert plain.unknown_below == 0.4
    assert dict(zip(plain.class_names, plain.weights.tolist(), strict=True))["tree"] == 1.5
    assert plain.head is None
    assert plain.provenance["weights_sha256"] == "ab" * 32
    assert plain.provenance["per_class"] == 2
    assert trained.head is not None
    assert trained.head.about["loss"] == "cosface"
    assert [weight.shape for weight, _ in trained.head.layers] == [(6, 8), (4, 6)]


@pytest.mark.parametrize("name", NAMES)
def test_saved_again_it_is_the_same_bank(name, tmp_path):
    bank = MemoryBank.load(OLD / f"{name}.safetensors")
    again = MemoryBank.load(bank.save(tmp_path / "bank.safetensors"))
    assert again.equals(bank)
    assert again.provenance == bank.provenance
