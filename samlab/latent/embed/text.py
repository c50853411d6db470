"""Segments by words: crops of segments against texts, in the space of CLIP or SigLIP.

The released SAM has no text encoder. So segments come first, from the mask generator, and each is
shown to a model that knows pictures and texts: cut out, at several sizes, with its surroundings
blurred.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike
from samlab.latent.embed.crops import Outside, square_crops
from samlab.latent.embed.embedders import embed
from samlab.latent.embed.text_model import DEFAULT, TextModel, TransformersText
from samlab.latent.vectors import unit
from samlab.segments import Segments

if TYPE_CHECKING:
    import pandas as pd

SCORES = "text"
"""Name under which `Segments.scores` keeps the scores, float32 (N, T), one column per text."""

_CROPS_AT_ONCE = 128


class TextEmbedder:
    """Vectors of segments that can be compared with texts; `samlab.embed` takes it.

    Args:
        model: A name on the Hugging Face hub, a folder, a pair (model, processor), or anything
            with the members of `TextModel`.
        crops: Sides of the square crops in longer sides of the segment's box. The vectors of all
            crops, scaled to length 1, are averaged.
        outside: What becomes of the pixels outside a mask: `"blur"`, `"grey"` or `"keep"`.
        device: torch device.
        download: Fetch a model that is not on this machine.
        progress: Show a bar over the crops.
    """

    @checked_arguments
    def __init__(
        self,
        model: Any = DEFAULT,
        *,
        crops: Sequence[float] = (1.0, 1.5),
        outside: Outside = "blur",
        device: str = "cpu",
        download: bool = True,
        progress: bool = False,
    ) -> None:
        if len(crops) == 0:
            raise InputError("Expected at least one crop, such as crops=(1.0,); got none.")
        ready = hasattr(model, "text_vectors")
        self.model: TextModel = (
            model if ready else TransformersText(model, device=device, download=download)
        )
        self.name = self.model.name
        self.crops, self.outside, self.progress = tuple(crops), outside, progress

    def __call__(self, image: np.ndarray, segments: Segments) -> np.ndarray:
        """Unit vectors, float32 (N, D)."""
        parts = []
        total = len(segments) * len(self.crops)
        with tqdm(total=total, desc="Crops", unit="crop", disable=not self.progress) as bar:
            for start in range(0, max(len(segments), 1), _CROPS_AT_ONCE):
                some = segments[start : start + _CROPS_AT_ONCE]
                seen = []
                for enlarge in self.crops:
                    crops = square_crops(
                        image, some, enlarge=enlarge, size=self.model.size,
                        outside=self.outside, fill=self.model.fill,
                    )  # fmt: skip
                    seen.append(unit(self.model.image_vectors(list(crops))))
                    bar.update(len(some))
                parts.append(unit(np.mean(seen, axis=0)))
        return np.concatenate(parts).astype(np.float32)


@dataclass(frozen=True, eq=False)
class TextScores:
    """How well N segments fit T texts.

    Attributes:
        texts: T texts; background: B texts for everything else.
        cosines: float32 (N, T).
        scores: float32 (N, T), the model's probabilities, 0 .. 1. CLIP's are shares among all texts
            and backgrounds, SigLIP's stand each for itself.
        background_cosines: float32 (N, B).
    """

    texts: tuple[str, ...]
    background: tuple[str, ...]
    cosines: np.ndarray
    scores: np.ndarray
    background_cosines: np.ndarray

    def choose(
        self, threshold: float | None = None, top_k: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which segments answer, and which text each: ids (n,) and labels (n,), int64.

        Every segment belongs to the text that fits it best. Without `top_k` it answers if that
        text also fits better than every background; with `top_k` the k best segments of each text
        answer, whatever the background. `threshold` drops scores below it in both cases. Sorted by
        text, then best first.
        """
        _check_choice(threshold, top_k)
        label = self.cosines.argmax(axis=1) if self.cosines.size else np.zeros(0, np.int64)
        rows = np.arange(len(label))
        best = self.cosines[rows, label]
        keep = np.ones(len(label), bool)
        if top_k is None and len(self.background):
            keep &= best > self.background_cosines.max(axis=1)
        if threshold is not None:
            keep &= self.scores[rows, label] >= threshold
        order = np.lexsort((-best, label))
        order = order[keep[order]]
        if top_k is not None:
            starts = np.searchsorted(label[order], np.arange(len(self.texts)))
            order = order[np.arange(len(order)) - starts[label[order]] < top_k]
        return order.astype(np.int64), label[order].astype(np.int64)


