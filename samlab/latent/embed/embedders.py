"""Other vectors for the same masks: colour and texture, or any image model with a patch grid.

An embedder is a name and a call. Your own takes ten lines:

    class Brightness:
        name = "brightness"

        def __call__(self, image, segments):
            return np.array([[image[segments.mask(i)].mean(), 1.0] for i in range(len(segments))])

    segments = embed(image, segments, Brightness())
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from samlab.errors import InputError, require_extra
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.latent.embed.pooling import pool
from samlab.segments import Segments


class Embedder(Protocol):
    """Vectors for the segments of a picture.

    Attributes:
        name: Under which `Segments.embeddings` keeps them.

    It may have `settings`, a dict of plain values that decide the vectors, by which runs and the
    cache tell it from others of its name; without, its attributes and functions are taken.
    """

    name: str

    def __call__(self, image: np.ndarray, segments: Segments) -> np.ndarray:
        """Vectors (N, D) for N segments of the picture, uint8 (H, W, 3)."""
        ...


@checked_arguments
def embed(image: ImageLike, segments: Segments, embedder: Embedder) -> Segments:
    """Add an embedder's vectors to the segments, under its name."""
    pixels = read_image(image)
    if len(segments) and pixels.shape[:2] != tuple(segments.image_size):
        raise InputError(
            f"Expected the picture of the segments, size {tuple(segments.image_size)} (H, W); got "
            f"one of size {pixels.shape[:2]}."
        )
    return segments.with_embedding(embedder.name, embedder(pixels, segments))


@dataclass(frozen=True)
class PatchEmbedder:
    """Pools the patches of any encoder, SAM's among them.

    Attributes:
        encode: Takes a picture, uint8 (H, W, 3), and returns its `PatchFeatures`.
        name: Name of the vectors.
        how: `"coverage"` or `"any"`, see `samlab.pool`.

    Example: `PatchEmbedder(lambda image: samlab.encode(image, sam), "vit_h")`.
    """

    encode: Callable[[np.ndarray], Any]
    name: str = "sam"
    how: str = "coverage"

    def __call__(self, image: np.ndarray, segments: Segments) -> np.ndarray:
        return pool(self.encode(image), segments, self.how)  # type: ignore[arg-type]


class ColourTexture:
    """What a mask looks like without any learning: the baseline that a model has to beat.

    Histograms of CIE Lab, of local binary patterns (Ojala et al. 2002) and of the gradient's
    strength and direction over the mask's pixels. Of each the square root is taken, which has unit
    length, so that the cosine of two vectors is the mean Bhattacharyya coefficient of their
    histograms: 0 nothing in common, 1 the same.
    """

    name = "colour_texture"
    bins = 16

    def __call__(self, image: np.ndarray, segments: Segments) -> np.ndarray:
        """float32 (N, 74)."""
        channels = self._channels(image)
        out = np.zeros((len(segments), sum(n for _, n, _ in channels)), np.float32)
        for i, box in enumerate(segments.boxes.astype(int)):
            window = slice(box[1], box[3]), slice(box[0], box[2])
            inside = segments.mask(i)[window]
            parts = []
            for index, n, weight in channels:
                weights = None if weight is None else weight[window][inside]
                counts = np.bincount(index[window][inside], weights, n) + 1e-9
                parts.append(np.sqrt(counts / counts.sum()))
            out[i] = np.concatenate(parts)
        return out

    def _channels(self, image: np.ndarray) -> list[tuple[np.ndarray, int, np.ndarray | None]]:
        """Per histogram: the bin of every pixel (H, W), the number of bins, pixel weights."""
        from scipy import ndimage
        from skimage.color import rgb2lab
        from skimage.feature import local_binary_pattern

        lab = rgb2lab(image)
        channels: list[tuple[np.ndarray, int, np.ndarray | None]] = []
        for values, low, high in zip(
            np.moveaxis(lab, -1, 0), (0, -60, -60), (100, 60, 60), strict=True
        ):
            channels.append((_binned(values, low, high, self.bins), self.bins, None))
        grey = np.rint(lab[..., 0] * 2.55).astype(np.uint8)
        patterns = local_binary_pattern(grey, 8, 1, "uniform").astype(np.int64)
        channels.append((patterns, 10, None))
        smooth = ndimage.gaussian_filter(lab[..., 0], 1.0)
        dy, dx = ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1)
        strength = np.hypot(dy, dx)
        direction = np.arctan2(dy, dx) % np.pi
        channels.append((_binned(np.log1p(strength), 0, 6, 8), 8, None))
        channels.append((_binned(direction, 0, np.pi, 8), 8, strength))
        return channels


