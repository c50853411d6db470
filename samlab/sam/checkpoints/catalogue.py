"""Where model weights come from: a path, a folder you name, Kaggle inputs, the cache, a download.

Nothing here imports torch. A file found under an official name must have the official SHA-256; a
file given by its own path is taken as it is, which is the way for fine-tuned weights.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
import warnings
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from samlab.errors import CheckpointError, SamlabWarning
from samlab.errors.arguments import can_be_file, shown
from samlab.sam.checkpoints import hub
from samlab.sam.checkpoints.hashes import cache_folder, remember_sha256, remembered_sha256, sha256

_META = "https://dl.fbaipublicfiles.com/segment_anything/"
_MOBILE = "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/"


@dataclass(frozen=True)
class Checkpoint:
    """One published file of weights; `size` is in bytes."""

    name: str
    filename: str
    base_url: str
    sha256: str
    size: int

    @property
    def url(self) -> str:
        """Where it is downloaded from; SAMLAB_CHECKPOINT_URL names a mirror's folder."""
        base = os.environ.get("SAMLAB_CHECKPOINT_URL") or self.base_url
        return base.rstrip("/") + "/" + self.filename


@dataclass(frozen=True)
class Found:
    """A file on this machine and how it was found ("path", "Kaggle input", "cache", ...)."""

    name: str
    path: Path
    source: str

    @property
    def label(self) -> str:
        """What results call the model: its name, or that of its file, or of its folder where the
        file has the name that all have."""
        if self.name in names():
            return self.name
        return self.path.resolve().parent.name if self.path.name in _IN_FOLDER else self.path.name


@dataclass(frozen=True)
class Status:
    """What is known of one model: a row of `samlab models`.

    `verified` is True or False once the file was hashed and compared with the official SHA-256, or
    with the one that the hub states, and None before that, without a file, and for the embedded
    model. `size` of a model of the hub that is not here is about what it will be.
    """

    name: str
    filename: str
    size: int
    path: Path | None
    source: str
    verified: bool | None
    licence: str = "Apache-2.0"
    gated: bool = False


#: Hashes and sizes of the published files: the repositories of Meta and of MobileSAM.
OFFICIAL: dict[str, Checkpoint] = {
    c.name: c
    for c in (
        Checkpoint(
            "vit_b",
            "sam_vit_b_01ec64.pth",
            _META,
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            375_042_383,
        ),
        Checkpoint(
            "vit_l",
            "sam_vit_l_0b3195.pth",
            _META,
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            1_249_524_607,
        ),
        Checkpoint(
            "vit_h",
            "sam_vit_h_4b8939.pth",
            _META,
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            2_564_550_879,
        ),
        Checkpoint(
            "mobile_sam",
            "mobile_sam.pt",
            _MOBILE,
            "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            40_728_226,
        ),
    )
}

EMBEDDED = "tiny"
KAGGLE_INPUT = Path("/kaggle/input")
_EMBEDDED_FOLDER = Path(__file__).parents[1] / "tiny"
_IN_FOLDER = ("model.safetensors", "pytorch_model.bin")
_SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt", ".bin")


def names() -> list[str]:
    """The names that `load_sam` knows.

    Example:
        >>> names()[:5]
        ['tiny', 'vit_b', 'vit_l', 'vit_h', 'mobile_sam']
    """
    return [EMBEDDED, *OFFICIAL, *hub.MODELS]


def architectures() -> dict[str, str]:
    """Name of a downloaded model -> what its weights must be."""
    return {name: name for name in OFFICIAL} | {m.name: m.family for m in hub.MODELS.values()}


