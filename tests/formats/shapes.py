"""Masks of every awkward kind, for round trips."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy import ndimage

from samlab import masks
from samlab.segments import Segments

SIZE = (30, 40)  # of the pictures in conftest.py

#: Holes and parts, also holes in parts in holes.
RINGED = np.zeros(SIZE, bool)
RINGED[2:22, 2:22] = True
RINGED[5:19, 5:19] = False
RINGED[8:16, 8:16] = True
RINGED[10:12, 10:12] = False
RINGED[24:28, 30:38] = True
RINGED[0, 39] = True  # one pixel, in the corner


@st.composite
def blobs(draw: st.DrawFn, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Noise at some scale: parts, holes, single pixels, masks at the border; never empty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grain = draw(st.sampled_from([0.0, 0.7, 2.0]))
    share = draw(st.floats(0.02, 0.98))
    noise = rng.random(size)
    smooth = ndimage.gaussian_filter(noise, grain) if grain else noise
    mask = smooth < np.quantile(smooth, share)
    if not mask.any():
        mask[rng.integers(size[0]), rng.integers(size[1])] = True
    return np.asarray(mask)


@st.composite
def tables(draw: st.DrawFn) -> Segments:
    """Up to four masks of a.jpg with classes; among them nested ones. Perhaps none."""
    dense = draw(st.lists(blobs(), max_size=3))
    if dense and draw(st.booleans()):
        dense.append(ndimage.binary_dilation(dense[0], iterations=2))
    labels = [draw(st.integers(-1, 2)) for _ in dense]
    return segments_of(dense, labels)


def segments_of(
    dense: list[np.ndarray], labels: list[int] | None = None, image_id: str = "a.jpg"
) -> Segments:
    rng = np.random.default_rng(len(dense))
    n = len(dense)
    return Segments(
        rles=[masks.encode(mask) for mask in dense],  # type: ignore[misc]
        labels=np.array([0] * n if labels is None else labels, np.int64),
        predicted_iou=rng.random(n).astype(np.float32),
        stability_score=rng.random(n).astype(np.float32),
        points=rng.integers(0, 30, (n, 2)) + 0.5,
        image_size=SIZE,
        image_id=image_id,
        class_names={0: "car", 1: "tree", 2: "<b>Straße</b>, \"nass\""},
    )  # fmt: skip


def names_of(segments: Segments) -> list[str]:
    """Class names as a file has them, with the default for segments without a class."""
    return [segments.class_names.get(i, "object") for i in segments.labels.tolist()]
