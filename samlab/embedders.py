"""Other vectors than SAM's: what `samlab.embed` takes."""

from __future__ import annotations

from samlab.latent.embed.embedders import (
    ColourTexture,
    Embedder,
    PatchEmbedder,
    TransformersEmbedder,
)
from samlab.latent.embed.text import TextEmbedder

__all__ = ["ColourTexture", "Embedder", "PatchEmbedder", "TextEmbedder", "TransformersEmbedder"]
