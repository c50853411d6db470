"""Fit what the region tree has to know: the merge cost and the quality of regions.

    python -m training.fit_tree weights_in.safetensors weights_out.safetensors --scenes 240

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
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from segment_anything.utils.transforms import ResizeLongestSide
from sklearn.isotonic import IsotonicRegression
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from samlab.sam.tiny import region_tree
from samlab.sam.tiny.model import PIXEL_MEAN, PIXEL_STD, TinyImageEncoder, read_maps
from samlab.sam.tiny.net import TinyNet
from samlab.sam.tiny.region_tree import AREA, Cost, RegionGraph
from samlab.sam.tiny.regions import fixed_cost, persistence, pooled_regions
from samlab.sam.tiny.scores import Perceptron, TreeModel, appeal, region_features
from training.scenes import Scene, render

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


@dataclass(frozen=True)
class Judged:
    """The pooled regions of a scene: features (n, F), best IoU with a true segment (n,), areas
    (n,), and what the score needs besides."""

    features: Array
    truth: Array
    areas: Array
    iou: Array
    lasting: Array


def judge(truth: Truth, merge_cost: Cost) -> Judged:
    """Pool the regions of a scene and look up how good they are."""
    regions, iou = pooled_regions(truth.graph, merge_cost)
    features = region_features(truth.graph, regions)
    segments = (truth.cells @ truth.below.T)[:, 1:]  # the whole picture is no segment
    sizes = segments.sum(0)
    segments, sizes = segments[:, sizes >= SMALLEST], sizes[sizes >= SMALLEST]
    shared = regions.members.astype(np.float64) @ segments
    area = regions.members @ truth.graph.region[:, AREA]
    best = (shared / (area[:, None] + sizes[None] - shared)).max(1, initial=0)
    return Judged(features, best, regions.areas, iou, persistence(regions))


def fit_quality(judged: list[Judged], seed: int) -> Perceptron:
    """The expected IoU of a region with the true segment it is nearest to. Large regions are drawn
    more often: they are few, and they matter most."""
    features, truth, areas = (
        np.concatenate([getattr(one, name) for one in judged])
        for name in ("features", "truth", "areas")
    )
    return fit(features, truth, (48, 24), seed, weights=areas**0.3)


def fit_curve(judged: list[Judged], quality: Perceptron) -> Array:
    """(2, n): appeal to expected IoU, by isotonic regression on scenes not used for `quality`, with
    a slight slope where that is flat, so that no two regions are equally good."""
    attraction = [appeal(one.iou, quality(one.features), one.lasting) for one in judged]
    x, y = np.concatenate(attraction), np.concatenate([one.truth for one in judged])
    isotonic = IsotonicRegression(y_min=0, y_max=1).fit(x, y)
    knots = np.unique(np.quantile(x, np.linspace(0, 1, 65)))
    return np.stack([knots, isotonic.predict(knots) + np.linspace(-0.01, 0.01, len(knots))])


# ---------------------------------------------------------------- fitting


def fit(
    x: Array,
    y: Array,
    hidden: tuple[int, ...],
    seed: int,
    weights: Array | None = None,
    steps: int = 3000,
) -> Perceptron:
    """A perceptron on soft targets in 0..1 (cross entropy, Adam, one cycle); `weights` say how
    often an example is drawn."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    mean, scale = x.mean(0), 1 / np.maximum(x.std(0), 1e-4)
    inputs = torch.from_numpy((x - mean) * scale).float().clamp(-6, 6)
    targets = torch.from_numpy(y).float()
    odds = torch.ones(len(y)) if weights is None else torch.from_numpy(weights).float()
    sizes = (x.shape[1], *hidden, 1)
    linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    parts: list[nn.Module] = []
    for linear in linears:
        parts += [linear, nn.ReLU()]
    model = nn.Sequential(*parts[:-1])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        batch = torch.multinomial(odds, 1024, replacement=True, generator=generator)
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


# ---------------------------------------------------------------- scenes, and all of it together


def prepare(scene: Scene, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Picture and leaf map of a random cut of a scene, with the aspect of a photo."""
    size = scene.leaf.shape[0]
    cut = int(size * rng.uniform(0.6, 1))
    rows, columns = (cut, size) if rng.random() < 0.5 else (size, cut)
    return np.ascontiguousarray(scene.image[:rows, :columns]), scene.leaf[:rows, :columns]


@torch.no_grad()
def cut_up(encoder: TinyImageEncoder, seed: int) -> Truth:
    """Render a scene, encode it as SAM does, and cut it into superpixels."""
    rng = np.random.default_rng(seed)
    scene = render(seed, int(rng.choice([384, 512, 640])), busy=True)
    image, leaf = prepare(scene, rng)
    resized = ResizeLongestSide(encoder.img_size).apply_image(image)
    x = torch.from_numpy((resized - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD))
    height, width = resized.shape[:2]
    side = encoder.img_size
    x = F.pad(x.permute(2, 0, 1)[None], (0, side - width, 0, side - height))
    graph = region_tree.region_graph(read_maps(encoder(x)))
    return truth_of(graph, leaf, scene.parents)


def main(
    weights_in: Path, weights_out: Path, scenes: int = 240, seed: int = 0, **facts: Any
) -> TreeModel:
    """Fit everything for the network in `weights_in`; write both into `weights_out`.

    `facts` are added to the metadata of the file.
    """
    with safe_open(weights_in, framework="numpy") as file:
        metadata = dict(file.metadata() or {})
        arrays = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    arrays = {k: v for k, v in arrays.items() if not k.startswith("tree.")}
    net = TinyNet()
    net.load_state_dict({k: torch.from_numpy(v.astype(np.float32)) for k, v in arrays.items()})
    encoder = TinyImageEncoder(net.fuse()).eval()
    first = FIRST_SEED + 100_000 * seed
    truths = [cut_up(encoder, first + k) for k in tqdm(range(scenes), desc="scenes", mininterval=5)]
    held_out = max(1, scenes // 6)
    cost = fit_merge(truths[:-held_out], seed)
    judged = [judge(truth, cost) for truth in tqdm(truths, desc="regions", mininterval=5)]
    quality = fit_quality(judged[:-held_out], seed)
    model = TreeModel(cost, quality, fit_curve(judged[-held_out:], quality))
    halves = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in arrays.items()}
    metadata |= {"tree_scenes": str(scenes), "tree_seed": str(seed)}
    metadata |= {name: str(value) for name, value in facts.items()}
    save_file(halves | model.to_arrays(), weights_out, metadata=metadata)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights_in", type=Path)
    parser.add_argument("weights_out", type=Path)
    parser.add_argument("--scenes", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    main(options.weights_in, options.weights_out, options.scenes, options.seed)
