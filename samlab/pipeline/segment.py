"""The main job in one call: a picture in, segments with their vectors out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike
from samlab.pictures import escaped_name
from samlab.pipeline.cache import SegmentCache, open_cache
from samlab.pipeline.read_through import cached_segments, read_hashed
from samlab.pipeline.segmenter import SegmenterConfig
from samlab.segments import Segments, with_source

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


@checked_arguments
def segment(
    image: ImageLike,
    sam: str | Path | Sam = "tiny",
    *,
    how: Literal["coverage", "any"] = "coverage",
    image_id: str | None = None,
    device: str | None = None,
    cache: bool | str | os.PathLike[str] | SegmentCache = False,
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
        cache: Look the segments up, and keep them, in samlab's cache (True) or in a folder:
            segmenting the same picture in the same way again then needs no model. `samlab.run`
            fills and uses the same cache.
        **options: Any argument of `MaskGenerator`, for example `points_per_side=51`.

    Returns:
        Segments with `embeddings["sam"]`, float32 (N, 256). N may be 0.

    Example:
        >>> import skimage.data, samlab
        >>> segments = samlab.segment(skimage.data.coins())
        >>> clustering = samlab.cluster(segments)
    """
    config = SegmenterConfig(sam, how, ("sam",), device, options)
    kept = open_cache(cache)
    pixels, kind, digest = read_hashed(image)
    if kept is None:
        segments = config.build()([pixels])[0]
    else:
        segments = cached_segments(pixels, digest, config, kept)
    name = _name(image) if image_id is None else image_id
    segments = segments.with_image_id(name)
    if not name:
        return segments
    about = with_source(segments.provenance, name, f"{kind} {digest}")
    return replace(segments, provenance=about)


def _name(image: ImageLike) -> str:
    if isinstance(image, (str, os.PathLike)):
        return escaped_name(Path(os.fsdecode(image)).name)
    return escaped_name(Path(os.fsdecode(getattr(image, "filename", "") or "")).name)
