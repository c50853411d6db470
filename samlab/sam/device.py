"""Device and dtype that really work on this machine.

torch claims more than a machine can do: `torch.cuda.is_available()` is true on a GPU for which the
installed build has no kernels (a P100 with a current wheel), `is_bf16_supported()` is true on a T4
that only emulates it, and MPS has no float64. What is asked here is what holds at run time.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from samlab.errors import InputError, SamlabWarning

DeviceLike: TypeAlias = str | torch.device | None
DtypeLike: TypeAlias = str | torch.dtype | None

_DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
    "half": torch.float16,
}


def pick_device(device: DeviceLike = None) -> torch.device:
    """The device to compute on, checked to work.

    Args:
        device: A name such as `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`, a torch.device, or None
            for the best one: the first CUDA GPU that runs a kernel, else MPS, else the CPU.

    Returns:
        A torch.device; a CUDA device carries its index.

    Raises:
        InputError: A device was asked for that is unknown, absent or cannot run this torch's
            kernels; the message says why and what to do.

    With None, a GPU that is present but unusable is skipped with a SamlabWarning that says why.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    if device is None:
        return _best_device()
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"Expected a device such as 'cpu', 'cuda', 'cuda:0' or 'mps'; got {device!r}. "
            f"torch says: {str(error).splitlines()[0]}"
        ) from None
    if wanted.type == "cpu":
        return torch.device("cpu")
    if wanted.type == "mps":
        if not torch.backends.mps.is_available():
            raise InputError(
                "Expected a machine with MPS (Apple silicon, a macOS build of torch) for "
                f"device={str(device)!r}; torch finds none. Use device=None or 'cpu'."
            )
        return torch.device("mps")
    if wanted.type == "cuda":
        return _asked_cuda(wanted)
    raise InputError(
        f"Expected a device of type 'cpu', 'cuda' or 'mps'; got {str(device)!r}. "
        "SAM has not been tried on others; use device=None."
    )


def cuda_problem(index: int) -> str | None:
    """Why CUDA device `index` cannot be used, or None where it can.

    Two questions are asked: does this build of torch hold code for the GPU's architecture
    (`torch.cuda.get_arch_list()`), and does a small kernel run.
    """
    major, minor = torch.cuda.get_device_capability(index)
    name = torch.cuda.get_device_name(index)
    architectures = torch.cuda.get_arch_list()
    if torch.version.hip is None and not _has_code_for(major, minor, architectures):
        built_for = ", ".join(architectures) or "no GPU"
        return (
            f"the GPU {index} ({name}) has compute capability {major}.{minor} (sm_{major}{minor}), "
            f"and this torch {torch.__version__} has kernels only for {built_for}. Choose "
            "another accelerator (on Kaggle: T4 instead of P100), or install a torch build that "
            f"still supports sm_{major}{minor}"
        )
    try:
        works = float((torch.ones(2, device=f"cuda:{index}") * 2).sum()) == 4.0
    except RuntimeError as error:
        return f"the GPU {index} ({name}) does not run a kernel: {str(error).splitlines()[0]}"
    return None if works else f"the GPU {index} ({name}) gives a wrong sum for 2 + 2"


def has_native_bf16(device: DeviceLike) -> bool:
    """Whether the device multiplies bfloat16 in hardware, rather than by emulation.

    CUDA: compute capability 8.0 and later. CPU: AVX512-BF16, AMX-BF16 or Arm's BF16 extension.
    MPS: no, since torch offers no way to ask the chip.
    """
    device = torch.device(device or "cpu")
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(_cpu_features() & {"avx512_bf16", "amx_bf16", "bf16", "sve_bf16"})
    return False