def _binned(values: np.ndarray, low: float, high: float, bins: int) -> np.ndarray:
    return np.clip((values - low) / (high - low) * bins, 0, bins - 1).astype(np.int64)


@dataclass(frozen=True)
class WholeGrid:
    """Patch features (D, rows, columns) without padding: the grid covers the whole picture."""

    features: np.ndarray
    image_size: tuple[int, int]
    input_size: tuple[int, int] = (1, 1)
    img_size: int = 1

    def grid(self) -> np.ndarray:
        return self.features


class TransformersEmbedder:
    """Patch features of a vision model of the transformers library, pooled over the masks.

    Works with DINOv2 (with or without registers) and DINOv3, and with the image half of CLIP and
    SigLIP: models that answer one vector per square patch behind whatever tokens come first. The
    picture keeps its aspect ratio; its sides are rounded to whole patches.

    Args:
        model: A name on the Hugging Face hub or a local folder, for example
            `"facebook/dinov2-small"` or `"google/siglip-base-patch16-224"`; or a loaded model. Some
            models (DINOv3) ask you to accept their terms on the hub first.
        size: Longest side in pixels.
        mean, std: Normalisation, per channel for values in 0 .. 1; read from the model's own
            preprocessor where a name is given.
        name: Name of the vectors; the last part of the model's name by default.
        device: torch device.
    """

    @checked_arguments
    def __init__(
        self,
        model: Any,
        *,
        size: int = 448,
        mean: tuple[float, float, float] | None = None,
        std: tuple[float, float, float] | None = None,
        name: str | None = None,
        device: str = "cpu",
    ) -> None:
        require_extra("transformers", "hf", "TransformersEmbedder")
        if isinstance(model, str):
            from transformers import AutoImageProcessor, AutoModel

            processor = AutoImageProcessor.from_pretrained(model)
            mean, std = mean or tuple(processor.image_mean), std or tuple(processor.image_std)
            name = name or model.rstrip("/").rsplit("/", 1)[-1]
            model = AutoModel.from_pretrained(model)
        model = getattr(model, "vision_model", model)
        config = getattr(model.config, "vision_config", model.config)
        if not isinstance(getattr(config, "patch_size", None), int):
            raise InputError(
                f"Expected a vision model with square patches (DINOv2, DINOv3, CLIP, SigLIP), got "
                f"{type(model).__name__}, whose config has no patch_size."
            )
        self.name = name or type(model).__name__.lower()
        self.model = model.eval().to(device)
        self._weights: str | None = None
        self.patch = int(config.patch_size)
        self.size, self.device = size, device
        self.mean = np.asarray(mean or (0.485, 0.456, 0.406), np.float32)
        self.std = np.asarray(std or (0.229, 0.224, 0.225), np.float32)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the vectors: the weights' SHA-256, size and normalisation."""
        if self._weights is None:
            total = hashlib.sha256()
            for name, value in sorted(self.model.state_dict().items()):
                total.update(name.encode())
                total.update(value.detach().cpu().float().contiguous().numpy().reshape(-1))
            self._weights = total.hexdigest()
        numbers = {"mean": self.mean.tolist(), "std": self.std.tolist()}
        return {"weights": self._weights, "size": self.size, "patch": self.patch, **numbers}

    def encode(self, image: np.ndarray) -> WholeGrid:
        """The picture's patch features; `samlab.pool` and `samlab.heat_map` take them."""
        import torch
        from PIL import Image

        height, width = image.shape[:2]
        scale = self.size / max(height, width) / self.patch
        rows, columns = (max(round(n * scale), 1) for n in (height, width))
        small = Image.fromarray(image).resize(
            (columns * self.patch, rows * self.patch), Image.Resampling.BICUBIC
        )
        pixels = (np.asarray(small, np.float32) / 255 - self.mean) / self.std
        batch = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))[None])
        with torch.inference_mode():
            tokens = self._forward(batch.to(self.device))[0].float().cpu().numpy()
        grid = tokens[-rows * columns :].T.reshape(-1, rows, columns)
        return WholeGrid(np.ascontiguousarray(grid), (height, width))

    def _forward(self, batch: Any) -> Any:
        """Tokens (1, T, D). Models with fixed positions are asked to interpolate them."""
        import inspect

        accepts = inspect.signature(self.model.forward).parameters
        options = {"interpolate_pos_encoding": True}
        options = options if "interpolate_pos_encoding" in accepts else {}
        return self.model(pixel_values=batch, **options).last_hidden_state

    def __call__(self, image: np.ndarray, segments: Segments) -> np.ndarray:
        """float32 (N, D)."""
        return pool(self.encode(image), segments)
