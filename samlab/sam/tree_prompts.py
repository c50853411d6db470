"""Prompts to masks by looking up regions of one picture's trees.

`TreeDecoder` is opened once per embedding. It keeps two lists: all regions of the trees, for boxes
and masks, and the shown ones, those that survive box NMS among themselves, best first, for points:
a grid of points over the picture then returns every one of them that it can hit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from samlab.sam.region_tree import AREA, Array, Maps, RegionGraph, region_graph
from samlab.sam.tree_masks import mask_logits, outline_gain
from samlab.sam.tree_regions import Regions, pooled_regions
from samlab.sam.tree_scores import TreeModel, box_nms, region_features

CELL = 4
"""Pixels of the resized input per cell."""

SHOWN = 300
"""At most so many regions answer points."""

SAME_BOX = 0.7
"""Box IoU above which SAM's mask generator drops the lower of two masks."""

NESTED = 0.7
"""A part is at most this share of the area of what it is a part of."""

Prompt = tuple[Array, Array, Array | None, Array | None]
"""Points (K, 2) in pixels of the input, labels (K,), box (4,) or None, mask logits or None."""


@dataclass(frozen=True)
class TreePredictions:
    """Answers to P prompts with M masks each: `iou` (P, M) float32, `answer` (P, M) int64; equal
    answers mean equal logits and scores, -1 an empty mask."""

    iou: Tensor
    answer: Tensor
    decoder: TreeDecoder

    def logits(self, index: Tensor) -> Tensor:
        """(n, 256, 256) float32 of the masks at (prompt, output) = index (n, 2)."""
        place = index.to(self.answer.device)
        chosen = self.answer[place[:, 0], place[:, 1]].cpu().numpy()
        found, inverse = np.unique(chosen, return_inverse=True)
        masks = torch.from_numpy(self.decoder.rasterise(found))
        return masks.to(self.iou.device)[torch.from_numpy(inverse).to(self.iou.device)]

    def tokens(self, index: Tensor) -> None:
        """There are no mask tokens here."""


