"""Weights that live on the Hugging Face hub: every SAM after the first.

Those of Meta are pinned: the revision that is fetched and the SHA-256 that its file must have stand
here. Of the others the newest is taken, and the SHA-256 is what the hub itself states for the file
(it names large files in its cache by it). Nothing here imports torch or transformers, and no code
from the hub is ever run.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samlab.errors import CheckpointError, SamlabWarning, require_extra
from samlab.sam.checkpoints.hashes import sha256

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


@dataclass(frozen=True)
class HubModel:
    """One model of the hub.

    Attributes:
        name: For `load_sam`.
        repository: "owner/name".
        megabytes: About, by its number of parameters.
        licence: Of the weights.
        gated: Whether the hub asks for an account and an agreement first.
        original: The file of its makers that is taken as well, where found under this name.
        beside: Files of the repository that are fetched too, where they are there.
        revision, sha256: The commit that is fetched, and what its weights are; "" if not pinned.
        original_sha256: The same for the file of its makers.
    """

    name: str
    repository: str
    megabytes: int
    licence: str = "Apache-2.0"
    gated: bool = False
    original: str = ""
    beside: tuple[str, ...] = ()
    revision: str = ""
    sha256: str = ""
    original_sha256: str = ""

    @property
    def family(self) -> str:
        """Which family its weights have to belong to."""
        own = {"sam2.1": "sam2", "slimsam": "sam"}
        prefix = self.name.partition("_")[0]
        return "sam_hq" if self.name.startswith("sam_hq") else own.get(prefix, prefix)

    @property
    def filenames(self) -> tuple[str, ...]:
        """Where its weights may lie below a folder, the best first."""
        folder = self.repository.rpartition("/")[2]
        names = (f"{folder}/{WEIGHTS}", f"{self.name}/{WEIGHTS}", f"{self.name}.safetensors")
        return (*names, self.original) if self.original else names


def _sam2(size: str, megabytes: int, revision: str, sha256: str, original_sha256: str) -> HubModel:
    return HubModel(
        f"sam2.1_hiera_{size}",
        f"facebook/sam2.1-hiera-{size.replace('_', '-')}",
        megabytes,
        original=f"sam2.1_hiera_{size}.pt",
        revision=revision,
        sha256=sha256,
        original_sha256=original_sha256,
    )


MODELS: dict[str, HubModel] = {
    m.name: m
    for m in (
        _sam2(
            "tiny",
            156,
            "de431c4043854a71d8101e17995dfe596bf101a5",
            "48c14467e5cf9e51870511feb72c89688e82dd74523142c0538b663e193ac2a7",
            "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        ),
        _sam2(
            "small",
            184,
            "ee5bba1d82bb8749febdf90f45e84b687142ba03",
            "0a4067b11ce1e23d5229203f11c718a823060d15a4b23fa2372a7d4b77cbbc60",
            "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        ),
        _sam2(
            "base_plus",
            323,
            "b7320756a13354e7530a63935656d35b2f91a290",
            "2012733a0de5d03efd1bba550a2847c4551be9ef2e0d497c83074df66189f780",
            "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        ),
        _sam2(
            "large",
            898,
            "665f8e2ad61cf5f53d65644ff27c8ee525124610",
            "dc407dce21301fd94abb395c5099b4f2c455fdc8a8f261ac3d0ea6d4cd197230",
            "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        ),
        HubModel("edgetam", "yonigozlan/EdgeTAM-hf", 56),
        *(
            HubModel(
                f"sam_hq_vit_{size[0]}",
                f"syscv-community/sam-hq-vit-{size}",
                megabytes,
                original=f"sam_hq_vit_{size[0]}.pth",
            )
            for size, megabytes in (("base", 379), ("large", 1255), ("huge", 2571))
        ),
        HubModel("slimsam_77", "Zigeng/SlimSAM-uniform-77", 39),
        HubModel("slimsam_50", "Zigeng/SlimSAM-uniform-50", 112),
        HubModel(
            "sam3",
            "facebook/sam3",
            3440,
            licence="SAM License",
            gated=True,
            beside=("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
            revision="3c879f39826c281e95690f02c7821c4de09afae7",
            sha256="6d06f0a5f84e435071fe6603e61d0b4cc7b40e0d39d487cfd4d67d8cc11cc14a",
        ),
    )
}


def cached(model: HubModel) -> Path | None:
    """The weights in the Hugging Face cache, with their configuration beside them, or None."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    for revision in dict.fromkeys((model.revision or None, None)):  # the pinned one, or any
        found = [
            try_to_load_from_cache(model.repository, name, cache_dir=_cache(), revision=revision)
            for name in (WEIGHTS, CONFIG)
        ]
        paths = [Path(path) for path in found if isinstance(path, str)]
        if len(paths) == 2:
            return paths[0]
    return None


