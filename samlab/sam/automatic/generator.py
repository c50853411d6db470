"""Every mask of a picture: a drop-in for SamAutomaticMaskGenerator that shares its work."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.amg import build_all_layer_point_grids, generate_crop_boxes

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.process.progress import stage
from samlab.sam import checkpoints
from samlab.sam.automatic.proposals import Candidates, Proposals
from samlab.sam.automatic.search import Search, ask_in_batches
from samlab.sam.families import OPTIONS, architecture_of
from samlab.sam.fast import ImageEmbedding, encode, resolve_dtype, runs_to_rle
from samlab.segments import Segments

_MOST_LAYERS = 6  # 5,461 crops, each through the image encoder
_MOST_POINTS = 10_000_000  # of one picture
_OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")
_PRED_IOU_THRESH = 0.88  # SamAutomaticMaskGenerator's default
_PROMPTS_PER_BATCH = {"cpu": 64, "cuda": 256}


class MaskGenerator:
    """Generate masks for a whole picture from a grid of points.

    Takes every argument of `segment_anything.SamAutomaticMaskGenerator`, with the same names,
    meanings and defaults; in float32 it gives the same records in the same order. Differences:
    `points_per_batch` is an upper limit (None: as many as suit the device), and removing small
    regions needs no OpenCV.

    Args:
        sam: The model, from `samlab.load_sam` or segment-anything's own registry.
        pred_iou_thresh: None for what the model's makers set: 0.88 for SAM, 0.8 since SAM 2.
        dtype: Precision of the large products: None for that of the weights, "auto" for the
            fastest that the machine has natively, or a torch dtype or its name.
        adaptive: Go from coarse to fine and skip points inside small stable masks already found.
            Faster, approximate.
        progress: Tell how far the points are; None does where a person waits longer than a second.
        compile: Run the image encoder through torch.compile; the first picture takes minutes.

    Example:
        >>> import samlab, skimage.data
        >>> generator = MaskGenerator(samlab.load_sam("tiny"), points_per_side=8)
        >>> sorted(generator.generate(skimage.data.coins())[0])[:3]
        ['area', 'bbox', 'crop_box']
    """

    @checked_arguments
    def __init__(
        self,
        sam: Sam,
        points_per_side: int | None = 32,
        points_per_batch: int | None = 64,
        pred_iou_thresh: float | None = None,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[np.ndarray] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
        *,
        dtype: torch.dtype | str | None = None,
        adaptive: bool = False,
        progress: bool | None = None,
        compile: bool = False,
    ) -> None:
        if output_mode not in _OUTPUT_MODES:
            raise InputError(f"Expected output_mode in {_OUTPUT_MODES}, got {output_mode!r}.")
        if points_per_batch is not None and points_per_batch < 1:
            raise InputError(
                f"Expected points_per_batch of at least 1, or None, got {points_per_batch}."
            )
        self.point_grids = _point_grids(
            points_per_side, crop_n_layers, crop_n_points_downscale_factor, point_grids
        )
        self.sam = sam
        self.points_per_side = points_per_side
        self.points_per_batch = points_per_batch
        if pred_iou_thresh is None:
            pred_iou_thresh = default_pred_iou_thresh(sam)
        self.pred_iou_thresh = pred_iou_thresh
        self.stability_score_thresh = stability_score_thresh
        self.stability_score_offset = stability_score_offset
        self.box_nms_thresh = box_nms_thresh
        self.crop_n_layers = crop_n_layers
        self.crop_nms_thresh = crop_nms_thresh
        self.crop_overlap_ratio = crop_overlap_ratio
        self.crop_n_points_downscale_factor = crop_n_points_downscale_factor
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode
        self.dtype = resolve_dtype(dtype, sam)
        self.adaptive = adaptive
        self.progress = progress
        self.compile = compile

    def generate(self, image: ImageLike) -> list[dict[str, Any]]:
        """Masks of a picture as SAM's records.

        Args:
            image: uint8 RGB array (H, W, 3), or anything `read_image` takes.

        Returns:
            One dict per mask: segmentation (in `output_mode`), area, bbox (XYWH of SAM: from the
            first to the last pixel), predicted_iou, point_coords, stability_score, crop_box
            (XYWH). An empty list where nothing passes.
        """
        return self._chosen(read_image(image), None, False).to_records(self.output_mode)

    def segments(
        self,
        image: ImageLike,
        features: ImageEmbedding | None = None,
        *,
        image_id: str = "",
        tokens: bool = False,
    ) -> Segments:
        """The same masks as `Segments`.

        Args:
            image: As for `generate`.
            features: `encode(image, sam)`, if it is there already.
            image_id: Name of the picture, kept in the result.
            tokens: Keep the decoder's mask tokens as the embedding "token", float32 (N, 256).
        """
        array = read_image(image)
        chosen = self._chosen(array, features, tokens)
        return chosen.to_segments(image_id=image_id, provenance={"masks": self._options()})

    def propose(
        self,
        image: ImageLike,
        features: ImageEmbedding | None = None,
        *,
        pred_iou_floor: float = 0.5,
        stability_score_floor: float = 0.5,
        image_id: str = "",
        tokens: bool = False,
    ) -> Proposals:
        """Every candidate above low floors; choose among them with `Proposals.select`."""
        array = read_image(image)
        parts = list(
            self._candidates(array, features, pred_iou_floor, stability_score_floor, tokens)
        )
        names = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh")
        candidates = Candidates.concat(parts)
        candidates = replace(candidates, ids=np.arange(len(candidates)))
        return Proposals(
            candidates=candidates,
            rles=[runs_to_rle(runs, candidates.image_size) for runs in candidates.runs],
            pred_iou_floor=pred_iou_floor,
            stability_score_floor=stability_score_floor,
            defaults={name: getattr(self, name) for name in (*names, "min_mask_region_area")},
            image_id=image_id,
            provenance={"masks": self._options()},
        )

    # -- inside -------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        """What decides the masks, as plain values."""
        names = (
            "points_per_side", "pred_iou_thresh", "stability_score_thresh",
            "stability_score_offset", "box_nms_thresh", "crop_n_layers", "crop_nms_thresh",
            "crop_overlap_ratio", "crop_n_points_downscale_factor", "min_mask_region_area",
            "adaptive",
        )  # fmt: skip
        return {**{name: getattr(self, name) for name in names}, "dtype": str(self.dtype)}

    def _chosen(
        self, image: np.ndarray, features: ImageEmbedding | None, tokens: bool
    ) -> Candidates:
        parts = []
        thresholds = self.pred_iou_thresh, self.stability_score_thresh
        for part in self._candidates(image, features, *thresholds, tokens):
            parts.append(part.without_duplicates(self.box_nms_thresh))
        chosen = Candidates.concat(parts).without_crop_duplicates(self.crop_nms_thresh)
        if self.min_mask_region_area > 0:
            limit = max(self.box_nms_thresh, self.crop_nms_thresh)
            chosen = chosen.without_small_regions(self.min_mask_region_area, limit)
        return chosen

    def _candidates(
        self,
        image: np.ndarray,
        features: ImageEmbedding | None,
        iou_floor: float,
        stability_floor: float,
        tokens: bool,
    ) -> Iterator[Candidates]:
        """The candidates of one crop after the other, before any suppression."""
        size = (image.shape[0], image.shape[1])
        if features is not None and features.image_size != size:
            raise InputError(
                f"Expected the embedding of this picture, {size} (H, W); got one of a picture of "
                f"size {features.image_size}."
            )
        boxes, layers = generate_crop_boxes(size, self.crop_n_layers, self.crop_overlap_ratio)
        crops = [
            (i, tuple(box), layer)
            for i, (box, layer) in enumerate(zip(boxes, layers, strict=True))
            if box[2] > box[0] and box[3] > box[1]
        ]
        total = sum(len(self.point_grids[layer]) for _, _, layer in crops)
        with stage("Masks", total, "point", show=self.progress) as told:
            for i, (x0, y0, x1, y1), layer in crops:
                crop = image[y0:y1, x0:x1]
                search = Search(
                    sam=self.sam,
                    features=features
                    if i == 0 and features is not None  # the first crop is the picture itself
                    else encode(crop, self.sam, dtype=self.dtype, compile=self.compile),
                    dtype=self.dtype,
                    crop_box=(x0, y0, x1, y1),
                    image_size=size,
                    iou_floor=iou_floor,
                    stability_floor=stability_floor,
                    offset=self.stability_score_offset,
                    keep_tokens=tokens,
                )
                points = self.point_grids[layer] * np.array([[x1 - x0, y1 - y0]])
                for ids in self._passes(points, search):
                    ask_in_batches(search, points, ids, self._batch(), told.step)
                yield search.candidates(i, [tuple(box) for box in boxes])

    def _batch(self) -> int:
        suits = _PROMPTS_PER_BATCH.get(self.sam.device.type, 64)
        return suits if self.points_per_batch is None else self.points_per_batch

    def _passes(self, points: np.ndarray, search: Search) -> Iterator[np.ndarray]:
        """Ids of the points to ask about, all at once or from coarse to fine."""
        side = math.isqrt(len(points))
        if not self.adaptive or side * side != len(points) or side < 4:
            yield np.arange(len(points))
            return
        row, column = np.divmod(np.arange(len(points)), side)
        done = np.zeros(len(points), bool)
        for stride in (4, 2, 1):
            wanted = (row % stride == stride // 2) & (column % stride == stride // 2) & ~done
            done |= wanted
            yield np.flatnonzero(wanted & ~search.covered(points))


def default_pred_iou_thresh(sam: Any) -> float:
    """What the makers of a model set as `pred_iou_thresh`; a name or path is not loaded.

    Args:
        sam: A model, or a name or path for `load_sam`.

    Example:
        >>> default_pred_iou_thresh("tiny")
        0.88
    """
    if not isinstance(sam, (str, os.PathLike)):
        return float(getattr(sam, "options", {}).get("pred_iou_thresh", _PRED_IOU_THRESH))
    found = checkpoints.fetch(sam)
    if found.name in checkpoints.names():
        family = checkpoints.architectures().get(found.name, found.name)
    else:
        family = architecture_of(found.path)
    return float(OPTIONS.get(family, {}).get("pred_iou_thresh", _PRED_IOU_THRESH))


def _point_grids(
    points_per_side: int | None,
    crop_n_layers: int,
    downscale: int,
    point_grids: Sequence[np.ndarray] | None,
) -> list[np.ndarray]:
    """The grid of each crop layer, (n, 2) as (x, y) in [0, 1]."""
    if (points_per_side is None) == (point_grids is None):
        raise InputError(
            "Expected exactly one of points_per_side and point_grids; got "
            f"{'neither' if point_grids is None else 'both'}. Pass points_per_side=None with your "
            "own point_grids."
        )
    if crop_n_layers < 0:
        raise InputError(f"Expected crop_n_layers of at least 0, got {crop_n_layers}.")
    if crop_n_layers > _MOST_LAYERS:
        crops = (4 ** (crop_n_layers + 1) - 1) // 3 if crop_n_layers < 100 else math.inf
        raise InputError(
            f"Expected crop_n_layers of at most {_MOST_LAYERS}, got {crop_n_layers}: each layer "
            f"has four times as many crops as the one before, {crops:,} in all, and each goes "
            "through the image encoder by itself. Most pictures need 0 or 1."
        )
    if points_per_side is not None:
        if points_per_side < 1 or downscale < 1:
            raise InputError(
                "Expected points_per_side and crop_n_points_downscale_factor of at least 1, got "
                f"{points_per_side} and {downscale}."
            )
        sides = [int(points_per_side / downscale**layer) for layer in range(crop_n_layers + 1)]
        count = sum(4**layer * side**2 for layer, side in enumerate(sides))
        if count > _MOST_POINTS:
            raise InputError(
                f"Expected at most {_MOST_POINTS:,} points in a picture, got {count:,} "
                f"(points_per_side={points_per_side}, crop_n_layers={crop_n_layers}). Take fewer "
                "points per side."
            )
        if int(points_per_side / downscale**crop_n_layers) < 1:
            raise InputError(
                "Expected at least one point per side in every crop layer, got points_per_side="
                f"{points_per_side} scaled down by {downscale}**{crop_n_layers}."
            )
        return build_all_layer_point_grids(points_per_side, crop_n_layers, downscale)
    grids = [np.asarray(grid, dtype=np.float64) for grid in point_grids or ()]
    if len(grids) <= crop_n_layers:
        raise InputError(
            f"Expected {crop_n_layers + 1} point_grids, one per crop layer and one for the whole "
            f"picture; got {len(grids)}."
        )
    for i, grid in enumerate(grids):
        if grid.ndim != 2 or grid.shape[1] != 2 or len(grid) == 0:
            raise InputError(
                f"Expected point_grids[{i}] of shape (n, 2) with at least one point, got "
                f"{grid.shape}."
            )
        if not bool(((grid >= 0) & (grid <= 1)).all()):
            bad = grid[~((grid >= 0) & (grid <= 1)).all(1)][0]
            raise InputError(
                f"Expected points of point_grids[{i}] inside the picture, x and y in [0, 1] of "
                f"its width and height; got {bad.tolist()}."
            )
    return grids
