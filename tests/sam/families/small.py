"""Small models of every family, made by transformers with seeded weights that spread answers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers

#: transformers adds SAM 3's `no_memory_embedding` to the last level of the neck, which it drops if
#: there are four: the published model, with a constant of zero here, and one with three levels.
FAMILIES = ("sam", "sam_hq", "sam2", "edgetam", "sam3", "sam3_three_levels")


def spread(model: Any, seed: int = 0) -> Any:
    """Weights of unit gain, so that scores and masks differ between prompts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "running" in name or ".bn." in name:
                continue
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim > 1:
                weight.copy_(noise / weight[0].numel() ** 0.5)
            else:
                weight.add_(0.1 * noise)
    return model.eval()


def _calibrate(encoder: Any) -> None:
    """Batch norms that fit the weights, or activations grow from layer to layer."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    encoder.train()
    with torch.no_grad():
        encoder(torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(2)))
    encoder.eval()


@cache
def small(family: str) -> Any:
    """transformers' own model of a family, a few layers deep, in eval mode."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model = spread(_BUILDERS[family]())
    if family == "edgetam":
        _calibrate(model.vision_encoder)
    if family == "sam3":
        with torch.no_grad():
            model.no_memory_embedding.zero_()
    if family == "sam_hq":
        _mend(model.mask_decoder)
    if family in ("sam", "sam_hq"):  # without the sigmoid of later models, as IoUs are: above zero
        with torch.no_grad():
            model.mask_decoder.iou_prediction_head.proj_out.bias += 1
    transformers.logging.set_verbosity(verbosity)
    return model


def _mend(decoder: Any) -> None:
    """transformers 5.23 upscales what went into SAM-HQ's transformer, with rows and columns
    exchanged, instead of what came out, as SAM-HQ's own code does (mask_decoder_hq.py)."""
    keys: list[torch.Tensor] = []
    decoder.transformer.register_forward_hook(lambda _m, _i, out: keys.append(out[1]))

    def replace(_: Any, given: Any) -> torch.Tensor:
        tokens = keys.pop()
        return tokens.reshape(-1, *tokens.shape[-2:]).transpose(1, 2).reshape(given[0].shape)

    decoder.upscale_conv1.register_forward_pre_hook(replace)


def saved(family: str, folder: Path) -> Path:
    """The small model's folder, written by transformers."""
    path = folder / family
    if not path.exists():
        small(family).save_pretrained(path)
    return path


def _sam() -> Any:
    t = transformers
    vision = t.SamVisionConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=2, global_attn_indexes=[1],
        mlp_dim=100, image_size=256,
    )  # fmt: skip
    return t.SamModel(t.SamConfig(vision_config=vision, prompt_encoder_config={"image_size": 256}))


def _sam_hq() -> Any:
    t = transformers
    vision = t.SamHQVisionConfig(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=2, global_attn_indexes=[1, 2],
        image_size=256,
    )  # fmt: skip
    return t.SamHQModel(
        t.SamHQConfig(
            vision_config=vision,
            prompt_encoder_config={"image_size": 256},
            mask_decoder_config=t.SamHQMaskDecoderConfig(vit_dim=48),
        )
    )


def _sam2() -> Any:
    t = transformers
    backbone = t.Sam2HieraDetConfig(
        hidden_size=12, embed_dim_per_stage=[12, 24, 48, 96], blocks_per_stage=[1, 1, 2, 1],
        num_attention_heads_per_stage=[1, 2, 4, 8], global_attention_blocks=[3],
        image_size=[256, 256],
    )  # fmt: skip
    vision = t.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[96, 48, 24, 12],
        backbone_feature_sizes=[[64, 64], [32, 32], [16, 16]],
    )  # fmt: skip
    return t.Sam2Model(
        t.Sam2Config(vision_config=vision, prompt_encoder_config={"image_size": 256})
    )


def _edgetam() -> Any:
    t = transformers
    backbone = t.TimmWrapperConfig(
        architecture="repvit_m1",
        model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    )
    vision = t.EdgeTamVisionConfig(
        backbone_config=backbone, backbone_feature_sizes=[[64, 64], [32, 32], [16, 16]]
    )
    return t.EdgeTamModel(
        t.EdgeTamConfig(vision_config=vision, prompt_encoder_config={"image_size": 256})
    )


def _sam3(scale_factors: tuple[float, ...] = (4.0, 2.0, 1.0, 0.5)) -> Any:
    t = transformers
    backbone = t.Sam3ViTConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        global_attn_indexes=[1], image_size=252, pretrain_image_size=252, window_size=6,
    )  # fmt: skip
    vision = t.Sam3VisionConfig(
        backbone_config=backbone, backbone_feature_sizes=[[72, 72], [36, 36], [18, 18]],
        scale_factors=list(scale_factors),
    )  # fmt: skip
    return t.Sam3TrackerModel(
        t.Sam3TrackerConfig(vision_config=vision, prompt_encoder_config={"image_size": 252})
    )


_BUILDERS = {
    "sam": _sam,
    "sam_hq": _sam_hq,
    "sam2": _sam2,
    "edgetam": _edgetam,
    "sam3": _sam3,
    "sam3_three_levels": lambda: _sam3((4.0, 2.0, 1.0)),
}
