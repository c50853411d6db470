"""What works on this machine, and what to do about the rest."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

#: Versions of Python that the tests run on, as (oldest, newest).
_PYTHONS = ((3, 11), (3, 13))

_NEEDED_MEMORY = 2e9
"""Bytes; `tiny` and `vit_b` on one picture of a few megapixels stay below it."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: "fail" stops samlab, "warn" costs something, the rest is for you.

    Attributes:
        name: What was looked at, one or two words.
        status: "ok", "warn", "fail" or "info".
        found: What was found.
        advice: What to do; empty where there is nothing to do.
    """

    name: str
    status: Literal["ok", "warn", "fail", "info"]
    found: str
    advice: str = ""


def diagnose() -> list[Finding]:
    """Look at Python, packages, GPU, precision, front end, weights, cache, memory and disk.

    Nothing is changed or downloaded; torch is imported, which takes seconds.

    Example:
        >>> any(finding.name == "Python" for finding in diagnose())
        True
    """
    findings = [_platform(), _python(), *_packages(), _segment_anything()]
    torch_found = _torch()
    findings += torch_found
    if all(finding.status != "fail" for finding in torch_found):
        findings += [*_gpus(), _precision()]
    return [*findings, _front_end(), *_weights(), _cache(), _memory(), _disk()]


def format_findings(findings: list[Finding]) -> str:
    """The findings as text for a terminal or a notebook, 100 columns wide, advice below each.

    Example:
        >>> print(format_findings([Finding("Disk", "warn", "1 GB free", "Make room.")]))
        warn  Disk               1 GB free
                                 -> Make room.
        0 of 1 findings stop samlab, 1 should be looked at.
    """
    lines = []
    for finding in findings:
        head = f"{finding.status:<5} {finding.name:<19}"
        lines += textwrap.wrap(
            finding.found, 100, initial_indent=head, subsequent_indent=" " * 25
        ) or [head.rstrip()]
        lines += textwrap.wrap(
            finding.advice, 100, initial_indent=" " * 25 + "-> ", subsequent_indent=" " * 28
        )
    stopping = sum(finding.status == "fail" for finding in findings)
    looking = sum(finding.status == "warn" for finding in findings)
    lines.append(
        f"{stopping} of {len(findings)} findings stop samlab, {looking} should be looked at."
    )
    return "\n".join(lines)


def _platform() -> Finding:
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return Finding(
            "Platform",
            "info",
            "Kaggle",
            "Sessions end after 12 hours and only /kaggle/working is kept. With the internet off, "
            "add SAM's weights as an input; they are found there by file name.",
        )
    if "COLAB_RELEASE_TAG" in os.environ or "google.colab" in sys.modules:
        return Finding(
            "Platform",
            "info",
            f"Colab {os.environ.get('COLAB_RELEASE_TAG', '')}".rstrip(),
            "For widgets, run once: from google.colab import output; "
            "output.enable_custom_widget_manager()",
        )
    return Finding("Platform", "info", f"{sys.platform}, {os.cpu_count()} CPU cores")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    oldest, newest = (".".join(map(str, v)) for v in _PYTHONS)
    if sys.version_info < _PYTHONS[0]:
        return Finding("Python", "fail", version, f"samlab needs Python {oldest} to {newest}.")
    if sys.version_info[:2] > _PYTHONS[1]:
        advice = f"samlab is tested on Python {oldest} to {newest}; this one has not been tried."
        return Finding("Python", "warn", version, advice)
    return Finding("Python", "ok", version)


def _packages() -> Iterator[Finding]:
    """Installed versions against what samlab's own metadata asks."""
    try:
        requirements = [Requirement(text) for text in metadata.requires("samlab") or []]
    except metadata.PackageNotFoundError:
        yield Finding(
            "Packages",
            "warn",
            "samlab is imported from a folder and not installed, so its requirements are unknown",
            "Run 'pip install -e .' in that folder.",
        )
        return
    wanted = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    bad = 0
    for requirement in wanted:
        found = _version(requirement.name)
        if found is not None and requirement.specifier.contains(found, prereleases=True):
            continue
        bad += 1
        yield Finding(
            requirement.name,
            "fail",
            f"{found or 'not installed'}; samlab asks for {requirement.specifier}",
            f'pip install "{requirement}"',
        )
    if not bad:
        yield Finding("Packages", "ok", f"all {len(wanted)} that samlab asks for")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _segment_anything() -> Finding:
    """Which of three packages gives `segment_anything`, told by its code rather than its label."""
    spec = util.find_spec("segment_anything")
    if spec is None or spec.origin is None:
        return Finding(
            "segment_anything", "fail", "not installed", "pip install segment-anything-py"
        )
    folder = Path(spec.origin).parent
    sources = sorted(set(metadata.packages_distributions().get("segment_anything", [])))
    origin = ", ".join(_origin(source) for source in sources) or f"the folder {folder}"
    try:
        generator = (folder / "automatic_mask_generator.py").read_text(encoding="utf-8")
    except OSError:
        generator = ""
    if 'torch.zeros(len(data["boxes"]))' in generator:
        return Finding(
            "segment_anything",
            "warn",
            f"{origin}: the snapshot of April 2023 with two bugs that Meta has since mended. Its "
            "SamAutomaticMaskGenerator keeps the categories for NMS on the CPU and fails on a GPU "
            "with many thousand boxes; ResizeLongestSide.apply_image_torch takes batch and "
            "channels for height and width",
            "pip uninstall -y segment-anything && pip install segment-anything-py",
        )
    if len(sources) > 1:
        return Finding(
            "segment_anything",
            "warn",
            f"installed twice: {origin}; which one is imported depends on the order",
            f"pip uninstall -y {' '.join(sources)} && pip install segment-anything-py",
        )
    return Finding("segment_anything", "ok", origin)


