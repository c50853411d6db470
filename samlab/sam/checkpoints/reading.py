"""Read a file of weights without running anything in it, and tell which model it belongs to."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from samlab.errors import CheckpointError

StateDict = dict[str, torch.Tensor]

#: Where training programs put the state dict inside their checkpoints.
_WRAPPERS = ("model", "state_dict", "model_state", "model_state_dict", "sam")

_MOST_WRAPPERS = 8  # one inside the other

#: (embedding width, blocks) of the official encoders, from segment_anything/build_sam.py.
_VITS = {(768, 12): "vit_b", (1024, 24): "vit_l", (1280, 32): "vit_h"}

#: The first torch whose `weights_only=True` holds.
_SAFE_TORCH = (2, 6)

#: What torch.load raises on a file that was cut short, and on bytes that are no pickle at all.
_CUT = (EOFError, OSError, RuntimeError, zipfile.BadZipFile)
_GARBLED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
    struct.error,
)


def read_state(path: Path) -> StateDict:
    """The state dict in a checkpoint: names to tensors on the CPU.

    Files of torch.save are read with `weights_only=True`, so that no code in them runs, and
    safetensors files hold none. A state dict inside `{"model": ...}` or a like wrapper is taken
    out, and a prefix such as `module.` before `image_encoder.` is dropped.

    Raises:
        CheckpointError: The file is empty, cut short, no checkpoint, would run code, or holds
            something else than a state dict.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    _refuse_by_content(path, head)
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        try:
            content: Any = load_file(path, device="cpu")
        except SafetensorError as error:
            raise _damaged(path, str(error)) from error
    else:
        content = _torch_load(path)
    state = _strip_prefix(_unwrap(content, path), path)
    _check_finite(state, path)
    return state


def _check_finite(state: StateDict, path: Path) -> None:
    """NaN in the weights gives no segments, and says nothing."""
    for name, value in state.items():
        if value.is_floating_point() and value.numel():
            ends = torch.stack(torch.aminmax(value))
            if not bool(torch.isfinite(ends).all()):
                raise CheckpointError(
                    f"'{path}' holds NaN or infinity in '{name}': its training went wrong, or the "
                    "file is damaged. Use an earlier checkpoint, or fetch the file again."
                )


def recognise(state: StateDict, path: Path) -> str:
    """The architecture of SAM's or MobileSAM's own state dict: vit_b, vit_l, vit_h or mobile_sam.

    Later models, and SAM as transformers saves it, are told by `samlab.sam.families.door`.

    Raises:
        CheckpointError: It is another one; the message names what it looks like.
    """
    if "image_encoder.patch_embed.seq.0.c.weight" in state:
        return "mobile_sam"
    position = state.get("image_encoder.pos_embed")
    if position is None or position.ndim != 4:
        shown = ", ".join(list(state)[:3])
        raise CheckpointError(
            f"Expected the weights of SAM or MobileSAM in '{path}', with parts such as "
            f"'image_encoder.pos_embed'; got {len(state)} tensors of another model, beginning "
            f"with {shown}."
        )
    blocks = {m[1] for key in state if (m := re.match(r"image_encoder\.blocks\.(\d+)\.", key))}
    kind = _VITS.get((position.shape[3], len(blocks)))
    if kind is None or tuple(position.shape[1:3]) != (64, 64):
        raise CheckpointError(
            f"Expected an encoder like vit_b (12 blocks of width 768), vit_l (24 of 1024) or "
            f"vit_h (32 of 1280) on a 64 x 64 grid in '{path}'; got {len(blocks)} blocks of "
            f"width {position.shape[3]} on a {position.shape[1]} x {position.shape[2]} grid."
        )
    return kind


def _refuse_by_content(path: Path, head: bytes) -> None:
    """Say what a file is that is plainly no checkpoint."""
    if not head:
        raise CheckpointError(
            f"'{path}' is empty (0 bytes): the download or copy failed. Fetch the file again."
        )
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"'{path}' is a web page, not a checkpoint: a login or error page was saved in its "
            "place. Download the file again."
        )
    if text.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"'{path}' is a Git LFS pointer, not the file itself. Run 'git lfs pull' there, or "
            "download the file."
        )
    if head.startswith(b"PK") and not _is_whole_archive(path):
        raise _damaged(path, "the archive has no end")


