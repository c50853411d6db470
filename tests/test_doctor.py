"""The doctor, with the machines and installations that are not at hand played by patches."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from samlab.doctor import Finding, diagnose, format_findings, front_end, hardware, memory, storage
from samlab.doctor import packages as installed_packages
from samlab.sam import device
from samlab.sam.checkpoints import catalogue as checkpoints

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _plain_machine(monkeypatch, tmp_path):
    for name in ("KAGGLE_KERNEL_RUN_TYPE", "COLAB_RELEASE_TAG", "SAMLAB_CHECKPOINTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoints, "KAGGLE_INPUT", tmp_path / "kaggle")


def one(findings, name) -> Finding:
    (finding,) = [f for f in findings if f.name == name]
    return finding


def test_a_sound_installation_has_nothing_to_stop_samlab():
    findings = diagnose()
    names = [f.name for f in findings]
    for name in ("Python", "Packages", "segment_anything", "torch", "torchvision", "GPU"):
        assert name in names
    for name in ("Precision", "Widgets", "Weights vit_h", "Cache", "Memory", "Disk"):
        assert name in names
    stopping = [f for f in findings if f.status == "fail" and f.name != "Weights tiny"]
    assert stopping == []


def test_looking_changes_nothing(tmp_path):
    list(storage.check_weights())
    storage.check_cache()
    storage.check_disk()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("version", "status", "advice"),
    [
        ((3, 10, 4), "fail", "samlab needs Python 3.11 to 3.13."),
        ((3, 11, 0), "ok", ""),
        ((3, 13, 9), "ok", ""),
        ((3, 14, 0), "warn", "samlab is tested on Python 3.11 to 3.13; this one has not been"),
    ],
)
def test_pythons(monkeypatch, version, status, advice):
    monkeypatch.setattr(installed_packages.sys, "version_info", version)
    finding = installed_packages.check_python()
    assert finding.status == status
    assert finding.found == ".".join(map(str, version))
    assert finding.advice.startswith(advice)


def test_packages_too_old_or_missing_are_named_with_the_command(monkeypatch):
    real = metadata.version

    def version(name):
        if name == "kneed":
            raise metadata.PackageNotFoundError(name)
        return "6.0.1" if name == "plotly" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    findings = list(installed_packages.check_packages())
    assert {f.name for f in findings} == {"kneed", "plotly"}
    assert one(findings, "kneed").found.startswith("not installed; samlab asks for >=")
    assert one(findings, "kneed").advice.startswith('pip install "kneed>=')
    plotly = one(findings, "plotly")
    assert plotly.status == "fail"
    assert plotly.found.startswith("6.0.1; samlab asks for ")
    assert "!=6.0.*" in plotly.found


def test_extras_are_not_asked_for(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy>=1", 'ray>=2; extra == "ray"'])
    (finding,) = installed_packages.check_packages()
    assert finding == Finding("Packages", "ok", "all 1 that samlab asks for")


def test_samlab_run_from_a_folder(monkeypatch):
    def unknown(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", unknown)
    (finding,) = installed_packages.check_packages()
    assert finding.advice == "Run 'pip install -e .' in that folder."


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Play an installed segment_anything with this source, from these distributions."""

    def play(source, *distributions, direct_url=""):
        folder = tmp_path / "site" / "segment_anything"
        folder.mkdir(parents=True)
        (folder / "automatic_mask_generator.py").write_text(source)
        spec = SimpleNamespace(origin=str(folder / "__init__.py"))
        monkeypatch.setattr(installed_packages.util, "find_spec", lambda _: spec)
        owners = {"segment_anything": list(distributions)}
        monkeypatch.setattr(metadata, "packages_distributions", lambda: owners)
        monkeypatch.setattr(metadata, "version", lambda _: "1.0")
        read = SimpleNamespace(read_text=lambda _: direct_url)
        monkeypatch.setattr(metadata, "distribution", lambda _: read)

    return play