def find(name: str | os.PathLike[str]) -> Found | None:
    """Look for weights on this machine; nothing is downloaded or hashed.

    Args:
        name: One of `names()`, or the path of a file. A name wins over a file of
            the same name in the current folder; write `./vit_b` for the file.

    Returns:
        The first match out of: the path itself, SAMLAB_CHECKPOINTS (folders, separated as in
        PATH), Kaggle inputs, the cache. None where an official file is nowhere.

    Raises:
        CheckpointError: The name is unknown, or the path is no file.

    Example:
        >>> find("vit_b").path  # doctest: +SKIP
        PosixPath('/kaggle/input/sam/pytorch/vit-b/1/sam_vit_b_01ec64.pth')
    """
    if str(name) == EMBEDDED:
        return _embedded()
    if str(name) in hub.MODELS:
        return _find_of_hub(hub.MODELS[str(name)])
    if str(name) not in OFFICIAL:
        return Found(str(name), _given_path(name), "path")
    checkpoint = OFFICIAL[str(name)]
    for folder in _named_folders():
        candidate = folder if folder.name == checkpoint.filename else folder / checkpoint.filename
        if candidate.is_file():
            return Found(checkpoint.name, candidate, "SAMLAB_CHECKPOINTS")
    on_kaggle = _find_below(KAGGLE_INPUT, {checkpoint.filename})
    if on_kaggle:
        return Found(checkpoint.name, on_kaggle[checkpoint.filename], "Kaggle input")
    cached = _cached(checkpoint)
    return Found(checkpoint.name, cached, "cache") if cached.is_file() else None


def fetch(name: str | os.PathLike[str], *, progress: bool = True) -> Found:
    """The file with the weights, downloaded where needed and verified where it is official.

    Args:
        name: As for `find`.
        progress: Show a bar while downloading.

    Returns:
        What `find` returns, or the file just downloaded, with the source "download".

    Raises:
        CheckpointError: Unknown name, missing file, wrong hash, no network, no room, or a cache
            that cannot be written. The cache never holds an incomplete file under a final name.
    """
    found = find(name)
    if str(name) in hub.MODELS:
        return _fetch_of_hub(hub.MODELS[str(name)], found, progress)
    if found is None and str(name) == EMBEDDED:
        raise CheckpointError(
            f"The embedded weights are missing from '{_EMBEDDED_FOLDER}': the installation is "
            "incomplete. Install samlab again."
        )
    if found is None:
        return _download(OFFICIAL[str(name)], progress)
    if found.name not in OFFICIAL:
        return found
    checkpoint = OFFICIAL[found.name]
    try:
        actual = sha256(found.path)
    except OSError as error:
        raise CheckpointError(
            f"'{found.path}' (found through {found.source}) cannot be read: "
            f"{error.strerror or error}. Check its permissions."
        ) from error
    if actual == checkpoint.sha256:
        return found
    if found.source == "cache":
        warnings.warn(
            f"The cached file '{found.path}' is damaged ({_differs(checkpoint, found.path, actual)}"
            "); it is downloaded again.",
            SamlabWarning,
            stacklevel=2,
        )
        return _download(checkpoint, progress)
    raise CheckpointError(
        f"'{found.path}' (found through {found.source}) is not the official {checkpoint.name}: "
        f"{_differs(checkpoint, found.path, actual)}. Replace it by {checkpoint.url}, or, if "
        "these are weights of your own, pass this path instead of the name."
    )


def status(*, verify: bool = False) -> list[Status]:
    """What is found where, one row per model, the embedded one first; torch is not imported.

    Args:
        verify: Hash every file found (seconds per GB). Otherwise `verified` tells what is
            remembered from an earlier hash of the same file.
    """
    found = _embedded()
    size = found.path.stat().st_size if found else 0
    path = found.path if found else None
    rows = [Status(EMBEDDED, path.name if path else "", size, path, "package", None)]
    for checkpoint in OFFICIAL.values():
        found = find(checkpoint.name)
        verified: bool | None = None
        if found is not None:
            actual = sha256(found.path) if verify else remembered_sha256(found.path)
            verified = None if actual is None else actual == checkpoint.sha256
        path = found.path if found else None
        source = found.source if found else ""
        rows.append(
            Status(checkpoint.name, checkpoint.filename, checkpoint.size, path, source, verified)
        )
    return [*rows, *(_status_of_hub(model, verify) for model in hub.MODELS.values())]


def _find_of_hub(model: hub.HubModel) -> Found | None:
    for folder in _named_folders():
        own = (hub.WEIGHTS,) if folder.name == model.repository.rpartition("/")[2] else ()
        for name in (*own, *model.filenames):
            if (folder / name).is_file():
                return Found(model.name, folder / name, "SAMLAB_CHECKPOINTS")
    on_kaggle = _find_below(KAGGLE_INPUT, set(model.filenames))
    for name in model.filenames:
        if name in on_kaggle:
            return Found(model.name, on_kaggle[name], "Kaggle input")
    cached = hub.cached(model)
    return None if cached is None else Found(model.name, cached, "Hugging Face cache")


