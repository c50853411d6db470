"""Which weights made a result: one identity per model, whoever loaded it.

A model that `load_sam` loaded is known by the SHA-256 of its file, every other by the SHA-256 of
its state dict. Banks, runs and annotations compare these, so that vectors of different models are
never set side by side.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

#: One (id, version) per parameter: torch counts up the version at every change in place.
Stamp: TypeAlias = tuple[tuple[int, int], ...]

_KNOWN: WeakKeyDictionary[Sam, tuple[Stamp, str]] = WeakKeyDictionary()


def weights_sha256(sam: Sam) -> str:
    """SHA-256 of a model's weights, 64 hexadecimal digits.

    Computed once per model object (0.7 s for `vit_b`) and again when a parameter was replaced or
    changed in place, by an optimizer or `load_state_dict`. Moving the model to another device or
    precision keeps the identity; a copy of the model is hashed anew, over its state dict. What
    writes past torch's version counters, through `parameter.data`, is not noticed.

    Args:
        sam: Any `segment_anything.modeling.Sam`, loaded by samlab or not.
    """
    stamp = _stamp(sam)
    known = _KNOWN.get(sam)
    if known is None or known[0] != stamp:
        known = (stamp, _state_sha256(sam))
        _KNOWN[sam] = known
    return known[1]


def set_weights_sha256(sam: Sam, digest: str) -> None:
    """Note the identity of a model as it is now: the SHA-256 of the file it was loaded from."""
    _KNOWN[sam] = (_stamp(sam), digest)


def model_name(sam: Sam) -> str:
    """The name `load_sam` knows a model by, else the class of its image encoder."""
    return str(getattr(sam, "samlab_name", type(sam.image_encoder).__name__))


def origin(sam: Sam) -> dict[str, Any]:
    """What results carry in their provenance: `model`, `weights_sha256` and `versions`.

    Models whose vectors are not simply the image encoder's output say so under `features`.
    """
    note = getattr(sam, "note", "")
    return {
        **({"features": note} if note else {}),
        "model": model_name(sam),
        "weights_sha256": weights_sha256(sam),
        "versions": {name: version(name) for name in ("samlab", "torch", "numpy")},
    }


def _stamp(sam: Sam) -> Stamp:
    # Tensors made under torch.inference_mode cannot be changed outside it, and have no counter.
    return tuple((id(p), 0 if p.is_inference() else p._version) for p in sam.parameters())


def _state_sha256(sam: Sam) -> str:
    """Hash names and float32 numbers in the order of the names."""
    total = hashlib.sha256()
    for name, value in sorted(sam.state_dict().items()):
        total.update(name.encode())
        total.update(value.detach().cpu().float().contiguous().numpy().reshape(-1))
    return total.hexdigest()