def _is_whole_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # is_zipfile itself stumbles over some damage
        return False


def _torch_load(path: Path) -> Any:
    if _version(torch.__version__) < _SAFE_TORCH:
        raise CheckpointError(
            f"'{path}' was refused and nothing in it was run: it is a pickle, and this torch "
            f"{torch.__version__} could be made to run code by one (CVE-2025-32434). Upgrade torch "
            "to 2.6 or later, or use safetensors."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, str(error)) from error
    except _CUT as error:
        raise _damaged(path, str(error).splitlines()[0] if str(error) else "early end") from error
    except _GARBLED as error:
        raise _unpickling_error(path, "") from error


def _version(text: str) -> tuple[int, ...]:
    """Major and minor; those of a nightly build or a fork count as what they begin with."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _unpickling_error(path: Path, text: str) -> CheckpointError:
    """torch's message is long and advises to switch the safeguard off; say what matters."""
    named = re.search(r"GLOBAL ([\w.]+)", text)
    if named:
        return CheckpointError(
            f"'{path}' was refused and nothing in it was run: it is a pickle that calls "
            f"'{named[1]}', not only weights. If you trust its maker, have the weights alone "
            "saved, with torch.save(model.state_dict(), path) or as safetensors, and load those."
        )
    return CheckpointError(
        f"'{path}' is no checkpoint of torch or safetensors, or is damaged. Expected a state "
        "dict saved by torch.save or safetensors; nothing in the file was run."
    )


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"'{path}' is damaged or cut short ({path.stat().st_size:,} bytes; {reason}). Fetch the "
        "file again and compare its size and SHA-256 with those of its source."
    )


def _unwrap(content: Any, path: Path, depth: int = 0) -> StateDict:
    if isinstance(content, dict):
        if depth > _MOST_WRAPPERS:
            raise CheckpointError(
                f"Expected a state dict in '{path}'; got dictionaries inside one another, without "
                "end. Save the weights alone, with torch.save(model.state_dict(), path)."
            )
        if content and all(isinstance(v, torch.Tensor) for v in content.values()):
            return {str(k): v for k, v in content.items()}
        for key in _WRAPPERS:
            if isinstance(content.get(key), dict):
                return _unwrap(content[key], path, depth + 1)
        what = f"a dictionary with the keys {', '.join(map(str, list(content)[:5])) or '(none)'}"
    else:
        what = f"a {type(content).__name__}"
    raise CheckpointError(
        f"Expected a state dict (names to tensors) in '{path}', by itself or under "
        f"{', '.join(map(repr, _WRAPPERS))}; got {what}."
    )


def _strip_prefix(state: StateDict, path: Path) -> StateDict:
    """Drop what wrappers such as DataParallel put before SAM's own names."""
    prefixes = {key[: key.index("image_encoder.")] for key in state if "image_encoder." in key}
    if len(prefixes) > 1:
        raise CheckpointError(
            f"Expected one SAM in '{path}'; found image encoders under "
            f"{', '.join(map(repr, sorted(prefixes)))}. Save the one you want by itself."
        )
    prefix = next(iter(prefixes), "")
    return {key.removeprefix(prefix): value for key, value in state.items()}


def check_fit(
    sam: torch.nn.Module, state: dict[str, torch.Tensor], architecture: str, path: Path
) -> None:
    """See that a state dict is the model's, every name and shape.

    Raises:
        CheckpointError: It differs; the message names a few of each kind.
    """
    expected = {key: tuple(value.shape) for key, value in sam.state_dict().items()}
    missing = [key for key in expected if key not in state]
    extra = [key for key in state if key not in expected]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {shape}"
        for key, shape in expected.items()
        if key in state and tuple(state[key].shape) != shape
    ]
    if not missing and not extra and not shapes:
        return
    parts = [
        f"{len(found)} {what}: {', '.join(found[:3])}{', ...' if len(found) > 3 else ''}"
        for what, found in (("missing", missing), ("unknown", extra), ("of other shape", shapes))
        if found
    ]
    raise CheckpointError(
        f"The weights in '{path}' look like {architecture} but do not fit it: "
        f"{'; '.join(parts)}. Expected the state dict of the published {architecture}; "
        "save exactly that, with torch.save(sam.state_dict(), path)."
    )
