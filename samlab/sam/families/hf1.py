"""SAM and SlimSAM as transformers saves them: renamed into segment-anything's own class.

transformers itself is not needed. SlimSAM (Chen et al., "SlimSAM: 0.1% Data Makes Segment Anything
Slim", 2023, arXiv:2312.05284) is SAM with a narrower image encoder, whose widths the weights tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from segment_anything.modeling import ImageEncoderViT, Sam
from torch import nn

from samlab.errors import CheckpointError
from samlab.sam.checkpoints import StateDict
from samlab.sam.families.base import (
    build_mask_decoder,
    build_prompt_encoder,
    decoder_of_sam,
    fill,
    set_pixel_statistics,
)
from samlab.sam.families.keys import common_names, renamed

_VISION = (
    (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^vision_encoder\.layers\.(\d+)\.layer_norm", r"image_encoder.blocks.\1.norm"),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^vision_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^vision_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^vision_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
    (r"^vision_encoder\.", "image_encoder."),
)

_SHARED = "shared_image_embedding.positional_embedding"
_POSITION = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"


def sam_names(state: StateDict) -> StateDict:
    """transformers' names of a whole SAM to segment-anything's."""
    out = {renamed(key, _VISION): value for key, value in common_names(state).items()}
    shared = out.pop(_SHARED, None)  # the same table twice; safetensors may have kept either
    if shared is not None:
        out.setdefault(_POSITION, shared)
    return out


def build_vit(state: StateDict, path: Path) -> ImageEncoderViT:
    """SAM's image encoder in the widths, depth and windows that its weights have.

    Raises:
        CheckpointError: They are not those of a plain ViT of SAM.
    """
    position = state.get("image_encoder.pos_embed")
    tables = {
        int(m[1]): value.shape
        for key, value in state.items()
        if (m := re.match(r"image_encoder\.blocks\.(\d+)\.attn\.rel_pos_h$", key))
    }
    patches = state.get("image_encoder.patch_embed.proj.weight")
    hidden = state.get("image_encoder.blocks.0.mlp.lin1.weight")
    if position is None or patches is None or hidden is None or not tables:
        raise CheckpointError(
            f"Expected the image encoder of SAM in '{path}' (a position table, patches, and blocks "
            "with relative positions); some are missing. Fetch the file again."
        )
    grid, width, patch = position.shape[1], position.shape[3], patches.shape[-1]
    everywhere = [i for i, (length, _) in sorted(tables.items()) if length == 2 * grid - 1]
    windows = {(length + 1) // 2 for i, (length, _) in tables.items() if i not in everywhere}
    return ImageEncoderViT(
        img_size=grid * patch,
        patch_size=patch,
        embed_dim=width,
        depth=len(tables),
        num_heads=width // tables[0][1],
        mlp_ratio=(len(hidden) + 0.5) / width,  # rounded down to the width of the hidden layer
        out_chans=state["image_encoder.neck.0.weight"].shape[0],
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=windows.pop() if windows else 14,
        global_attn_indexes=everywhere,
    )


def build_sam(state: StateDict, config: Mapping[str, Any] | None, path: Path) -> Sam:
    """The official class with these weights; the configuration adds nothing to their shapes."""
    names = sam_names(state)
    settings = config or {}

    def build() -> Sam:
        encoder = build_vit(names, path)
        prompts = settings.get("prompt_encoder_config") or {}
        sam = Sam(
            encoder,
            build_prompt_encoder({"image_size": encoder.img_size, **prompts}, 1024, 16),
            build_mask_decoder(decoder_of_sam(config)),
        )
        set_pixel_statistics(sam)
        return sam

    return fill(build, names, "SAM", path)
