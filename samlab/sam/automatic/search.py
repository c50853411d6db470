"""What a grid of points finds in one crop of a picture, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from segment_anything.modeling import Sam

from samlab.errors import CheckpointError, is_out_of_memory
from samlab.sam.automatic.proposals import Candidates
from samlab.sam.fast import (
    Decoder,
    ImageEmbedding,
    Masks,
    Predictions,
    open_decoder,
    to_masks,
)

_MASKS_AT_ONCE = {"cpu": 24, "cuda": 768}  # low-resolution logits alive at a time, 0.25 MB each
_EDGE = 20.0  # pixels; masks this near a crop's edge are cut off by it
_SMALL_CELLS = 8.0  # adaptive: a mask is small up to this many cells of the point grid


@dataclass
class Search:
    """The masks found in one crop so far."""

    sam: Sam
    features: ImageEmbedding
    dtype: torch.dtype
    crop_box: tuple[int, int, int, int]
    image_size: tuple[int, int]
    iou_floor: float
    stability_floor: float
    offset: float
    keep_tokens: bool
    found: list[dict[str, Any]] = field(default_factory=list)
    known: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.decoder: Decoder = open_decoder(self.sam, self.features, dtype=self.dtype)
        self.frame = self.features.frame(self.crop_box, self.image_size)

    def ask(self, points: np.ndarray, ids: np.ndarray) -> None:
        """Ask about some of the points (n, 2) of the crop and keep what passes the floors."""
        device = self.features.features.device
        coords = self.features.to_input(points[ids])
        # float64 as in SAM, which rounds after dividing by the size; MPS has none.
        kind = torch.float32 if device.type == "mps" else torch.float64
        coords_torch = torch.as_tensor(coords, device=device, dtype=kind)[:, None]
        labels = torch.ones((len(ids), 1), dtype=torch.int, device=device)
        answer = self.decoder.predict(coords_torch, labels)
        if bool(torch.isnan(answer.iou).any()):
            raise CheckpointError(
                "The model answers with NaN, so that nothing can be segmented. Its weights are "
                "damaged, or too large for this precision: load it again, with dtype=None."
            )
        passed = answer.iou > self.iou_floor if self.iou_floor > 0 else answer.iou > -math.inf
        index = torch.nonzero(passed)
        entries = self._masks(answer, index)
        scores = answer.iou[passed].cpu().numpy()
        places, outputs = index[:, 1].tolist(), answer.iou.shape[1]
        tokens = answer.tokens(index) if self.keep_tokens else None
        vectors = None if tokens is None else tokens.float().cpu().numpy()
        for i, (prompt, entry) in enumerate(zip(index[:, 0].tolist(), entries, strict=True)):
            if entry is not None:
                self.found.append(
                    {
                        **entry,
                        "iou": scores[i],
                        "point": int(ids[prompt]),
                        "at": points[ids[prompt]],
                        "level": mask_level(places[i], outputs),
                        "token": () if vectors is None else vectors[i],
                    }
                )

    def _masks(self, answer: Predictions, index: torch.Tensor) -> list[dict[str, Any] | None]:
        """Per row of index the mask and its measures, or None if it does not pass."""
        if answer.answer is None:
            return self._trace(answer, index)
        names = answer.answer[index[:, 0], index[:, 1]].cpu().numpy()
        unique, first = np.unique(names, return_index=True)
        new = np.array([name not in self.known for name in unique.tolist()], bool)
        traced = self._trace(answer, index[torch.as_tensor(first[new], device=index.device)])
        self.known.update(zip(unique[new].tolist(), [e or {} for e in traced], strict=True))
        return [self.known[name] or None for name in names.tolist()]

    def _trace(self, answer: Predictions, index: torch.Tensor) -> list[dict[str, Any] | None]:
        entries: list[dict[str, Any] | None] = []
        for part in index.split(_MASKS_AT_ONCE.get(index.device.type, 64)):
            masks = to_masks(
                answer.logits(part),
                self.frame,
                threshold=self.sam.mask_threshold,
                offset=self.offset,
            )
            entries.extend(self._passing(masks))
        return entries

    def _passing(self, masks: Masks) -> list[dict[str, Any] | None]:
        x0, y0, _, _ = self.crop_box
        boxes = masks.boxes + np.array([x0, y0, x0, y0])
        keep = ~_near_crop_edge(boxes, self.crop_box, self.image_size)
        if self.stability_floor > 0:
            keep &= masks.stability >= np.float32(self.stability_floor)
        return [
            {
                "runs": masks.runs[i],
                "box": boxes[i],
                "area": masks.areas[i],
                "stability": masks.stability[i],
            }
            if keep[i]
            else None
            for i in range(len(keep))
        ]

    def covered(self, points: np.ndarray) -> np.ndarray:
        """Which points (n, 2) of the crop lie inside a small mask found so far."""
        x0, y0, x1, y1 = self.crop_box
        limit = _SMALL_CELLS * (x1 - x0) * (y1 - y0) / len(points)
        columns = np.minimum(points[:, 0].astype(int), x1 - x0 - 1) + x0
        rows = np.minimum(points[:, 1].astype(int), y1 - y0 - 1) + y0
        positions = columns * self.image_size[0] + rows
        inside = np.zeros(len(points), bool)
        for entry in self.found:
            if entry["area"] <= limit:
                ends = np.cumsum(entry["runs"], dtype=np.int64)
                inside |= np.searchsorted(ends, positions, side="right") % 2 == 1
        return inside

    def candidates(self, crop: int, crop_boxes: Sequence[tuple[int, int, int, int]]) -> Candidates:
        """Everything found, in the order of the points."""
        found = sorted(self.found, key=lambda entry: entry["point"])
        n = len(found)
        x0, y0, _, _ = self.crop_box

        def column(name: str, dtype: Any, *shape: int) -> np.ndarray:
            return np.array([entry[name] for entry in found], dtype).reshape(n, *shape)

        width = len(found[0]["token"]) if found else 0
        return Candidates(
            runs=[entry["runs"] for entry in found],
            boxes=column("box", np.int64, 4),
            areas=column("area", np.int64),
            iou=column("iou", np.float32),
            stability=column("stability", np.float32),
            points=column("at", np.float64, 2) + np.array([x0, y0]),
            crops=np.full(n, crop, np.int64),
            ids=np.arange(n),
            tokens=column("token", np.float32, width),
            levels=column("level", np.int64),
            crop_boxes=crop_boxes,
            image_size=self.image_size,
        )


def mask_level(place: int, outputs: int) -> int:
    """0 for a whole, 1 for a part, 2 for a sub-part; -1 where a prompt has not three answers.

    SAM answers an ambiguous point with three masks (arXiv:2304.02643, section 3), and its decoder
    gives them from the smallest thing to the largest.
    """
    return 2 - place if outputs == 3 else -1


def _near_crop_edge(
    boxes: np.ndarray, crop_box: Sequence[int], image_size: tuple[int, int]
) -> np.ndarray:
    """Which boxes (n, 4) touch an edge of the crop that is not an edge of the picture."""
    near_crop = np.abs(boxes - np.array(crop_box)) <= _EDGE
    near_image = np.abs(boxes - np.array([0, 0, image_size[1], image_size[0]])) <= _EDGE
    keep: np.ndarray = (near_crop & ~near_image).any(axis=1)
    return keep


def ask_in_batches(
    search: Search, points: np.ndarray, ids: np.ndarray, size: int, advance: Callable[[int], object]
) -> None:
    """Ask about points[ids], `size` at a time; out of memory, halve the batch and go on."""
    start = 0
    while start < len(ids):
        part = ids[start : start + size]
        try:
            search.ask(points, part)
        except (RuntimeError, MemoryError) as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
            size = max(1, len(part) // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        start += len(part)
        advance(len(part))
