"""Prompts to masks by looking up regions of one picture's trees.

`TreeDecoder` is opened once per embedding. It keeps three lists: all regions of the trees, for
boxes and masks; those offered to points; and among them the shown ones (`ranking`), few and likely
right, whose predicted IoU lies above SAM's default threshold. Which of the offered ones a point
means, how deep it lies in each decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import ndimage
from threadpoolctl import threadpool_limits
from torch import Tensor

from samlab.sam.tiny.outlines import mask_logits, outline_gain
from samlab.sam.tiny.ranking import SAME_BOX, predicted_iou, rank
from samlab.sam.tiny.region_tree import AREA, Array, Maps, RegionGraph, region_graph
from samlab.sam.tiny.regions import centrality, persistence, pooled_regions
from samlab.sam.tiny.scores import TreeModel, choose

CELL = 4
"""Pixels of the resized input per cell."""

OFFERED = 300
"""So many regions, beside the shown ones, answer points."""

LEAST_GAIN = 0.25
"""Regions that add less than this in `choose` are not offered: bits of texture mostly."""

SHOWN_BONUS = 1.0
"""How much it counts for a point that a region is a shown one."""

MIDDLE = 4.0
"""How much it counts that a point lies in the middle of a region (see `centrality`): people point
at the middle of what they mean."""

RIM = 0.02
"""The least that a point's depth in a region counts."""

OFF_CENTRE = 0.2
"""Share of its probability that a region loses for a click at its very rim."""

DISTINCT = 0.8
"""The three answers to a point overlap by less than this IoU where that is possible."""

SIZES_APART = 0.6
"""The answers to other prompts than points differ in size by this ratio where that is possible."""

MOSTLY = 0.5
"""Share of a superpixel inside a box from which it is kept."""

LEAST_WITHIN = 0.3
"""Share of a region inside a box below which it is not asked."""

COMPARED = 200
"""So many regions are cut to a box."""

Prompt = tuple[Array, Array, Array | None, Array | None]
"""Points (K, 2) in pixels of the input, labels (K,), box (4,) or None, mask logits or None."""


