"""The cache before a model: segments are looked up, and what is not there is computed and kept."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from samlab.errors import SamlabWarning, StorageError
from samlab.images import ImageLike, read_image
from samlab.pictures import read_picture
from samlab.pipeline.cache import SegmentCache, cache_key
from samlab.pipeline.segmenter import SegmentBatch, SegmenterConfig
from samlab.segments import Segments


class ReadThroughCache:
    """Asks a model only about pictures that are not in the cache.

    A cache that cannot be written stops nothing: a warning says so once, and it is only read from
    then on.

    Args:
        cache: Where segments are kept.
        settings: What decides them besides the picture; see `SegmenterConfig.settings`.
    """

    def __init__(self, cache: SegmentCache, settings: Mapping[str, Any]) -> None:
        self._cache = cache
        self._settings = dict(settings)
        self._writes = True

    def segments(
        self, compute: SegmentBatch, images: Sequence[np.ndarray], digests: Sequence[str]
    ) -> list[Segments]:
        """Segments of some pictures, in their order.

        Args:
            compute: The model; called once with all pictures that are not there, if any.
            images: uint8 (H, W, 3) each.
            digests: The SHA-256 of each picture's file, or of its pixels.
        """
        keys = [cache_key(digest, self._settings) for digest in digests]
        found = [self._cache.get(key) for key in keys]
        unknown = [i for i, segments in enumerate(found) if segments is None]
        if unknown:
            fresh = compute([images[i] for i in unknown])
            for i, segments in zip(unknown, fresh, strict=True):
                found[i] = segments
                self._keep(keys[i], segments)
        return [segments for segments in found if segments is not None]

    def _keep(self, key: str, segments: Segments) -> None:
        if not self._writes:
            return
        try:
            self._cache.put(key, segments)
        except StorageError as error:
            self._writes = False
            warnings.warn(
                f"The cache is not written any more, the work goes on without it: {error}",
                SamlabWarning,
                stacklevel=2,
            )


def read_hashed(image: ImageLike) -> tuple[np.ndarray, str, str]:
    """A picture, uint8 (H, W, 3), what of it was hashed ("file" or "pixels"), and the SHA-256.

    Args:
        image: Path, PIL image or array.
    """
    if isinstance(image, (str, os.PathLike)):
        pixels, _, digest = read_picture(os.fsdecode(image))
        return pixels, "file", digest
    pixels = read_image(image)
    total = hashlib.sha256(f"pixels {pixels.shape}".encode())
    total.update(pixels.tobytes())
    return pixels, "pixels", total.hexdigest()


def cached_segments(
    pixels: np.ndarray, digest: str, config: SegmenterConfig, cache: SegmentCache
) -> Segments:
    """Segments of one picture; the model is loaded only where they are not in the cache.

    Args:
        pixels, digest: As `read_hashed` gives them.
        config: How to make them.
        cache: Where to look first.
    """
    reading = ReadThroughCache(cache, config.settings())
    return reading.segments(lambda images: config.build()(images), [pixels], [digest])[0]