def score_texts(
    segments: Segments, texts: Sequence[str], model: TextEmbedder, background: Sequence[str] = ()
) -> TextScores:
    """Compare segments that have this embedder's vectors with texts.

    Args:
        segments: N segments, from `samlab.embed(image, segments, model)`.
        texts: T texts, say `["a dog", "a bicycle"]`. Thousands are fine.
        model: The embedder that made the vectors.
        background: Texts for everything else.
    """
    asked, others = check_texts(texts, background)
    words = unit(model.model.text_vectors([*asked, *others]))
    cosines = segments.embedding(model.name) @ words.T.astype(np.float32)
    scores = model.model.probabilities(cosines) if len(cosines) else cosines
    count = len(asked)
    return TextScores(
        asked,
        others,
        cosines[:, :count],
        np.asarray(scores[:, :count], np.float32),
        cosines[:, count:],
    )


def label_with_texts(
    image: ImageLike,
    segments: Segments,
    texts: Sequence[str],
    model: TextEmbedder,
    *,
    background: Sequence[str] = (),
    threshold: float | None = None,
    top_k: int | None = None,
) -> Segments:
    """Keep the segments that answer to texts, labelled; see `samlab.segment_text`."""
    asked, others = check_texts(texts, background)  # before the work, not after it
    _check_choice(threshold, top_k)
    _check_contrast(asked, others, threshold, top_k, model)
    seen = embed(image, segments, model)
    found = score_texts(seen, asked, model, others)
    ids, labels = found.choose(threshold, top_k)
    note = {"model": model.name, "texts": list(asked), "background": list(others),
            "crops": list(model.crops), "outside": model.outside, "threshold": threshold,
            "top_k": top_k, "segments": len(segments)}  # fmt: skip
    kept = seen.with_scores(SCORES, found.scores)[ids]
    kept = kept.with_labels(labels, dict(enumerate(asked)))
    return replace(kept, provenance={**segments.provenance, "text": note})


@checked_arguments
def text_table(segments: Segments) -> pd.DataFrame:
    """The scores of `samlab.segment_text` as a table: one row per segment, one column per text."""
    import pandas as pd

    texts = dict(segments.provenance).get("text", {}).get("texts")
    if texts is None or SCORES not in segments.scores:
        raise InputError("Expected segments from samlab.segment_text; these have no text scores.")
    table = pd.DataFrame(segments.scores[SCORES], columns=texts)
    table.insert(0, "text", [segments.class_name(int(i)) for i in segments.labels])
    table.index.name = "segment"
    return table


