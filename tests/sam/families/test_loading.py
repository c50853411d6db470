"""What load_sam takes: folders, single files, Meta's own names; and what it says otherwise."""

from __future__ import annotations

import json
import shutil
import sys
import types
from importlib.machinery import ModuleSpec

import pytest
import torch
from safetensors.torch import load_file, save_file
from segment_anything.modeling import Sam

from samlab.errors import CheckpointError, MissingExtraError
from samlab.sam.families import FamilySam
from samlab.sam.families.base import transformers_class
from samlab.sam.families.sam2 import sam2_names
from samlab.sam.load import load_sam
from samlab.sam.provenance import origin
from tests.sam.families.small import saved, small


@pytest.fixture
def folder(families_folder, tmp_path):
    """A copy of a family's folder that may be spoilt."""

    def copy(family):
        return shutil.copytree(saved(family, families_folder), tmp_path / family)

    return copy


def test_sam_of_transformers_is_the_official_class(loaded):
    assert type(loaded("sam")) is Sam
    assert loaded("sam").samlab_architecture == "sam"
    for family in ("sam_hq", "sam2", "edgetam", "sam3"):
        assert isinstance(loaded(family), FamilySam)
        assert loaded(family).samlab_architecture == family


@pytest.mark.parametrize("family", ["sam", "sam_hq", "edgetam", "sam3"])
def test_a_single_file_is_recognised_by_its_names(families_folder, family):
    from samlab.sam.families.door import family_of

    file = saved(family, families_folder) / "model.safetensors"
    assert family_of(load_file(file), None, file) == family


def test_a_file_alone_gives_the_same_sam(folder, loaded):
    path = folder("sam") / "model.safetensors"
    path.with_name("config.json").unlink()
    alone = load_sam(path, device="cpu").state_dict()
    for name, value in loaded("sam").state_dict().items():
        torch.testing.assert_close(alone[name], value, atol=0, rtol=0)


def test_a_file_of_bin_is_read_without_running_it(folder):
    path = folder("sam2")
    state = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    torch.save(state, path / "pytorch_model.bin")
    assert load_sam(path, device="cpu").samlab_architecture == "sam2"


def test_what_only_video_needs_is_left_out(folder):
    path = folder("sam2")
    state = load_file(path / "model.safetensors")
    save_file(state | {"memory_encoder.x": torch.zeros(1)}, path / "model.safetensors")
    config = json.loads((path / "config.json").read_text()) | {"model_type": "sam2_video"}
    (path / "config.json").write_text(json.dumps(config))
    assert load_sam(path, device="cpu").samlab_architecture == "sam2"


def test_all_of_sam3_gives_its_tracker(folder, loaded):
    path = folder("sam3")
    state = load_file(path / "model.safetensors")
    # transformers nests what it saves of the tracker alone; the published file is flat.
    whole = {
        k.replace("tracker_model.detector_model.", "detector_model."): v for k, v in state.items()
    }
    whole = {k.replace("tracker_model.tracker_neck.", "tracker_neck."): v for k, v in whole.items()}
    assert any(key.startswith("tracker_neck.") for key in whole)
    save_file(whole | {"detector_model.text.x": torch.zeros(1)}, path / "model.safetensors")
    config = json.loads((path / "config.json").read_text())
    whole_config = {"model_type": "sam3_video", "tracker_config": config}
    (path / "config.json").write_text(json.dumps(whole_config))
    sam = load_sam(path, device="cpu")
    for name, value in loaded("sam3").state_dict().items():
        torch.testing.assert_close(sam.state_dict()[name], value, atol=0, rtol=0)


def test_the_constant_of_no_memory_is_added_as_meta_does(loaded):
    """transformers adds SAM 3's to a level that it then drops; Meta to the one it decodes."""
    sam = loaded("sam3")
    assert sam.no_memory.shape == (256,)
    from samlab.sam.fast import ImageEmbedding

    grid = torch.zeros(1, 256, 18, 18)
    details = (torch.zeros(1, 32, 72, 72), torch.zeros(1, 64, 36, 36))
    features = ImageEmbedding(grid, (252, 252), (10, 10), 252, details, padded=False)
    before = sam.open(features, None).predict(boxes=torch.tensor([[0.0, 0, 9, 9]]))
    with torch.no_grad():
        sam.no_memory += 1
    after = sam.open(features, None).predict(boxes=torch.tensor([[0.0, 0, 9, 9]]))
    with torch.no_grad():
        sam.no_memory -= 1
    assert float((before.iou - after.iou).abs().max()) > 1e-3


