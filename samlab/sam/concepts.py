"""Words and example boxes to all that they name in a picture: SAM 3's detector.

Carion et al., "SAM 3: Segment Anything with Concepts", 2025 (arXiv:2511.16719). Unlike CLIP over
SAM's masks, which ranks segments that are there already, the detector finds the instances of a
concept itself; and like a detector it finds nothing where nothing answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samlab.errors import CheckpointError, InputError
from samlab.sam import checkpoints
from samlab.sam.device import DeviceLike, pick_device
from samlab.sam.families import transformers_class
from samlab.sam.fast import Frame, ImageEmbedding, runs_to_rle, squash, to_masks
from samlab.sam.prompt_checks import check_boxes, check_labels
from samlab.segments import Segments

VISUAL = "visual"
"""The text that SAM 3 was trained with where only example boxes say what is meant."""

_MEAN = _STD = 127.5
_WORDS = 32  # tokens of a text, padding included


@dataclass(frozen=True, eq=False)
class Found:
    """What answers each text.

    Attributes:
        segments: N masks by text, then best first; `predicted_iou` is the score.
        text: int64 (N,), the number of the text.
        features: The encoded picture, for vectors.
    """

    segments: Segments
    text: np.ndarray
    features: ImageEmbedding


class Concepts:
    """SAM 3's detector and its tokenizer.

    Args:
        model: transformers' `Sam3Model`.
        tokenizer: Its tokenizer.
        weights_sha256: Of the file of weights, if there is one.
    """

    def __init__(self, model: Any, tokenizer: Any, weights_sha256: str = "") -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.weights_sha256 = weights_sha256

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    @torch.inference_mode()
    def find(
        self,
        image: np.ndarray,
        texts: Sequence[str],
        *,
        boxes: Any = None,
        box_labels: Any = None,
        threshold: float = 0.5,
    ) -> Found:
        """Find every instance of some concepts.

        Args:
            image: uint8 RGB (H, W, 3).
            texts: T short noun phrases, such as "yellow taxi". With boxes there may be none.
            boxes: (B, 4) XYXY in pixels of the picture: examples of what is meant, of every text.
            box_labels: (B,), 1 for an example of it, 0 for one of what it is not; all 1 by default.
            threshold: Least score, 0 .. 1: whether it is in the picture at all times whether it is
                this one.

        Returns:
            Masks may overlap, of different texts too. Nothing found gives no segments.
        """
        texts = list(texts)
        if not texts and boxes is None:
            raise InputError("Expected texts or example boxes, got neither.")
        if not 0 <= threshold <= 1:
            raise InputError(f"Expected a threshold between 0 and 1, got {threshold}.")
        size = (int(image.shape[0]), int(image.shape[1]))
        examples = _examples(boxes, box_labels, size, self.device)
        side = int(self.model.config.vision_config.image_size)
        pixels = (squash(image, side).to(self.device) - _MEAN) / _STD
        vision = self.model.get_vision_features(pixels)
        found = [self._one(text, vision, examples, threshold) for text in texts or [VISUAL]]
        masks = torch.cat([low for low, _ in found])
        scores = torch.cat([score for _, score in found])
        coarse = vision.fpn_hidden_states[-2].float()
        features = ImageEmbedding(coarse, (side, side), size, side, padded=False)
        segments = _segments(masks, scores.cpu().numpy(), features.frame())
        text = np.repeat(np.arange(len(found)), [len(score) for _, score in found])
        return Found(segments, text.astype(np.int64), features)

    def _one(
        self, text: str, vision: Any, examples: dict[str, Tensor], threshold: float
    ) -> tuple[Tensor, Tensor]:
        """Logits (n, h, w) and scores (n,) of one text, best first."""
        words = self.tokenizer(
            [text], return_tensors="pt", padding="max_length", max_length=_WORDS, truncation=True
        )
        mask = words["attention_mask"].to(self.device)
        # The documented text_embeds=tensor raises: the whole output is what the model takes.
        embeds = self.model.get_text_features(
            input_ids=words["input_ids"].to(self.device), attention_mask=mask, return_dict=True
        )
        answer = self.model(
            vision_embeds=vision, text_embeds=embeds, attention_mask=mask, **examples
        )
        scores = answer.pred_logits[0].float().sigmoid()
        if answer.presence_logits is not None:
            scores = scores * answer.presence_logits[0].float().sigmoid()
        order = scores.argsort(descending=True)
        order = order[scores[order] > threshold]
        return answer.pred_masks[0][order].float(), scores[order]


def load_concepts(model: Any = "sam3", *, device: DeviceLike = None) -> Concepts:
    """SAM 3's detector.

    Args:
        model: "sam3", a folder that transformers wrote, a pair (Sam3Model, tokenizer or processor),
            or `Concepts`, which is returned as it is.
        device: Where it computes; None for the best device that works.

    Raises:
        CheckpointError: Not found, gated, damaged, or not SAM 3.
        MissingExtraError: transformers is missing or too old.
    """
    if isinstance(model, Concepts):
        return model
    if isinstance(model, tuple):
        network, words = model
        return Concepts(network, getattr(words, "tokenizer", words))
    kind = transformers_class("Sam3Model", "5.0")
    path = checkpoints.fetch(model).path
    tokenizer = _tokenizer(path.parent)
    try:
        network = kind.from_pretrained(path.parent, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"'{path.parent}' could not be read as SAM 3 ({str(error).splitlines()[0][:200]}). "
            "Fetch the folder again, or name one that transformers wrote."
        ) from error
    return Concepts(network.to(pick_device(device)), tokenizer, checkpoints.sha256(path))


def is_concepts(model: Any) -> bool:
    """Whether a model for words is SAM 3 rather than one that ranks segments, such as CLIP."""
    if isinstance(model, tuple) and model:
        return type(model[0]).__name__ == "Sam3Model"
    if isinstance(model, Concepts) or str(model) == "sam3":
        return True
    config = Path(str(model)) / "config.json"
    return config.is_file() and '"sam3' in config.read_text(encoding="utf-8", errors="replace")


def _tokenizer(folder: Path) -> Any:
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.json").is_file():
        raise CheckpointError(
            f"Expected the tokenizer of SAM 3 (tokenizer.json) in '{folder}' beside its weights; "
            "there is none. Copy it there from where the weights came from."
        )
    kind = transformers_class("CLIPTokenizerFast", "5.0")
    return kind.from_pretrained(folder, local_files_only=True)


def _examples(
    boxes: Any, labels: Any, size: tuple[int, int], device: torch.device
) -> dict[str, Tensor]:
    """Boxes as the model takes them: centre and size, as parts of the picture's."""
    if boxes is None:
        return {}
    corners = check_boxes(boxes, size)
    kinds = check_labels(labels, corners[:, None, :2])[:, 0]
    height, width = size
    low, high = corners[:, :2] / [width, height], corners[:, 2:] / [width, height]
    shapes = np.concatenate([(low + high) / 2, high - low], axis=1)
    return {
        "input_boxes": torch.as_tensor(shapes, dtype=torch.float32, device=device)[None],
        "input_boxes_labels": torch.as_tensor(kinds, device=device)[None],
    }


def _segments(low: Tensor, scores: np.ndarray, frame: Frame) -> Segments:
    """Logits (n, h, w) and scores (n,) as a table."""
    masks = to_masks(low, frame)
    return Segments(
        rles=[runs_to_rle(runs, frame.image_size) for runs in masks.runs],
        predicted_iou=scores.astype(np.float32),
        stability_score=masks.stability,
        image_size=frame.image_size,
    )
