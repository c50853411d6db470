"""A trained projection before the bank, and trained prototypes in it. SAM itself stays as it is.

The vectors that SAM's encoder gives are weak in meaning: parts and wholes of one object lie apart,
and other things lie close. A small network is trained on the examples of the bank with a margin
loss on the cosine (pytorch-metric-learning, https://kevinmusgrave.github.io), so that vectors of
one class, wholes and parts alike, gather. It is trained with torch and applied with NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from samlab.errors import FormatError, InputError
from samlab.latent.vectors import unit


@dataclass(frozen=True, eq=False)
class Head:
    """unit vector -> (x - mean) / spread -> layers with ReLU between -> unit vector.

    Attributes:
        mean: float32 (D,), of the unit vectors it was trained on.
        spread: float32 (D,), their standard deviation.
        layers: (weight (out, in), bias (out,)) each, float32. Without layers the head only
            standardises, which needs no training.
        about: How it was made: loss, seed, epochs, held-out accuracy.
    """

    mean: np.ndarray
    spread: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """D, the length of the vectors that it takes."""
        return len(self.mean)

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (N, D), none of them zero, to float32 unit vectors (N, d); N may be 0."""
        rows = np.asarray(vectors, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise InputError(
                f"Expected vectors of shape (N, {self.width}), as the head was trained on; got "
                f"{rows.shape}."
            )
        if len(rows) == 0:
            out = self.layers[-1][1] if self.layers else self.mean
            return np.zeros((0, len(out)), np.float32)
        rows = (unit(rows) - self.mean) / self.spread
        for i, (weight, bias) in enumerate(self.layers):
            rows = np.maximum(rows, 0) if i else rows
            rows = rows @ weight.T + bias
        # A vector equal to the mean has no direction left; it must still have length one.
        rows[~rows.any(axis=1), 0] = 1.0
        return unit(rows).astype(np.float32)

    @classmethod
    def standardising(cls, vectors: np.ndarray) -> Head:
        """A head without layers: takes away what all vectors (N, D) share, evens out the rest."""
        rows = unit(np.asarray(vectors, np.float64))
        if len(rows) == 0:
            raise InputError("Expected vectors to standardise by, got none.")
        return cls(
            mean=rows.mean(0).astype(np.float32),
            spread=np.maximum(rows.std(0), 1e-4).astype(np.float32),
            about={"kind": "standardising", "vectors": len(rows)},
        )

    def tensors(self) -> dict[str, np.ndarray]:
        """Its numbers by name, for a safetensors file."""
        out = {"mean": self.mean, "spread": self.spread}
        for i, (weight, bias) in enumerate(self.layers):
            out[f"layers.{i}.weight"], out[f"layers.{i}.bias"] = weight, bias
        return {name: np.ascontiguousarray(value) for name, value in out.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Head:
        """The inverse of `tensors`."""
        count = sum(name.endswith(".weight") for name in tensors)
        try:
            layers = tuple(
                (tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"]) for i in range(count)
            )
            head = cls(tensors["mean"], tensors["spread"], layers, dict(about))
        except KeyError as error:
            raise FormatError(
                f"Expected the tensors of a head, but {error} is missing; got "
                f"{', '.join(sorted(tensors)) or 'none'}."
            ) from None
        head._check_shapes()
        return head

    def _check_shapes(self) -> None:
        """Raise FormatError unless each layer takes what the one before it gives."""
        width = self.mean.shape
        fits = len(width) == 1 and width[0] > 0 and self.spread.shape == width
        fits = fits and bool((self.spread > 0).all())
        for weight, bias in self.layers:
            fits = fits and weight.ndim == 2 and weight.shape[1:] == width
            fits = fits and bias.shape == weight.shape[:1] and len(bias) > 0
            width = bias.shape
        if not fits:
            shapes = {name: value.shape for name, value in self.tensors().items()}
            raise FormatError(
                "Expected the tensors of a head: mean and spread (D,), spread above 0, and layers "
                f"that take what the one before gives; got {shapes}."
            )
