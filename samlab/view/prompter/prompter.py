"""The prompter: segments by hand, from points and boxes, with SAM's three masks to choose from."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import traitlets

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.masks import compress
from samlab.segments import Segments
from samlab.view.overlay import overlay, still_scale
from samlab.view.scene import scene
from samlab.view.widget import BaseWidget, colors

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from samlab.sam.fast import ImageEmbedding


@dataclass(frozen=True)
class Proposal:
    """One of the masks that answer a prompt.

    Attributes:
        rle: COCO RLE (H, W).
        area: Pixels.
        predicted_iou: The model's estimate of its own IoU.
        stability: IoU between the mask at a higher and a lower threshold.
    """

    rle: dict[str, Any]
    area: int
    predicted_iou: float
    stability: float


def propose(
    sam: Sam,
    features: ImageEmbedding,
    points: Sequence[Sequence[float]] = (),
    box: Sequence[float] | None = None,
    *,
    decoder: Any = None,
) -> list[Proposal]:
    """SAM's three masks for one prompt, the largest first (whole, part, sub-part).

    Args:
        sam: The model that made the embedding.
        features: The encoded picture.
        points: (x, y, 1) for foreground, (x, y, 0) for background, pixels of the picture.
        box: XYXY in pixels of the picture.
        decoder: From `open_decoder`, where one is open already.

    Returns:
        Three proposals; masks may be empty or equal.
    """
    from samlab.sam.prompt_answers import ask, prompts_for

    coords, kinds, corners = checked_prompt(points, box, features.image_size)
    prompts = prompts_for(
        sam,
        features,
        points=coords[None] if len(coords) else None,
        labels=kinds[None] if len(coords) else None,
        boxes=None if corners is None else corners[None],
    )
    found = ask(sam, features, prompts, decoder=decoder).segments
    columns = (
        found.areas,
        found.predicted_iou,
        found.stability_score,
    )
    proposals = [
        Proposal(rle, int(area), float(iou), float(stability))
        for rle, area, iou, stability in zip(found.rles, *columns, strict=True)
    ]
    return sorted(proposals, key=lambda p: -p.area)


def warm_up(sam: Sam, features: ImageEmbedding, decoder: Any) -> None:
    """Answer one prompt for nobody: the first one in a process compiles, which takes seconds."""
    height, width = features.image_size
    propose(sam, features, [(width / 2, height / 2, 1)], decoder=decoder)


def favourite(proposals: Sequence[Proposal], pixels: int) -> int:
    """Which mask a prompt means, where nobody chooses.

    Of those that the model trusts about as much as the one it trusts most the largest, but for what
    fills most of the picture: a click means the cat, not its eye, and not the wall behind it. The
    same rule as `favourite` in state.js.

    Example:
        >>> eye, cat, wall = (Proposal({}, area, 0.9, 1.0) for area in (10, 2000, 90_000))
        >>> favourite([wall, cat, eye], 100_000)
        1
    """
    best = max(p.predicted_iou for p in proposals)
    alike = [i for i, p in enumerate(proposals) if p.area and p.predicted_iou > best - 0.02]
    return next((i for i in alike if proposals[i].area <= pixels / 2), alike[-1] if alike else 0)


def checked_prompt(
    points: Sequence[Sequence[float]], box: Sequence[float] | None, image_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Points float64 (K, 2), kinds int64 (K,) and the box float64 (4,) or None, inside the picture.

    A point or box that reaches over the border is moved onto it, since a hand on a mouse does that.
    """
    height, width = image_size
    array = np.asarray(points, np.float64)
    if len(points) and (array.shape != (len(points), 3) or not np.isfinite(array).all()):
        raise InputError(
            "Expected points as (x, y, 1) for foreground or (x, y, 0) for background, got "
            f"{list(points)[:3]}."
        )
    array = array.reshape(-1, 3)
    if not np.isin(array[:, 2], (0, 1)).all():
        raise InputError("Expected 1 (foreground) or 0 (background) as the third value of a point.")
    corners = None
    if box is not None:
        corners = np.asarray(box, np.float64)
        if corners.shape != (4,) or not np.isfinite(corners).all():
            raise InputError(f"Expected a box as x0, y0, x1, y1 in pixels, got {box}.")
        corners = corners.clip(0, [width, height, width, height])
        if corners[2] <= corners[0] or corners[3] <= corners[1]:
            raise InputError(f"Expected a box with x1 > x0 and y1 > y0, got {list(box)}.")
    if corners is None and not (array[:, 2] == 1).any():
        raise InputError("Expected at least one foreground point or a box.")
    coords = array[:, :2].clip(0, [width - 1e-3, height - 1e-3])
    return coords, array[:, 2].astype(np.int64), corners


