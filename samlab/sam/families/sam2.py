"""SAM 2 and 2.1: transformers' image encoder, SAM's own prompt encoder and two-way transformer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from segment_anything.modeling.mask_decoder import MLP
from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom
from torch import Tensor, nn

from samlab.errors import CheckpointError
from samlab.sam.checkpoints import StateDict
from samlab.sam.families.base import (
    FamilySam,
    build_mask_decoder,
    build_prompt_encoder,
    fill,
    transformers_class,
)
from samlab.sam.families.door import OPTIONS
from samlab.sam.families.keys import common_names, part, renamed
from samlab.sam.fast import Decoder, ImageEmbedding, Sam2Decoder

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

#: Blocks per stage of Meta's four sizes -> global blocks and window sizes, which no shape tells.
#: Source: sam2/configs/sam2.1 of facebookresearch/sam2.
_SIZES: dict[tuple[int, ...], dict[str, list[int]]] = {
    (1, 2, 7, 2): {"global": [5, 7, 9], "windows": [8, 4, 14, 7]},
    (1, 2, 11, 2): {"global": [7, 10, 13], "windows": [8, 4, 14, 7]},
    (2, 3, 16, 3): {"global": [12, 16, 20], "windows": [8, 4, 14, 7]},
    (2, 6, 36, 4): {"global": [23, 33, 43], "windows": [8, 4, 16, 8]},
}


class VisionEncoder(nn.Module):
    """An image encoder of transformers that gives features at three resolutions.

    Args:
        model: Returns `fpn_hidden_states`, the finest first.
        img_size: Side of its input, pixels.
    """

    def __init__(self, model: nn.Module, img_size: int) -> None:
        super().__init__()
        self.model = model
        self.img_size = img_size

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, S, S) -> (B, 256, S/4, S/4), (B, 256, S/8, S/8), (B, 256, S/16, S/16)."""
        levels = self.model(pixels, return_dict=True).fpn_hidden_states
        return tuple(levels[:3])


