"""The training program: it learns, and a killed run ends where an uninterrupted one does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from samlab.sam.tiny.model import WEIGHTS
from samlab.sam.tiny.net import TinyNet
from training import cache, curves
from training.train import Recipe, Trainer

NET = {"widths": (8, 16, 16, 16), "depths": (1, 1, 1, 1), "attentions": 1}
SIZES = ((64, 4),)


def recipe(steps: int) -> Recipe:
    return Recipe(steps=steps, rate=3e-3, sizes=SIZES, last_sizes=((96, 2),), net=NET)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    cache.write_shard(folder, 0, 96, count=3)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order would differ in the last digits
    yield
    torch.set_num_threads(before)


def test_training_lowers_the_loss(scenes: Path, tmp_path: Path) -> None:
    trainer = Trainer(recipe(40), scenes, tmp_path)
    batch = next(trainer.batches(workers=0))
    totals = [trainer.one_step(batch)["total"] for _ in range(20)]
    assert totals[-1] < 0.85 * totals[0]


def test_resumed_run_equals_an_uninterrupted_one(scenes: Path, tmp_path: Path) -> None:
    whole = Trainer(recipe(6), scenes, tmp_path / "whole")
    whole.run(workers=0)

    class Killed(Exception):
        pass

    broken = Trainer(recipe(6), scenes, tmp_path / "broken")
    step = broken.one_step

    def dies_after_three(batch):
        if broken.step == 3:
            raise Killed
        seen = step(batch)
        broken.save()
        return seen

    broken.one_step = dies_after_three  # type: ignore[method-assign]
    with pytest.raises(Killed):
        broken.run(workers=0)
    going_on = Trainer(recipe(6), scenes, tmp_path / "broken")
    assert going_on.resume()
    assert going_on.step == 3
    going_on.run(workers=0)

    assert going_on.pictures == whole.pictures
    for name, value in whole.net.state_dict().items():
        torch.testing.assert_close(going_on.net.state_dict()[name], value, rtol=0, atol=0)
    for name, value in whole.average.state_dict().items():
        torch.testing.assert_close(going_on.average.state_dict()[name], value, rtol=0, atol=0)


def test_weights_file_holds_network_and_recipe(scenes: Path, tmp_path: Path) -> None:
    trainer = Trainer(recipe(2), scenes, tmp_path)
    trainer.run(workers=0, report_every=1)
    path = tmp_path / "tiny_final.safetensors"
    net = TinyNet(**NET)
    net.load_state_dict(load_file(path))
    with safe_open(path, "pt") as file:
        facts = file.metadata()
    assert facts["steps"] == "2"
    assert facts["recipe.seed"] == "1"
    assert not list(tmp_path.glob("*.part"))
    curves.plot(tmp_path / "curves.csv", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_resume_without_a_checkpoint_starts_anew(scenes: Path, tmp_path: Path) -> None:
    assert not Trainer(recipe(2), scenes, tmp_path).resume()


def test_larger_pictures_come_last(scenes: Path, tmp_path: Path) -> None:
    trainer = Trainer(recipe(10), scenes, tmp_path)
    assert not trainer.last_phase
    assert next(trainer.batches(workers=0)).image.shape[-1] == 64
    trainer.step = 8
    assert trainer.last_phase
    assert next(trainer.batches(workers=0)).image.shape[-1] == 96


def test_training_goes_on_from_the_shipped_weights(scenes: Path, tmp_path: Path) -> None:
    trainer = Trainer(Recipe(steps=2), scenes, tmp_path)
    before = {k: v.clone() for k, v in trainer.net.state_dict().items()}
    trainer.start_from(WEIGHTS)
    shipped = load_file(WEIGHTS)
    for net in (trainer.net, trainer.average):
        for name, value in net.state_dict().items():
            torch.testing.assert_close(value, shipped[name].to(value.dtype))
    assert any(not torch.equal(v, before[k]) for k, v in trainer.net.state_dict().items())