def _fetch_of_hub(model: hub.HubModel, found: Found | None, progress: bool) -> Found:
    if found is None:
        return Found(model.name, hub.download(model, progress=progress), "download")
    if hub.is_whole(model, found.path) is not False:
        return found
    if found.source == "Hugging Face cache":
        return Found(model.name, hub.download(model, progress=progress), "download")
    raise CheckpointError(
        f"'{found.path}' (found through {found.source}) is not the official {model.name}: expected "
        f"SHA-256 {hub.expected_sha256(model, found.path)}, got {sha256(found.path)}. Fetch it "
        f"again from https://huggingface.co/{model.repository}, or, if these are weights of your "
        "own, pass this path instead of the name."
    )


def _status_of_hub(model: hub.HubModel, verify: bool) -> Status:
    found = _find_of_hub(model)
    path = None if found is None else found.path
    verified: bool | None = None
    if path is not None:
        expected = hub.expected_sha256(model, path)
        actual = sha256(path) if verify else remembered_sha256(path)
        verified = None if expected is None or actual is None else actual == expected
    return Status(
        name=model.name,
        filename=hub.WEIGHTS if path is None else path.name,
        size=model.megabytes * 1_000_000 if path is None else path.stat().st_size,
        path=path,
        source="" if found is None else found.source,
        verified=verified,
        licence=model.licence,
        gated=model.gated,
    )


def _embedded() -> Found | None:
    """The weights that come with the package."""
    for path in sorted(_EMBEDDED_FOLDER.glob("*.safetensors")):
        return Found(EMBEDDED, path, "package")
    return None


def _given_path(name: str | os.PathLike[str]) -> Path:
    """The file that a path names, or the clearest complaint."""
    if not can_be_file(name):
        raise CheckpointError(
            "Expected a model name, or the path of a checkpoint as a file can have it; got "
            f"{shown(os.fspath(name))}."
        )
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        return weights_in(path)
    text = str(name)
    same = next((m.name for m in hub.MODELS.values() if m.repository == text), None)
    if same is not None:
        raise CheckpointError(f"The model {text} of the hub is called {same!r} here.")
    looks_like_path = path.suffix in _SUFFIXES or os.sep in text or "/" in text
    if isinstance(name, os.PathLike) or looks_like_path:
        raise CheckpointError(
            f"No checkpoint at '{path}': the file does not exist. Check the path (the current "
            f"folder is '{Path.cwd()}'), or use one of the names {', '.join(names())}."
        )
    close = difflib.get_close_matches(text.lower().replace("-", "_"), names(), n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    raise CheckpointError(
        f"Expected a model name out of {', '.join(names())}, or the path of a checkpoint; "
        f"got {text!r}.{hint}"
    )


def weights_in(folder: Path) -> Path:
    """The file of weights in a folder that transformers wrote.

    Raises:
        CheckpointError: There is none, or it is in several parts.
    """
    for name in _IN_FOLDER:
        if (folder / name).is_file():
            return folder / name
    if any((folder / f"{name}.index.json").is_file() for name in _IN_FOLDER):
        raise CheckpointError(
            f"The weights in '{folder}' are in several files. Save them in one: "
            "model.save_pretrained(folder, max_shard_size='50GB')."
        )
    raise CheckpointError(
        f"Expected a file of weights, or a folder with {' or '.join(_IN_FOLDER)} in it; got the "
        f"folder '{folder}' without. Name a file."
    )


def _named_folders() -> list[Path]:
    value = os.environ.get("SAMLAB_CHECKPOINTS", "")
    return [Path(part).expanduser() for part in value.split(os.pathsep) if part]


def _cached(checkpoint: Checkpoint) -> Path:
    return cache_folder() / "checkpoints" / checkpoint.filename


def _find_below(root: Path, filenames: set[str]) -> dict[str, Path]:
    """Files by name, nearest to the root first.

    Breadth first and bounded: an input data set may hold a million pictures, and a checkpoint
    lies at most some eight folders down (models/owner/model/framework/variation/version/file).
    """
    found: dict[str, Path] = {}
    waiting: deque[tuple[Path, int]] = deque([(root, 0)])
    budget = 50_000
    while waiting and budget > 0 and len(found) < len(filenames):
        folder, depth = waiting.popleft()
        for name in sorted(filenames - found.keys()):
            if os.path.isfile(folder / name):  # unlike Path.is_file, False where it may not look
                found[name] = folder / name
        if depth < 8:
            seen, below = _subfolders(folder)
            budget -= seen
            waiting.extend((sub, depth + 1) for sub in below)
    return found


def _subfolders(folder: Path, limit: int = 5_000) -> tuple[int, list[Path]]:
    """(entries looked at, folders among them), sorted; a folder that cannot be read has none."""
    seen, below = 0, []
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, limit):
                seen += 1
                if entry.is_dir(follow_symlinks=False):
                    below.append(Path(entry.path))
    except OSError:
        return 1, []
    return seen, sorted(below)