def pick_dtype(device: DeviceLike, dtype: DtypeLike = None) -> torch.dtype:
    """The floating-point type to compute in.

    Args:
        device: Where the model will run.
        dtype: None for float32 on every device (results then agree between machines and with
            SAM's own code); `"auto"` for bfloat16 where the device has it natively and float32
            elsewhere; or a name or torch.dtype out of float32, bfloat16 and float16.

    Returns:
        torch.float32, torch.bfloat16 or torch.float16. A half-precision type that the device
        only emulates becomes float32, with a SamlabWarning, so that the same notebook runs
        everywhere.

    Raises:
        InputError: The dtype is none of those above.

    Example:
        >>> pick_dtype("cpu")
        torch.float32
    """
    wanted = check_dtype(dtype)
    if wanted is None:
        return torch.float32
    device = torch.device(device or "cpu")
    if wanted == "auto":
        return torch.bfloat16 if has_native_bf16(device) else torch.float32
    slow_bf16 = wanted == torch.bfloat16 and not has_native_bf16(device)
    slow_fp16 = wanted == torch.float16 and device.type == "cpu"
    if slow_bf16 or slow_fp16:
        short = str(wanted).removeprefix("torch.")
        warnings.warn(
            f"{short} was asked for, but {describe(device)} only emulates it, which is slower "
            "than float32; float32 is used. Pass dtype='auto' to get bfloat16 only where it is "
            "native.",
            SamlabWarning,
            stacklevel=2,
        )
        return torch.float32
    return wanted


def check_dtype(dtype: DtypeLike) -> torch.dtype | Literal["auto"] | None:
    """What `pick_dtype` is asked for; raises InputError where it is none of these."""
    if dtype is None or dtype == "auto":
        return dtype  # type: ignore[return-value]
    wanted = _DTYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else dtype
    if wanted not in (torch.float32, torch.bfloat16, torch.float16):
        raise InputError(
            f"Expected dtype None, 'auto', 'float32', 'bfloat16' or 'float16'; got {dtype!r}."
        )
    return wanted


def describe(device: DeviceLike) -> str:
    """A short name for messages, such as `"cuda:0 (Tesla T4)"` or `"the CPU"`."""
    device = torch.device(device or "cpu")
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return "the CPU" if device.type == "cpu" else str(device)


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        count, current = torch.cuda.device_count(), torch.cuda.current_device()
        for index in [current, *(i for i in range(count) if i != current)]:
            problem = cuda_problem(index)
            if problem is None:
                return torch.device("cuda", index)
            warnings.warn(f"CUDA is not used: {problem}.", SamlabWarning, stacklevel=3)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _asked_cuda(wanted: torch.device) -> torch.device:
    if not torch.cuda.is_available():
        build = "built without CUDA" if torch.version.cuda is None else "finds no GPU or driver"
        raise InputError(
            f"Expected a machine with a CUDA GPU for device='{wanted}'; this torch "
            f"{torch.__version__} {build}. On Kaggle and Colab switch the accelerator on; "
            "elsewhere use device=None or 'cpu'."
        )
    index = torch.cuda.current_device() if wanted.index is None else wanted.index
    count = torch.cuda.device_count()
    if index >= count:
        raise InputError(
            f"Expected a CUDA device between cuda:0 and cuda:{count - 1}; got 'cuda:{index}'."
        )
    problem = cuda_problem(index)
    if problem is not None:
        raise InputError(f"device='{wanted}' cannot be used: {problem}, or use device='cpu'.")
    return torch.device("cuda", index)


def _has_code_for(major: int, minor: int, architectures: list[str]) -> bool:
    """Binary code runs on its own major version from its minor on; PTX on all that is newer.

    Source: CUDA C++ programming guide, "Binary compatibility" and "PTX compatibility".
    """
    for architecture in architectures:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", architecture)
        if match is None:
            continue
        kind, code = match[1], (int(match[2]), int(match[3]))
        if match[4] == "a":  # architecture-specific code runs on exactly that one
            fits = code == (major, minor)
        elif kind == "sm" or match[4] == "f":
            fits = code[0] == major and code[1] <= minor
        else:
            fits = code <= (major, minor)
        if fits:
            return True
    return False


def _cpu_features() -> set[str]:
    """Names of the CPU's instruction sets, as torch names them where it can tell."""
    ask = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch we accept
    if ask is not None:
        return {name for name, value in ask().items() if value is True}
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return set()
    lines = re.findall(r"^(?:flags|Features)\s*:\s*(.*)$", text, flags=re.MULTILINE)
    return set(lines[0].split()) if lines else set()
