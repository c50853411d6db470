"""Python and its packages: what samlab asks for, what has been tried, which segment_anything."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from samlab.doctor.findings import Finding

#: Versions of Python that the tests run on, as (oldest, newest).
PYTHONS = ((3, 11), (3, 13))

#: The newest version of each package that the tests have run with. The oldest is in the metadata.
NEWEST_TRIED = {
    "torch": "2.15.0", "torchvision": "0.29.2", "numpy": "2.4.6", "scipy": "1.17.1",
    "pandas": "3.1.1", "pyarrow": "26.0.1", "scikit-learn": "1.9.1", "umap-learn": "0.5.12",
    "kneed": "0.9.0", "numba": "0.68.1", "pycocotools": "2.0.11", "higra": "0.6.13",
    "scikit-image": "0.26.0", "Pillow": "13.0.0", "matplotlib": "3.11.2", "plotly": "7.1.0",
    "anywidget": "0.11.0", "ipywidgets": "8.1.9", "jupyterlab": "4.6.6", "papermill": "2.7.0",
    "nbconvert": "7.17.2", "pooch": "1.9.0", "safetensors": "0.8.0", "typer": "0.29.2",
    "tqdm": "4.70.1", "fsspec": "2026.9.0", "filelock": "4.2.11", "jinja2": "3.1.6",
    "pyyaml": "6.0.3", "lazy_loader": "0.6",
}  # fmt: skip


def check_python() -> Finding:
    """The version of Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    oldest, newest = (".".join(map(str, v)) for v in PYTHONS)
    if sys.version_info < PYTHONS[0]:
        return Finding("Python", "fail", version, f"samlab needs Python {oldest} to {newest}.")
    if sys.version_info[:2] > PYTHONS[1]:
        advice = f"samlab is tested on Python {oldest} to {newest}; this one has not been tried."
        return Finding("Python", "warn", version, advice)
    return Finding("Python", "ok", version)


def check_packages() -> Iterator[Finding]:
    """Installed versions against what samlab's own metadata asks, and against what was tried."""
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
    untried = []
    for requirement in wanted:
        found = version(requirement.name)
        if found is not None and requirement.specifier.contains(found, prereleases=True):
            if _newer(found, NEWEST_TRIED.get(requirement.name)):
                untried.append(f"{requirement.name} {found} ({NEWEST_TRIED[requirement.name]})")
            continue
        bad += 1
        yield Finding(
            requirement.name,
            "fail",
            f"{found or 'not installed'}; samlab asks for {requirement.specifier}",
            f'pip install "{requirement}"',
        )
    if untried:
        yield Finding(
            "Packages",
            "info",
            f"newer than samlab's tests have run with (these in brackets): {', '.join(untried)}",
            "Nothing to do while all goes well. If one of them fails, go back to the version in "
            "brackets.",
        )
    elif not bad:
        yield Finding("Packages", "ok", f"all {len(wanted)} that samlab asks for")


def _newer(found: str, tried: str | None) -> bool:
    """Whether the first or second number of a version is above that of the newest tried."""
    try:
        return tried is not None and Version(found).release[:2] > Version(tried).release[:2]
    except InvalidVersion:
        return False


def version(distribution: str) -> str | None:
    """The installed version of a distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_segment_anything() -> Finding:
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
    text = f"{distribution} {version(distribution)}"
    direct = metadata.distribution(distribution).read_text("direct_url.json") or ""
    address = re.search(r'"url":\s*"([^"]+)"', direct)
    return f"{text} from {address[1]}" if address else text