@checked_arguments
def search_text(
    texts: Sequence[str],
    segments: Segments,
    images: Mapping[str, ImageLike] | str | os.PathLike[str] | None = None,
    *,
    model: Any = DEFAULT,
    k: int = 10,
    background: Sequence[str] = (),
) -> pd.DataFrame:
    """The segments of many pictures that fit each text best.

    Args:
        texts: T texts.
        segments: Segments of any number of pictures, say `Segments.concat(...)` of a folder's. With
            this model's vectors (`samlab.embed(image, segments, TextEmbedder(...))` for each
            picture, kept in Parquet) a query costs only the texts.
        images: Where the pictures are, needed only if the vectors are not there: a folder whose
            file names are the segments' `image_ids`, or a mapping from those to pictures.
        model: The `TextEmbedder`, or anything it takes.
        k: Segments per text; fewer if there are fewer.
        background: Texts for everything else; with CLIP they take their share of the score.

    Returns:
        One row per text and segment, best first: text, rank (from 1), image_id, segment (the row in
        `segments`), cosine, score, area. `segments[table.segment]` are the segments themselves.
    """
    import pandas as pd

    check_texts(texts, background)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InputError(f"Expected k as a whole number of at least 1, got {k!r}.")
    embedder = model if isinstance(model, TextEmbedder) else TextEmbedder(model)
    seen = segments
    if embedder.name not in segments.embeddings:
        seen = _embedded(segments, images, embedder)
    found = score_texts(seen, texts, embedder, background)
    rows = []
    for i, text in enumerate(found.texts):
        for rank, row in enumerate(np.argsort(-found.cosines[:, i], kind="stable")[:k], 1):
            rows.append((text, rank, str(segments.image_ids[row]), int(row),
                         float(found.cosines[row, i]), float(found.scores[row, i]),
                         int(segments.areas[row])))  # fmt: skip
    columns = ["text", "rank", "image_id", "segment", "cosine", "score", "area"]
    return pd.DataFrame(rows, columns=columns)


# ---------------------------------------------------------------- checks and small things


def check_texts(
    texts: Sequence[str], background: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Refuse what cannot be asked; returns both as tuples."""
    for name, given in (("texts", texts), ("background", background)):
        if isinstance(given, str):
            raise InputError(f"Expected {name} as a list, got one string; write [{given!r}].")
        for i, text in enumerate(given):
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"Expected words in {name}; number {i} is {text!r}.")
    if len(texts) == 0:
        raise InputError('Expected at least one text, such as ["a dog"]; got none.')
    seen: set[str] = set()
    for text in [*texts, *background]:
        if text in seen:
            raise InputError(f"Expected texts that differ; {text!r} is given twice.")
        seen.add(text)
    return tuple(texts), tuple(background)


def _check_choice(threshold: float | None, top_k: int | None) -> None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"Expected a threshold from 0 to 1, got {threshold}.")
    if top_k is not None and (isinstance(top_k, bool) or top_k != int(top_k) or top_k < 1):
        raise InputError(f"Expected top_k as a whole number of at least 1, got {top_k}.")


def _check_contrast(
    texts: tuple[str, ...],
    background: tuple[str, ...],
    threshold: float | None,
    top_k: int | None,
    model: TextEmbedder,
) -> None:
    """One text and nothing beside it: every segment would be its answer."""
    alone = len(texts) == 1 and not background
    if alone and top_k is None and (threshold is None or not getattr(model.model, "sigmoid", 0)):
        raise InputError(
            f"Expected something beside the one text {texts[0]!r}, else every segment is an "
            'answer to it: further texts, background=["background"], or top_k.'
        )


def _embedded(
    segments: Segments,
    images: Mapping[str, ImageLike] | str | os.PathLike[str] | None,
    embedder: TextEmbedder,
) -> Segments:
    """The segments with this embedder's vectors, picture by picture."""
    if images is None:
        raise InputError(
            f"Expected segments with the vectors '{embedder.name}', or images to make them from: "
            "pass images, a folder or a mapping from image_id to picture."
        )
    names = segments.image_ids
    vectors: np.ndarray | None = None
    for name in dict.fromkeys(names.tolist()):
        if isinstance(images, Mapping):
            if name not in images:
                raise InputError(f"Expected a picture for '{name}' in images; it is not there.")
            picture: ImageLike = images[name]
        else:
            picture = Path(images) / name
        rows = np.flatnonzero(names == name)
        part = embed(picture, segments[rows], embedder).embedding(embedder.name)
        if vectors is None:
            vectors = np.zeros((len(segments), part.shape[1]), np.float32)
        vectors[rows] = part
    if vectors is None:
        vectors = embedder(np.zeros((1, 1, 3), np.uint8), segments)
    return segments.with_embedding(embedder.name, vectors)
