"""What the rest of samlab asks of a SAM that is not segment-anything's own class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

from samlab.errors import InputError, MissingExtraError, require_extra
from samlab.sam.checkpoints import StateDict, check_fit
from samlab.sam.fast import Decoder, ImageEmbedding


class FamilySam(Sam, ABC):
    """A model of another family behind the parts of `segment_anything.modeling.Sam`.

    `encode`, `open_decoder` and all that builds on them take it as any `Sam`; `SamPredictor` is
    refused, since it knows nothing of the finer features these models need.

    Attributes:
        image_encoder: Has `img_size`, the side of its square input in pixels.
        prompt_encoder: segment-anything's own class.
        mask_decoder: The modules that the factored decoder reads.
        padded: Whether pictures keep their shape and are padded, or are squashed to the square.
        options: Defaults of automatic mask generation that differ from SAM's.
        note: Where vectors are taken from, if that needs saying; part of every provenance.
        precision: Of large products, where nothing else is asked for; weights stay in float32.
    """

    image_encoder: Any
    prompt_encoder: PromptEncoder
    mask_decoder: Any
    padded: bool = True
    options: ClassVar[Mapping[str, Any]] = {}
    note: str = ""
    precision: torch.dtype = torch.float32

    def __init__(
        self,
        image_encoder: nn.Module,
        prompt_encoder: PromptEncoder,
        mask_decoder: nn.Module,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        nn.Module.__init__(self)  # Sam's own would make the buffers on the device "meta"
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        for name, values in (("pixel_mean", mean), ("pixel_std", std)):
            _set_buffer(self, name, [255 * v for v in values])

    def preprocess(self, x: Tensor) -> Tensor:
        """Refused: this is what `SamPredictor` and `Sam.forward` begin with."""
        raise InputError(
            f"SamPredictor cannot use {getattr(self, 'samlab_name', type(self).__name__)}, which "
            "needs more of the picture than it hands on. Use samlab.segment_points, segment_boxes "
            "or segment_masks."
        )

    @abstractmethod
    def run_encoder(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Encode normalised pictures (B, 3, S, S), with large products in `dtype`.

        Returns:
            float32 (B, 256, G, G), from which vectors are pooled, and whatever else `open` needs of
            the picture, batch first: `ImageEmbedding.details`.
        """

    @abstractmethod
    def open(self, features: ImageEmbedding, dtype: torch.dtype | str | None) -> Decoder:
        """The decoder of one picture."""


def set_pixel_statistics(sam: nn.Module) -> None:
    """SAM's mean and standard deviation of pixels, which are not part of its state dict."""
    _set_buffer(sam, "pixel_mean", [123.675, 116.28, 103.53])
    _set_buffer(sam, "pixel_std", [58.395, 57.12, 57.375])


def _set_buffer(sam: nn.Module, name: str, values: list[float]) -> None:
    """On the CPU even while the rest is built without memory, on the device "meta"."""
    tensor = torch.tensor(values, device="cpu").view(-1, 1, 1)
    sam.register_buffer(name, tensor, persistent=False)


def build_prompt_encoder(config: Mapping[str, Any], img_size: int, patch: int) -> PromptEncoder:
    """segment-anything's prompt encoder; `config` is transformers' `prompt_encoder_config`."""
    side = config.get("image_size", img_size) // config.get("patch_size", patch)
    return PromptEncoder(
        embed_dim=config.get("hidden_size", 256),
        image_embedding_size=(side, side),
        input_image_size=(config.get("image_size", img_size),) * 2,
        mask_in_chans=config.get("mask_input_channels", 16),
    )


def build_mask_decoder(config: Mapping[str, Any], *, sigmoid: bool = False) -> MaskDecoder:
    """segment-anything's mask decoder; `config` is transformers' `mask_decoder_config`.

    SAM 2 ends its prediction of IoU in a sigmoid. transformers guards the norms inside the layers
    of SAM and SAM-HQ against zero by 1e-6 and says so as `layer_norm_eps`, Meta by 1e-5; weights
    are computed as the configuration beside them says, which moves predicted IoUs by some 1e-5.
    """
    width = config.get("hidden_size", 256)
    decoder = MaskDecoder(
        num_multimask_outputs=config.get("num_multimask_outputs", 3),
        transformer=TwoWayTransformer(
            depth=config.get("num_hidden_layers", 2),
            embedding_dim=width,
            mlp_dim=config.get("mlp_dim", 2048),
            num_heads=config.get("num_attention_heads", 8),
            attention_downsample_rate=config.get("attention_downsample_rate", 2),
        ),
        transformer_dim=width,
        iou_head_depth=config.get("iou_head_depth", 3),
        iou_head_hidden_dim=config.get("iou_head_hidden_dim", 256),
    )
    decoder.iou_prediction_head.sigmoid_output = sigmoid
    if "layer_norm_eps" in config:
        for block in decoder.transformer.layers:
            for norm in (block.norm1, block.norm2, block.norm3, block.norm4):
                norm.eps = config["layer_norm_eps"]
    return decoder


def decoder_of_sam(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """transformers' `mask_decoder_config` of SAM and SAM-HQ; empty without a configuration."""
    if config is None:
        return {}
    return {"layer_norm_eps": 1e-6, **(config.get("mask_decoder_config") or {})}


def transformers_class(name: str, since: str) -> Any:
    """A class of transformers, or the sentence that says how to get it.

    Raises:
        MissingExtraError: transformers is not installed, or older than `since`.
    """
    require_extra("transformers", "hf", "This SAM")
    import transformers

    try:
        return getattr(transformers, name)
    except AttributeError:
        raise MissingExtraError(
            f"This SAM needs transformers {since} or newer; {transformers.__version__} is "
            'installed. Update it with: pip install -U "samlab[hf]" transformers'
        ) from None


def fill(build: Callable[[], nn.Module], state: StateDict, family: str, path: Path) -> nn.Module:
    """The module with these weights, every one of them and no other.

    Nothing is initialised at random only to be overwritten, except where a module has tables that
    are not part of its state.

    Raises:
        CheckpointError: Weights are missing, unknown or of another shape.
    """
    with torch.device("meta"):
        module = build()
    check_fit(module, state, family, path)
    weights = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    module.load_state_dict(weights, assign=True)
    if any(buffer.is_meta for buffer in module.buffers()):
        tables = dict(build().named_buffers())
        for name, buffer in list(module.named_buffers()):
            if buffer.is_meta:
                holder, _, last = name.rpartition(".")
                module.get_submodule(holder).register_buffer(last, tables[name], persistent=False)
    return module
