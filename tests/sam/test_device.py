"""Devices and dtypes, with the machines that are not at hand played by patched torch functions."""

from __future__ import annotations

import contextlib
import warnings

import pytest
import torch

from samlab.errors import InputError, SamlabWarning
from samlab.sam import device as dev

WHEEL = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.fixture
def machine(monkeypatch):
    """Play a machine with the given GPUs as (name, (major, minor)); a kernel "runs" on the CPU."""

    def play(*gpus, architectures=WHEEL, kernel_error=None, mps=False):
        cuda = torch.cuda
        monkeypatch.setattr(cuda, "is_available", lambda: bool(gpus))
        monkeypatch.setattr(cuda, "device_count", lambda: len(gpus))
        monkeypatch.setattr(cuda, "current_device", lambda: 0)
        monkeypatch.setattr(cuda, "get_arch_list", lambda: list(architectures))

        def number(d):
            return torch.device(d).index if not isinstance(d, int) else d

        monkeypatch.setattr(cuda, "get_device_name", lambda d: gpus[number(d)][0])
        monkeypatch.setattr(cuda, "get_device_capability", lambda d: gpus[number(d)][1])
        monkeypatch.setattr(cuda, "device", lambda d: contextlib.nullcontext())

        def bf16(including_emulation=True):
            return including_emulation or gpus[0][1][0] >= 8

        monkeypatch.setattr(cuda, "is_bf16_supported", bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        real_ones = torch.ones

        def ones(*size, device=None):
            if kernel_error:
                raise RuntimeError(kernel_error)
            return real_ones(*size)

        monkeypatch.setattr(torch, "ones", ones)

    return play


def test_a_machine_without_gpu_computes_on_the_cpu(machine):
    machine()
    assert dev.pick_device() == torch.device("cpu")
    assert dev.pick_device("cpu:0") == torch.device("cpu")


def test_mps_is_taken_where_there_is_no_cuda(machine):
    machine(mps=True)
    assert dev.pick_device() == torch.device("mps")
    assert dev.pick_device("mps") == torch.device("mps")


def test_a_t4_is_used_but_not_for_emulated_bf16(machine):
    machine(("Tesla T4", (7, 5)))
    device = dev.pick_device()
    assert device == torch.device("cuda", 0)
    assert torch.cuda.is_bf16_supported()  # what torch claims
    assert not dev.has_native_bf16(device)
    assert dev.pick_dtype(device, "auto") == torch.float32
    with pytest.warns(SamlabWarning, match=r"bfloat16 was asked for, but cuda:0 \(Tesla T4\)"):
        assert dev.pick_dtype(device, torch.bfloat16) == torch.float32
    assert dev.pick_dtype(device, "fp16") == torch.float16


def test_an_l4_has_native_bf16(machine):
    machine(("NVIDIA L4", (8, 9)))
    device = dev.pick_device("cuda")
    assert dev.pick_dtype(device, "auto") == torch.bfloat16
    assert dev.pick_dtype(device, "bf16") == torch.bfloat16
    assert dev.pick_dtype(device) == torch.float32


def test_a_p100_without_kernels_is_refused_with_the_reason(machine):
    machine(("Tesla P100-PCIE-16GB", (6, 0)))
    with pytest.raises(InputError) as refused:
        dev.pick_device("cuda")
    text = str(refused.value)
    assert "Tesla P100-PCIE-16GB" in text
    assert "sm_60" in text
    assert "has kernels only for sm_75, sm_80" in text
    assert "on Kaggle: T4 instead of P100" in text
    assert text.endswith("or use device='cpu'.")
    with pytest.warns(SamlabWarning, match="CUDA is not used: the GPU 0 .*sm_60"):
        assert dev.pick_device() == torch.device("cpu")


def test_the_second_gpu_is_taken_where_the_first_has_no_kernels(machine):
    machine(("Tesla P100", (6, 0)), ("Tesla T4", (7, 5)))
    with pytest.warns(SamlabWarning, match="Tesla P100"):
        assert dev.pick_device() == torch.device("cuda", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dev.pick_device("cuda:1") == torch.device("cuda", 1)


def test_a_gpu_whose_kernels_fail_is_refused_with_torchs_words(machine):
    machine(("NVIDIA A100", (8, 0)), kernel_error="CUDA error: out of memory\nmore lines")
    with pytest.raises(InputError, match="does not run a kernel: CUDA error: out of memory,"):
        dev.pick_device("cuda")


@pytest.mark.parametrize(
    ("capability", "architectures", "fits"),
    [
        ((8, 9), ["sm_86"], True),  # a minor version runs what an earlier one was built for
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_86"], False),
        ((9, 0), ["sm_86", "compute_86"], True),  # PTX is compiled for what is newer
        ((6, 0), ["compute_70"], False),
        ((12, 0), ["sm_120"], True),
        ((9, 0), ["sm_90a"], True),
        ((10, 0), ["sm_90a"], False),
        ((10, 3), ["sm_100f"], True),
        ((7, 5), [], False),
        ((7, 5), ["gfx90a"], False),
    ],
)
def test_which_code_runs_where(capability, architectures, fits):
    assert dev._has_code_for(*capability, architectures) is fits


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "Expected a device such as 'cpu', 'cuda', 'cuda:0' or 'mps'; got 'gpu'."),
        ("cuda", "Expected a machine with a CUDA GPU for device='cuda'; this torch"),
        ("mps", "Expected a machine with MPS"),
        ("meta", "Expected a device of type 'cpu', 'cuda' or 'mps'; got 'meta'."),
        (3.5, "Expected a device such as 'cpu', 'cuda', 'cuda:0' or 'mps'; got 3.5."),
    ],
)
def test_devices_that_are_not_there_are_named(machine, name, message):
    machine()
    with pytest.raises(InputError) as refused:
        dev.pick_device(name)
    assert str(refused.value).startswith(message)


