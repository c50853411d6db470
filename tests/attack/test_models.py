"""Fault matrix, models: damaged or odd weights, and work without end, are said before it begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import samlab
from samlab.errors import CheckpointError, InputError
from samlab.sam.checkpoints import read_state


@pytest.mark.parametrize("version", ["2.4.1", "2.5.1+cu121", "1.13.0"])
def test_no_pickle_is_read_by_a_torch_whose_safeguard_has_a_hole(
    version, tmp_path, monkeypatch
) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pth")
    assert list(read_state(tmp_path / "a.pth")) == ["a"]
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("was loaded"))
    with pytest.raises(CheckpointError, match="Upgrade torch to 2.6 or later, or use safetensors"):
        read_state(tmp_path / "a.pth")


def test_a_checkpoint_that_holds_itself_is_a_sentence(tmp_path) -> None:
    content: dict = {}
    content["model"] = content
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="dictionaries inside one another, without end"):
        read_state(tmp_path / "a.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_with_nan_are_refused(value, tmp_path) -> None:
    torch.save({"a": torch.zeros(2), "b": torch.tensor([1.0, value])}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="NaN or infinity in 'b'"):
        read_state(tmp_path / "a.pth")


def test_a_model_that_answers_nan_is_not_a_picture_without_segments() -> None:
    sam = samlab.load_sam("tiny", device="cpu")
    for parameter in sam.parameters():
        parameter.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="answers with NaN"):
        samlab.segment(np.zeros((32, 32, 3), np.uint8), sam, points_per_side=4)


@pytest.mark.parametrize("layers", [7, 20, 10**6])
def test_crops_without_end_are_refused_before_work_begins(layers) -> None:
    sam = samlab.load_sam("tiny", device="cpu")
    with pytest.raises(InputError, match=r"crop_n_layers of at most 6, got .* crops|inf in all"):
        samlab.MaskGenerator(sam, crop_n_layers=layers)


def test_points_without_end_are_refused_and_counted() -> None:
    sam = samlab.load_sam("tiny", device="cpu")
    with pytest.raises(InputError, match=r"at most 10,000,000 points in a picture, got 10\d{9,}|,"):
        samlab.MaskGenerator(sam, points_per_side=10**6)
    with pytest.raises(InputError, match="points_per_side and crop_n_points_downscale_factor"):
        samlab.MaskGenerator(sam, points_per_side=0)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (40, 1, 3)])
def test_a_picture_one_pixel_wide_has_each_segment_once(shape) -> None:
    segments = samlab.segment(np.zeros(shape, np.uint8))
    assert len({rle["counts"] for rle in segments.rles}) == len(segments) >= 1


def test_requirements_ask_for_a_safe_torch() -> None:
    root = Path(samlab.__file__).parents[1]
    for name in ("pyproject.toml", "requirements.txt", "environment.yml"):
        assert "torch>=2.6" in (root / name).read_text()
