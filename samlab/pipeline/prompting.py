"""Words and detections to labelled segments: what other models know, with SAM's masks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.latent.embed import Outside
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

DETECTION_SCORE = "detection"
"""Name under which `Segments.scores` keeps the detector's scores, float32 (N,)."""


@checked_arguments
def segment_text(
    image: ImageLike,
    texts: Sequence[str],
    *,
    sam: str | Path | Sam = "tiny",
    model: Any = "openai/clip-vit-base-patch32",
    segments: Segments | None = None,
    examples: Any = None,
    example_labels: Any = None,
    background: Sequence[str] = ("background",),
    threshold: float | None = None,
    top_k: int | None = None,
    crops: Sequence[float] = (1.0, 1.5),
    outside: Outside = "blur",
    device: str | None = None,
    progress: bool = False,
    **options: Any,
) -> Segments:
    """Segment what words name, such as `["a dog", "a bicycle"]`.

    SAM's mask generator finds everything in the picture; CLIP or SigLIP then tells which text each
    segment fits. With `model="sam3"` SAM 3 finds the instances itself. Needs
    `pip install "samlab[hf]"`.

    SAM 3 is better where the concept is a thing to be counted ("yellow taxi"): it finds small and
    touching instances that no grid of points finds, and nothing where there is none. CLIP is better
    for open questions (moods, materials, thousands of texts at a time, or segments that are there
    already), runs on any model's masks, and its weights are open; those of SAM 3 are gated.

    Args:
        image: Path, PIL image or array.
        texts: T texts, in the words a caption would use. Thousands are fine.
        sam: A model from `load_sam`, or a name or path for it.
        model: A name on the Hugging Face hub, a folder, a pair (model, processor) of transformers,
            or a `TextEmbedder`, which brings its own `crops` and `outside`. Or "sam3", a folder of
            it, or a pair (Sam3Model, processor); `sam`, `background`, `crops`, `outside` and the
            options of `MaskGenerator` play no part then.
        examples: Only for SAM 3: boxes (B, 4) XYXY in pixels around examples of what is meant, in
            this picture. There may be no texts then.
        example_labels: Only for SAM 3: (B,), 1 for an example, 0 for a counter-example.
        segments: Segments of this picture, where they are there already; `sam` is not used then.
        background: Texts for everything else: a segment that fits one of them better than any of
            `texts` is dropped (unless `top_k` is given).
        threshold: Drop segments whose score is lower, 0 .. 1; 0.5 by default with SAM 3.
        top_k: Keep the k best segments of each text, however well the background fits.
        crops, outside: What the model sees of a segment; see `TextEmbedder`.
        device: Where to load models that are given by name.
        progress: Show a bar over the crops.
        **options: Any argument of `MaskGenerator`.

    Returns:
        The segments that answer, sorted by text, then best first. `labels` are the numbers of the
        texts and `class_names` the texts; `scores["text"]`, float32 (N, T), is the score of every
        segment for every text, and `samlab.text_table` shows it. The model's own vectors
        are there too, so that `samlab.search_text` needs no picture. May be empty. With SAM 3 a
        segment answers one text and scores 0 for the others, and its vector, "sam", is pooled from
        the detector's own features.

    Example: `samlab.segment_text("street.jpg", ["a bicycle", "a dog"], sam="vit_h")`.
    """
    if not isinstance(model, str) or "sam3" in model or Path(model).exists():
        from samlab.sam.concepts import is_concepts

        if is_concepts(model):
            return _segment_concepts(
                image, texts, model, segments, examples, example_labels, threshold, top_k, device
            )
    if examples is not None or example_labels is not None:
        raise InputError(
            "Expected examples only with SAM 3, which takes them: segment_text(image, texts, "
            f"model='sam3', examples=boxes); the model is {model!r}."
        )
    from samlab.latent.embed import TextEmbedder, check_texts, label_with_texts
    from samlab.pipeline.segment import segment

    check_texts(texts, background)
    embedder = model
    if not isinstance(model, TextEmbedder):
        embedder = TextEmbedder(
            model, crops=crops, outside=outside, device=device or "cpu", progress=progress
        )
    pixels = read_image(image)
    found = segment(image, sam, device=device, **options) if segments is None else segments
    return label_with_texts(
        pixels, found, texts, embedder, background=background, threshold=threshold, top_k=top_k
    )


