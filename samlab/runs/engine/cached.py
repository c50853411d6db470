"""Work that looks into the cache first: for a run, and for one picture in a notebook."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samlab.errors import SamlabWarning, StorageError
from samlab.images import ImageLike, read_image
from samlab.pictures import read_picture
from samlab.runs.disk.cache import SegmentCache, cache_key, open_cache
from samlab.runs.engine.read_ahead import Loaded
from samlab.runs.engine.work import Recipe, Work
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


class Remember:
    """Puts a cache before some work.

    A cache that cannot be written stops nothing: a warning says so once, and it is only read from
    then on.
    """

    def __init__(self, cache: SegmentCache, settings: Mapping[str, Any]) -> None:
        self._cache = cache
        self._settings = dict(settings)
        self._writes = True

    def __call__(self, work: Work, loaded: Sequence[Loaded]) -> Work:
        """The work for these very pictures, which asks the model only about unknown ones."""
        keys = [cache_key(one.sha256, self._settings) for one in loaded]

        def look_up_first(images: Sequence[np.ndarray]) -> list[Segments]:
            found = [self._cache.get(key) for key in keys]
            unknown = [i for i, segments in enumerate(found) if segments is None]
            if unknown:
                fresh = work([images[i] for i in unknown])
                for i, segments in zip(unknown, fresh, strict=True):
                    found[i] = segments
                    self._keep(keys[i], segments)
            return [segments for segments in found if segments is not None]

        return look_up_first

    def _keep(self, key: str, segments: Segments) -> None:
        if not self._writes:
            return
        try:
            self._cache.put(key, segments)
        except StorageError as error:
            self._writes = False
            warnings.warn(
                f"The cache is not written any more, the run goes on without it: {error}",
                SamlabWarning,
                stacklevel=2,
            )


def cached_segment(
    image: ImageLike,
    sam: str | os.PathLike[str] | Sam = "tiny",
    *,
    how: str = "coverage",
    embed: Sequence[Any] = ("sam",),
    image_id: str | None = None,
    device: str | None = None,
    cache: bool | str | os.PathLike[str] | SegmentCache = True,
    **options: Any,
) -> Segments:
    """`samlab.segment`, but a picture that was segmented before in the same way is looked up.

    The model is loaded only for a picture that is not in the cache, which `samlab.run(...,
    cache=True)` fills as well.

    Args:
        image: Path, PIL image or array.
        sam, how, image_id, device: As for `samlab.segment`.
        embed: As for `samlab.run`.
        cache: True for samlab's cache folder, or another folder.
        **options: Any argument of `MaskGenerator`.

    Returns:
        Segments, equal to those of `samlab.segment`.

    Example:
        >>> import skimage.data
        >>> segments = cached_segment(skimage.data.coins())  # doctest: +SKIP
    """
    recipe = Recipe(sam, how, tuple(embed), device, options)
    memory, settings = open_cache(cache), recipe.settings()
    name, pixels, digest = _picture(image)
    key = cache_key(digest, settings)
    segments = None if memory is None else memory.get(key)
    if segments is None:
        segments = recipe.build()([pixels])[0]
        if memory is not None:
            memory.put(key, segments)
    return segments.with_image_id(name if image_id is None else image_id)


def _picture(image: ImageLike) -> tuple[str, np.ndarray, str]:
    """Name, pixels, and the hash of the file, or of the pixels where there is no file."""
    if isinstance(image, (str, os.PathLike)):
        pixels, _, digest = read_picture(os.fspath(image))
        return Path(image).name, pixels, digest
    pixels = read_image(image)
    total = hashlib.sha256(f"pixels {pixels.shape}".encode())
    total.update(pixels.tobytes())
    name = Path(str(getattr(image, "filename", "") or "")).name
    return name, pixels, total.hexdigest()
