"""What is done to each picture of a run: masks, vectors, classes.

A `Recipe` is plain values: it can be sent to another process, which builds the model from it. Its
`settings` say what decides the results; they need no model, only the weights' hash.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from samlab.errors import InputError
from samlab.runs.engine.fingerprint import fingerprint
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

#: Pictures, uint8 (H, W, 3), to their segments, in the same order.
Work: TypeAlias = Callable[[Sequence[np.ndarray]], Sequence[Segments]]
#: Segments to the same with classes, and further columns (N,) for the table.
Classify: TypeAlias = Callable[[Segments], tuple[Segments, Mapping[str, np.ndarray]]]

# Arguments of MaskGenerator that change how fast it is and not what it finds.
_NO_MATTER = {"self", "sam", "points_per_batch", "output_mode", "progress", "compile"}


def _no_options() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Recipe:
    """How to make the segments of a picture.

    Attributes:
        sam: A name or path for `load_sam`, or a model (then only in this process).
        how: Pooling of SAM's own features, `"coverage"` or `"any"`.
        embed: Vectors to make: `"sam"`, `"colour_texture"`, names of models of the transformers
            library, or embedders.
        device: Where the model runs; None for the best.
        options: Arguments of `MaskGenerator`.
    """

    sam: str | os.PathLike[str] | Sam = "tiny"
    how: str = "coverage"
    embed: tuple[Any, ...] = ("sam",)
    device: str | None = None
    options: Mapping[str, Any] = field(default_factory=_no_options)

    def __post_init__(self) -> None:
        if self.how not in ("coverage", "any"):
            raise InputError(f"Expected how='coverage' or how='any', got {self.how!r}.")
        for one in self.embed:
            if not (isinstance(one, str) or (callable(one) and hasattr(one, "name"))):
                raise InputError(
                    "Expected embed to hold 'sam', 'colour_texture', names of transformers models "
                    f"or embedders with a name; got {one!r}."
                )

    @property
    def portable(self) -> bool:
        """Whether another process can build it."""
        return isinstance(self.sam, (str, os.PathLike))

    def settings(self) -> dict[str, Any]:
        """What decides the results, as JSON-able values.

        Raises:
            InputError: An option that MaskGenerator does not have.
            CheckpointError: There are no such weights.
        """
        model, weights = self._origin()
        return {
            "model": model,
            "weights_sha256": weights,
            "pooling": self.how,
            "embed": [_embedder_name(one) for one in self.embed],
            "masks": _options(self.options),
        }

    def absolute(self) -> Recipe:
        """The same for another working directory: a checkpoint's path in full."""
        if self.portable and os.path.isfile(self.sam):
            return replace(self, sam=os.path.abspath(self.sam))
        return self

    def build(self) -> SamWork:
        """Load the model."""
        return SamWork(self)

    def _origin(self) -> tuple[str, str]:
        """Name of the model and SHA-256 of its weights."""
        if self.portable:
            from samlab.sam import checkpoints
            from samlab.sam.checkpoints import sha256

            found = checkpoints.fetch(self.sam)
            known = found.name in checkpoints.names()
            return found.name if known else found.path.name, sha256(found.path)
        from samlab.sam.provenance import model_name, weights_sha256

        model: Any = self.sam
        return model_name(model), weights_sha256(model)


class SamWork:
    """The model of a recipe, at work on batches of pictures. Gives what `samlab.segment` gives."""

    def __init__(self, recipe: Recipe) -> None:
        from samlab.sam.automatic import MaskGenerator
        from samlab.sam.load import load_sam

        self.recipe = recipe
        self.settings = recipe.settings()
        sam: Any = recipe.sam
        self.sam = load_sam(sam, device=recipe.device) if recipe.portable else sam
        self.generator = MaskGenerator(self.sam, **recipe.options)
        self.embedders = [_embedder(e, self.sam) for e in recipe.embed if e != "sam"]

    @property
    def batch(self) -> int:
        """Pictures that the encoder takes at once: one on a CPU, where more gain nothing."""
        return 1 if self.sam.device.type == "cpu" else 8

    def __call__(self, images: Sequence[np.ndarray]) -> list[Segments]:
        """Segments with vectors for pictures of any sizes, uint8 (H, W, 3)."""
        from samlab.latent.embed import pool
        from samlab.sam.fast import encode_batch

        encoded = encode_batch(
            images, self.sam, dtype=self.generator.dtype, compile=self.generator.compile,
            batch_size=len(images),
        )  # fmt: skip
        found = []
        for image, embedding in zip(images, encoded, strict=True):
            segments = self.generator.segments(image, features=embedding)
            if "sam" in self.recipe.embed:
                vectors = pool(embedding, segments, self.recipe.how)  # type: ignore[arg-type]
                segments = segments.with_embedding("sam", vectors)
            for embedder in self.embedders:
                segments = segments.with_embedding(embedder.name, embedder(image, segments))
            found.append(replace(segments, provenance=self.settings))
        return found


def classifier(classify: Any) -> tuple[Classify | None, dict[str, Any] | None]:
    """What gives classes to a run's segments, and the settings that describe it.

    Args:
        classify: None; a memory bank or the path of its file; or any object whose
            `classify(segments)` returns labels (N,), or an object with `labels`, and optionally
            `class_names` and `confidence`.
    """
    if classify is None:
        return None, None
    if isinstance(classify, (str, os.PathLike)):
        from samlab.bank.memory_bank import MemoryBank

        classify = MemoryBank.load(os.fspath(classify))
    if not callable(getattr(classify, "classify", None)):
        raise InputError(
            "Expected classify to be a MemoryBank, the path of one, or an object with a method "
            f"classify(segments); got {type(classify).__name__}."
        )

    def give(segments: Segments) -> tuple[Segments, Mapping[str, np.ndarray]]:
        answer = classify.classify(segments)
        labels = np.asarray(getattr(answer, "labels", answer), np.int64)
        names = getattr(answer, "class_names", None) or {}
        if not isinstance(names, Mapping):
            names = {-1: "unknown", **dict(enumerate(names))}
        confidence = getattr(answer, "confidence", None)
        columns = {} if confidence is None else {"confidence": np.asarray(confidence, np.float32)}
        return segments.with_labels(labels, names), columns

    about = {"kind": type(classify).__name__, "fingerprint": fingerprint(classify)}
    return give, about


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument of MaskGenerator that decides the masks, defaults included."""
    from samlab.sam.automatic import MaskGenerator

    parameters = inspect.signature(MaskGenerator).parameters
    unknown = [name for name in given if name not in parameters or name == "sam"]
    if unknown:
        known = ", ".join(name for name in parameters if name != "sam")
        raise InputError(f"Expected options of MaskGenerator ({known}); got {', '.join(unknown)}.")
    values = {n: given.get(n, p.default) for n, p in parameters.items() if n not in _NO_MATTER}
    plain = (str, int, float, bool, type(None))
    return {
        name: value if isinstance(value, plain) else _plain(value) for name, value in values.items()
    }


def _plain(value: Any) -> str:
    """Grids of points by their hash, a torch dtype by its name."""
    return str(value) if type(value).__module__ == "torch" else fingerprint(value)


def _embedder_name(embedder: Any) -> str:
    return embedder if isinstance(embedder, str) else str(embedder.name)


def _embedder(embedder: Any, sam: Sam) -> Any:
    if not isinstance(embedder, str):
        return embedder
    from samlab.latent.embed import ColourTexture, TransformersEmbedder

    if embedder == ColourTexture.name:
        return ColourTexture()
    return TransformersEmbedder(embedder, device=str(sam.device))