class Sam2(FamilySam):
    """SAM 2 for single pictures.

    Vectors are pooled from the image encoder's features as they are. The decoder adds a constant to
    every cell, "no memory of earlier frames"; it would shift all vectors the same way and with
    them every cosine.
    """

    padded = False
    options: ClassVar[Mapping[str, Any]] = OPTIONS["sam2"]
    note = "image encoder's features, without no_memory_embedding"

    patch = 16
    pixels = IMAGENET

    def __init__(self, model: nn.Module, img_size: int, config: Mapping[str, Any]) -> None:
        """Args:
        model: transformers' image encoder; img_size: side of its input, pixels.
        config: transformers' configuration of the whole model.
        """
        decoder = config.get("mask_decoder_config") or {}
        mask_decoder = build_mask_decoder(decoder, sigmoid=True)
        width = mask_decoder.transformer_dim
        mask_decoder.obj_score_token = nn.Embedding(1, width)
        mask_decoder.pred_obj_score_head = MLP(width, width, 1, 3)
        mask_decoder.conv_s0 = nn.Conv2d(width, width // 8, 1)
        mask_decoder.conv_s1 = nn.Conv2d(width, width // 4, 1)
        prompts = build_prompt_encoder(
            config.get("prompt_encoder_config") or {}, img_size, self.patch
        )
        super().__init__(VisionEncoder(model, img_size), prompts, mask_decoder, *self.pixels)
        self.image_position = PositionEmbeddingRandom(width // 2)
        self.no_memory = nn.Parameter(torch.zeros(width))
        self.single_mask_rule: tuple[float, float] | None = None
        if decoder.get("dynamic_multimask_via_stability", True):
            self.single_mask_rule = (
                decoder.get("dynamic_multimask_stability_delta", 0.05),
                decoder.get("dynamic_multimask_stability_thresh", 0.98),
            )

    def run_encoder(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The embedding, and the finer features: (B, 32, 4 G, 4 G) and (B, 64, 2 G, 2 G)."""
        half = dtype != torch.float32
        with torch.autocast(pixels.device.type, dtype, enabled=half):
            fine, middle, coarse = self.image_encoder(pixels)
        decoder = self.mask_decoder
        return coarse.float(), decoder.conv_s0(fine.float()), decoder.conv_s1(middle.float())

    def open(self, features: ImageEmbedding, dtype: torch.dtype | str | None) -> Decoder:
        """See `FamilySam.open`."""
        return Sam2Decoder(self, features, dtype=dtype)

    def position(self, grid: torch.Size) -> Tensor:
        """The positional encoding of the image tokens, float32 (1, C, G, G)."""
        encoding: Tensor = self.image_position((int(grid[0]), int(grid[1])))
        return encoding[None]


def sam2_names(state: StateDict) -> StateDict:
    """The weights of one picture's SAM 2 under the names of `Sam2`, from either maker's.

    What only video needs (memory, object pointers) is left out.
    """
    if "no_mem_embed" in state or "sam_mask_decoder.iou_token.weight" in state:
        state = _from_meta(state)
    state = common_names(state)
    kept = {
        "vision_encoder.": "image_encoder.model.",
        "prompt_encoder.": "prompt_encoder.",
        "mask_decoder.": "mask_decoder.",
    }
    out = {
        new + name: value for old, new in kept.items() for name, value in part(state, old).items()
    }
    if "no_memory_embedding" in state:
        out["no_memory"] = state["no_memory_embedding"].reshape(-1)
    shared = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    position = state.get("shared_image_embedding.positional_embedding", state.get(shared))
    if position is not None:
        out["image_position.positional_encoding_gaussian_matrix"] = position
    return out


#: Meta's names -> transformers', where segment-anything's are not Meta's own.
_META = (
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"^(mask_decoder\.transformer\..*)\.mlp\.layers\.0\.", r"\1.mlp.lin1."),
    (r"^(mask_decoder\.transformer\..*)\.mlp\.layers\.1\.", r"\1.mlp.lin2."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^(vision_encoder\.backbone\.)patch_embed\.proj\.", r"\1patch_embed.projection."),
    (r"^(vision_encoder\.backbone\.blocks\.\d+)\.norm", r"\1.layer_norm"),
    (r"^(vision_encoder\.backbone\.blocks\.\d+)\.mlp\.layers\.0\.", r"\1.mlp.proj_in."),
    (r"^(vision_encoder\.backbone\.blocks\.\d+)\.mlp\.layers\.1\.", r"\1.mlp.proj_out."),
    (r"^no_mem_embed$", "no_memory_embedding"),
)


def _from_meta(state: StateDict) -> StateDict:
    return {renamed(key, _META): value for key, value in state.items()}


def build_sam2(state: StateDict, config: Mapping[str, Any] | None, path: Path) -> FamilySam:
    """SAM 2 from weights of either maker and transformers' configuration, if there is one.

    Raises:
        CheckpointError: The weights do not fit, or there is no configuration and they are none of
            Meta's four sizes.
        MissingExtraError: There is no transformers, or it is too old.
    """
    names = sam2_names(state)
    vision = (config or {}).get("vision_config") or _vision_by_shapes(names, path)
    model = transformers_class("Sam2VisionModel", "4.56")
    made = transformers_class("Sam2VisionConfig", "4.56")(**without_type(vision))
    side = int(made.backbone_config.image_size[0])
    filled = fill(lambda: Sam2(model(made), side, config or {}), names, "SAM 2", path)
    return cast(FamilySam, filled)


def without_type(vision: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says which class it is, which is known."""
    return {k: v for k, v in vision.items() if k != "model_type"}


def _vision_by_shapes(state: StateDict, path: Path) -> dict[str, Any]:
    """transformers' vision configuration of Meta's four sizes, told by the shapes of weights."""
    blocks = "image_encoder.model.backbone.blocks."
    qkv = re.compile(re.escape(blocks) + r"(\d+)\.attn\.qkv\.weight")
    found = sorted((int(m[1]), len(v) // 3) for k, v in state.items() if (m := qkv.match(k)))
    widths = sorted({width for _, width in found})
    stages = tuple(sum(width == w for _, w in found) for width in widths)
    position = state.get("image_encoder.model.backbone.pos_embed")
    if stages not in _SIZES or position is None:
        raise CheckpointError(
            f"Expected one of SAM 2's four sizes in '{path}', or the config.json of transformers "
            f"beside it; got blocks per stage {list(stages)} and no configuration. Put the "
            "config.json into the same folder."
        )
    heads = 1 if widths[0] == 96 else 2
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": widths[0],
        "num_attention_heads": heads,
        "blocks_per_stage": list(stages),
        "embed_dim_per_stage": widths,
        "num_attention_heads_per_stage": [heads * 2**i for i in range(len(stages))],
        "window_size_per_stage": _SIZES[stages]["windows"],
        "global_attention_blocks": _SIZES[stages]["global"],
        "window_positional_embedding_background_size": list(position.shape[-2:]),
    }
    return {"backbone_config": backbone, "backbone_channel_list": widths[::-1]}
