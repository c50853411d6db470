"""Training batches: random crops of cached scenes as pictures and targets.

Batch i of a seed is always the same, so a resumed run sees what an uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samlab.sam.tiny.net import PIXEL_MEAN, PIXEL_STD
from training import shards

STRENGTH = (1.0, 0.6, 0.4)
"""How much of a boundary it is, by the depth of the deepest node on both sides of it: between
wholes 1, between parts of one whole less. People outline objects first."""

KINSHIP = (0.0, 0.4, 0.7)
"""How much two different leaves belong together, by the same depth; equal leaves: 1."""

MIN_AREA = 150
"""Visible pixels below which a node is not pooled for the contrastive loss."""


@dataclass(frozen=True)
class Tree:
    """ancestors bool (K, K): [i, j] where j lies at or under i; shared int (K, K): depth of the
    deepest common ancestor; materials int (K,)."""

    ancestors: NDArray[np.bool_]
    shared: NDArray[np.int64]
    materials: NDArray[np.int32]


def grow(tables: shards.Tables) -> Tree:
    count = len(tables.parents)
    ancestors = np.eye(count, dtype=bool)
    for node in range(1, count):  # parents come first
        ancestors[:, node] |= ancestors[:, tables.parents[node]]
    shared = ancestors.T.astype(np.float32) @ ancestors.astype(np.float32)
    return Tree(ancestors, np.round(shared).astype(np.int64) - 1, tables.materials)


@dataclass(frozen=True)
class Batch:
    """B pictures of z x z pixels with their targets.

    image (B, 3, z, z) float32 as the network takes it; boundary (B, 1, z/4, z/4) strength in 0..1;
    valid (B, 1, z/4, z/4) 1 where there is a picture, 0 on padding; leaf (B, z/8, z/8) int64, -1 on
    padding; kinship (B, K, K) float and twins (B, K, K) bool: per pair of leaves how much they
    belong together, and whether they are different things of one kind; cover (B, P, z/16, z/16)
    float: share of each cell covered by each of P nodes; kind (B, P) int64: equal numbers are the
    same kind, -1 is empty.
    """

    image: Tensor
    boundary: Tensor
    valid: Tensor
    leaf: Tensor
    kinship: Tensor
    twins: Tensor
    cover: Tensor
    kind: Tensor


def boundary_target(leaf: NDArray, shared: NDArray[np.int64]) -> NDArray[np.float32]:
    """Strength of the boundary in each 4 x 4 cell; leaf (z, z), -1 outside of the picture."""
    table = np.zeros((len(shared) + 1,) * 2, np.float32)  # the last row and column are for -1
    strength = np.array(STRENGTH, np.float32)[np.minimum(shared, len(STRENGTH) - 1)]
    np.fill_diagonal(strength, 0)
    table[:-1, :-1] = strength
    edge = np.zeros(leaf.shape, np.float32)
    edge[:, :-1] = table[leaf[:, :-1], leaf[:, 1:]]
    np.maximum(edge[:-1], table[leaf[:-1], leaf[1:]], out=edge[:-1])
    side = leaf.shape[0] // 4
    return edge.reshape(side, 4, side, 4).max((1, 3))


def _crop(
    rng: np.random.Generator, image: NDArray, leaf: NDArray, size: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A random square of a scene, mirrored, sometimes turned, brought to size x size."""
    whole = image.shape[0]
    closest = np.clip(size / 1150, 0.22, 0.9)
    side = int(whole * np.exp(rng.uniform(np.log(closest), 0)))
    picky = rng.random() < 0.75
    for _ in range(4):  # mostly look for a place where there is something to tell apart
        x, y = rng.integers(0, whole - side + 1, 2)
        sample = leaf[y : y + side : 8, x : x + side : 8]
        if not picky or np.mean(sample != sample[len(sample) // 2, len(sample) // 2]) > 0.15:
            break
    image, leaf = image[y : y + side, x : x + side], leaf[y : y + side, x : x + side]
    if rng.random() < 0.5:
        image, leaf = image[:, ::-1], leaf[:, ::-1]
    if rng.random() < 0.4:
        turns = int(rng.integers(1, 4))
        image, leaf = np.rot90(image, turns), np.rot90(leaf, turns)
    enlarge = cv2.INTER_CUBIC if rng.random() < 0.4 else cv2.INTER_LINEAR
    how = cv2.INTER_AREA if side > size else enlarge
    picture = cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=how)
    labels = cv2.resize(np.ascontiguousarray(leaf), (size, size), interpolation=cv2.INTER_NEAREST)
    return picture.astype(np.float32), labels.astype(np.int64)


def _cover(labels: NDArray[np.int64], under: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Share of each 16 x 16 cell under each of P nodes, (P, z/16, z/16); under is (P, K)."""
    cells, leaves = labels.shape[0] // 16, under.shape[1]
    rows = np.arange(labels.shape[0]) // 16
    place = (rows[:, None] * cells + rows[None]) * (leaves + 1) + labels + 1
    counts = np.bincount(place.ravel(), minlength=cells * cells * (leaves + 1))
    counts = counts.reshape(cells * cells, leaves + 1)[:, 1:].astype(np.float32)  # 0 is padding
    share = under.astype(np.float32) @ counts.T / 256
    return share.reshape(len(under), cells, cells)


@dataclass(frozen=True)
class Recolour:
    """Strong changes of colour that all crops of one scene in a batch have in common."""

    order: NDArray[np.int64]
    saturation: float
    negative: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Recolour:
        order = rng.permutation(3) if rng.random() < 0.4 else np.arange(3)
        saturation = rng.uniform(0, 1.3) if rng.random() < 0.5 else 1.0
        return cls(order, float(saturation), bool(rng.random() < 0.06))


def _colour(rng: np.random.Generator, image: NDArray[np.float32], common: Recolour) -> NDArray:
    """The common changes, then milder ones of each crop's own: contrast, light, tint, focus."""
    image = image[:, :, common.order]
    if common.saturation != 1:
        grey = image.mean(2, keepdims=True)
        image = grey + (image - grey) * common.saturation
    if common.negative:
        image = 255 - image
    image = (image - 128) * np.exp(rng.normal() * 0.2) + 128 + rng.normal() * 14
    image = image * np.exp(rng.normal(size=3) * 0.07).astype(np.float32)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6))
    if rng.random() < 0.2:
        image = image + rng.normal(0, rng.uniform(1, 8), image.shape).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.float32)