class Prompter(BaseWidget):
    """See `prompt`.

    Attributes:
        kept: What was kept, as dicts; `segments` is the same as a table.
        status: `"encoding"`, `"ready"` or `"failed"`.
    """

    kept = traitlets.List(traitlets.Dict()).tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode("encoding").tag(sync=True)
    _written: ClassVar[tuple[str, ...]] = ("kind", "payload", "kept", "answer", "status")

    def __init__(
        self,
        image: ImageLike,
        sam: Sam | str | Path,
        features: ImageEmbedding | None = None,
        image_id: str = "",
    ) -> None:
        self._pixels = read_image(image)
        self._model = sam
        self._embedding = features
        self._decoder: Any = None
        self._lock = threading.Lock()
        self._proposals: list[Proposal] = []
        self._prompt: dict[str, Any] = {}
        self._image_id = image_id
        height, width = self._pixels.shape[:2]
        nothing = Segments(image_size=(height, width), image_id=image_id)
        super().__init__(
            kind="prompter",
            payload={"title": image_id, "scene": scene(nothing, self._pixels), **colors()},
            status="ready" if features is not None else "encoding",
        )
        if self._live and features is None:
            threading.Thread(target=self._encode, name="samlab-encode", daemon=True).start()

    # -- results --------------------------------------------------------------------------------

    @property
    def segments(self) -> Segments:
        """What was kept: masks, scores, prompts, classes by name, and vectors where encoded."""
        kept = list(self.kept)
        names = list(dict.fromkeys(item["name"] for item in kept if item["name"]))
        size = (int(self._pixels.shape[0]), int(self._pixels.shape[1]))
        result = Segments(
            rles=[{"size": list(size), "counts": item["counts"]} for item in kept],
            predicted_iou=np.array([item["iou"] for item in kept], np.float32),
            stability_score=np.array(
                [np.nan if item["stability"] is None else item["stability"] for item in kept],
                np.float32,
            ),
            points=np.array([item["point"] or [np.nan, np.nan] for item in kept], np.float32),
            labels=np.array(
                [names.index(item["name"]) if item["name"] else -1 for item in kept], np.int64
            ),
            image_size=size,
            image_id=self._image_id,
            class_names=dict(enumerate(names)),
        )
        if self._embedding is None or len(result) == 0:
            return result
        from samlab.latent.embed import pool

        return result.with_embedding("sam", pool(self._embedding, result))

    def ask(
        self, points: Sequence[Sequence[float]] = (), box: Sequence[float] | None = None
    ) -> list[Proposal]:
        """The three masks for a prompt; see `propose`. The picture is encoded on first use."""
        self._encode()
        if self._embedding is None:
            raise InputError(f"The picture could not be encoded: {self.answer.get('text')}")
        if self._decoder is None:
            from samlab.sam.fast import open_decoder

            self._decoder = open_decoder(self._sam(), self._embedding)
        return propose(self._sam(), self._embedding, points, box, decoder=self._decoder)

    def keep(
        self,
        proposal: Proposal,
        name: str = "",
        points: Sequence[Sequence[float]] = (),
    ) -> None:
        """Add a mask to `segments`, optionally with the name of a class."""
        if proposal.area == 0:
            raise InputError("Expected a mask with at least one pixel, got an empty one.")
        first = next(([float(p[0]), float(p[1])] for p in points if p[2] == 1), None)
        stability = round(proposal.stability, 4) if np.isfinite(proposal.stability) else None
        self.kept = [
            *self.kept,
            {
                "counts": proposal.rle["counts"], "area": proposal.area,
                "iou": round(proposal.predicted_iou, 4), "stability": stability,
                "point": first, "name": name.strip(),
            },
        ]  # fmt: skip

    def find(self, texts: Sequence[str], model: Any = "sam3", **options: Any) -> int:
        """Keep what words or example boxes name, as in `samlab.segment_text`.

        Args:
            texts: Such as `["yellow taxi"]`; what is found is kept under its text.
            model: SAM 3, or a model such as CLIP, which chooses among this model's masks.
            **options: Of `segment_text`: `examples` and `example_labels` for SAM 3, `threshold`.

        Returns:
            How many masks were kept.
        """
        from samlab.pipeline.prompting import segment_text

        found = segment_text(self._pixels, texts, sam=self._model, model=model, **options)
        for i, rle in enumerate(found.rles):
            score, stability = float(found.predicted_iou[i]), float(found.stability_score[i])
            one = Proposal(compress(rle), int(found.areas[i]), score, stability)
            self.keep(one, found.class_names[int(found.labels[i])])
        return len(found)

    # -- inside ---------------------------------------------------------------------------------

    def _sam(self) -> Any:
        if isinstance(self._model, (str, os.PathLike)):
            from samlab.sam.load import load_sam

            self._model = load_sam(self._model)
        return self._model

    def _encode(self) -> None:
        with self._lock:
            if self._embedding is not None:
                return
            try:
                from samlab.sam.fast import encode, open_decoder

                features = encode(self._pixels, self._sam())
                self._decoder = open_decoder(self._sam(), features)
                warm_up(self._sam(), features, self._decoder)
                self._embedding = features
                self.status = "ready"
            except Exception as error:  # noqa: BLE001 (a thread has no one else to tell)
                self.answer = {"text": f"{type(error).__name__}: {error}"}
                self.status = "failed"

    def _handle(self, content: dict[str, Any]) -> None:
        kind = content.get("kind")
        if kind == "prompt":
            points, box = content.get("points") or [], content.get("box")
            self._proposals = self.ask(points, box)
            self._prompt = {"points": points, "box": box}
            self.answer = {
                "turn": content.get("turn"),
                "masks": [
                    {"counts": p.rle["counts"], "area": p.area, "iou": round(p.predicted_iou, 4)}
                    for p in self._proposals
                ],
            }
        elif kind == "keep":
            choice = int(content["choice"])
            if not 0 <= choice < len(self._proposals):
                raise InputError(f"Expected a choice below {len(self._proposals)}, got {choice}.")
            self.keep(self._proposals[choice], str(content.get("name", "")), self._prompt["points"])
        elif kind == "drop":
            gone = {int(i) for i in content["ids"]}
            self.kept = [item for i, item in enumerate(self.kept) if i not in gone]
        elif kind == "name":
            chosen, name = {int(i) for i in content["ids"]}, str(content["name"]).strip()
            self.kept = [
                {**item, "name": name} if i in chosen else item for i, item in enumerate(self.kept)
            ]

    def _still(self) -> np.ndarray:
        return overlay(self.segments, self._pixels, by="segment", scale=still_scale(self._pixels))

    def __repr__(self) -> str:
        return f"Prompter({len(self.kept)} segments kept, {self.status})"