def test_the_stale_snapshot_is_told_by_its_code(installed):
    installed('torch.zeros(len(data["boxes"])),  # categories', "segment-anything")
    finding = installed_packages.check_segment_anything()
    assert finding.status == "warn"
    assert finding.found.startswith(
        "segment-anything 1.0: the snapshot of April 2023 with two bugs"
    )
    assert "categories for NMS on the CPU and fails on a GPU" in finding.found
    assert "apply_image_torch takes batch and channels for height and width" in finding.found
    assert finding.advice == (
        "pip uninstall -y segment-anything && pip install segment-anything-py"
    )


def test_metas_own_repository_is_fine(installed):
    address = "https://github.com/facebookresearch/segment-anything.git"
    installed("categories", "segment-anything", direct_url=f'{{"url": "{address}"}}')
    finding = installed_packages.check_segment_anything()
    assert finding == Finding("segment_anything", "ok", f"segment-anything 1.0 from {address}")


def test_two_packages_in_one_folder(installed):
    installed("", "segment-anything", "segment-anything-py")
    finding = installed_packages.check_segment_anything()
    assert finding.status == "warn"
    assert finding.found.startswith("installed twice: segment-anything 1.0, segment-anything-py")
    assert "uninstall -y segment-anything segment-anything-py" in finding.advice


def test_a_folder_on_the_path_and_nothing_at_all(installed, monkeypatch):
    installed("")
    assert installed_packages.check_segment_anything().found.startswith("the folder ")
    monkeypatch.setattr(installed_packages.util, "find_spec", lambda _: None)
    finding = installed_packages.check_segment_anything()
    assert (finding.status, finding.advice) == ("fail", "pip install segment-anything-py")


def test_the_segment_anything_of_this_environment_is_sound():
    assert installed_packages.check_segment_anything().status == "ok"


def _importing(monkeypatch, **modules):
    real = hardware.import_module

    def imported(name):
        module = modules.get(name)
        if isinstance(module, Exception):
            raise module
        return module or real(name)

    monkeypatch.setattr(hardware, "import_module", imported)


def test_a_torch_that_cannot_be_imported_ends_the_matter(monkeypatch):
    _importing(monkeypatch, torch=ImportError("libcudart.so.12: cannot open shared object file"))
    findings = diagnose()
    assert one(findings, "torch").found.startswith("cannot be imported: libcudart.so.12")
    assert "GPU" not in [f.name for f in findings]
    assert "Disk" in [f.name for f in findings]


def test_a_torchvision_of_another_torch(monkeypatch):
    error = RuntimeError("operator torchvision::nms does not exist\nmore")
    _importing(monkeypatch, torchvision=error)
    finding = one(hardware.check_torch(), "torchvision")
    assert finding.status == "fail"
    assert finding.found.endswith("operator torchvision::nms does not exist")
    assert "pip install --upgrade torch torchvision" in finding.advice


