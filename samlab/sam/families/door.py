"""Which family weights belong to, and who builds it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from samlab.errors import CheckpointError
from samlab.sam.checkpoints import StateDict, read_state, recognise

#: `model_type` in a config.json of transformers -> family.
_BY_TYPE = {
    "sam": "sam",
    "sam_hq": "sam_hq",
    "sam2": "sam2",
    "sam2_video": "sam2",
    "edgetam": "edgetam",
    "edgetam_video": "edgetam",
    "sam3_tracker": "sam3",
    "sam3_tracker_video": "sam3",
    "sam3_video": "sam3",
}

#: A key that only this family has; the first that is there decides. SAM's own are told elsewhere.
_BY_KEY = (
    ("mask_decoder.hf_token.weight", "sam_hq"),
    ("mask_decoder.hq_token.weight", "sam_hq"),
    ("image_encoder.trunk.pos_embed", "sam2"),
    ("vision_encoder.backbone.pos_embed_window", "sam2"),
    ("vision_encoder.backbone.timm_model.stem.conv1.c.weight", "edgetam"),
    ("tracker_model.mask_decoder.obj_score_token.weight", "sam3"),
    ("vision_encoder.neck.fpn_layers.0.proj1.weight", "sam3"),
    ("vision_encoder.pos_embed", "sam"),
)

#: Family -> module and function that build it, imported when needed.
_BUILDERS = {
    "sam": ("hf1", "build_sam"),
    "sam_hq": ("hq", "build_hq"),
    "sam2": ("sam2", "build_sam2"),
    "edgetam": ("edgetam", "build_edgetam"),
    "sam3": ("sam3", "build_sam3"),
}

#: Family -> where its makers' automatic mask generator begins otherwise than SAM's. Source:
#: SAM2AutomaticMaskGenerator of facebookresearch/sam2.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    family: {"pred_iou_thresh": 0.8} for family in ("sam2", "edgetam", "sam3")
}

Config = Mapping[str, Any]


def read_config(weights: Path) -> Config | None:
    """The config.json that transformers wrote beside weights of its own, or None."""
    path = weights.with_name("config.json")
    if weights.suffix not in (".safetensors", ".bin") or not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"'{path}' cannot be read as JSON ({error}). Fetch it again from where the weights "
            "beside it came from."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(
            f"Expected a configuration (a JSON object) in '{path}', got a {type(config).__name__}. "
            "Fetch it again from where the weights beside it came from."
        )
    return config


def family_of(state: StateDict, config: Config | None, path: Path) -> str | None:
    """The family of weights, or None for SAM and MobileSAM as their makers saved them.

    Raises:
        CheckpointError: The configuration is that of another model.
    """
    if config is not None and "model_type" in config:
        kind = config["model_type"]
        if kind not in _BY_TYPE:
            raise CheckpointError(
                f"Expected the configuration of a SAM ({', '.join(sorted(_BY_TYPE))}) in "
                f"'{path.with_name('config.json')}'; its model_type is {kind!r}. Name a folder "
                "with a SAM in it."
            )
        return _BY_TYPE[kind]
    return next((family for key, family in _BY_KEY if key in state), None)


def architecture_of(path: Path) -> str:
    """Which model a file of weights belongs to, from its names, shapes and configuration.

    Raises:
        CheckpointError: It cannot be read, or belongs to none.
    """
    state = read_state(path)
    return family_of(state, read_config(path), path) or recognise(state, path)


def build_family(
    family: str, state: StateDict, config: Config | None, path: Path
) -> tuple[Any, str]:
    """The model and the name of its architecture."""
    module, name = _BUILDERS[family]
    build: Callable[..., Any] = getattr(import_module(f"samlab.sam.families.{module}"), name)
    return build(state, config, path), family
