"""Fit how the parts of the vectors are weighed: all of them vary alike between things of scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torch.nn import functional as F

from samlab.sam.tiny.descriptor import COUNTED, LEARNT, PARTS, statistics
from samlab.sam.tiny.model import PIXEL_MEAN, PIXEL_STD, TinyImageEncoder
from training.labelled import Labelled

Array = NDArray[np.float32]

SMALLEST = 1.5
"""Stride-16 cells; smaller leaves of a scene say little about themselves."""


def padded(encoder: TinyImageEncoder, picture: Labelled) -> Tensor:
    """(1, 3, S, S) as SAM's preprocessing brings a picture to the encoder."""
    resized = ResizeLongestSide(encoder.img_size).apply_image(picture.image)
    x = torch.from_numpy((resized - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD))
    height, width = resized.shape[:2]
    side = encoder.img_size
    return F.pad(x.permute(2, 0, 1)[None], (0, side - width, 0, side - height))


@torch.no_grad()
def segments(encoder: TinyImageEncoder, picture: Labelled) -> tuple[Array, Array]:
    """Mean over each leaf of a scene: what is counted (n, 64), what the network says (n, 128)."""
    seen = encoder.look(padded(encoder, picture))
    maps = torch.cat([statistics(seen.fine), seen.semantic], dim=1)[0]
    return pooled(maps.numpy(), picture.leaf, seen.size)


def pooled(maps: Array, leaf: NDArray[np.integer], size: tuple[int, int]) -> tuple[Array, Array]:
    """Means of maps (64 + 128, h, w) of stride-16 cells over each leaf of a picture that covers
    `size` pixels of the encoder's input, by the share of each cell that it covers."""
    count, (height, width) = int(leaf.max()) + 1, leaf.shape
    y = np.arange(height) * size[0] // (height * 16)
    x = np.arange(width) * size[1] // (width * 16)
    cell = (y[:, None] * maps.shape[2] + x[None]).ravel()
    cover = np.zeros((count, maps.shape[1] * maps.shape[2]), np.float32)
    np.add.at(cover, (leaf.ravel(), cell), size[0] * size[1] / (256 * leaf.size))
    cover = cover[cover.sum(1) >= SMALLEST]
    means = cover @ maps.reshape(len(maps), -1).T / cover.sum(1, keepdims=True)
    return means[:, :COUNTED], means[:, COUNTED:]


def fit_descriptor(parts: Sequence[tuple[Array, Array]]) -> dict[str, Array]:
    """The buffers of `descriptor.Descriptor` from the segments of many scenes.

    Each counted part and the learnt one is divided by the root of its mean square distance from
    the mean of all segments.
    """
    counted, learnt = (np.concatenate(side) for side in zip(*parts, strict=True))
    basis = np.linalg.svd(learnt, full_matrices=False)[2][:LEARNT]
    scale, start = np.zeros(COUNTED + LEARNT, np.float32), 0
    for part in PARTS:
        channels = slice(start, start + part)
        scale[channels] = 1 / _spread(counted[:, channels])
        start += part
    scale[COUNTED:] = 1 / _spread(learnt)
    centre = counted.mean(0)
    return {
        "centre": np.ascontiguousarray(centre, np.float32),
        "scale": scale,
        "basis": np.ascontiguousarray(basis, np.float32),
    }


def _spread(vectors: Array) -> float:
    return float(np.sqrt(((vectors - vectors.mean(0)) ** 2).sum(1).mean()) + 1e-6)
