"""Heads and trained prototypes: the same numbers in NumPy as in torch, and they learn."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from samlab.bank.heads import Head
from samlab.bank.memory_bank import MemoryBank
from samlab.errors import FormatError, InputError, MissingExtraError
from samlab.segments import Segments
from tests.bank.bank_data import table

pytest.importorskip("pytorch_metric_learning")

from samlab.bank.head_training import _split, train_head, train_prototypes


def hard(n: int = 300, seed: int = 0, shared: float = 3) -> Segments:
    """Two classes apart in one direction, and six directions that vary more and mean nothing."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    vectors = rng.normal(size=(n, 24)) * 0.2
    vectors[:, 0] += 1.6 * labels - 0.8
    vectors[:, 1:7] += 2 * rng.normal(size=(n, 6))
    vectors[:, 7] += shared  # what all have in common, as SAM's vectors do
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(24, 24)))[0]
    segments = table(n, classes=2).with_embedding("sam", vectors @ turn)
    return segments.with_labels(labels, {0: "car", 1: "tree"})


def test_a_head_is_the_network_it_came_from():
    rng = np.random.default_rng(0)
    first, second = torch.nn.Linear(8, 6), torch.nn.Linear(6, 4)
    layers = tuple((m.weight.detach().numpy(), m.bias.detach().numpy()) for m in (first, second))
    head = Head(rng.normal(size=8).astype(np.float32) * 0.1, np.full(8, 0.3, np.float32), layers)
    vectors = rng.normal(size=(5, 8)).astype(np.float32)
    x = torch.nn.functional.normalize(torch.from_numpy(vectors))
    x = (x - torch.from_numpy(head.mean)) / torch.from_numpy(head.spread)
    expected = torch.nn.functional.normalize(second(torch.relu(first(x)))).detach().numpy()
    np.testing.assert_allclose(head.project(vectors), expected, atol=1e-6)
    assert head.project(np.zeros((0, 8))).shape == (0, 4)
    with pytest.raises(InputError, match=r"shape \(N, 8\), as the head was trained on"):
        head.project(np.ones((2, 9)))


def test_standardising_takes_away_what_all_share():
    vectors = hard().embedding()
    head = Head.standardising(vectors)
    out = head.project(vectors)
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, rtol=1e-5)
    assert np.abs(out.mean(0)).max() < 0.02
    assert np.isfinite(head.project(head.mean[None] * 7)).all()
    with pytest.raises(InputError, match="Expected vectors to standardise by, got none"):
        Head.standardising(np.zeros((0, 4)))


def test_a_head_goes_through_its_tensors():
    head = Head(np.zeros(3), np.ones(3), ((np.ones((2, 3)), np.ones(2)),), {"loss": "x"})
    back = Head.from_tensors(head.tensors(), head.about)
    np.testing.assert_array_equal(back.layers[0][0], head.layers[0][0])
    assert back.about == {"loss": "x"}
    with pytest.raises(FormatError, match="'mean' is missing; got none"):
        Head.from_tensors({}, {})


@pytest.mark.parametrize("loss", ["arcface", "cosface", "triplet", "proxy_anchor", "soft_triple"])
def test_a_trained_head_beats_the_plain_bank(loss):
    train, test = hard(), hard(seed=1)
    plain = MemoryBank.from_segments(train, per_class=5).evaluate(test).accuracy
    head = train_head(
        train, loss=loss, epochs=10, width=16, hidden=32, dropout=0.1, batch=64, learning_rate=0.01
    )
    bank = MemoryBank.from_segments(train, per_class=4, head=head)
    assert plain < 0.8
    assert bank.evaluate(test).accuracy > 0.9
    assert head.about["loss"] == loss
    assert head.about["held_out_balanced_accuracy"] > 0.9


def test_the_same_seed_gives_the_same_head():
    heads = [train_head(hard(), epochs=3, seed=seed) for seed in (1, 1, 2)]
    weights = [head.layers[0][0] for head in heads]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_training_leaves_torchs_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_head(hard(60), epochs=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("loss", ["soft_triple", "proxy_anchor"])
def test_trained_prototypes_start_from_the_bank_and_get_better(loss):
    train, test = hard(shared=0), hard(1000, seed=1, shared=0)
    bank = MemoryBank.from_segments(train, per_class=5)
    trained = train_prototypes(bank, train, loss=loss, epochs=10, learning_rate=0.01, batch=64)
    assert bank.evaluate(test).accuracy < 0.75
    assert trained.evaluate(test).accuracy > 0.85
    assert len(trained) == (10 if loss == "soft_triple" else 2)
    assert trained.examples.tolist() == np.bincount(train.labels).tolist()
    untrained = train_prototypes(bank, train, epochs=0)
    np.testing.assert_allclose(
        untrained.evaluate(test).accuracy, bank.evaluate(test).accuracy, atol=1e-9
    )


def test_prototypes_behind_a_head_and_saved(tmp_path):
    train, test = hard(), hard(seed=1)
    head = train_head(
        train, epochs=10, width=16, hidden=32, dropout=0.1, batch=64, learning_rate=0.01
    )
    bank = train_prototypes(
        MemoryBank.from_segments(train, per_class=3, head=head), train, epochs=10
    )
    back = MemoryBank.load(bank.save(tmp_path / "bank.safetensors"))
    assert back.equals(bank)
    assert back.head.about["loss"] == "cosface"
    np.testing.assert_array_equal(back.classify(test).labels, bank.classify(test).labels)
    assert back.evaluate(test).accuracy > 0.9


def test_whole_pictures_are_held_out_and_every_class_is_trained_on():
    segments = table(140)
    labels = segments.labels.copy()
    labels[:7] = 3
    labels[7:] %= 3
    labels[-3:] = -1
    for seed in range(20):
        train, test = _split(segments, labels, 0.3, seed)
        assert set(labels[train]) == {0, 1, 2, 3}
        assert not (train & test).any()
        assert not (labels[test] == -1).any()
        common = labels != 3
        pictures = segments.image_ids
        assert not set(pictures[train & common]) & set(pictures[test & common])


def test_what_cannot_be_trained_on_is_named(monkeypatch):
    segments = table(8)
    with pytest.raises(InputError, match="at least two classes to train on, got 1"):
        train_head(segments.with_labels(np.zeros(8, int)))
    with pytest.raises(InputError, match="loss in .*got 'hinge'"):
        train_head(segments, loss="hinge")
    with pytest.raises(InputError, match="held_out between 0 and 1, got 1"):
        train_head(segments, held_out=1)
    with pytest.raises(InputError, match="several pictures, so that some can be held out"):
        train_head(segments[:2])
    with pytest.raises(InputError, match="contain NaN"):
        train_head(segments.with_embedding("sam", np.full((8, 3), np.nan)))
    bank = MemoryBank.from_segments(table(40))
    with pytest.raises(InputError, match="exactly the bank's classes"):
        train_prototypes(bank, table(40, classes=3))
    with pytest.raises(InputError, match="cannot be compared"):
        train_prototypes(bank, replace(table(40), provenance={"pooling": "any"}))
    monkeypatch.setattr("samlab.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "samlab\[train\]"'):
        train_head(segments)


def test_importing_the_module_does_not_import_torch():
    import subprocess

    code = "import samlab.bank.head_training, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
