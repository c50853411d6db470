"""torch, the GPUs that it can really use, and in which precision."""

from __future__ import annotations

import shutil
import warnings
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from samlab.doctor.findings import Finding
from samlab.doctor.packages import version
from samlab.errors import counted
from samlab.process.threads import measured_cores, usable_cores, waits_actively


def check_torch() -> list[Finding]:
    """Whether both can be imported, fit together, and what torch was built for."""
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
    found, wanted = version("torchvision"), _torch_for_torchvision()
    if wanted is not None and not _satisfies(torch.__version__, wanted):
        text = f"{found} was built for torch {wanted.specifier}, and torch is {torch.__version__}"
        return [*findings, Finding("torchvision", "warn", text, together)]
    return [*findings, Finding("torchvision", "ok", f"{found}, works with this torch")]


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


def check_threads() -> Finding:
    """Whether as many threads get done as there are cores to see, and how they wait."""
    seen = usable_cores()
    got = measured_cores(seen) if seen > 1 else 1.0
    text = f"{counted(seen, 'core')} to compute with"
    if seen > 1:
        text += f"; {seen} busy threads get {got:.1f} times as much done as one"
    if seen == 1 or got > 0.75 * seen or not waits_actively():
        return Finding("Threads", "ok", text)
    return Finding(
        "Threads",
        "warn",
        f"{text}, and spin while they wait for each other",
        "In a notebook, before anything else: import os; "
        'os.environ["OMP_WAIT_POLICY"] = "PASSIVE". The samlab command does it by itself.',
    )


def check_gpus() -> list[Finding]:
    """Each GPU: whether this torch has code for it and runs a kernel, and its free memory."""
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


def check_precision() -> Finding:
    """Whether bfloat16 is native on the device that would be used."""
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
