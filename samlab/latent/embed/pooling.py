"""One vector per segment, pooled from the patch features of an image encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from scipy import sparse

from samlab import masks
from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.latent.embed import patches
from samlab.latent.vectors import vectors_of
from samlab.segments import Segments

How: TypeAlias = Literal["coverage", "any", "crop", "token"]


class PatchFeatures(Protocol):
    """A picture's patch features. `samlab.encode` returns one; anything with this shape will do."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(h, w) of the picture as the encoder saw it: resized, before padding."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the picture."""
        ...

    @property
    def img_size(self) -> int:
        """Side of the padded square that the grid covers, 1024 for SAM."""
        ...

    def grid(self) -> np.ndarray:
        """float32 (D, rows, columns), padding included."""
        ...


Encode: TypeAlias = Callable[[Any], Any]


@checked_arguments
def pool(
    features: PatchFeatures | None,
    segments: Segments,
    how: How = "coverage",
    *,
    min_pixels: int = 1,
    image: np.ndarray | None = None,
    encode: Encode | None = None,
    batch: int = 1,
    margin: float = 0.1,
    tokens: np.ndarray | None = None,
) -> np.ndarray:
    """One vector per segment.

    `"coverage"`: mean over all patches, weighted by the share of the mask that lies in each. Exact
    for any aspect ratio, and no segment is without a patch, down to one pixel.
    `"any"`: plain mean of every patch that the mask touches with at least `min_pixels` pixel
    centres. With `min_pixels=2` this is the "more than one pixel" rule of the SAM segment
    clustering notebook; a mask that then has no patch takes the coverage weights instead.
    `"crop"`: SAM paper (arXiv:2304.02643, appendix D.6): encode a crop around the mask and its
    mirror image, multiply by the mask, average. One encoder pass per crop: slow, and sharper.
    `"token"`: the mask decoder's own token per mask, handed in as `tokens`.

    Padding never enters a vector: its patches have weight zero.

    Args:
        features: The encoded picture; None for `"crop"` and `"token"`, which do not use it.
        segments: N segments of that picture.
        how: See above.
        min_pixels: Only for `"any"`.
        image: uint8 (H, W, 3), only for `"crop"`.
        encode: Only for `"crop"`: takes an image array and returns its `PatchFeatures`; with
            `batch` > 1 it takes a list of up to `batch` arrays and returns a list.
        batch: Only for `"crop"`: crops per call of `encode`.
        margin: Only for `"crop"`: context around the box, as a part of its longer side.
        tokens: Only for `"token"`: (N, D), one row per segment.

    Returns:
        float32 (N, D), finite. `segments.with_embedding("sam", vectors)` puts them in the table.
        No segments give (0, D).
    """
    if how == "token":
        return _tokens(tokens, segments)
    empty = np.flatnonzero(segments.areas == 0)
    if len(empty):
        raise InputError(
            f"Expected masks of at least one pixel; {len(empty)} segment(s) are empty (segment ids "
            f"{', '.join(map(str, empty[:10]))}). Drop them with segments[segments.areas > 0]."
        )
    if how == "crop":
        return _pool_crops(segments, image, encode, batch, margin)
    if how not in ("coverage", "any"):
        raise InputError(f"Expected how to be 'coverage', 'any', 'crop' or 'token', got {how!r}.")
    if features is None:
        raise InputError(
            f"Pooling with how='{how}' needs an encoded picture, got None. Make one with "
            "samlab.encode."
        )
    if min_pixels < 1:
        raise InputError(f"Expected min_pixels of 1 or more, got {min_pixels}.")
    grid = features.grid()
    return _average(patch_weights(features, segments, how, min_pixels=min_pixels), grid)


