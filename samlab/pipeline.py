"""The main job in one call: a picture in, segments with their vectors out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from samlab.errors import InputError
from samlab.images import ImageLike, read_image
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


def segment(
    image: ImageLike,
    sam: str | Path | Sam = "tiny",
    *,
    how: Literal["coverage", "any"] = "coverage",
    image_id: str | None = None,
    device: str | None = None,
    **options: Any,
) -> Segments:
    """Segment everything in a picture and give each segment its vector.

    Masks (SAM's automatic mask generation) and vectors come from one and the same pass of the
    image encoder.

    Args:
        image: Path, PIL image or array; see `read_image`.
        sam: A model from `load_sam`, or a name or path for it.
        how: Pooling of patch features over a mask, `"coverage"` or `"any"`; see `pool`.
        image_id: Name of the picture; the file's name by default.
        device: Where to load the model when `sam` is a name or path.
        **options: Any argument of `MaskGenerator`, for example `points_per_side=51`.

    Returns:
        Segments with `embeddings["sam"]`, float32 (N, 256). N may be 0.

    Example:
        >>> import skimage.data, samlab
        >>> segments = samlab.segment(skimage.data.coins())
        >>> clustering = samlab.cluster(segments)
    """
    # torch is imported here and not above, so that `import samlab` stays quick.
    from samlab.latent.embed import pool
    from samlab.sam.automatic import MaskGenerator
    from samlab.sam.fast import encode
    from samlab.sam.load import load_sam
    from samlab.sam.provenance import origin

    if how not in ("coverage", "any"):
        raise InputError(
            f"Expected how='coverage' or how='any', got {how!r}. Other poolings need more than "
            "the picture's own embedding: call samlab.pool afterwards."
        )
    pixels = read_image(image)
    model = load_sam(sam, device=device) if isinstance(sam, (str, os.PathLike)) else sam
    generator = MaskGenerator(model, **options)
    embedding = encode(pixels, model, dtype=generator.dtype, compile=generator.compile)
    segments = generator.segments(pixels, features=embedding)
    segments = segments.with_embedding("sam", pool(embedding, segments, how=how))
    return replace(
        segments.with_image_id(_name(image) if image_id is None else image_id),
        provenance={**origin(model), **segments.provenance, "pooling": how},
    )


def _name(image: ImageLike) -> str:
    if isinstance(image, (str, os.PathLike)):
        return Path(image).name
    return Path(getattr(image, "filename", "") or "").name