def test_provenance_says_where_vectors_are_taken(loaded):
    said = origin(loaded("sam2"))
    assert said["features"] == "image encoder's features, without no_memory_embedding"
    assert len(said["weights_sha256"]) == 64
    assert "features" not in origin(loaded("sam"))


def test_half_precision_is_near(loaded):
    import skimage.data

    from samlab.sam.fast import encode, open_decoder

    sam, image = loaded("sam2"), skimage.data.astronaut()[:200, :200]
    whole, half = encode(image, sam), encode(image, sam, dtype=torch.bfloat16)
    assert half.features.dtype == torch.float32
    assert 0 < float((half.features - whole.features).abs().mean()) < 0.1
    points = torch.rand(8, 1, 2) * 256
    a, b = (
        open_decoder(sam, whole, dtype=dtype).predict(points, torch.ones(8, 1))
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert float((a.iou - b.iou).abs().max()) < 0.05


# -- what goes wrong ----------------------------------------------------------------------------


def test_the_configuration_of_another_model(folder):
    path = folder("sam2")
    (path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(CheckpointError, match="Expected the configuration of a SAM .*'clip'"):
        load_sam(path, device="cpu")


def test_the_configuration_of_another_family(folder):
    path = folder("sam2")
    config = json.loads((path / "config.json").read_text()) | {"model_type": "edgetam"}
    config["vision_config"] = {}
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="look like EdgeTAM but do not fit it"):
        load_sam(path, device="cpu")


def test_a_damaged_configuration(folder):
    path = folder("sam2")
    (path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="config.json' cannot be read as JSON"):
        load_sam(path, device="cpu")


def test_a_damaged_file(folder):
    path = folder("sam2") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="is damaged or cut short"):
        load_sam(path, device="cpu")


def test_weights_that_are_missing(folder):
    path = folder("sam_hq") / "model.safetensors"
    state = load_file(path)
    del state["mask_decoder.hq_token.weight"]
    save_file(state, path)
    with pytest.raises(CheckpointError, match="look like SAM-HQ but do not fit it: 1 missing"):
        load_sam(path, device="cpu")


def test_a_name_with_another_model_behind_it(folder, monkeypatch, tmp_path):
    named = tmp_path / "named"
    shutil.copytree(folder("sam_hq"), named / "edgetam")
    monkeypatch.setenv("SAMLAB_CHECKPOINTS", str(named))
    with pytest.raises(CheckpointError, match="Expected the weights of edgetam"):
        load_sam("edgetam", device="cpu")


def test_only_the_detector_of_sam3(folder):
    path = folder("sam3")
    save_file({"detector_model.x": torch.zeros(1)}, path / "model.safetensors")
    with pytest.raises(CheckpointError, match="only the detector is there"):
        load_sam(path, device="cpu")


def test_an_unknown_size_without_configuration(folder):
    path = folder("sam2") / "model.safetensors"
    path.with_name("config.json").unlink()
    with pytest.raises(CheckpointError, match="one of SAM 2's four sizes"):
        load_sam(path, device="cpu")


def test_without_transformers(monkeypatch):
    monkeypatch.setattr("samlab.errors.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r'pip install "samlab\[hf\]"'):
        transformers_class("Sam2VisionModel", "4.56")


def test_with_old_transformers(monkeypatch):
    old = types.ModuleType("transformers")
    old.__spec__, old.__version__ = ModuleSpec("transformers", None), "4.44.0"
    monkeypatch.setitem(sys.modules, "transformers", old)
    with pytest.raises(MissingExtraError, match=r"needs transformers 4.56 or newer; 4.44.0 is"):
        transformers_class("Sam2VisionModel", "4.56")


# -- Meta's own names -----------------------------------------------------------------------------


def test_the_four_sizes_are_told_by_their_shapes(tmp_path):
    """The published size, without memory: every name and shape of Sam2VisionModel is filled."""
    from transformers import Sam2Config, Sam2Model

    from samlab.sam.families.sam2 import _vision_by_shapes

    with torch.device("meta"):
        model = Sam2Model(Sam2Config())
    vision = _vision_by_shapes(sam2_names(model.state_dict()), tmp_path)
    backbone, default = vision["backbone_config"], model.config.vision_config.backbone_config
    for name, value in backbone.items():
        assert getattr(default, name) == value, name
    assert vision["backbone_channel_list"] == model.config.vision_config.backbone_channel_list


def test_small_models_spread_their_answers():
    assert small("sam2").no_memory_embedding.abs().max() > 0
