"""Names of weights: transformers' and Meta's, for the parts that every SAM has in common.

The prompt encoder and the two-way transformer are the same in every SAM, so all of them are loaded
into segment-anything's own classes, under its names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from samlab.sam.checkpoints import StateDict

#: transformers -> segment-anything, applied in this order to every key.
_RENAMED = (
    (r"^(mask_decoder\.transformer\..*)\.o_proj\.", r"\1.out_proj."),
    (r"^(mask_decoder\.transformer\..*)\.layer_norm", r"\1.norm"),
    (r"^mask_decoder\.transformer\.layer_norm", "mask_decoder.transformer.norm"),
    (r"^(mask_decoder\.transformer\..*)\.mlp\.proj_in\.", r"\1.mlp.lin1."),
    (r"^(mask_decoder\.transformer\..*)\.mlp\.proj_out\.", r"\1.mlp.lin2."),
    (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    (r"\.shared_embedding\.positional_embedding$", ".pe_layer.positional_encoding_gaussian_matrix"),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
    (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "prompt_encoder.mask_downscaling.1."),
    (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
    (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "prompt_encoder.mask_downscaling.4."),
    (r"^prompt_encoder\.mask_embed\.conv3\.", "prompt_encoder.mask_downscaling.6."),
)

#: transformers' small MLPs of the mask decoder: proj_in, layers.*, proj_out are layers.* in SAM.
_MLP = re.compile(r"^(mask_decoder\.(?!transformer\.).*)\.(proj_in|layers\.(\d+)|proj_out)\.(.*)$")


def renamed(key: str, rules: Iterable[tuple[str, str]]) -> str:
    """A key after all replacements, each a regular expression and what stands for it, in order."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def common_names(state: StateDict) -> StateDict:
    """transformers' names of prompt encoder and mask decoder to segment-anything's.

    Keys that have their final name already, and those of the image encoder, stay as they are.
    """
    depths = _depths(state)
    out: StateDict = {}
    for key, value in state.items():
        if key == "prompt_encoder.point_embed.weight":  # one table since SAM 2, four rows before
            rows = enumerate(value.split(1))
            out |= {f"prompt_encoder.point_embeddings.{i}.weight": row for i, row in rows}
            continue
        name = renamed(key, _RENAMED)
        found = _MLP.match(name)
        if found and found[1] in depths:
            place = {"proj_in": 0, "proj_out": depths[found[1]]}.get(found[2])
            place = int(found[3]) + 1 if place is None else place
            name = f"{found[1]}.layers.{place}.{found[4]}"
        out[name] = value
    return out


def _depths(keys: Iterable[str]) -> dict[str, int]:
    """MLP -> number of its last layer, for those that are named as in transformers."""
    matches = [match for match in map(_MLP.match, keys) if match]
    between: dict[str, int] = {m[1]: 0 for m in matches if m[2] == "proj_in"}
    for match in matches:
        if match[1] in between and match[3] is not None:
            between[match[1]] = max(between[match[1]], int(match[3]) + 1)
    return {name: count + 1 for name, count in between.items()}


def part(state: StateDict, prefix: str) -> StateDict:
    """The weights below a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
