"""Inside SAM, step by step: what its encoder and decoder compute, and what its filters drop."""

from __future__ import annotations

from samlab.sam.anatomy import (
    decoder_costs,
    encoder_attention,
    official_or_random,
    recorded_attention,
    walk_decoder,
    walk_encoder,
)
from samlab.sam.automatic import filter_funnel, suppressed_by
from samlab.sam.prompt_answers import ask, picture_logits, prompts_for
from samlab.sam.tiny import read_maps as tiny_maps

__all__ = [
    "ask",
    "decoder_costs",
    "encoder_attention",
    "filter_funnel",
    "official_or_random",
    "picture_logits",
    "prompts_for",
    "recorded_attention",
    "suppressed_by",
    "tiny_maps",
    "walk_decoder",
    "walk_encoder",
]
