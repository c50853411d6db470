"""SAM 3's tracker for points, boxes and masks: SAM 2's decoder behind a larger image encoder.

Carion et al., "SAM 3: Segment Anything with Concepts", 2025 (arXiv:2511.16719). Words and examples
are the detector's part: `samlab.sam.concepts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

from samlab.errors import CheckpointError
from samlab.sam.checkpoints import StateDict
from samlab.sam.families.base import FamilySam, fill, transformers_class
from samlab.sam.families.door import OPTIONS
from samlab.sam.families.sam2 import Sam2, sam2_names, without_type

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Sam3(Sam2):
    """SAM 3 for single pictures: cells of 14 pixels, 72 x 72 of them."""

    patch = 14
    pixels = HALF
    options: ClassVar[Mapping[str, Any]] = OPTIONS["sam3"]


def build_sam3(state: StateDict, config: Mapping[str, Any] | None, path: Path) -> FamilySam:
    """The tracker, from weights of the tracker alone or of all of SAM 3.

    Raises:
        CheckpointError: Only the detector is there, or weights do not fit.
    """
    names = sam2_names({_tracker_name(key): value for key, value in state.items()})
    if "mask_decoder.obj_score_token.weight" not in names:
        raise CheckpointError(
            f"Expected SAM 3 with its tracker in '{path}', which answers points, boxes and masks; "
            "only the detector is there. Use it with segment_text(image, texts, model=folder)."
        )
    settings = (config or {}).get("tracker_config") or config or {}
    vision = without_type(settings.get("vision_config") or {})
    model = transformers_class("Sam3VisionModel", "5.0")
    made = transformers_class("Sam3VisionConfig", "5.0")(**vision)
    side = int(made.backbone_config.image_size)
    built = fill(lambda: Sam3(model(made), side, settings), names, "SAM 3's tracker", path)
    return cast(FamilySam, built)


def _tracker_name(key: str) -> str:
    """A name in weights of all of SAM 3 as it is in those of the tracker alone."""
    key = key.removeprefix("tracker_model.")
    for old, new in (
        ("tracker_neck.", "vision_encoder.neck."),
        ("detector_model.vision_encoder.backbone.", "vision_encoder.backbone."),
    ):
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key