def _origin(distribution: str) -> str:
    text = f"{distribution} {_version(distribution)}"
    direct = metadata.distribution(distribution).read_text("direct_url.json") or ""
    address = re.search(r'"url":\s*"([^"]+)"', direct)
    return f"{text} from {address[1]}" if address else text


def _torch() -> list[Finding]:
    try:
        torch: Any = import_module("torch")
    except (ImportError, OSError) as error:
        return [
            Finding(
                "torch", "fail", f"cannot be imported: {error}", "pip install torch torchvision"
            )
        ]
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    if torch.version.hip:
        build = f"ROCm {torch.version.hip}"
    findings = [Finding("torch", "ok", f"{torch.__version__}, built {build}")]
    together = "Install the pair in one command: pip install --upgrade torch torchvision"
    try:
        boxes = import_module("torchvision").ops
        boxes.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        first = str(error).splitlines()[0]
        text = f"does not work with torch {torch.__version__}: {first}"
        return [*findings, Finding("torchvision", "fail", text, together)]
    version, wanted = _version("torchvision"), _torch_for_torchvision()
    if wanted is not None and not _satisfies(torch.__version__, wanted):
        text = f"{version} was built for torch {wanted.specifier}, and torch is {torch.__version__}"
        return [*findings, Finding("torchvision", "warn", text, together)]
    return [*findings, Finding("torchvision", "ok", f"{version}, works with this torch")]


def _torch_for_torchvision() -> Requirement | None:
    try:
        requirements = [Requirement(text) for text in metadata.requires("torchvision") or []]
    except metadata.PackageNotFoundError:
        return None
    return next((r for r in requirements if r.name == "torch"), None)


def _satisfies(version: str, requirement: Requirement) -> bool:
    try:
        public = Version(version).public  # 2.11.0+cu128 satisfies ==2.11.0
    except InvalidVersion:
        return True
    return requirement.specifier.contains(public, prereleases=True)


def _gpus() -> list[Finding]:
    torch: Any = import_module("torch")
    from samlab.sam.device import cuda_problem

    if not torch.cuda.is_available():
        if torch.backends.mps.is_available():
            return [Finding("GPU", "ok", "Apple MPS; computed in float32, never in float64")]
        if Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi"):
            return [
                Finding(
                    "GPU",
                    "warn",
                    f"an NVIDIA driver is here, but torch {torch.__version__} finds no GPU",
                    "Switch the accelerator on, or install a CUDA build of torch that fits the "
                    "driver ('nvidia-smi' shows its CUDA version).",
                )
            ]
        return [Finding("GPU", "info", "none; samlab computes on the CPU")]
    findings = []
    for index in range(torch.cuda.device_count()):
        problem = cuda_problem(index)
        if problem is not None:
            findings.append(Finding("GPU", "warn", f"not usable: {problem}"))
            continue
        free, total = torch.cuda.mem_get_info(index)
        major, minor = torch.cuda.get_device_capability(index)
        text = f"{torch.cuda.get_device_name(index)} (sm_{major}{minor}), {free / 1e9:.1f} of "
        findings.append(Finding("GPU", "ok", f"{text}{total / 1e9:.1f} GB free"))
    return findings