def test_a_pair_that_loads_but_was_not_built_together(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy", "torch==2.4.0"])
    finding = one(hardware.check_torch(), "torchvision")
    assert finding.status == "warn"
    assert f"was built for torch ==2.4.0, and torch is {torch.__version__}" in finding.found


def test_local_versions_count_as_their_public_part():
    from packaging.requirements import Requirement

    assert hardware._satisfies("2.11.0+cu128", Requirement("torch==2.11.0"))
    assert not hardware._satisfies("2.10.0+cu128", Requirement("torch==2.11.0"))


def _play_gpu(monkeypatch, name, capability):
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    monkeypatch.setattr(cuda, "current_device", lambda: 0)
    monkeypatch.setattr(cuda, "get_device_name", lambda _: name)
    monkeypatch.setattr(cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
    monkeypatch.setattr(cuda, "mem_get_info", lambda _: (15_000_000_000, 16_000_000_000))
    monkeypatch.setattr(cuda, "device", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(
        cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    real = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *size, device=None: real(*size))


def test_a_t4_is_usable_without_bf16(monkeypatch):
    _play_gpu(monkeypatch, "Tesla T4", (7, 5))
    assert hardware.check_gpus() == [Finding("GPU", "ok", "Tesla T4 (sm_75), 15.0 of 16.0 GB free")]
    assert hardware.check_precision().found == (
        "cuda:0 (Tesla T4) has no native bfloat16; float32 is used"
    )


def test_a_p100_is_not_usable_and_the_cpu_is_judged_instead(monkeypatch):
    _play_gpu(monkeypatch, "Tesla P100", (6, 0))
    monkeypatch.setattr(device, "_cpu_features", lambda: {"avx512_bf16"})
    (finding,) = hardware.check_gpus()
    assert finding.status == "warn"
    assert finding.found.startswith("not usable: the GPU 0 (Tesla P100) has compute capability 6.0")
    assert hardware.check_precision().found == "the CPU has native bfloat16; dtype='auto' uses it"


def test_a_driver_without_a_torch_for_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(hardware.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    (finding,) = hardware.check_gpus()
    assert finding.status == "warn"
    assert "finds no GPU" in finding.found


def test_colab_is_recognised_by_its_environment_or_its_module(monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab-external_2026")
    assert front_end.check_platform().found == "Colab release-colab-external_2026"
    assert "drive.mount" in front_end.check_platform().advice
    assert front_end.check_front_end().status == "ok"
    assert "switches Colab's manager" in front_end.check_front_end().found
    monkeypatch.delenv("COLAB_RELEASE_TAG")
    assert front_end.check_platform().found != "Colab"
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    assert front_end.check_platform().found == "Colab"


def test_kaggle_is_recognised_and_its_limits_are_told(monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    assert front_end.check_platform().found == "Kaggle, interactive session"
    assert "Sessions end after 12 hours" in front_end.check_platform().advice
    assert front_end.check_front_end().found.endswith("the front end is the platform's own")


def test_packages_newer_than_tried_are_told_and_stop_nothing(monkeypatch):
    monkeypatch.setitem(installed_packages.NEWEST_TRIED, "numpy", "1.99.0")
    (finding,) = installed_packages.check_packages()
    assert finding.status == "info"
    assert f"numpy {metadata.version('numpy')} (1.99.0)" in finding.found
    assert "go back to the version in brackets" in finding.advice
    assert not installed_packages._newer("2.4.9", "2.4.6")
    assert not installed_packages._newer("odd", "2.4.6")


def test_every_requirement_has_a_version_that_was_tried():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {Requirement(text).name for text in project["dependencies"]}
    assert asked - {"segment-anything-py"} == set(installed_packages.NEWEST_TRIED)


def test_the_cache_is_measured_by_what_it_holds(tmp_path):
    for name, size in (("checkpoints/a.pth", 3_000_000), ("segments/ab/x.parquet", 2_000_000)):
        path = tmp_path / "cache" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(size))
    found = storage.check_cache().found
    assert "5 MB (checkpoints 3 MB, segments 2 MB), can be written" in found


def test_jupyterlab_without_its_half_of_the_widgets(monkeypatch):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *_: ["/nowhere"])
    finding = front_end.check_front_end()
    assert finding.status == "warn"
    assert "anywidget, @jupyter-widgets/jupyterlab-manager" in finding.found
    assert "static pictures are shown" in finding.advice


def test_weights_of_wrong_size_are_told_without_hashing(tmp_path):
    folder = tmp_path / "cache" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "sam_vit_b_01ec64.pth").write_bytes(b"short")
    findings = list(storage.check_weights())
    finding = one(findings, "Weights vit_b")
    assert finding.status == "warn"
    assert "is not the official file: 5 bytes instead of 375,042,383" in finding.found
    assert one(findings, "Weights vit_h").found == "not here; 2,565 MB at first use"


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMLAB_CACHE", str(tmp_path / "file" / "cache"))
    finding = storage.check_cache()
    assert finding.status == "warn"
    assert finding.found == f"{tmp_path / 'file'} is a file, not a folder"
    assert finding.advice == "Set SAMLAB_CACHE to a folder that can be written."

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("SAMLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(storage.tempfile, "NamedTemporaryFile", refuse)
    assert storage.check_cache().found == f"{tmp_path} cannot be written: Permission denied"


@pytest.mark.parametrize(
    ("free", "sam", "megapixels", "status"),
    [
        (10**9, "tiny", 1, "warn"),
        (10**10, "tiny", 12, "ok"),
        (3 * 10**9, "vit_h", 12, "warn"),
        (10**10, "vit_h", 12, "ok"),
        (10**10, "vit_h", 1000, "warn"),
        (None, "tiny", 1, "info"),
    ],
)
def test_memory_is_compared_with_what_the_settings_need(monkeypatch, free, sam, megapixels, status):
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    finding = memory.check_memory(sam, megapixels)
    assert finding.status == status
    if free is not None:
        assert (
            f"a notebook with {sam} on pictures of {megapixels} megapixels takes" in finding.found
        )
    if status == "warn":
        assert "make the pictures smaller" in finding.advice


def test_a_smaller_model_is_named_where_it_fits(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 3 * 10**9)
    assert memory.check_memory("vit_h").advice.startswith("vit_b would fit.")


def test_weights_by_path_are_judged_by_their_size(tmp_path):
    weights = tmp_path / "own.pth"
    with weights.open("wb") as file:
        file.truncate(1_250_000_000)  # sparse: takes no room
    assert memory.needed_memory(str(weights), 2) == memory.needed_memory("vit_l", 2)
    assert memory.needed_memory("vit_b", 2) < memory.needed_memory("vit_b", 20)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_that_is_told_is_what_a_process_takes():
    code = """
import samlab, numpy as np
segments = samlab.segment(np.zeros((3000, 4000, 3), np.uint8) + 99)
samlab.project(np.random.default_rng(0).random((200, 256)))
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak = 1024 * int(done.stdout.split()[-1])
    assert 0.5 * peak < memory.needed_memory("tiny", 12) < 2 * peak


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_free_memory_is_plausible():
    assert 10**7 < memory.free_memory() < 10**14


def test_a_full_disk(monkeypatch):
    usage = SimpleNamespace(free=10**9)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage)
    finding = storage.check_disk()
    assert finding.status == "warn"
    assert finding.advice.startswith("vit_h needs 2.6 GB.")


def test_findings_read_well_in_100_columns():
    text = format_findings(
        [
            Finding("Python", "ok", "3.12.1"),
            Finding("GPU", "warn", "word " * 40, "advice " * 30),
            Finding("Weights mobile_sam", "fail", "none"),
        ]
    )
    lines = text.splitlines()
    assert lines[0] == "ok    Python             3.12.1"
    assert max(map(len, lines)) <= 100
    assert any(line.startswith(" " * 25 + "-> advice") for line in lines)
    assert lines[-1] == "1 of 3 findings stop samlab, 1 should be looked at."
    assert format_findings([]) == "0 of 0 findings stop samlab, 0 should be looked at."


def test_every_way_to_classes_is_tried(monkeypatch):
    from samlab.doctor import clustering

    found = clustering.check_clustering()
    assert (found.status, found.found) == ("ok", "6 ways find 3 classes")
    whole = clustering.cluster

    def broken(points, min_samples, method, eps="auto"):
        if method == "hdbscan" and eps != "auto":
            raise TypeError("only 0-dimensional arrays can be converted to Python scalars")
        return whole(points, eps, min_samples, method="dbscan" if method == "ward" else method)

    monkeypatch.setattr(clustering, "cluster", broken)
    found = clustering.check_clustering()
    assert found.status == "fail"
    assert found.found.startswith("HDBSCAN with eps: TypeError: only 0-dimensional arrays")
    assert "scikit-learn" in found.found
