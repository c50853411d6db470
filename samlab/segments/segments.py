"""`Segments`: columns of equal length, and what can be done with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from samlab import masks
from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments, checked_class
from samlab.masks import Rle
from samlab.segments import tables
from samlab.segments.labels import class_ids, one_numbering
from samlab.segments.sources import one_picture_each, renamed

#: A column that the caller leaves out: it follows from the masks, or is filled with "unknown". None
#: only until the object stands; typed as an array, since nobody outside ever sees the None.
_DERIVED: Any = None
_INT32 = np.iinfo(np.int32)
_COLUMNS = (
    "boxes", "areas", "predicted_iou", "stability_score", "points", "labels", "level", "parent",
    "image_ids",
)  # fmt: skip


def _no_vectors() -> dict[str, np.ndarray]:
    return {}


@checked_class
@dataclass(frozen=True, eq=False)
class Segments:
    """N segments of one picture (or of several, after `concat`), as columns of equal length.

    Immutable: every operation returns a new object. An empty one (N = 0) goes through everything.

    Attributes:
        rles: N masks as COCO RLE of size (H, W); those from outside are checked, since broken
            ones make pycocotools read outside its memory.
        boxes: float32 (N, 4), XYXY pixels, half-open.
        areas: int64 (N,), pixels.
        predicted_iou: float32 (N,), the model's estimate of its own mask's IoU.
        stability_score: float32 (N,), IoU between the mask at a higher and at a lower threshold.
        points: float32 (N, 2), the (x, y) prompt each mask came from; NaN where there was none.
        labels: int64 (N,), class ids; -1 is "no class" (noise).
        embeddings: name -> float32 (N, D), for example `{"sam": (N, 256)}`.
        scores: name -> float32 (N,), or (N, K) for K scores of each segment: numbers that another
            model gave, for example `{"detection": (N,)}`. They are no vectors: nothing clusters or
            compares them.
        image_size: (H, W) in pixels; (0, 0) after `concat` of pictures of different sizes.
        image_id: Name of the picture; `image_ids` tells it per segment after `concat`.
        class_names: label -> name, where a person named classes.
        provenance: Weights' SHA-256, parameters, versions.
        level: int64 (N,), which of a prompt's answers each mask was: 0 the whole, 1 a part, 2 a
            sub-part; -1 is unknown.
        parent: int64 (N,), the row of the smallest segment that each one lies in; -1 where there is
            none, or nobody looked (`samlab.latent.partition.parents` does). Selecting rows
            renumbers it: where the parent is left out, its own parent follows.
    """

    rles: Sequence[Rle] = ()
    boxes: np.ndarray = _DERIVED
    areas: np.ndarray = _DERIVED
    predicted_iou: np.ndarray = _DERIVED
    stability_score: np.ndarray = _DERIVED
    points: np.ndarray = _DERIVED
    labels: np.ndarray = _DERIVED
    embeddings: Mapping[str, np.ndarray] = field(default_factory=_no_vectors)
    scores: Mapping[str, np.ndarray] = field(default_factory=_no_vectors)
    image_size: tuple[int, int] = (0, 0)
    image_id: str = ""
    image_ids: NDArray[np.object_] = _DERIVED
    class_names: Mapping[int, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    level: np.ndarray = _DERIVED
    parent: np.ndarray = _DERIVED

    def __post_init__(self) -> None:
        object.__setattr__(self, "rles", masks.checked(self.rles))
        n = len(self.rles)
        sizes = {tuple(rle["size"]) for rle in self.rles}
        if self.image_size == (0, 0) and len(sizes) == 1:
            object.__setattr__(self, "image_size", tuple(int(v) for v in sizes.pop()))
        elif self.image_size != (0, 0):
            masks.check_sizes(self.rles, self.image_size)
        derived = {
            "boxes": (masks.boxes, (n, 4), np.float32),
            "areas": (masks.area, (n,), np.int64),
        }
        for name, (make, shape, dtype) in derived.items():
            given = getattr(self, name)
            value = make(self.rles) if given is None else given
            self._set(name, value, shape, dtype)
        defaults: dict[str, tuple[Any, tuple[int, ...], Any]] = {
            "predicted_iou": (np.nan, (n,), np.float32),
            "stability_score": (np.nan, (n,), np.float32),
            "points": (np.nan, (n, 2), np.float32),
            "labels": (-1, (n,), np.int64),
            "level": (-1, (n,), np.int64),
            "parent": (-1, (n,), np.int64),
            "image_ids": (self.image_id, (n,), object),
        }
        if self.labels is not None:
            object.__setattr__(self, "labels", class_ids(self.labels))
        for name, (fill, shape, dtype) in defaults.items():
            given = getattr(self, name)
            value = np.full(shape, fill, dtype) if given is None else given
            self._set(name, value, shape, dtype)
        if n and not -1 <= self.parent.min() <= self.parent.max() < n:
            raise InputError(
                f"Expected parents to be rows from 0 to {n - 1}, or -1 for none; got "
                f"{self.parent.min()} to {self.parent.max()}."
            )
        pictures = set(self.image_ids.tolist())
        if not self.image_id and len(pictures) == 1:
            object.__setattr__(self, "image_id", str(pictures.pop()))
        vectors = {}
        for name, value in dict(self.embeddings).items():
            array = np.ascontiguousarray(np.asarray(value, dtype=np.float32))
            if array.ndim != 2 or len(array) != n:
                raise InputError(
                    f"Expected the embedding '{name}' to have the shape ({n}, D), one row per "
                    f"segment; got {array.shape}."
                )
            vectors[str(name)] = _frozen(array)
        scores = {}
        for name, value in dict(self.scores).items():
            array = np.ascontiguousarray(np.asarray(value, dtype=np.float32))
            if array.ndim not in (1, 2) or len(array) != n:
                raise InputError(
                    f"Expected the scores '{name}' to have the shape ({n},) or ({n}, K), one row "
                    f"per segment; got {array.shape}."
                )
            scores[str(name)] = _frozen(array)
        object.__setattr__(self, "embeddings", vectors)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "class_names", {int(k): v for k, v in self.class_names.items()})
        object.__setattr__(self, "provenance", dict(self.provenance))

    def _set(self, name: str, value: Any, shape: tuple[int, ...], dtype: Any) -> None:
        array = np.asarray(value, dtype=dtype)
        if len(self.rles) == 0 and array.size == 0:
            array = array.reshape(shape)
        if array.shape != shape:
            raise InputError(
                f"Expected the column '{name}' to have the shape {shape}, one row per segment; "
                f"got {array.shape}."
            )
        object.__setattr__(self, name, _frozen(array))

    # -- reading ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.rles)

    def __repr__(self) -> str:
        vectors = ", ".join(f"{k} ({v.shape[1]}-d)" for k, v in self.embeddings.items()) or "none"
        classes = len(set(self.labels.tolist()) - {-1})
        height, width = self.image_size
        return (
            f"Segments({len(self)} of '{self.image_id}', {width} x {height} px, "
            f"embeddings: {vectors}, classes: {classes})"
        )

    def __iter__(self) -> Iterator[Segments]:
        return (self[i : i + 1] for i in range(len(self)))

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> Segments:
        """Select by slice, boolean mask (N,), or integer ids; always returns Segments."""
        ids = self._ids(index)
        columns = {name: getattr(self, name)[ids] for name in _COLUMNS}
        columns["parent"] = _nearest_kept(self.parent, ids)
        return replace(
            self,
            rles=tuple(self.rles[i] for i in ids),
            embeddings={k: v[ids] for k, v in self.embeddings.items()},
            scores={k: v[ids] for k, v in self.scores.items()},
            **columns,
        )

    def _ids(self, index: Any) -> np.ndarray:
        n = len(self)
        if isinstance(index, slice):
            return np.arange(n)[index]
        array = np.atleast_1d(np.asarray(index))
        if array.dtype == bool:
            if array.shape != (n,):
                raise InputError(
                    f"Expected a boolean mask of shape ({n},), one value per segment; "
                    f"got {array.shape}."
                )
            return np.flatnonzero(array)
        if array.size == 0:
            return np.zeros(0, np.int64)
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise InputError(
                "Expected a slice, a boolean mask or integer ids to select segments; "
                f"got an array of dtype {array.dtype} and shape {array.shape}."
            )
        if array.min() < -n or array.max() >= n:
            raise InputError(
                f"Expected segment ids from 0 to {n - 1}, got {array.min()} to {array.max()}."
            )
        return np.arange(n)[array]

    def mask(self, i: int) -> np.ndarray:
        """The mask of segment i as a boolean array (H, W)."""
        return masks.decode(self.rles[int(self._ids(i)[0])])

    def label_map(self, labels: np.ndarray | None = None, *, background: int = -1) -> np.ndarray:
        """Paint one value per segment; where segments overlap, the smallest is on top.

        Args:
            labels: int (N,) to paint; the segments' own labels by default.
                `np.arange(len(segments))` gives an index map.
            background: Value of pixels that no segment covers.

        Returns:
            int32 (H, W).
        """
        values = self.labels if labels is None else class_ids(labels)
        if values.shape != (len(self),):
            raise InputError(
                f"Expected one label per segment, shape ({len(self)},); got {values.shape}."
            )
        self._require_one_size("label_map")
        wide = np.append(values, background)
        if wide.min() < _INT32.min or wide.max() > _INT32.max:
            raise InputError(
                f"Expected labels from {_INT32.min:,} to {_INT32.max:,}, which a label map holds; "
                f"got {wide.min():,} to {wide.max():,}. Number the classes anew."
            )
        out = np.full(self.image_size, background, np.int32)
        areas = self.areas
        for i in np.argsort(-areas, kind="stable"):
            # Decoding costs what the picture has, coordinates about ten times what the mask has.
            small = 10 * areas[i] < out.size
            where = masks.coordinates(self.rles[i]) if small else masks.decode(self.rles[i])
            out[where] = values[i]
        return out

    def embedding(self, name: str | None = None) -> np.ndarray:
        """The vectors named `name`, or the first ones, float32 (N, D)."""
        if name is None:
            name = next(iter(self.embeddings), None)
        if name is None or name not in self.embeddings:
            have = ", ".join(f"'{k}'" for k in self.embeddings) or "none"
            wanted = "any embedding" if name is None else f"the embedding '{name}'"
            raise InputError(
                f"Expected segments with {wanted}; they have {have}. "
                "Make one with samlab.pool, or use samlab.segment, which pools by itself."
            )
        return self.embeddings[name]

    def class_name(self, label: int) -> str:
        """The name of a class: as given by a person, else "class 3", or "unassigned" for -1."""
        default = "unassigned" if label == -1 else f"class {label}"
        return self.class_names.get(label, default)

    def _require_one_size(self, what: str) -> None:
        if len(self) and self.image_size == (0, 0):
            raise InputError(
                f"{what} needs segments of one picture; these come from pictures of different "
                "sizes. Select one picture first: segments[segments.image_ids == name]."
            )

    # -- changing -----------------------------------------------------------------------------

    def with_labels(
        self, labels: np.ndarray, class_names: Mapping[int, str] | None = None
    ) -> Segments:
        """The same segments with other class ids, int (N,), and optionally their names."""
        names = self.class_names if class_names is None else class_names
        return replace(self, labels=class_ids(labels), class_names=names)

    def with_image_id(self, image_id: str) -> Segments:
        """The same segments as those of the picture named `image_id`, all of them."""
        provenance = renamed(self.provenance, image_id)
        return replace(self, image_id=image_id, image_ids=_DERIVED, provenance=provenance)

    def with_masks(self, rles: Sequence[Rle]) -> Segments:
        """The same segments with N other masks; boxes and areas follow from these."""
        return replace(self, rles=rles, boxes=_DERIVED, areas=_DERIVED)

    def with_embedding(self, name: str, vectors: np.ndarray) -> Segments:
        """The same segments with the vectors (N, D) added, or replaced, under `name`."""
        return replace(self, embeddings={**self.embeddings, name: vectors})

    def with_scores(self, name: str, values: np.ndarray) -> Segments:
        """The same segments with scores (N,) or (N, K) added, or replaced, under `name`."""
        return replace(self, scores={**self.scores, name: values})

    @classmethod
    @checked_arguments
    def concat(cls, parts: Sequence[Segments]) -> Segments:
        """Put segments of several pictures (or runs) into one table, in order.

        Embeddings and scores that not all parts have are left out, scores of another K as well.
        Parts without segments are skipped. A class is known by its name: where parts give one
        number to different names, or different numbers to one name, the later ones take the number
        that the name has or the next free one. Numbers without a name stay as they are.

        Raises:
            InputError: One `image_id` stands for two different pictures.
        """
        full = [part for part in parts if len(part)] or list(parts[:1])
        if not full:
            return cls()
        known = one_picture_each([part.provenance for part in full])
        meant = {"pictures": known} if known else {}
        shared = [k for k in full[0].embeddings if all(k in p.embeddings for p in full)]
        for name in shared:
            widths = sorted({part.embeddings[name].shape[1] for part in full})
            if len(widths) > 1:
                raise InputError(
                    f"Expected the embedding '{name}' with one width in all parts, got "
                    f"{' and '.join(map(str, widths))} numbers: different models made them. Give "
                    "one of them another name, or embed all pictures with one model."
                )
        kinds = {k: {p.scores[k].shape[1:] for p in full if k in p.scores} for k in full[0].scores}
        alike = [k for k in kinds if len(kinds[k]) == 1 and all(k in p.scores for p in full)]
        sizes = {part.image_size for part in full}
        ids = {part.image_id for part in full}
        labels, names = one_numbering([(part.labels, part.class_names) for part in full])
        columns = {
            name: np.concatenate([getattr(part, name) for part in full]) for name in _COLUMNS
        }
        starts = np.repeat(np.cumsum([0, *map(len, full[:-1])]), [len(part) for part in full])
        columns["parent"] = np.where(columns["parent"] < 0, -1, columns["parent"] + starts)
        return cls(
            rles=[rle for part in full for rle in part.rles],
            embeddings={k: np.concatenate([p.embeddings[k] for p in full]) for k in shared},
            scores={k: np.concatenate([p.scores[k] for p in full]) for k in alike},
            image_size=sizes.pop() if len(sizes) == 1 else (0, 0),
            image_id=ids.pop() if len(ids) == 1 else "",
            class_names=names,
            provenance={**full[0].provenance, **meant},
            **{**columns, "labels": np.concatenate(labels)},
        )

    # -- in and out ---------------------------------------------------------------------------

    def to_records(self) -> list[dict[str, Any]]:
        """The records of SAM's automatic mask generator, with COCO RLE masks.

        Boxes become XYWH as in `SamAutomaticMaskGenerator`, whose width and height are one pixel
        smaller than the half-open box (it measures from pixel centre to pixel centre).
        """
        return tables.to_records(self)

    @classmethod
    @checked_arguments
    def from_records(
        cls,
        records: Sequence[Mapping[str, Any]],
        image_size: tuple[int, int] | None = None,
        image_id: str = "",
    ) -> Segments:
        """Take the records of SAM's automatic mask generator, in any of its output modes.

        Args:
            records: Dicts with "segmentation" (binary mask, uncompressed or COCO RLE) and
                optionally "predicted_iou", "stability_score", "point_coords", "level", "parent".
            image_size: (H, W); needed only when `records` is empty.
            image_id: Name of the picture.
        """
        columns = tables.record_columns(records)
        return cls(**columns, image_size=image_size or (0, 0), image_id=image_id)

    def to_pandas(self) -> pd.DataFrame:
        """One row per segment: numbers, class and name; without masks and vectors.

        Scores (N,) are columns named `score_...`.
        """
        return tables.to_pandas(self)

    def to_arrow(self) -> pa.Table:
        """The whole table, masks and vectors included, as Arrow columns."""
        return tables.to_arrow(self)

    @classmethod
    @checked_arguments
    def from_arrow(cls, table: pa.Table) -> Segments:
        """The inverse of `to_arrow`."""
        return cls(**tables.arrow_columns(table))

    def to_parquet(self, path: str | Path) -> Path:
        """Write everything to one Parquet file; whole or not at all. Returns the path."""
        path = Path(path)
        tables.write_table(self.to_arrow(), path)
        return path

    @classmethod
    @checked_arguments
    def from_parquet(cls, path: str | Path) -> Segments:
        """Read a file written by `to_parquet`."""
        return cls.from_arrow(tables.read_parquet(path))


def _nearest_kept(parent: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The column `parent` of the rows `ids`, in their numbers: the nearest forebear among them."""
    place = np.full(len(parent) + 1, -1, np.int64)
    place[ids[::-1]] = np.arange(len(ids))[::-1]  # of a row taken twice, the first
    above = parent[ids]
    for _ in range(len(parent)):
        gone = (above >= 0) & (place[above] < 0)
        if not gone.any():
            break
        above = np.where(gone, parent[above], above)
    return np.where(above >= 0, place[above], -1)


def _frozen(array: np.ndarray) -> np.ndarray:
    """A read-only view (or copy, where the array is not ours to freeze)."""
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array