def _segment_concepts(
    image: ImageLike,
    texts: Sequence[str],
    model: Any,
    segments: Segments | None,
    examples: Any,
    example_labels: Any,
    threshold: float | None,
    top_k: int | None,
    device: str | None,
) -> Segments:
    """`segment_text` through SAM 3's detector."""
    from samlab.latent.embed import pool
    from samlab.sam.concepts import VISUAL, load_concepts

    if segments is not None:
        raise InputError(
            "Expected no segments with SAM 3, which finds its own. Leave them out, or use CLIP, "
            "which ranks segments: model='openai/clip-vit-base-patch32'."
        )
    pixels = read_image(image)
    concepts = load_concepts(model, device=device)
    least = 0.5 if threshold is None else threshold
    found = concepts.find(pixels, texts, boxes=examples, box_labels=example_labels, threshold=least)
    keep = found.segments.areas > 0
    if top_k is not None:
        first = np.searchsorted(found.text, found.text)  # sorted by text, then best first
        keep &= np.arange(len(found.text)) - first < top_k
    kept, text = found.segments[keep], found.text[keep]
    names = list(texts) or [VISUAL]
    scores = np.zeros((len(kept), len(names)), np.float32)
    scores[np.arange(len(kept)), text] = kept.predicted_iou
    note = {"model": "sam3", "texts": names, "threshold": least, "top_k": top_k,
            "examples": 0 if examples is None else len(examples)}  # fmt: skip
    kept = kept.with_labels(text, dict(enumerate(names))).with_scores("text", scores)
    kept = kept.with_embedding("sam", pool(found.features, kept))
    name = Path(image).name if isinstance(image, (str, os.PathLike)) else ""
    provenance = {
        "model": "sam3",
        "weights_sha256": concepts.weights_sha256,
        "features": "detector's features",
        "text": note,
    }
    return replace(kept.with_image_id(name), provenance=provenance)


@checked_arguments
def segment_detections(
    image: ImageLike,
    detections: Any,
    *,
    scores: Any = None,
    labels: Any = None,
    class_names: Mapping[int, str] | Sequence[str] | None = None,
    threshold: float = 0.0,
    sam: str | Path | Sam = "tiny",
    refine: int = 0,
    image_id: str | None = None,
) -> Segments:
    """Turn the boxes of any detector into labelled masks, each with its vector.

    Args:
        image: Path, PIL image or array.
        detections: Boxes (N, 4) XYXY in pixels; or a mapping with "boxes", "scores", "labels"
            (torchvision); or a list of COCO results; or an object with `xyxy`, `confidence` and
            `class_id` (`supervision.Detections`).
        scores, labels: (N,) each, with an array of boxes. Labels may be class names.
        class_names: Names of the class ids, a mapping or a list.
        threshold: Leave out detections with a lower score.
        sam: A model from `load_sam`, or a name or path for it.
        refine: See `segment_points`.
        image_id: Name of the picture; the file's name by default.

    Returns:
        One segment per detection that is left, in order, with `labels`, `class_names` and vectors
        "sam"; the detector's scores are `scores["detection"]`, float32 (N,). Boxes that reach over
        the edge are clipped; those outside or without area are left out with a warning.
        `provenance["detections"]` counts what was left out and names, as "rows", the number of each
        segment's detection. A mask may be empty.

    Example:
        >>> import skimage.data
        >>> boxes = [[190, 98, 251, 160], [255, 90, 310, 145]]
        >>> found = segment_detections(skimage.data.coins(), boxes, labels=["coin", "coin"])
        >>> len(found), found.class_names
        (2, {0: 'coin'})
    """
    from samlab.formats.detections import read_detections
    from samlab.latent.embed import pool
    from samlab.sam.prompts import opened, segment_boxes

    pixels = read_image(image)
    found = read_detections(
        detections, (pixels.shape[0], pixels.shape[1]), scores=scores, labels=labels,
        class_names=class_names, threshold=threshold,
    )  # fmt: skip
    model, embedding = opened(pixels, sam)
    name = image_id
    if name is None:
        name = Path(image).name if isinstance(image, (str, os.PathLike)) else ""
    segments = segment_boxes(embedding, found.boxes, sam=model, refine=refine, image_id=name)
    note = {"given": found.given, "rows": found.rows.tolist(), "threshold": threshold,
            "left_out": {why: len(which) for why, which in found.left_out.items()}}  # fmt: skip
    return replace(
        segments,
        labels=found.labels,
        class_names=found.class_names,
        embeddings={"sam": pool(embedding, segments)},
        scores={DETECTION_SCORE: np.asarray(found.scores)},
        provenance={**segments.provenance, "detections": note},
    )