def _differs(checkpoint: Checkpoint, path: Path, actual: str) -> str:
    text = f"expected SHA-256 {checkpoint.sha256}, got {actual}"
    size = path.stat().st_size
    if size < checkpoint.size:
        text += f"; it has {size:,} of {checkpoint.size:,} bytes, so it is cut short"
    return text


def _download(checkpoint: Checkpoint, progress: bool) -> Found:
    """Download through pooch: to a temporary name, hashed, then renamed."""
    import pooch
    import requests

    target = _cached(checkpoint)
    _check_writable(target.parent)
    _check_room(target.parent, checkpoint)
    downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 20, timeout=30)
    try:
        pooch.retrieve(
            checkpoint.url,
            known_hash="sha256:" + checkpoint.sha256,
            fname=target.name,
            path=target.parent,
            downloader=downloader,
        )
    except requests.exceptions.RequestException as error:
        raise CheckpointError(_not_found(checkpoint, str(error)[:300])) from error
    except ValueError as error:  # pooch's word on a wrong hash; the file is deleted already
        raise CheckpointError(
            f"{error} Nothing was kept. The address was {checkpoint.url}: a proxy or login page "
            "may have answered instead; try again, or download the file by hand and name its "
            "folder in SAMLAB_CHECKPOINTS."
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"Could not write '{target}' ({error}); nothing was kept. {checkpoint.size:,} bytes "
            "are needed. Make room, or set SAMLAB_CACHE to another folder."
        ) from error
    remember_sha256(target, checkpoint.sha256)  # pooch has just compared it
    return Found(checkpoint.name, target, "download")


def _not_found(checkpoint: Checkpoint, reason: str) -> str:
    folders = _named_folders()
    asked = ", ".join(f"'{f}'{'' if f.exists() else ' (does not exist)'}" for f in folders)
    kaggle = f"'{KAGGLE_INPUT}'" if KAGGLE_INPUT.is_dir() else f"'{KAGGLE_INPUT}' (not there)"
    target = _cached(checkpoint)
    return (
        f"The weights of {checkpoint.name} ({checkpoint.filename}, {checkpoint.size / 1e6:,.0f} "
        f"MB) are not on this machine and could not be downloaded.\n"
        f"  Looked in: SAMLAB_CHECKPOINTS ({asked or 'not set'}), Kaggle inputs {kaggle}, "
        f"the cache '{target.parent}'.\n"
        f"  Download of {checkpoint.url} failed: {reason}\n"
        f"  By hand: download that address elsewhere and save it as '{target}', or put it into "
        "any folder and name the folder in SAMLAB_CHECKPOINTS. On Kaggle, switch the internet on "
        "or add the file as an input. load_sam('tiny') needs no download."
    )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CheckpointError(
            f"Cannot write to the cache folder '{folder}': {error.strerror or error}. Set the "
            "environment variable SAMLAB_CACHE to a folder that can be written, or put the "
            "weights somewhere by hand and name that folder in SAMLAB_CHECKPOINTS."
        ) from error


def _check_room(folder: Path, checkpoint: Checkpoint) -> None:
    free = shutil.disk_usage(folder).free
    if free < checkpoint.size:
        raise CheckpointError(
            f"Not enough room in '{folder}' for {checkpoint.filename}: {checkpoint.size:,} bytes "
            f"are needed, {free:,} are free. Make room, or set SAMLAB_CACHE to another folder."
        )
