"""Models that put pictures and texts into one space: CLIP and SigLIP through transformers.

Your own takes the five members of `TextModel`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from samlab.errors import CheckpointError, InputError, SamlabWarning, require_extra

DEFAULT = "openai/clip-vit-base-patch32"
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class TextModel(Protocol):
    """Vectors of crops and of texts that can be compared.

    Attributes:
        name: Under which `Segments.embeddings` keeps the vectors.
        size: Side of the square crops it wants, pixels.
        fill: Colour of what is blanked out, uint8 RGB.
    """

    name: str
    size: int
    fill: tuple[int, int, int]

    def image_vectors(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 (size, size, 3) each -> float32 (n, D)."""
        ...

    def text_vectors(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (T, D)."""
        ...

    def probabilities(self, cosines: np.ndarray) -> np.ndarray:
        """Cosines (N, T) of segments and texts -> 0 .. 1, the same shape."""
        ...


class TransformersText:
    """CLIP or SigLIP of the transformers library.

    Args:
        model: A name on the Hugging Face hub, for example `"openai/clip-vit-base-patch32"` or
            `"google/siglip-base-patch16-224"`; a folder; or a pair of a loaded model and its
            processor (or tokenizer).
        device: torch device.
        batch_size: Crops, or texts, per forward pass.
        download: Fetch a model that is not on this machine. False: raise instead, at once.
        name: Name of the vectors; the last part of the model's name by default.

    Raises:
        MissingExtraError: transformers is not installed.
        CheckpointError: The model is neither here nor to be had.
    """

    def __init__(
        self,
        model: Any = DEFAULT,
        *,
        device: str = "cpu",
        batch_size: int = 32,
        download: bool = True,
        name: str | None = None,
    ) -> None:
        require_extra("transformers", "hf", "Text as a prompt")
        if isinstance(model, str):
            name = name or model.rstrip("/").rsplit("/", 1)[-1]
            model = _load(model, download)
        if not (isinstance(model, tuple) and len(model) == 2):
            raise InputError(
                "Expected model as a name, a folder or a pair (model, processor), got "
                f"{type(model).__name__}."
            )
        self.model, processor = model
        if not hasattr(self.model, "get_text_features"):
            raise InputError(
                "Expected a model of pictures and texts such as CLIP or SigLIP, got "
                f"{type(self.model).__name__}, which has no text encoder."
            )
        self.model = self.model.eval().to(device)
        self.tokenizer: Any = getattr(processor, "tokenizer", processor)
        self.sigmoid = hasattr(self.model, "logit_bias")
        self.scale = float(self.model.logit_scale.detach().exp())
        self.bias = float(self.model.logit_bias.detach()) if self.sigmoid else 0.0
        images = getattr(processor, "image_processor", None)
        mean, std = ((0.5,) * 3, (0.5,) * 3) if self.sigmoid else (_CLIP_MEAN, _CLIP_STD)
        self.mean = np.asarray(getattr(images, "image_mean", None) or mean, np.float32)
        self.std = np.asarray(getattr(images, "image_std", None) or std, np.float32)
        red, green, blue = (self.mean * 255).round().astype(int).tolist()
        self.fill = (red, green, blue)
        self.name = name or type(self.model).__name__.lower()
        self.size = int(self.model.config.vision_config.image_size)
        self.device, self.batch_size = device, batch_size

    def image_vectors(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """See `TextModel`."""
        import torch

        parts = []
        for start in range(0, len(crops), self.batch_size):
            pixels = np.stack(crops[start : start + self.batch_size]).astype(np.float32) / 255
            batch = torch.from_numpy((pixels - self.mean) / self.std).permute(0, 3, 1, 2)
            with torch.inference_mode():
                parts.append(_vectors(self.model.get_image_features(batch.to(self.device))))
        return np.concatenate(parts) if parts else np.zeros((0, self._width()), np.float32)

    def text_vectors(self, texts: Sequence[str]) -> np.ndarray:
        """See `TextModel`. Texts longer than the model reads are cut, with a warning."""
        import torch

        limit = int(self.model.config.text_config.max_position_embeddings)
        lengths = [len(ids) for ids in self.tokenizer(list(texts))["input_ids"]]
        if max(lengths) > limit:
            longest = int(np.argmax(lengths))
            warnings.warn(
                f"{sum(n > limit for n in lengths)} of {len(texts)} texts are longer than the "
                f"{limit} tokens that {self.name} reads, and are cut; the longest begins "
                f"{texts[longest][:60]!r}.",
                SamlabWarning,
                stacklevel=2,
            )
        parts = []
        for start in range(0, len(texts), self.batch_size):
            inputs = self.tokenizer(
                list(texts[start : start + self.batch_size]),
                # SigLIP was trained on texts of full length, without an attention mask.
                padding="max_length" if self.sigmoid else True,
                truncation=True,
                max_length=limit,
                return_tensors="pt",
            )
            wanted = ("input_ids",) if self.sigmoid else ("input_ids", "attention_mask")
            inputs = {k: inputs[k].to(self.device) for k in wanted}
            with torch.inference_mode():
                parts.append(_vectors(self.model.get_text_features(**inputs)))
        return np.concatenate(parts)

    def probabilities(self, cosines: np.ndarray) -> np.ndarray:
        """SigLIP: a probability for each text by itself. CLIP: softmax over all texts."""
        logits = cosines.astype(np.float64) * self.scale
        if self.sigmoid:
            return np.asarray(1 / (1 + np.exp(-logits - self.bias)))
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    def _width(self) -> int:
        config = self.model.config
        return int(getattr(config, "projection_dim", 0) or config.text_config.hidden_size)


def _load(name: str, download: bool) -> Any:
    """The pair (model, processor), from this machine if it is here."""
    try:
        return _from_pretrained(name, local_files_only=True)
    except (OSError, ValueError) as error:
        problem: Exception = error
    if download:
        try:
            return _from_pretrained(name, local_files_only=False)
        except (OSError, ValueError) as error:
            problem = error
    reason = str(problem).strip().splitlines()[0].rstrip(".")
    why = f"({reason})" if download else "and was not to be downloaded (download=False)"
    raise CheckpointError(
        f"Expected the model '{name}' in a folder, in the Hugging Face cache or on the hub; it is "
        f"not on this machine {why}. Connect to the network once, or pass a folder or a pair "
        "(model, processor)."
    ) from None


class _Processor:
    def __init__(self, tokenizer: Any, image_processor: Any) -> None:
        self.tokenizer, self.image_processor = tokenizer, image_processor


def _from_pretrained(name: str, **options: Any) -> Any:
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(name, **options)
    images = AutoImageProcessor.from_pretrained(name, **options)
    return model, _Processor(AutoTokenizer.from_pretrained(name, **options), images)


def _vectors(answer: Any) -> np.ndarray:
    """transformers 4 returns the vectors, 5 an object around them."""
    found = getattr(answer, "pooler_output", answer)
    array: np.ndarray = found.float().cpu().numpy()
    return array