@dataclass(frozen=True)
class TreePredictions:
    """Answers to P prompts with M masks each: `iou` (P, M) float32, `answer` (P, M) int64; equal
    answers mean equal logits, -1 an empty mask."""

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
        self.grid, self.device, self.model = grid, device, model
        self.gain = outline_gain(maps.boundary)
        self.made: list[Array] = []
        self.made_iou: list[float] = []
        self.made_box: list[Array | None] = []
        self._made_before: dict[bytes, int] = {}
        # Sums in another order differ in the last bit, and ties then fall otherwise.
        with threadpool_limits(1, user_api="blas"):
            self._judge(region_graph(maps), model)

    def _judge(self, graph: RegionGraph, model: TreeModel) -> None:
        """Pool the regions, rank them, and choose what points are answered with."""
        self.graph = graph
        self.regions, iou = pooled_regions(graph, model.merge_cost)
        self.ranking = rank(graph, self.regions, iou, model)
        self.shown, boxes = self.ranking.shown, self.regions.boxes
        quality, lasting = self.ranking.quality, persistence(self.regions)
        self.score = self.ranking.votes
        weights = quality**2 * lasting * np.sqrt(self.regions.areas)
        others = choose(iou, boxes, weights, OFFERED, SAME_BOX, LEAST_GAIN)
        self.offered = np.unique(np.concatenate([self.shown, others]))
        self.is_shown = np.isin(np.arange(len(iou)), self.shown)
        self.overlap = iou[np.ix_(self.offered, self.offered)]
        rows = self.regions.members[self.offered]
        self.depth = centrality(rows, boxes[self.offered], graph.leaves)
        self.iou = predicted_iou(self.ranking.right, self.is_shown)

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
        answers, scores = np.full((count, 3), -1, np.int64), np.zeros((count, 3), np.float32)
        first = np.zeros(count, np.int64)
        points = None if point_coords is None else point_coords.detach().cpu().numpy()
        labels = None if point_labels is None else point_labels.detach().cpu().numpy()
        if points is not None and boxes is None and mask_input is None and points.shape[1] == 1:
            simple = labels[:, 0] == 1 if labels is not None else np.ones(count, bool)
        else:
            simple = np.zeros(count, bool)
        if points is not None and simple.any():
            answers[simple], scores[simple], first[simple] = self._at_points(points[simple, 0])
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
        scores[~simple] = self._scores(answers[~simple])
        if not multimask_output:
            best = first[:, None]
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

    def _cells(self, points: Array) -> tuple[Array, Array, Array]:
        """Row and column of the cell under each point, the nearest one where there is none, and
        whether the point lies on the picture at all."""
        height, width = self.graph.leaves.shape
        # Up to the very edge: half a pixel is added below, which must not push a point over it.
        edge = np.array([width, height]) * CELL
        inside: Array = np.all((points >= -0.5) & (points <= edge), axis=1)
        x, y = (np.floor((points[:, k] + 0.5) / CELL).astype(np.int64) for k in (0, 1))
        return np.clip(y, 0, height - 1), np.clip(x, 0, width - 1), inside

    def _at_points(self, points: Array) -> tuple[Array, Array, Array]:
        """Three answers to each of K single points, smallest first, (K, 3), their predicted IoU,
        and which of the three is the best (K,).

        The best of the offered regions around the point, then the best of those that differ from
        it, then of those that differ from both; the first again where there is no other. Where
        none is offered around it, the best of all that lie there.
        """
        y, x, inside = self._cells(points)
        depth = self.depth[:, y, x]
        base = self.score[self.offered] + SHOWN_BONUS * self.is_shown[self.offered]
        rank = base[:, None] + MIDDLE * np.log(np.maximum(depth / 255, RIM))
        rank = np.where(depth > 0, rank, -np.inf)
        columns = np.arange(len(points))
        place = np.zeros((len(points), 3), np.int64)
        for k in range(3):
            best = rank.argmax(0)
            found = np.isfinite(rank[best, columns])
            place[:, k] = np.where(found, best, place[:, 0])
            rank[self.overlap[:, best] >= DISTINCT] = -np.inf
        answers = self.offered[place]
        near = depth[place, columns[:, None]] / 255
        for bare in np.flatnonzero(~(depth > 0).any(0)).tolist():
            around = np.flatnonzero(self.regions.members[:, self.graph.leaves[y[bare], x[bare]]])
            answers[bare], near[bare] = self._best(around, self.score, apart=True), 0
        order = np.argsort(self.regions.areas[answers], axis=1, kind="stable")
        answers, near = (np.take_along_axis(x, order, axis=1) for x in (answers, near))
        right = self.ranking.right[answers] * (1 - OFF_CENTRE + OFF_CENTRE * near)
        scores = predicted_iou(right, self.is_shown[answers])
        on = inside[:, None]
        first = (order == 0).argmax(1)
        return np.where(on, answers, -1), np.where(on, scores, 0), first

    def _answer(self, prompt: Prompt) -> Array:
        """Three answers to any prompt; -1 where there are fewer."""
        points, labels, box, logits = prompt
        y, x, inside = self._cells(points)
        leaf = self.graph.leaves[y, x]
        wanted = leaf[inside & (labels == 1)]
        unwanted = np.setdiff1d(leaf[inside & (labels == 0)], wanted)
        if len(points) and (labels == 1).any() and not len(wanted):
            return np.full(3, -1)
        if box is not None and logits is None and not len(points):
            cut = self._at_box(box)
            if cut is not None:
                return cut
        rank = self.score
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

    def _at_box(self, box: Array) -> Array | None:
        """Three answers to a box: regions without what lies outside of it, for that is what a box
        says. They fill it to its sides and lose little. None where no region lies in it."""
        within, area = self._within(box), self.graph.region[:, AREA]
        inside = within >= MOSTLY * area
        if not inside.any():  # a box smaller than a superpixel
            inside = within > 0
        members, low, high = self.regions.members, box[:2] / CELL, box[2:] / CELL
        share = members @ within / self.regions.areas
        index = np.flatnonzero((share >= LEAST_WITHIN) & members[:, inside].any(1))
        if not len(index):
            index = np.flatnonzero(members[:, inside].any(1))
        if not len(index):
            return None
        frames, rank = self.regions.boxes[index], 0.3 * self.score[index] + 2 * np.log(share[index])
        rough = rank + 3 * np.log(_fill(frames, low, high))
        best = np.argsort(-rough, kind="stable")[:COMPARED]
        index, rank = index[best], rank[best]
        rows = members[index] & inside
        left = np.where(rows[:, :, None], self.frames[None, :, :2], np.inf).min(1)
        right = np.where(rows[:, :, None], self.frames[None, :, 2:], -np.inf).max(1)
        rank = rank + 3 * np.log(_fill(np.concatenate([left, right], 1), low, high))
        answers: list[int] = []
        for k in np.argsort(-rank, kind="stable").tolist():
            region = int(index[k])
            if share[region] < 1:
                region = self._make(rows[k], float(self.iou[region] * share[region]), box)
            if region not in answers:
                answers.append(region)
            if len(answers) == 3:
                break
        return np.array((answers + answers[:1] * 2)[:3])

    def _within(self, box: Array) -> Array:
        """How many cells of each superpixel lie in a box, (S,)."""
        (x0, y0), (x1, y1) = _cells_of(box)
        cells = self.graph.leaves[y0:y1, x0:x1].ravel()
        return np.bincount(cells, minlength=len(self.graph.region)).astype(np.float64)

    @cached_property
    def frames(self) -> Array:
        """Boxes of the superpixels in cells, XYXY (S, 4)."""
        slices = ndimage.find_objects(self.graph.leaves + 1)
        return np.array([(x.start, y.start, x.stop, y.stop) for y, x in slices], np.float64)

    def _best(self, index: Array, rank: Array, apart: bool) -> Array:
        """Up to three of the regions `index`: the best ranked, then others, if `apart` such as
        differ in size, repeating the first where there are fewer."""
        order = index[np.argsort(-rank[index], kind="stable")]
        areas = self.regions.areas
        chosen: list[int] = []
        for k in order[:200].tolist():
            ratios = [min(areas[k], areas[c]) / max(areas[k], areas[c]) for c in chosen]
            if not apart or all(ratio < SIZES_APART for ratio in ratios):
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
            small = self.regions.areas < 0.5 * row_area(self, row)
            inside = self.regions.members[:, leaf] & small
            branch = np.flatnonzero(inside)
            if len(branch):
                row &= ~self.regions.members[branch[np.argmax(self.score[branch])]]
            row[leaf] = False
        if not row.any():
            return np.full(3, -1)
        return np.full(3, self._make(row, float(self.iou[base]) * 0.9))

    def _make(self, row: Array, iou: float, box: Array | None = None) -> int:
        """Number of a region that is in no tree, cut off at a box if there is one; the same number
        for the same."""
        key = row.tobytes() + (b"" if box is None else _cells_of(box).tobytes())
        if key not in self._made_before:
            self._made_before[key] = len(self.iou) + len(self.made)
            self.made.append(row)
            self.made_iou.append(iou)
            self.made_box.append(box)
        return self._made_before[key]

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
        boxes: dict[int, Array] = {}
        for k, answer in enumerate(answers.tolist()):
            if answer >= len(self.iou):
                rows[k] = self.made[answer - len(self.iou)]
                box = self.made_box[answer - len(self.iou)]
                boxes |= {} if box is None else {k: box}
            elif answer >= 0:
                rows[k] = self.regions.members[answer]
        logits = mask_logits(rows, self.graph.leaves, self.gain, self.grid)
        for k, box in boxes.items():
            low, high = _cells_of(box)
            edge = self.graph.leaves.shape[::-1]  # beyond it masks go on into the padding
            x1, y1 = np.where(high >= edge, self.grid[::-1], high)
            outside = np.ones(self.grid, bool)
            outside[low[1] : y1, low[0] : x1] = False
            logits[k][outside] = -np.abs(logits[k][outside])
        return logits


def _fill(frames: Array, low: Array, high: Array) -> Array:
    """IoU of frames (n, 4) with a box from `low` to `high`, at least a thousandth."""
    shared = (np.minimum(frames[:, 2:], high) - np.maximum(frames[:, :2], low)).clip(0).prod(1)
    areas = (frames[:, 2:] - frames[:, :2]).prod(1) + (high - low).clip(0).prod()
    result: Array = np.maximum(shared / np.maximum(areas - shared, 1e-6), 1e-3)
    return result


def _cells_of(box: Array) -> Array:
    """First and one past the last cell of a box, ((x0, y0), (x1, y1)). At least two each way, or
    nothing would be left when masks are brought to the picture's size."""
    low, high = np.maximum(np.round(box.reshape(2, 2) / CELL), 0).astype(np.int64)
    return np.stack([low, np.maximum(high, low + 2)])


def row_area(decoder: TreeDecoder, row: Array) -> float:
    """Cells in a set of superpixels."""
    return float(row @ decoder.graph.region[:, AREA])
