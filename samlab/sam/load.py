"""load_sam: a name or a path in, SAM's own model out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from samlab.errors import CheckpointError
from samlab.errors.arguments import checked_arguments
from samlab.sam import checkpoints
from samlab.sam.checkpoints import check_fit, read_state, recognise, sha256
from samlab.sam.device import DeviceLike, DtypeLike, check_dtype, pick_device, pick_dtype
from samlab.sam.families import (
    FamilySam,
    build_family,
    family_of,
    read_config,
    set_pixel_statistics,
)
from samlab.sam.mobile_sam import build_mobile_sam
from samlab.sam.provenance import set_weights_sha256


@checked_arguments
def load_sam(
    name: str | os.PathLike[str] = "tiny",
    *,
    device: DeviceLike = None,
    dtype: DtypeLike = None,
) -> Any:
    """Load a model: SAM as its own class, so that `SamPredictor` and anyone's code work with it.

    Later models come as a `FamilySam`, which all of samlab takes in the same places.

    Args:
        name: `"tiny"` (embedded, no download), `"vit_b"`, `"vit_l"`, `"vit_h"` (official),
            `"mobile_sam"`; with `samlab[hf]` also `"sam2.1_hiera_tiny"` (`_small`, `_base_plus`,
            `_large`), `"edgetam"`, `"sam_hq_vit_b"` (`_l`, `_h`), `"slimsam_77"`, `"slimsam_50"`
            and `"sam3"`, whose weights are gated. Or the path of a checkpoint (.pth, .pt,
            .safetensors) of one of these architectures, or a folder that transformers wrote,
            recognised by names, shapes and configuration. State dicts inside `{"model": ...}` or
            `{"state_dict": ...}` are found.
        device: Where it computes; None for the best device that works (`pick_device`).
        dtype: Precision of the image encoder (`pick_dtype`): None for float32, `"auto"` for
            bfloat16 where it is native. The encoder still takes and gives float32, and the
            prompt encoder and mask decoder stay in float32, which cost little and need it.
            `tiny` always computes in float32.

    Returns:
        A `segment_anything.modeling.Sam` (SlimSAM too), or a `FamilySam` for SAM-HQ, EdgeTAM and
        SAM 2 and 3; in eval mode, without gradients. Three attributes say where it comes from:
        `samlab_name` (the name, or that of the file or folder), `samlab_architecture` and
        `weights_sha256` (of the file; once the model has been trained on, it has another identity:
        see `samlab.sam.provenance`).

    Raises:
        CheckpointError: Unknown name, no file and no network, a wrong hash, a damaged file, a
            file that would run code, weights of another architecture, or gated ones.
        MissingExtraError: The model needs transformers, which is missing or too old.
        InputError: A device or dtype that cannot be used.

    Example:
        >>> sam = load_sam("tiny", device="cpu")
        >>> sam.samlab_name, sam.training
        ('tiny', False)
    """
    target = pick_device(device)
    found = checkpoints.fetch(name)
    check_dtype(dtype)
    if found.name == checkpoints.EMBEDDED:
        from samlab.sam.tiny import build_tiny

        sam = build_tiny(found.path)
        architecture, precision = checkpoints.EMBEDDED, torch.float32
    else:
        precision = pick_dtype(target, dtype)
        state, config = read_state(found.path), read_config(found.path)
        family = family_of(state, config, found.path)
        if family is not None:
            _check_name(found, family)
            sam, architecture = build_family(family, state, config, found.path)
        else:
            architecture = recognise(state, found.path)
            _check_name(found, architecture)
            sam = _build(architecture, state, found.path)
    sam.eval().requires_grad_(False)
    sam.to(target)
    if isinstance(sam, FamilySam):
        sam.precision = precision
    elif precision != torch.float32:
        _encode_in(sam, precision)
    sam.samlab_name = found.label
    sam.samlab_architecture = architecture
    sam.weights_sha256 = sha256(found.path)
    set_weights_sha256(sam, sam.weights_sha256)
    return sam


def _check_name(found: checkpoints.Found, architecture: str) -> None:
    """A file found under a name must hold the model of that name."""
    own = checkpoints.architectures().get(found.name, architecture)
    if architecture != own:
        raise CheckpointError(
            f"Expected the weights of {found.name} in '{found.path}', but they look like "
            f"{architecture}. Pass the path itself to load them as what they are."
        )


def _build(architecture: str, state: dict[str, torch.Tensor], path: Path) -> Sam:
    """The model with these weights; nothing is initialised at random only to be overwritten."""
    if architecture == "mobile_sam":
        sam = build_mobile_sam()  # small, and with tables that are not part of a state dict
    else:
        with torch.device("meta"):
            sam = sam_model_registry[architecture]()
    check_fit(sam, state, architecture, path)
    weights = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    sam.load_state_dict(weights, assign=True)
    set_pixel_statistics(sam)
    return sam


def _encode_in(sam: Sam, precision: torch.dtype) -> None:
    """Put the image encoder into half precision, float32 at its two ends.

    SAM's prompt encoder and mask decoder mix their weights with float32 coordinates, so casting
    the whole model would break `SamPredictor`; the encoder holds nearly all the work anyway.
    """
    sam.image_encoder.to(precision)
    sam.image_encoder.register_forward_pre_hook(_to_weights_dtype)
    sam.image_encoder.register_forward_hook(_to_float32)


def _to_weights_dtype(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
    return inputs[0].to(next(module.parameters()).dtype)


def _to_float32(_: torch.nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
    return output.float()