def patch_weights(
    features: PatchFeatures,
    segments: Segments,
    how: Literal["coverage", "any"] = "coverage",
    *,
    min_pixels: int = 1,
) -> sparse.csr_matrix:
    """The weight of every patch in every segment's vector; each row sums to 1.

    Returns:
        float32 (N, rows * columns) over the feature grid, row-major.
    """
    grid = features.grid().shape[1:]
    size = (int(features.image_size[0]), int(features.image_size[1]))
    if len(segments) and tuple(segments.image_size) != size:
        raise InputError(
            f"Expected segments of the encoded picture, size {size} (H, W); got segments of size "
            f"{tuple(segments.image_size)}. Encode the picture the segments were made from."
        )
    extent = tuple(
        cells * pixels / features.img_size
        for cells, pixels in zip(grid, features.input_size, strict=True)
    )
    if how == "coverage":
        return _normalised(patches.coverage(segments.rles, size, extent, grid))
    weights = patches.pixel_counts(segments.rles, size, extent, grid)
    weights.data = (weights.data >= min_pixels).astype(np.float64)
    weights.eliminate_zeros()
    bare = np.flatnonzero(np.diff(weights.indptr) == 0)
    if len(bare):
        chosen = [segments.rles[i] for i in bare.tolist()]
        weights = weights.tolil()
        weights[bare] = patches.coverage(chosen, size, extent, grid)
        weights = weights.tocsr()
    return _normalised(weights)


def _normalised(weights: sparse.csr_matrix) -> sparse.csr_matrix:
    total = np.asarray(weights.sum(axis=1)).ravel()
    share = weights.data / np.repeat(total, np.diff(weights.indptr))
    return sparse.csr_matrix(
        (share.astype(np.float32), weights.indices, weights.indptr), shape=weights.shape
    )


def _average(weights: sparse.csr_matrix, grid: np.ndarray) -> np.ndarray:
    features = np.ascontiguousarray(grid.reshape(len(grid), -1).T, dtype=np.float32)
    return np.ascontiguousarray(weights @ features, dtype=np.float32)


def _tokens(tokens: np.ndarray | None, segments: Segments) -> np.ndarray:
    if tokens is None:
        raise InputError(
            "Pooling with how='token' needs the decoder's mask tokens: pool(..., tokens=array of "
            "shape (N, D), one row per segment)."
        )
    vectors = vectors_of(np.asarray(tokens), metric="euclidean")
    if len(vectors) != len(segments):
        raise InputError(
            f"Expected one token per segment, {len(segments)}; got {len(vectors)} tokens."
        )
    return vectors


# -- crops ------------------------------------------------------------------------------------


def _pool_crops(
    segments: Segments,
    image: np.ndarray | None,
    encode: Encode | None,
    batch: int,
    margin: float,
) -> np.ndarray:
    if image is None or encode is None:
        raise InputError(
            "Pooling with how='crop' needs the picture and an encoder: pool(None, segments, 'crop',"
            " image=array, encode=function)."
        )
    if len(segments) and tuple(image.shape[:2]) != tuple(segments.image_size):
        raise InputError(
            f"Expected the picture of the segments, size {tuple(segments.image_size)} (H, W); got "
            f"an array of shape {image.shape}."
        )
    if batch < 1 or margin < 0:
        raise InputError(f"Expected batch >= 1 and margin >= 0, got {batch} and {margin}.")
    halves: list[np.ndarray] = []
    for group in _batches(_crops(segments, image, margin), batch):
        pictures = [picture for picture, _ in group]
        encoded = encode(pictures) if batch > 1 else [encode(pictures[0])]
        for features, (_, crop) in zip(encoded, group, strict=True):
            halves.append(_average(patch_weights(features, crop), features.grid())[0])
    if not halves:
        return np.zeros((0, 0), np.float32)
    pairs = np.stack(halves).reshape(len(segments), 2, -1)
    return np.ascontiguousarray(pairs.mean(axis=1, dtype=np.float32))


def _crops(
    segments: Segments, image: np.ndarray, margin: float
) -> Iterator[tuple[np.ndarray, Segments]]:
    """Each segment's crop with its mask, and the mirror image of both."""
    height, width = image.shape[:2]
    for i, box in enumerate(segments.boxes):
        room = margin * max(box[2] - box[0], box[3] - box[1])
        x0, y0 = (max(int(np.floor(v - room)), 0) for v in box[:2])
        x1 = min(int(np.ceil(box[2] + room)), width)
        y1 = min(int(np.ceil(box[3] + room)), height)
        picture, mask = image[y0:y1, x0:x1], segments.mask(i)[y0:y1, x0:x1]
        for flip in (slice(None), slice(None, None, -1)):
            crop = Segments(rles=(masks.encode(mask[:, flip]),))  # type: ignore[arg-type]
            yield np.ascontiguousarray(picture[:, flip]), crop


def _batches(
    items: Iterator[tuple[np.ndarray, Segments]], size: int
) -> Iterator[Sequence[tuple[np.ndarray, Segments]]]:
    group = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
