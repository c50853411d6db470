"""Candidate masks of one picture, and how the best of them are chosen.

Boxes here are SAM's own: XYXY in pixels, inclusive, int64. They become half-open where a
`Segments` leaves this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torchvision.ops.boxes import batched_nms, box_area

from samlab.errors import InputError
from samlab.masks import Rle
from samlab.sam.automatic.small_regions import drop_islands, fill_holes
from samlab.sam.fast import mask_to_runs, runs_to_mask, runs_to_rle
from samlab.segments import Segments


@dataclass(frozen=True, eq=False)
class Candidates:
    """n masks of one picture with the scores that decide about them.

    Attributes:
        runs: n uint32 arrays of run lengths over the picture, COCO's order.
        boxes: int64 (n, 4), inclusive XYXY in the picture.
        areas: int64 (n,).
        iou: float32 (n,), predicted IoU; stability: float32 (n,).
        points: float64 (n, 2), the prompts.
        crops: int64 (n,), index into crop_boxes.
        ids: int64 (n,), a number that stays with a candidate when some are chosen.
        tokens: float32 (n, C) mask tokens, or (n, 0) where the model has none.
        levels: int64 (n,), 0 whole, 1 part, 2 sub-part, -1 unknown; see `search.mask_level`.
        crop_boxes: The crops that were searched, XYXY half-open.
        image_size: (H, W).
    """

    runs: Sequence[np.ndarray]
    boxes: np.ndarray
    areas: np.ndarray
    iou: np.ndarray
    stability: np.ndarray
    points: np.ndarray
    crops: np.ndarray
    ids: np.ndarray
    tokens: np.ndarray
    levels: np.ndarray
    crop_boxes: Sequence[tuple[int, int, int, int]]
    image_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.runs)

    def take(self, ids: np.ndarray) -> Candidates:
        """Some of them, by integer ids or a boolean mask, in the order given."""
        ids = np.flatnonzero(ids) if ids.dtype == bool else ids
        return replace(
            self,
            runs=[self.runs[i] for i in ids.tolist()],
            **{name: getattr(self, name)[ids] for name in _COLUMNS},
        )

    @staticmethod
    def concat(parts: Sequence[Candidates]) -> Candidates:
        """All of them, in order; at least one part."""
        parts = [part for part in parts if len(part)] or list(parts[:1])
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(p, name) for p in parts]) for name in _COLUMNS
        }
        return replace(parts[0], runs=[runs for part in parts for runs in part.runs], **columns)

    def above(self, pred_iou_thresh: float, stability_score_thresh: float) -> Candidates:
        """Those that pass both thresholds; a threshold of 0 lets everything pass."""
        keep = np.ones(len(self), bool)
        if pred_iou_thresh > 0:
            keep &= self.iou > np.float32(pred_iou_thresh)
        if stability_score_thresh > 0:
            keep &= self.stability >= np.float32(stability_score_thresh)
        return self if keep.all() else self.take(keep)

    def without_duplicates(self, box_nms_thresh: float) -> Candidates:
        """Non-maximum suppression by box within each crop, best predicted IoU first."""
        parts = []
        for crop in range(len(self.crop_boxes)):
            part = self.take(self.crops == crop) if len(self.crop_boxes) > 1 else self
            parts.append(part.take(_nms(part.boxes, part.iou, box_nms_thresh)))
        return Candidates.concat(parts)

    def without_crop_duplicates(self, crop_nms_thresh: float) -> Candidates:
        """Non-maximum suppression between crops, the masks of smaller crops first."""
        if len(self.crop_boxes) == 1:
            return self
        crop_boxes = torch.tensor(self.crop_boxes)[torch.as_tensor(self.crops)]
        scores = 1 / box_area(crop_boxes)
        return self.take(_nms(self.boxes, scores.numpy(), crop_nms_thresh))

    def without_small_regions(self, area: int, nms_thresh: float) -> Candidates:
        """Fill holes and drop islands below an area, then suppress new duplicates.

        As in SAM, scores are not measured again, and masks that needed no repair come first.
        """
        if len(self) == 0:
            return self
        runs, boxes, untouched = list(self.runs), self.boxes.copy(), np.ones(len(self), np.float32)
        for i, old in enumerate(self.runs):
            mask, filled = fill_holes(runs_to_mask(old, self.image_size), area)
            mask, dropped = drop_islands(mask, area)
            if filled or dropped:
                runs[i], boxes[i], untouched[i] = mask_to_runs(mask), _box(mask), 0
        areas = np.array([int(r[1::2].sum()) for r in runs], np.int64)
        repaired = replace(self, runs=runs, boxes=boxes, areas=areas)
        return repaired.take(_nms(boxes, untouched, nms_thresh))

    def to_records(self, output_mode: str) -> list[dict[str, Any]]:
        """The records of SamAutomaticMaskGenerator: same keys, types and values."""
        records = []
        for i, runs in enumerate(self.runs):
            x0, y0, x1, y1 = (int(v) for v in self.boxes[i])
            left, top, right, bottom = self.crop_boxes[int(self.crops[i])]
            records.append(
                {
                    "segmentation": _segmentation(runs, self.image_size, output_mode),
                    "area": int(self.areas[i]),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "predicted_iou": float(self.iou[i]),
                    "point_coords": [self.points[i].tolist()],
                    "stability_score": float(self.stability[i]),
                    "crop_box": [left, top, right - left, bottom - top],
                }
            )
        return records

    def to_segments(
        self,
        *,
        image_id: str = "",
        provenance: Mapping[str, Any] | None = None,
        rles: Sequence[Rle] | None = None,
    ) -> Segments:
        """As Segments; boxes become half-open, and an empty mask's box stays (0, 0, 0, 0).

        `rles` are the masks by `ids`, if they have been encoded before.
        """
        if rles is None:
            rles = [runs_to_rle(runs, self.image_size) for runs in self.runs]
        else:
            rles = [rles[i] for i in self.ids.tolist()]
        boxes = self.boxes.astype(np.float32)
        boxes[:, 2:] += (self.areas > 0)[:, None]
        vectors = {"token": self.tokens} if self.tokens.shape[1] else {}
        return Segments(
            rles=rles,
            boxes=boxes,
            areas=self.areas,
            predicted_iou=self.iou,
            stability_score=self.stability,
            points=self.points.astype(np.float32),
            level=self.levels,
            embeddings=vectors,
            image_size=self.image_size,
            image_id=image_id,
            provenance=provenance or {},
        )


_COLUMNS = ("boxes", "areas", "iou", "stability", "points", "crops", "ids", "tokens", "levels")


def _nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """torchvision's own, so that ties fall as in SAM."""
    kept = batched_nms(
        torch.as_tensor(boxes).float(),
        torch.as_tensor(scores),
        torch.zeros(len(boxes)),
        iou_threshold=threshold,
    )
    ids: np.ndarray = kept.numpy()
    return ids[_first_of_its_kind(boxes[ids])]