def _precision() -> Finding:
    from samlab.sam.device import describe, has_native_bf16, pick_device

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an unusable GPU has its own finding
        device = pick_device()
    if has_native_bf16(device):
        return Finding(
            "Precision", "info", f"{describe(device)} has native bfloat16; dtype='auto' uses it"
        )
    return Finding(
        "Precision", "info", f"{describe(device)} has no native bfloat16; float32 is used"
    )


def _front_end() -> Finding:
    """Widgets need a half in the kernel (Python packages) and a half in JupyterLab."""
    if _version("anywidget") is None or _version("ipywidgets") is None:
        return Finding(
            "Widgets", "warn", "anywidget or ipywidgets is missing", "pip install anywidget"
        )
    versions = f"anywidget {_version('anywidget')}, ipywidgets {_version('ipywidgets')}"
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ or "COLAB_RELEASE_TAG" in os.environ:
        return Finding("Widgets", "ok", f"{versions}; the front end is the platform's own")
    from jupyter_core.paths import jupyter_path

    wanted = ("anywidget", "@jupyter-widgets/jupyterlab-manager")
    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    missing = [w for w in wanted if not any((folder / w).is_dir() for folder in folders)]
    if missing:
        return Finding(
            "Widgets",
            "warn",
            f"{versions}, but JupyterLab's part is not in this environment: {', '.join(missing)}",
            "If JupyterLab runs in another environment, run there: pip install anywidget "
            "jupyterlab_widgets; then reload the page. Without it, static pictures are shown.",
        )
    lab = _version("jupyterlab")
    return Finding("Widgets", "ok", f"{versions}, JupyterLab {lab or 'not in this environment'}")


def _weights() -> Iterator[Finding]:
    from samlab.sam.checkpoints import status

    for row in status():
        name = f"Weights {row.name}"
        if row.name == "tiny":
            if row.path is None:
                yield Finding(name, "fail", "not in the package", "Install samlab again.")
            else:
                yield Finding(name, "ok", f"in the package, {row.size / 1e6:.0f} MB")
        elif row.path is None:
            yield Finding(name, "info", f"not here; {row.size / 1e6:,.0f} MB at first use")
        elif row.verified is False or row.path.stat().st_size != row.size:
            yield Finding(
                name,
                "warn",
                f"{row.path} ({row.source}) is not the official file: "
                f"{row.path.stat().st_size:,} bytes instead of {row.size:,}, or another SHA-256",
                "Delete it, or give its path instead of the name if the weights are your own.",
            )
        else:
            checked = "SHA-256 verified" if row.verified else "verified when loaded"
            yield Finding(name, "ok", f"{row.path} ({row.source}, {checked})")


def _cache() -> Finding:
    from samlab.sam.checkpoints import cache_folder

    folder = cache_folder()
    advice = "Set SAMLAB_CACHE to a folder that can be written."
    nearest = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if not nearest.is_dir():
        return Finding("Cache", "warn", f"{nearest} is a file, not a folder", advice)
    try:
        with tempfile.NamedTemporaryFile(dir=nearest):
            pass
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror or error}"
        return Finding("Cache", "warn", text, advice)
    return Finding("Cache", "ok", f"{folder}, {size / 1e6:,.0f} MB, can be written")


def _memory() -> Finding:
    free = free_memory()
    if free is None:
        return Finding("Memory", "info", "unknown: this system does not tell")
    text = f"{free / 1e9:.1f} GB free"
    if free < _NEEDED_MEMORY:
        return Finding(
            "Memory",
            "warn",
            text,
            "Close other notebooks or make the picture smaller. The weights alone take 0.4 GB for "
            "vit_b, 1.2 GB for vit_l and 2.6 GB for vit_h.",
        )
    return Finding("Memory", "ok", text)


def free_memory() -> int | None:
    """Bytes that this process may still take, a container's limit included; None if unknown."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    if match is None:
        return None
    free = int(match[1]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no control group, or "max" for no limit
        return free
    return max(0, min(free, limit - used))


def _disk() -> Finding:
    from samlab.sam.checkpoints import OFFICIAL, cache_folder

    folder = cache_folder()
    nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(nearest).free
    here = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 1e9:.1f} GB free for the cache, {here / 1e9:.1f} GB in the current folder"
    biggest = max(OFFICIAL.values(), key=lambda c: c.size)
    if free < biggest.size:
        return Finding(
            "Disk",
            "warn",
            text,
            f"{biggest.name} needs {biggest.size / 1e9:.1f} GB. Make room, or set SAMLAB_CACHE.",
        )
    return Finding("Disk", "ok", text)