@checked_arguments
def prompt(
    image: ImageLike,
    sam: Sam | str | Path = "tiny",
    *,
    features: ImageEmbedding | None = None,
    image_id: str | None = None,
) -> Prompter:
    """Segment by hand: click points, drag boxes, choose among three masks, keep.

    A click is a foreground point, with Shift a background point; a drag is a box. Of the three
    masks (whole, part, sub-part) one is chosen by a click or by the keys 1 to 3, Enter keeps it,
    Ctrl+Z takes the last point back. Without a mouse, arrow keys move a crosshair, and Space marks
    there. The picture is encoded once, beside the notebook's other work.

    Args:
        image: The picture.
        sam: A model from `load_sam`, or a name or path for it.
        features: The encoded picture, if it is at hand.
        image_id: Name of the picture; the file's name by default.

    Returns:
        The widget; `prompter.segments` is what was kept, at any time, and
        `prompter.find(["yellow taxi"])` keeps what SAM 3 finds for words or example boxes.

    Example:
        >>> prompter = prompt(np.zeros((8, 8, 3), np.uint8), "tiny")
        >>> len(prompter.segments)
        0
    """
    name = image_id
    if name is None:
        name = Path(image).name if isinstance(image, (str, os.PathLike)) else ""
    return Prompter(image, sam, features, name)