class Crops(torch.utils.data.IterableDataset[Batch]):
    """Endless batches, from number `first` on.

    folders: of shards; scenes are drawn from each in turn, so one that is named twice gives twice
    as many. sizes: (pixels, pictures per batch) to choose from; every scene of a batch comes in two
    crops, so that the contrastive loss sees the same things at different scales and under another
    light.
    """

    def __init__(
        self,
        folders: Path | Sequence[Path],
        sizes: tuple[tuple[int, int], ...],
        seed: int,
        first: int = 0,
        nodes: int = 10,
    ) -> None:
        self.folders = [folders] if isinstance(folders, Path) else list(folders)
        self.shards: list[dict[int, shards.Shard]] = [{} for _ in self.folders]
        self._look_for_shards()
        if not all(self.shards):
            raise FileNotFoundError(f"no rendered scenes in {folders}; run training.cache first")
        self.sizes, self.seed, self.first, self.nodes = sizes, seed, first, nodes

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        number = self.first
        while True:
            if number % 100 == 0:
                self._look_for_shards()
            yield self.batch(number)
            number += 1

    def _look_for_shards(self) -> None:
        """Rendering may go on while we train."""
        for folder, known in zip(self.folders, self.shards, strict=True):
            for number in shards.complete(folder):
                if number not in known:
                    known[number] = shards.read(folder, number)

    def batch(self, number: int) -> Batch:
        """Batch `number`: the same for the same seed and the same scenes in the folder."""
        rng = np.random.default_rng([self.seed, number])
        size, count = self.sizes[rng.integers(len(self.sizes))]
        samples, trees, kinds = [], [], []
        for pair in range(max(1, count // 2)):
            known = self.shards[pair % len(self.shards)]
            shard = known[list(known)[rng.integers(len(known))]]
            scene = int(rng.integers(len(shard.tables)))
            tree, common = grow(shard.tables[scene]), Recolour.draw(rng)
            for _ in range(2):
                image, leaf = shard.image[scene], shard.leaf[scene]
                *sample, chosen = self._sample(rng, image, leaf, tree, size, common)
                samples.append(sample)
                kinds.append(np.where(chosen > 0, tree.materials[chosen] + 1000 * pair, -1))
                trees.append(tree)
        image, boundary, valid, leaf, cover = (
            np.stack(parts) for parts in zip(*samples, strict=True)
        )
        kinship, twins = _relations(trees)
        return Batch(
            torch.from_numpy(image), torch.from_numpy(boundary)[:, None],
            torch.from_numpy(valid)[:, None], torch.from_numpy(leaf), kinship, twins,
            torch.from_numpy(cover), torch.from_numpy(np.stack(kinds).astype(np.int64)),
        )  # fmt: skip

    def _sample(
        self,
        rng: np.random.Generator,
        image: NDArray,
        leaf: NDArray,
        tree: Tree,
        size: int,
        common: Recolour,
    ) -> tuple[NDArray, ...]:
        picture, labels = _crop(rng, image, leaf, size)
        picture = (_colour(rng, picture, common) - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD)
        if rng.random() < 0.4:  # as a picture that is not square comes
            edge = int(size * rng.uniform(0.5, 1))
            if rng.random() < 0.5:
                picture[edge:], labels[edge:] = 0, -1
            else:
                picture[:, edge:], labels[:, edge:] = 0, -1
        chosen, cover = self._pick(rng, labels, tree)
        return (
            np.ascontiguousarray(picture.transpose(2, 0, 1)),
            boundary_target(labels, tree.shared),
            (labels[2::4, 2::4] >= 0).astype(np.float32),
            np.ascontiguousarray(labels[4::8, 4::8]),
            cover,
            chosen,
        )

    def _pick(
        self, rng: np.random.Generator, labels: NDArray[np.int64], tree: Tree
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Nodes to pool, small ones less often: their numbers (P,), 0 where there are too few,
        and what share of each 16 x 16 cell they cover (P, z/16, z/16)."""
        cells = labels.shape[0] // 16
        visible = np.bincount(labels[labels >= 0], minlength=len(tree.materials))
        area = tree.ancestors @ visible
        large = np.flatnonzero(area[1:] >= MIN_AREA) + 1
        chosen = np.zeros(self.nodes, np.int64)
        cover = np.zeros((self.nodes, cells, cells), np.float32)
        if len(large):
            chance = area[large] ** 0.3
            picked = rng.choice(
                large, min(self.nodes, len(large)), replace=False, p=chance / chance.sum()
            )
            chosen[: len(picked)] = picked
            cover[: len(picked)] = _cover(labels, tree.ancestors[picked])
        return chosen, cover


def _relations(trees: list[Tree]) -> tuple[Tensor, Tensor]:
    """Kinship and twins of all pairs of leaves, padded to the largest tree."""
    most = max(len(t.materials) for t in trees)
    kinship = np.zeros((len(trees), most, most), np.float32)
    twins = np.zeros((len(trees), most, most), bool)
    for i, tree in enumerate(trees):
        count = len(tree.materials)
        near = np.array(KINSHIP, np.float32)[np.minimum(tree.shared, len(KINSHIP) - 1)]
        np.fill_diagonal(near, 1)
        kinship[i, :count, :count] = near
        same = tree.materials[:, None] == tree.materials[None]
        np.fill_diagonal(same, False)
        twins[i, :count, :count] = same
    return torch.from_numpy(kinship), torch.from_numpy(twins)
