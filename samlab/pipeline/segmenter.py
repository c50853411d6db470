"""The main job with a model at hand, and the plain values that say how it is done.

`samlab.segment`, runs and the annotator all go through `Segmenter`. A `SegmenterConfig` can be sent
to another process, which builds the segmenter from it; its `settings` say what decides the results,
and need no model, only the weights' hash.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from samlab.errors import InputError
from samlab.errors.arguments import did_you_mean
from samlab.pipeline.fingerprint import fingerprint
from samlab.process.progress import stage
from samlab.segments import Segments

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from samlab.sam.fast import ImageEmbedding

#: Pictures, uint8 (H, W, 3), to their segments, in the same order; a `Segmenter` is one.
SegmentBatch: TypeAlias = Callable[[Sequence[np.ndarray]], Sequence[Segments]]

# Arguments of MaskGenerator that change how fast it is and not what it finds.
_NO_MATTER = {"self", "sam", "points_per_batch", "output_mode", "progress", "compile"}


class Segmenter:
    """A model that segments pictures of any sizes and gives each segment its vectors.

    Args:
        sam: The model.
        how: Pooling of SAM's own features, `"coverage"` or `"any"`.
        embed: As in `SegmenterConfig`.
        **options: Arguments of `MaskGenerator`.

    Example:
        >>> from samlab.sam.load import load_sam
        >>> segmenter = Segmenter(load_sam("tiny"), points_per_side=2)
        >>> [segments] = segmenter([np.zeros((32, 48, 3), np.uint8)])
        >>> segments.image_size, segments.provenance["model"]
        ((32, 48), 'tiny')
    """

    def __init__(
        self, sam: Sam, how: str = "coverage", embed: Sequence[Any] = ("sam",), **options: Any
    ) -> None:
        from samlab.sam.automatic import MaskGenerator

        self.sam, self.how = sam, how
        self.generator = MaskGenerator(sam, **options)
        self._with_sam = "sam" in embed
        self._embedders = [_embedder(one, sam) for one in embed if one != "sam"]

    @property
    def batch(self) -> int:
        """Pictures that the encoder takes at once: one on a CPU, where more gain nothing."""
        return 1 if self.sam.device.type == "cpu" else 8

    def __call__(self, images: Sequence[np.ndarray]) -> list[Segments]:
        """Segments with vectors for pictures of any sizes, uint8 (H, W, 3), encoded together."""
        from samlab.sam.fast import encode_batch

        encoded = encode_batch(
            images, self.sam, dtype=self.generator.dtype, compile=self.generator.compile,
            batch_size=len(images),
        )  # fmt: skip
        pairs = zip(images, encoded, strict=True)
        return [self.from_features(image, features) for image, features in pairs]

    def from_features(self, image: np.ndarray, features: ImageEmbedding) -> Segments:
        """The same for a picture, uint8 (H, W, 3), that this model has encoded already."""
        import torch

        from samlab.latent.embed import pool
        from samlab.latent.partition import with_parents
        from samlab.sam.provenance import origin

        segments = self.generator.segments(image, features=features)
        if self._with_sam:
            vectors = pool(features, segments, self.how)  # type: ignore[arg-type]
            segments = segments.with_embedding("sam", vectors)
        for embedder in self._embedders:
            with stage(f"Vectors ({embedder.name})"):
                segments = segments.with_embedding(embedder.name, embedder(image, segments))
        # Sums of floating-point numbers depend on how many threads share them.
        threads = torch.get_num_threads()
        about = {**origin(self.sam), **segments.provenance, "pooling": self.how, "threads": threads}
        return replace(with_parents(segments), provenance=about)


def _no_options() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class SegmenterConfig:
    """How to make the segments of a picture.

    Attributes:
        sam: A name or path for `load_sam`, or a model (then only in this process).
        how: Pooling of SAM's own features, `"coverage"` or `"any"`.
        embed: Vectors to make: `"sam"`, `"colour_texture"`, names of models of the transformers
            library, or embedders.
        device: Where to load the model; None for the best.
        options: Arguments of `MaskGenerator`.
    """

    sam: str | os.PathLike[str] | Sam = "tiny"
    how: str = "coverage"
    embed: tuple[Any, ...] = ("sam",)
    device: str | None = None
    options: Mapping[str, Any] = field(default_factory=_no_options)

    def __post_init__(self) -> None:
        if self.how not in ("coverage", "any"):
            raise InputError(
                f"Expected how='coverage' or how='any', got {self.how!r}. Other poolings need more "
                "than the picture's own embedding: call samlab.pool afterwards."
            )
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
        named = {"embedders": told} if (told := _told(self.embed)) else {}
        return {
            "model": model,
            "weights_sha256": weights,
            "pooling": self.how,
            "embed": [one if isinstance(one, str) else str(one.name) for one in self.embed],
            **named,
            "masks": self._masks(),
        }

    def _masks(self) -> dict[str, Any]:
        """`_decisive`, with the threshold that belongs to the model where none is given."""
        from samlab.sam.automatic import default_pred_iou_thresh

        values = _decisive(self.options)
        if values["pred_iou_thresh"] is None:
            values["pred_iou_thresh"] = default_pred_iou_thresh(self.sam)
        return values

    def absolute(self) -> SegmenterConfig:
        """The same for another working directory: the path of a file or folder in full."""
        from samlab.sam import checkpoints

        if self.portable and str(self.sam) not in checkpoints.names() and os.path.exists(self.sam):
            return replace(self, sam=os.path.abspath(self.sam))
        return self

    def build(self) -> Segmenter:
        """Load the model.

        Raises:
            InputError: An option that MaskGenerator does not have.
        """
        from samlab.sam.load import load_sam

        _decisive(self.options)
        sam: Any = self.sam
        model = load_sam(sam, device=self.device) if self.portable else sam
        return Segmenter(model, self.how, self.embed, **self.options)

    def _origin(self) -> tuple[str, str]:
        """Name of the model and SHA-256 of its weights."""
        if self.portable:
            from samlab.sam import checkpoints
            from samlab.sam.checkpoints import sha256

            found = checkpoints.fetch(self.sam)
            return found.label, sha256(found.path)
        from samlab.sam.provenance import model_name, weights_sha256

        model: Any = self.sam
        return model_name(model), weights_sha256(model)


def _decisive(options: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument of MaskGenerator that decides the masks, defaults included."""
    from samlab.sam.automatic import MaskGenerator

    parameters = inspect.signature(MaskGenerator).parameters
    unknown = [name for name in options if name not in parameters or name == "sam"]
    if unknown:
        known = ", ".join(name for name in parameters if name != "sam")
        raise InputError(
            f"Expected options of MaskGenerator ({known}); got {', '.join(unknown)}."
            f"{did_you_mean(unknown[0], parameters)}"
        )
    values = {n: options.get(n, p.default) for n, p in parameters.items() if n not in _NO_MATTER}
    plain = (str, int, float, bool, type(None))
    return {
        name: value if isinstance(value, plain) else _plain(value) for name, value in values.items()
    }


def _told(embed: Sequence[Any]) -> dict[str, str]:
    """Name -> hash of everything that decides its vectors, for embedders given as objects."""
    return {
        str(one.name): fingerprint([type(one).__qualname__, getattr(one, "settings", one)])
        for one in embed
        if not isinstance(one, str)
    }


def _plain(value: Any) -> str:
    """Grids of points by their hash, a torch dtype by its name."""
    return str(value) if type(value).__module__ == "torch" else fingerprint(value)


def _embedder(embedder: Any, sam: Sam) -> Any:
    if not isinstance(embedder, str):
        return embedder
    from samlab.latent.embed import ColourTexture, TransformersEmbedder

    if embedder == ColourTexture.name:
        return ColourTexture()
    return TransformersEmbedder(embedder, device=str(sam.device))
