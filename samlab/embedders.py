"""Other vectors than SAM's: what `samlab.embed` takes."""

from __future__ import annotations

from samlab.latent.embed import (
    ColourTexture,
    Embedder,
    PatchEmbedder,
    TextEmbedder,
    TransformersEmbedder,
)

__all__ = ["ColourTexture", "Embedder", "PatchEmbedder", "TextEmbedder", "TransformersEmbedder"]