def expected_sha256(model: HubModel, path: Path) -> str | None:
    """What a file found under a model's name must be: as pinned, else as the hub states."""
    pinned = model.original_sha256 if path.name == model.original else model.sha256
    return pinned or stated_sha256(path)


def stated_sha256(path: Path) -> str | None:
    """What the hub says a file's SHA-256 is: its cache keeps large files under that name."""
    real = path.resolve()
    is_blob = real.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", real.name)
    return real.name if is_blob else None


def is_whole(model: HubModel, path: Path) -> bool | None:
    """Whether a file has the SHA-256 that it must have; None where none is known."""
    expected = expected_sha256(model, path)
    return None if expected is None else sha256(path) == expected


def download(model: HubModel, *, progress: bool = True, force: bool = False) -> Path:
    """Fetch configuration and weights into the Hugging Face cache and compare the SHA-256.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        CheckpointError: Not reachable, gated, not there, no room, or damaged on the way.
    """
    require_extra("huggingface_hub", "hf", f"Downloading {model.name}")
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        path = _fetch(model, progress, force)
    except GatedRepoError as error:
        raise CheckpointError(_gated(model)) from error
    except LocalEntryNotFoundError as error:  # also an EntryNotFoundError: nothing answered
        raise CheckpointError(_unreachable(model, error)) from error
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        if model.gated:
            raise CheckpointError(_gated(model)) from error
        raise CheckpointError(
            f"The hub has no '{WEIGHTS}' and '{CONFIG}' in {model.repository}, where {model.name} "
            "was. Get them elsewhere and pass their folder to load_sam."
        ) from error
    except HfHubHTTPError as error:
        raise CheckpointError(_unreachable(model, error)) from error
    except Exception as error:
        # What the hub's client raises raw, by its version; those of requests are OSErrors too.
        if type(error).__module__.startswith(("httpx", "requests")):
            raise CheckpointError(_unreachable(model, error)) from error
        if not isinstance(error, OSError):
            raise
        raise CheckpointError(
            f"{model.name} ({model.megabytes:,} MB) could not be downloaded into '{_where()}': "
            f"{error.strerror or error}. Make room, or set HF_HOME to another folder."
        ) from error
    if is_whole(model, path) is not False:
        return path
    if force:
        raise CheckpointError(
            f"The download of {model.name} is damaged: expected SHA-256 "
            f"{expected_sha256(model, path)}, got {sha256(path)}. Delete '{path.resolve()}' and "
            "try again."
        )
    warnings.warn(
        f"The cached file '{path}' is damaged (its SHA-256 is not the expected one); it is "
        "downloaded again.",
        SamlabWarning,
        stacklevel=3,
    )
    return download(model, progress=progress, force=True)


def _fetch(model: HubModel, progress: bool, force: bool) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import RemoteEntryNotFoundError
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    endpoint = os.environ.get("HF_ENDPOINT")
    revision = model.revision or None
    where: dict[str, Any] = {"cache_dir": _cache(), "endpoint": endpoint, "revision": revision}
    silent = not progress and not are_progress_bars_disabled()
    if silent:
        disable_progress_bars()
    try:
        hf_hub_download(model.repository, CONFIG, **where)
        for name in model.beside:
            with suppress(RemoteEntryNotFoundError):
                hf_hub_download(model.repository, name, **where)
        address = hf_hub_url(model.repository, WEIGHTS, endpoint=endpoint, revision=revision)
        _check_room(model, get_hf_file_metadata(address).size)
        return Path(hf_hub_download(model.repository, WEIGHTS, force_download=force, **where))
    finally:
        if silent:
            enable_progress_bars()


def _check_room(model: HubModel, size: int | None) -> None:
    folder = _where()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size is not None and free < size:
        raise CheckpointError(
            f"Not enough room in '{_where()}' for {model.name}: {size:,} bytes are needed, "
            f"{free:,} are free. Make room, or set HF_HOME to another folder."
        )


def _cache() -> str | None:
    """HF_HUB_CACHE as it is now; huggingface_hub itself reads it only once."""
    return os.environ.get("HF_HUB_CACHE") or None


def _where() -> Path:
    from huggingface_hub import constants

    return Path(_cache() or constants.HF_HUB_CACHE)


def _gated(model: HubModel) -> str:
    return (
        f"The weights of {model.name} are gated, under {model.licence}: accept it at "
        f"https://huggingface.co/{model.repository}, run 'hf auth login' (or set HF_TOKEN), and "
        "call load_sam again."
    )


def _unreachable(model: HubModel, error: BaseException) -> str:
    while error.__cause__ is not None:  # the client's own sentence is four lines of advice
        error = error.__cause__
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "no answer"
    return (
        f"The weights of {model.name} ({model.repository}, {model.megabytes:,} MB) are not on this "
        f"machine and the Hugging Face hub could not be reached ({reason}). Download the "
        f"repository elsewhere and pass its folder to load_sam, or put the folder into one that "
        "SAMLAB_CHECKPOINTS names."
    )
