"""EdgeTAM: SAM 2's decoder behind RepViT, an image encoder for small devices.

Zhou et al., "EdgeTAM: On-Device Track Anything Model", 2025 (arXiv:2501.07256).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from samlab.errors import require_extra
from samlab.sam.checkpoints import StateDict
from samlab.sam.families.base import FamilySam, fill, transformers_class
from samlab.sam.families.sam2 import Sam2, sam2_names, without_type

#: transformers' own default misspells "architecture", so that it builds nothing.
_BACKBONE = {
    "model_type": "timm_wrapper",
    "architecture": "repvit_m1",
    "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
}


def build_edgetam(state: StateDict, config: Mapping[str, Any] | None, path: Path) -> FamilySam:
    """EdgeTAM for single pictures; what only video needs is left out."""
    require_extra("timm", "hf", "EdgeTAM")
    model = transformers_class("EdgeTamVisionModel", "4.57")
    settings = transformers_class("EdgeTamVisionConfig", "4.57")
    wrapper = transformers_class("TimmWrapperConfig", "4.57")
    vision = without_type((config or {}).get("vision_config") or {})
    backbone = without_type(vision.get("backbone_config") or _BACKBONE)
    made = settings(**{**vision, "backbone_config": wrapper(**backbone)})
    side = int((config or {}).get("prompt_encoder_config", {}).get("image_size", 1024))
    built = fill(lambda: Sam2(model(made), side, config or {}), sam2_names(state), "EdgeTAM", path)
    return cast(FamilySam, built)
