"""Fit what the region tree has to know: the merge cost and the quality of regions.

    python -m training.fit_tree weights_in.safetensors weights_out.safetensors --scenes 300

Scenes that the network has not been trained on are rendered, encoded and cut into regions; their
true hierarchy says which neighbours belong together and how good a region is. Two small
perceptrons learn it and are written into the weights file beside the network:

- the merge cost: half the chance that two random cells of the two regions lie in different leaf
  segments, and half the chance that they lie in different wholes. Its examples are the pairs that
  merging really meets, under fixed weights first, then under the learned cost itself (as in GALA);
- the quality: the best IoU of a region with any segment of the scene's hierarchy.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from samlab.sam import region_tree
from samlab.sam.region_tree import AREA, Cost, RegionGraph
from samlab.sam.tree_scores import Perceptron, region_features
from samlab.sam.tree_regions import fixed_cost, pooled_regions

Array = NDArray[np.float64]

FIRST_SEED = 7_000_000
"""Scenes from here on are not used for training the network."""

SMALLEST = 16
"""Cells; smaller true segments are no targets."""


@dataclass(frozen=True)
class Truth:
    """A cut-up scene: its graph, how many cells of each leaf node each superpixel holds (S, K),
    which leaf nodes each node contains (K, K), and the whole above each node (K,)."""

    graph: RegionGraph
    cells: Array
    below: Array
    whole: NDArray[np.int64]


def truth_of(graph: RegionGraph, leaf: NDArray[np.int32], parents: NDArray[np.int32]) -> Truth:
    """`leaf` at the picture's own resolution, of the same aspect as the graph's cells."""
    count, (height, width) = len(parents), graph.leaves.shape
    y = (np.arange(leaf.shape[0]) * height / leaf.shape[0]).astype(int)
    x = (np.arange(leaf.shape[1]) * width / leaf.shape[1]).astype(int)
    superpixel = graph.leaves[y][:, x].ravel()
    cells = np.zeros((len(graph.region), count))
    np.add.at(cells, (superpixel, leaf.ravel()), height * width / leaf.size)
    below, whole = np.eye(count), np.zeros(count, np.int64)
    for node in range(1, count):
        parent = node
        while parents[parent] != 0:
            parent = int(parents[parent])
            below[parent, node] = 1
        whole[node] = parent
    below[0] = 1
    return Truth(graph, cells, below, whole)


# ---------------------------------------------------------------- the merge cost


def merge_examples(truth: Truth, cost: Cost) -> tuple[Array, Array]:
    """Features and targets of every pair that merging prices."""
    pairs: list[tuple[Array, Array]] = []
    features: list[Array] = []

    def watch(a: Array, b: Array, found: Array) -> None:
        pairs.append((a, b))
        features.append(found)

    tree = region_tree.merge(truth.graph, cost, watch)
    if not features:
        return np.zeros((0, 17)), np.zeros(0)
    leaves = len(truth.graph.region)
    histogram = np.zeros((len(tree.parents), truth.cells.shape[1]))
    histogram[:leaves] = truth.cells + 1e-9
    for node, parent in enumerate(tree.parents[:-1]):
        histogram[parent] += histogram[node]
    share = histogram / histogram.sum(1, keepdims=True)
    in_whole = share @ (truth.whole[:, None] == np.arange(truth.cells.shape[1]))
    a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
    apart = 1 - (share[a] * share[b]).sum(1)
    apart_whole = 1 - (in_whole[a] * in_whole[b]).sum(1)
    return np.concatenate(features), (apart + apart_whole) / 2


def fit_merge(truths: list[Truth], seed: int, rounds: int = 2) -> Perceptron:
    """The learned merge cost."""
    cost: Cost = fixed_cost
    features: list[Array] = []
    targets: list[Array] = []
    for _ in range(rounds):
        for truth in truths:
            x, y = merge_examples(truth, cost)
            features.append(x)
            targets.append(y)
        cost = fit(np.concatenate(features), np.concatenate(targets), (32, 16), seed)
    return cost  # type: ignore[return-value]


# ---------------------------------------------------------------- the quality of regions


def quality_examples(truth: Truth, merge_cost: Cost) -> tuple[Array, Array]:
    """Features of all pooled regions of a scene and their best IoU with a true segment."""
    regions = pooled_regions(truth.graph, merge_cost)
    features = region_features(truth.graph, regions)
    segments = truth.cells @ truth.below.T
    sizes = segments.sum(0)
    segments, sizes = segments[:, sizes >= SMALLEST], sizes[sizes >= SMALLEST]
    inside = regions.members.astype(np.float64)
    shared = inside @ segments
    area = inside @ truth.graph.region[:, AREA]
    iou = shared / (area[:, None] + sizes[None] - shared)
    return features, iou.max(1)


def fit_quality(truths: list[Truth], merge_cost: Cost, seed: int) -> Perceptron:
    """The expected IoU of a region with the true segment it is nearest to."""
    found = [quality_examples(truth, merge_cost) for truth in truths]
    features = np.concatenate([x for x, _ in found])
    return fit(features, np.concatenate([y for _, y in found]), (48, 24), seed)


# ---------------------------------------------------------------- fitting


def fit(x: Array, y: Array, hidden: tuple[int, ...], seed: int, steps: int = 3000) -> Perceptron:
    """A perceptron on soft targets in 0..1 (cross entropy, Adam, one cycle)."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    mean, scale = x.mean(0), 1 / np.maximum(x.std(0), 1e-4)
    inputs = torch.from_numpy((x - mean) * scale).float().clamp(-6, 6)
    targets = torch.from_numpy(y).float()
    sizes = (x.shape[1], *hidden, 1)
    linears = [nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
    parts: list[nn.Module] = []
    for linear in linears:
        parts += [linear, nn.ReLU()]
    model = nn.Sequential(*parts[:-1])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        batch = torch.randint(len(inputs), (2048,), generator=generator)
        logits = model(inputs[batch])[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    layers = tuple(
        (linear.weight.detach().numpy().T.copy(), linear.bias.detach().numpy().copy())
        for linear in linears
    )
    return Perceptron(mean.astype(np.float32), scale.astype(np.float32), layers)