def test_a_gpu_number_too_high_is_named(machine):
    machine(("Tesla T4", (7, 5)))
    with pytest.raises(InputError, match="between cuda:0 and cuda:0; got 'cuda:3'"):
        dev.pick_device("cuda:3")


@pytest.mark.parametrize("wide", [set(), {"avx512_f"}])
def test_a_cpu_without_bf16_gets_float32(monkeypatch, wide):
    monkeypatch.setattr(dev, "_cpu_features", lambda: wide)
    assert dev.pick_dtype("cpu", "auto") == torch.float32
    with pytest.warns(SamlabWarning, match="bfloat16 was asked for, but the CPU only emulates"):
        assert dev.pick_dtype("cpu", "bfloat16") == torch.float32
    with pytest.warns(SamlabWarning, match="float16 was asked for, but the CPU only emulates"):
        assert dev.pick_dtype("cpu", torch.float16) == torch.float32


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16", "bf16"])
def test_a_cpu_with_bf16_gets_it_only_when_asked(monkeypatch, feature):
    monkeypatch.setattr(dev, "_cpu_features", lambda: {"avx512_f", feature})
    assert dev.pick_dtype("cpu", "auto") == torch.bfloat16
    assert dev.pick_dtype("cpu", "torch.bfloat16") == torch.bfloat16
    assert dev.pick_dtype("cpu") == torch.float32
    assert dev.pick_dtype(None) == torch.float32


def test_cpu_features_without_torchs_help_agree_with_torch(monkeypatch):
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is None or not dev.Path("/proc/cpuinfo").exists():
        pytest.skip("needs a torch that tells and a Linux that tells")
    asked = dev._cpu_features()
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    read = dev._cpu_features()
    for feature in ("avx2", "avx512_bf16", "amx_bf16"):
        assert (feature in asked) == (feature in read)


@pytest.mark.parametrize("dtype", ["float64", torch.float64, "int8", 16])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(InputError, match="Expected dtype None, 'auto', 'float32', 'bfloat16' or"):
        dev.pick_dtype("cpu", dtype)


@pytest.mark.gpu
def test_a_real_gpu_runs_what_is_picked():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")
    device = dev.pick_device()
    assert device.type == "cuda"
    dtype = dev.pick_dtype(device, "auto")
    product = torch.ones(64, 64, device=device, dtype=dtype) @ torch.ones(
        64, 64, device=device, dtype=dtype
    )
    assert float(product[0, 0]) == 64.0
    major = torch.cuda.get_device_capability(device)[0]
    assert (dtype == torch.bfloat16) == (major >= 8)