def _first_of_its_kind(boxes: np.ndarray) -> np.ndarray:
    """Which rows stay where masks one pixel wide or high share a box: the first of them, bool (n,).

    SAM's inclusive boxes give such a mask no area, so that no IoU suppresses its doubles: a picture
    of one pixel would have a segment for every point.
    """
    flat = (boxes[:, 2] == boxes[:, 0]) | (boxes[:, 3] == boxes[:, 1])
    keep = np.ones(len(boxes), bool)
    if flat.any():
        _, first = np.unique(boxes, axis=0, return_index=True)
        keep = ~flat
        keep[first] = True
    return keep


def _box(mask: np.ndarray) -> np.ndarray:
    """Inclusive XYXY of one mask, int64 (4,); zeros if it is empty."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if len(columns) == 0:
        return np.zeros(4, np.int64)
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.int64)


def _segmentation(runs: np.ndarray, image_size: tuple[int, int], output_mode: str) -> Any:
    if output_mode == "binary_mask":
        return runs_to_mask(runs, image_size)
    if output_mode == "coco_rle":
        return dict(runs_to_rle(runs, image_size))  # a plain dict, as the reference gives
    return {"size": [int(n) for n in image_size], "counts": runs.tolist()}


@dataclass(frozen=True, eq=False)
class Proposals:
    """Every candidate above low floors, so that thresholds can be changed without the model.

    Made by `MaskGenerator.propose`. `len(proposals)` is the number of candidates.
    """

    candidates: Candidates
    rles: Sequence[Rle]
    pred_iou_floor: float
    stability_score_floor: float
    defaults: Mapping[str, float]
    image_id: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.candidates)

    def select(
        self,
        *,
        pred_iou_thresh: float | None = None,
        stability_score_thresh: float | None = None,
        box_nms_thresh: float | None = None,
        crop_nms_thresh: float | None = None,
    ) -> Segments:
        """The segments that the generator would give with these thresholds.

        A threshold that is not given is the generator's own.

        Raises:
            InputError: A threshold lies below the floor the proposals were made with.
        """
        given = {
            "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "box_nms_thresh": box_nms_thresh,
            "crop_nms_thresh": crop_nms_thresh,
        }
        chosen = {k: self.defaults[k] if v is None else float(v) for k, v in given.items()}
        for name, floor in (
            ("pred_iou_thresh", self.pred_iou_floor),
            ("stability_score_thresh", self.stability_score_floor),
        ):
            if chosen[name] < floor:
                raise InputError(
                    f"Expected {name} of at least {floor}, the floor of these proposals; got "
                    f"{chosen[name]}. Make proposals with a lower floor: generator.propose(image, "
                    f"{name.replace('_thresh', '_floor')}={chosen[name]})."
                )
        kept = self.candidates.above(chosen["pred_iou_thresh"], chosen["stability_score_thresh"])
        kept = kept.without_duplicates(chosen["box_nms_thresh"])
        kept = kept.without_crop_duplicates(chosen["crop_nms_thresh"])
        provenance = {**self.provenance, "selected": chosen}
        area = int(self.defaults["min_mask_region_area"])
        if area > 0:
            kept = kept.without_small_regions(
                area, max(chosen["box_nms_thresh"], chosen["crop_nms_thresh"])
            )
            return kept.to_segments(image_id=self.image_id, provenance=provenance)
        return kept.to_segments(image_id=self.image_id, provenance=provenance, rles=self.rles)
