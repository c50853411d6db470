"""SAM-HQ: SAM's own image encoder with its early features, and a decoder with a token more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn

from samlab.sam.checkpoints import StateDict
from samlab.sam.families.base import (
    FamilySam,
    build_mask_decoder,
    build_prompt_encoder,
    decoder_of_sam,
    fill,
)
from samlab.sam.families.hf1 import build_vit, sam_names
from samlab.sam.families.keys import renamed
from samlab.sam.families.sam2 import IMAGENET
from samlab.sam.fast import Decoder, HqDecoder, ImageEmbedding, run_block, vit_neck, vit_patches

#: transformers -> the names of SysCV/sam-hq, below "mask_decoder.".
_RENAMED = (
    (r"\.hq_token\.", ".hf_token."),
    (r"\.hq_mask_mlp\.", ".hf_mlp."),
    (r"\.compress_vit_conv1\.", ".compress_vit_feat.0."),
    (r"\.compress_vit_norm\.", ".compress_vit_feat.1."),
    (r"\.compress_vit_conv2\.", ".compress_vit_feat.3."),
    (r"\.encoder_conv1\.", ".embedding_encoder.0."),
    (r"\.encoder_norm\.", ".embedding_encoder.1."),
    (r"\.encoder_conv2\.", ".embedding_encoder.3."),
    (r"\.mask_conv1\.", ".embedding_maskfeature.0."),
    (r"\.mask_norm\.", ".embedding_maskfeature.1."),
    (r"\.mask_conv2\.", ".embedding_maskfeature.3."),
)


class SamHq(FamilySam):
    """SAM-HQ on a plain ViT.

    Every mask is the sum of one of SAM's and the one of high quality, as `hq_token_only=False` in
    transformers and `hq_token_only=False` in SAM-HQ's own code.
    """

    def __init__(self, encoder: ImageEncoderViT, config: Mapping[str, Any] | None) -> None:
        given = (config or {}).get("prompt_encoder_config") or {}
        prompts = {"image_size": encoder.img_size, **given}
        decoder = build_mask_decoder(decoder_of_sam(config))
        width, early = decoder.transformer_dim, encoder.patch_embed.proj.out_channels
        decoder.hf_token = nn.Embedding(1, width)
        decoder.hf_mlp = MLP(width, width, width // 8, 3)
        decoder.compress_vit_feat = _enlarging(early, width, width // 8)
        decoder.embedding_encoder = _enlarging(width, width // 4, width // 8)
        decoder.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(width // 8, width // 4, 3, padding=1),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.Conv2d(width // 4, width // 8, 3, padding=1),
        )
        super().__init__(encoder, build_prompt_encoder(prompts, 1024, 16), decoder, *IMAGENET)

    def run_encoder(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The embedding, and what is added to every mask: (B, 32, 4 G, 4 G)."""
        encoder, early = self.image_encoder, None
        x = vit_patches(encoder, pixels, dtype)
        for block in encoder.blocks:
            x = run_block(block, x, dtype)
            if early is None and block.window_size == 0:
                early = x.permute(0, 3, 1, 2)
        late = vit_neck(encoder, x, dtype)
        details = self.mask_decoder.embedding_encoder(late)
        if early is not None:
            details = details + self.mask_decoder.compress_vit_feat(early)
        return late, details

    def open(self, features: ImageEmbedding, dtype: torch.dtype | str | None) -> Decoder:
        """See `FamilySam.open`."""
        return HqDecoder(self, features, dtype=dtype)


def _enlarging(inputs: int, between: int, outputs: int) -> nn.Sequential:
    """Four times as many rows and columns."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, between, 2, stride=2),
        LayerNorm2d(between),
        nn.GELU(),
        nn.ConvTranspose2d(between, outputs, 2, stride=2),
    )


def build_hq(state: StateDict, config: Mapping[str, Any] | None, path: Path) -> FamilySam:
    """SAM-HQ from its own file or that of transformers; shapes tell the rest."""
    names = {renamed(key, _RENAMED): value for key, value in sam_names(state).items()}
    build = lambda: SamHq(build_vit(names, path), config)  # noqa: E731
    return cast(FamilySam, fill(build, names, "SAM-HQ", path))