class TreeDecoder:
    """All regions of one picture, ready for prompts.

    maps: what the network sees on the valid part; model: the fitted functions; grid: cells of the
    whole padded input, (256, 256) for SAM's 1,024 pixels; device: where answers go.
    """

    def __init__(
        self,
        maps: Maps,
        model: TreeModel,
        grid: tuple[int, int] = (256, 256),
        device: torch.device | str = "cpu",
    ) -> None:
        self.grid, self.device = grid, device
        self.gain = outline_gain(maps.boundary)
        self.graph: RegionGraph = region_graph(maps)
        pool = pooled_regions(self.graph, model.merge_cost)
        quality = model.expected_iou(region_features(self.graph, pool))
        order = np.argsort(-quality, kind="stable")
        self.regions: Regions = pool.take(order)
        self.quality = quality[order]
        self.iou = model.predicted_iou(self.quality).astype(np.float32)
        self.shown = box_nms(self.regions.boxes, self.quality, SAME_BOX)[:SHOWN]
        self.by_superpixel = _answers(self.graph, self.regions, self.quality, self.shown)
        self.made: list[Array] = []
        self.made_iou: list[float] = []

    # ------------------------------------------------------------ prompts

    def predict(
        self,
        point_coords: Tensor | None = None,
        point_labels: Tensor | None = None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
    ) -> TreePredictions:
        """Answer P prompts; shapes and units as `SamPredictor.predict_torch` takes them."""
        given = [x for x in (point_coords, boxes, mask_input) if x is not None]
        count = len(given[0]) if given else 1
        answers = np.full((count, 3), -1, np.int64)
        points = None if point_coords is None else point_coords.detach().cpu().numpy()
        labels = None if point_labels is None else point_labels.detach().cpu().numpy()
        if points is not None and boxes is None and mask_input is None and points.shape[1] == 1:
            simple = labels[:, 0] == 1 if labels is not None else np.ones(count, bool)
        else:
            simple = np.zeros(count, bool)
        if points is not None and simple.any():
            answers[simple] = self._at_points(points[simple, 0])
        sides = None if boxes is None else boxes.detach().cpu().numpy().reshape(count, 4)
        logits = None if mask_input is None else mask_input.detach().cpu().numpy()
        for k in np.flatnonzero(~simple):
            answers[k] = self._answer(
                (
                    np.zeros((0, 2)) if points is None else points[k],
                    np.zeros(0) if labels is None else labels[k],
                    None if sides is None else sides[k],
                    None if logits is None else logits[k].reshape(logits.shape[-2:]),
                )
            )
        scores = self._scores(answers)
        if not multimask_output:
            best = scores.argmax(1)[:, None]
            answers = np.take_along_axis(answers, best, 1)
            scores = np.take_along_axis(scores, best, 1)
        return TreePredictions(
            torch.from_numpy(scores).to(self.device),
            torch.from_numpy(answers).to(self.device),
            self,
        )

    def _scores(self, answers: Array) -> Array:
        every = np.concatenate([self.iou, np.array(self.made_iou, np.float32), np.zeros(1)])
        return every[answers].astype(np.float32)

    def _cells(self, points: Array) -> tuple[Array, Array]:
        """Superpixel under each point, and whether it lies on the picture at all."""
        height, width = self.graph.leaves.shape
        x, y = (np.floor((points[:, k] + 0.5) / CELL).astype(np.int64) for k in (0, 1))
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        leaf = self.graph.leaves[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
        return leaf, inside

    def _at_points(self, points: Array) -> Array:
        leaf, inside = self._cells(points)
        return np.where(inside[:, None], self.by_superpixel[leaf], -1)

    def _answer(self, prompt: Prompt) -> Array:
        """Three answers to any prompt; -1 where there are fewer."""
        points, labels, box, logits = prompt
        leaf, inside = self._cells(points)
        wanted = leaf[inside & (labels == 1)]
        unwanted = np.setdiff1d(leaf[inside & (labels == 0)], wanted)
        if len(points) and (labels == 1).any() and not len(wanted):
            return np.full(3, -1)
        rank = np.log(self.quality + 1e-3)
        allowed = self.regions.members[:, wanted].all(1)
        if box is not None:
            fit = self._box_iou(box)
            allowed &= fit > 0
            rank = rank * 0.3 + 3 * np.log(np.maximum(fit, 1e-3))
        if logits is not None:
            rank = rank * 0.1 + 3 * np.log(np.maximum(self._mask_iou(logits), 1e-3))
        if not len(wanted) and box is None and logits is None:
            return np.full(3, -1)
        clean = allowed & ~self.regions.members[:, unwanted].any(1)
        if clean.any():
            return self._best(np.flatnonzero(clean), rank, apart=box is None)
        return self._carve(np.flatnonzero(allowed), rank, unwanted)

    def _best(self, index: Array, rank: Array, apart: bool) -> Array:
        """Up to three of the regions `index`: the best ranked, then others that differ from it."""
        order = index[np.argsort(-rank[index], kind="stable")]
        chosen: list[int] = []
        for k in order[:200].tolist():
            areas = self.regions.areas
            ratios = [min(areas[k], areas[c]) / max(areas[k], areas[c]) for c in chosen]
            if not apart or all(ratio < NESTED for ratio in ratios):
                chosen.append(k)
            if len(chosen) == 3:
                break
        return np.array((chosen + chosen[:1] * 3)[:3])

    def _carve(self, index: Array, rank: Array, unwanted: Array) -> Array:
        """The best of the regions without the superpixels of the background points, each with the
        largest region around it that leaves enough of the rest."""
        if not len(index):
            return np.full(3, -1)
        base = index[np.argmax(rank[index])]
        row = self.regions.members[base].copy()
        for leaf in unwanted.tolist():
            inside = self.regions.members[:, leaf] & (self.regions.areas < 0.5 * row_area(self, row))
            branch = np.flatnonzero(inside)
            if len(branch):
                row &= ~self.regions.members[branch[np.argmax(self.quality[branch])]]
            row[leaf] = False
        if not row.any():
            return np.full(3, -1)
        return np.full(3, self._make(row, float(self.iou[base]) * 0.9))

    def _make(self, row: Array, iou: float) -> int:
        """Number of a region that is in no tree."""
        self.made.append(row)
        self.made_iou.append(iou)
        return len(self.iou) + len(self.made) - 1

    def _box_iou(self, box: Array) -> Array:
        mine = self.regions.boxes * float(CELL)
        low = np.maximum(mine[:, :2], box[:2])
        high = np.minimum(mine[:, 2:], box[2:])
        shared = np.clip(high - low, 0, None).prod(1)
        area = (mine[:, 2:] - mine[:, :2]).prod(1)
        own = max(float(np.clip(box[2:] - box[:2], 0, None).prod()), 0.0)
        return np.asarray(shared / np.maximum(area + own - shared, 1e-6))

    def _mask_iou(self, logits: Array) -> Array:
        height, width = self.graph.leaves.shape
        on = logits[:height, :width] > 0
        count = len(self.graph.region)
        cells = np.bincount(self.graph.leaves[on], minlength=count)
        shared = self.regions.members @ cells
        return np.asarray(shared / np.maximum(self.regions.areas + cells.sum() - shared, 1e-6))

    # ------------------------------------------------------------ masks

    def rasterise(self, answers: Array) -> Array:
        """(n, 256, 256) float32 logits of answers (n,); -1 gives a mask without a pixel."""
        rows = np.zeros((len(answers), len(self.graph.region)), bool)
        for k, answer in enumerate(answers.tolist()):
            if answer >= len(self.iou):
                rows[k] = self.made[answer - len(self.iou)]
            elif answer >= 0:
                rows[k] = self.regions.members[answer]
        return mask_logits(rows, self.graph.leaves, self.gain, self.grid)


def row_area(decoder: TreeDecoder, row: Array) -> float:
    """Cells in a set of superpixels."""
    return float(row @ decoder.graph.region[:, AREA])


def _answers(graph: RegionGraph, regions: Regions, quality: Array, shown: Array) -> Array:
    """(S, 3): for each superpixel the part, the preferred and the whole, as region numbers.

    First the natural choice: the best region around, then the best clearly smaller and the best
    clearly larger one. Shown regions that nobody has chosen then take a place where the loss is
    least, so that none is out of reach of points.
    """
    rows, areas, scores = regions.members[shown], regions.areas[shown], quality[shown]
    count = len(graph.region)
    table = np.full((count, 3), -1, np.int64)
    lost: dict[int, int] = {}
    for leaf in range(count):
        inside = np.flatnonzero(rows[:, leaf])
        if not len(inside):  # only small or doubtful regions here: none of them is shown
            lost[leaf] = int(np.argmax(np.where(regions.members[:, leaf], quality, -1)))
            continue
        best = inside[np.argmax(scores[inside])]
        ratio = areas[inside] / areas[best]
        parts, wholes = inside[ratio < NESTED], inside[ratio > 1 / NESTED]
        part = parts[np.argmax(scores[parts])] if len(parts) else best
        whole = wholes[np.argmax(scores[wholes])] if len(wholes) else best
        table[leaf] = part, best, whole
    chosen = np.bincount(table[table >= 0], minlength=len(shown))
    for k in np.flatnonzero(chosen == 0):
        leaves = np.flatnonzero(rows[k])
        holders = table[leaves]
        loss = np.where(chosen[holders] > 1, scores[holders], np.inf)
        loss[:, 1] = np.where(holders[:, 0] == holders[:, 1], loss[:, 1], np.inf)
        spot = np.unravel_index(int(np.argmin(loss)), loss.shape)
        if np.isfinite(loss[spot]):
            chosen[holders[spot]] -= 1
            table[leaves[spot[0]], spot[1]] = k
            chosen[k] += 1
    answers = shown[table]
    for leaf, region in lost.items():
        answers[leaf] = region
    return answers
