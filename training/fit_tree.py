"""Fit what the region tree has to know: the merge cost and the quality of regions.

    python -m training.fit_tree weights_in.safetensors weights_out.safetensors --scenes 240

Pictures that the network has not been trained on are encoded and cut into regions; their true
hierarchy says which neighbours belong together and how good a region is. Small perceptrons learn it
and are written into the weights file beside the network:

- the merge cost: half the chance that two random cells of the two regions lie in different leaf
  segments, and half the chance that they lie in different wholes. Its examples are the pairs that
  merging really meets, under fixed weights first, then under the learned cost itself (as in GALA);
- the quality: the best IoU of a region with any segment of the hierarchy, by the region alone;
- whether it is right, beside its rivals, and a whole or a part (`fit_rank`).
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from tqdm import tqdm

from samlab.sam.tiny import region_tree
from samlab.sam.tiny.model import TinyImageEncoder, read_maps
from samlab.sam.tiny.net import TinyNet
from samlab.sam.tiny.region_tree import AREA, Cost, RegionGraph
from samlab.sam.tiny.regions import fixed_cost, pooled_regions
from samlab.sam.tiny.scores import Perceptron, TreeModel, region_features
from training import fit_rank, fit_vectors, labelled
from training.fitting import fit
from training.labelled import Labelled

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


def fit_merge(truths: list[Truth], seed: int, rounds: int = 2, steps: int = 3000) -> Perceptron:
    """The learned merge cost."""
    cost: Cost = fixed_cost
    features: list[Array] = []
    targets: list[Array] = []
    for _ in range(rounds):
        for truth in truths:
            x, y = merge_examples(truth, cost)
            features.append(x)
            targets.append(y)
        cost = fit(np.concatenate(features), np.concatenate(targets), (32, 16), seed, steps=steps)
    return cost  # type: ignore[return-value]


# ---------------------------------------------------------------- the quality of regions


@dataclass(frozen=True)
class Judged:
    """The pooled regions of a picture: features (n, F), IoU with each true segment (n, K), areas
    (n,), and the depth of the segments (K,), 1 for wholes."""

    features: Array
    truth: Array
    areas: Array
    depth: NDArray[np.int64]

    @property
    def best(self) -> Array:
        """(n,) IoU with the nearest segment."""
        result: Array = self.truth.max(1, initial=0)
        return result


def judge(truth: Truth, merge_cost: Cost) -> tuple[Judged, Array]:
    """Pool the regions of a picture, look up how good they are; and the IoU of each with each."""
    regions, iou = pooled_regions(truth.graph, merge_cost)
    features = region_features(truth.graph, regions)
    segments = (truth.cells @ truth.below.T)[:, 1:]  # the whole picture is no segment
    sizes = segments.sum(0)
    keep = sizes >= SMALLEST
    segments, sizes = segments[:, keep], sizes[keep]
    shared = regions.members.astype(np.float64) @ segments
    area = regions.members @ truth.graph.region[:, AREA]
    overlap = shared / (area[:, None] + sizes[None] - shared)
    depth = truth.below[1:].sum(0)[1:][keep].astype(np.int64)
    return Judged(features, overlap.astype(np.float32), regions.areas, depth), iou


def fit_quality(judged: list[Judged], seed: int, steps: int = 3000) -> Perceptron:
    """The expected IoU of a region with the true segment it is nearest to. Large regions are drawn
    more often: they are few, and they matter most."""
    features, truth, areas = (
        np.concatenate([getattr(one, name) for one in judged])
        for name in ("features", "best", "areas")
    )
    return fit(features, truth, (48, 24), seed, weights=areas**0.3, steps=steps)


# ---------------------------------------------------------------- scenes, and all of it together


@torch.no_grad()
def cut_up(encoder: TinyImageEncoder, picture: Labelled) -> Truth:
    """Encode a picture as SAM does, and cut it into superpixels."""
    graph = region_tree.region_graph(read_maps(encoder(fit_vectors.padded(encoder, picture))))
    return truth_of(graph, picture.leaf, picture.parents)


def sources(scenes: int, traced: Path | None, nuclei: Path | None, seed: int) -> list[Labelled]:
    """What the fit learns from; path-traced scenes and nuclei where there are some."""
    pictures = list(labelled.flat(FIRST_SEED + 100_000 * seed, scenes))
    if traced is not None:
        pictures += labelled.traced(traced)
    if nuclei is not None:
        pictures += labelled.nuclei(nuclei, labelled.TREE)
    return pictures


def main(
    weights_in: Path,
    weights_out: Path,
    scenes: int = 240,
    seed: int = 0,
    traced: Path | None = None,
    nuclei: Path | None = None,
    keep: bool = False,
    steps: int = 3000,
    **facts: Any,
) -> TreeModel:
    """Fit everything for the network in `weights_in`; write both into `weights_out`.

    keep: leave merge cost and quality as they stand in `weights_in`; steps: of each of the larger
    fits; `facts` are added to the
    metadata of the file. Every sixth picture is kept for the calibration.
    """
    with safe_open(weights_in, framework="numpy") as file:
        metadata = dict(file.metadata() or {})
        arrays = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    network = {k: v for k, v in arrays.items() if not k.startswith(("tree.", "describe."))}
    net = TinyNet()
    net.load_state_dict({k: torch.from_numpy(v.astype(np.float32)) for k, v in network.items()})
    encoder = TinyImageEncoder(net.fuse()).eval()
    pictures = sources(scenes, traced, nuclei, seed)
    scenes_only = [p for p in pictures if p.kind != "nuclei"]
    parts = [fit_vectors.segments(encoder, p) for p in tqdm(scenes_only, desc="vectors")]
    described = fit_vectors.fit_descriptor(parts)
    encoder.descriptor.load_state_dict({k: torch.from_numpy(v) for k, v in described.items()})
    truths = [cut_up(encoder, p) for p in tqdm(pictures, desc="pictures", mininterval=5)]
    held_out = np.arange(len(truths)) % 6 == 5
    held_out[-1] |= not held_out.any()
    if keep:
        cost = Perceptron.from_arrays(arrays, "tree.merge")
        quality = Perceptron.from_arrays(arrays, "tree.quality")
    else:
        known = [t for t, out in zip(truths, held_out, strict=True) if not out]
        cost = fit_merge(known, seed, steps=steps)
        quality = fit_quality([judge(truth, cost)[0] for truth in known], seed, steps)
    judged = [_seen(t, cost, quality) for t in tqdm(truths, desc="regions", mininterval=5)]
    learnt = [one for one, out in zip(judged, held_out, strict=True) if not out]
    kept = [one for one, out in zip(judged, held_out, strict=True) if out]
    right = fit_rank.fit_right(learnt, seed, steps)
    curve = fit_rank.calibrate(kept, right)
    whole = fit_rank.fit_whole(learnt, seed, steps // 2)
    model = TreeModel(cost, quality, right, whole, curve)
    halves = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in network.items()}
    counts = Counter(picture.kind for picture in pictures)
    metadata |= {"tree_seed": str(seed), **{f"tree_{k}": str(n) for k, n in counts.items()}}
    metadata |= {name: str(value) for name, value in facts.items()}
    named = {f"describe.{name}": values for name, values in described.items()}
    save_file(halves | named | model.to_arrays(), weights_out, metadata=metadata)
    return model


def _seen(truth: Truth, cost: Cost, quality: Perceptron) -> fit_rank.Seen:
    one, iou = judge(truth, cost)
    return fit_rank.seen(one.features, one.areas, iou, quality(one.features), one.truth, one.depth)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights_in", type=Path)
    parser.add_argument("weights_out", type=Path)
    parser.add_argument("--scenes", type=int, default=240)
    parser.add_argument("--traced", type=Path, help="folder of path-traced shards")
    parser.add_argument("--nuclei", type=Path, help="folder with images/ and labels/")
    parser.add_argument("--keep", action="store_true", help="merge cost and quality as they are")
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
