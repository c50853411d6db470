"""Free memory against what the chosen model and pictures need."""

from __future__ import annotations

import re
from pathlib import Path

from samlab.doctor.findings import Finding

# Peak resident memory of a process that loads the model and segments one picture on the CPU in
# float32, as bytes and bytes per pixel. Measured on Linux with torch 2.15 (random weights of the
# official sizes) on pictures of 0.3, 12 and, for the first two, 48 megapixels; rounded up.
# mobile_sam was not measured and is taken for vit_b, which is larger.
_PEAK = {
    "tiny": (1.25e9, 3.0),
    "vit_b": (1.65e9, 12.0),
    "vit_l": (2.65e9, 12.0),
    "vit_h": (4.20e9, 12.0),
    "mobile_sam": (1.65e9, 12.0),
}

# By the size of a file of weights, for one that is given by its path.
_BY_SIZE = ((2.0e9, "vit_h"), (0.8e9, "vit_l"), (0.2e9, "vit_b"), (0.0, "mobile_sam"))

#: Beside the model: the map, figures and the explorer in the same notebook. Measured: 0.2 GB.
_NOTEBOOK = 0.3e9


def check_memory(sam: str = "tiny", megapixels: float = 12.0) -> Finding:
    """Whether the memory that is free is enough for this model on pictures of this size."""
    free = free_memory()
    if free is None:
        return Finding("Memory", "info", "unknown: this system does not tell")
    needed = needed_memory(sam, megapixels)
    text = (
        f"{free / 1e9:.1f} GB free; a notebook with {sam} on pictures of {megapixels:g} megapixels "
        f"takes about {needed / 1e9:.1f} GB on the CPU"
    )
    if free >= needed:
        return Finding("Memory", "ok", text)
    smaller = [
        name for name in ("vit_l", "vit_b", "tiny") if needed_memory(name, megapixels) < free
    ]
    if smaller and smaller[0] != _kind(sam) and _PEAK[smaller[0]] < _PEAK[_kind(sam)]:
        advice = f"{smaller[0]} would fit. Or close other notebooks, or make the pictures smaller."
    else:
        advice = "Close other notebooks, or make the pictures smaller."
    return Finding("Memory", "warn", text, advice)


def needed_memory(sam: str, megapixels: float) -> int:
    """Bytes that a notebook needs to segment pictures of this size and to explore the result.

    Args:
        sam: A name for `load_sam`, or the path of weights, judged by the size of the file.
        megapixels: Of the largest picture.

    Example:
        >>> needed_memory("tiny", 12) < needed_memory("vit_h", 12)
        True
    """
    base, per_pixel = _PEAK[_kind(sam)]
    return round(base + per_pixel * megapixels * 1e6 + _NOTEBOOK)


def _kind(sam: str) -> str:
    if sam in _PEAK:
        return sam
    path = Path(sam).expanduser()
    size = path.stat().st_size if path.is_file() else 0
    return next(kind for least, kind in _BY_SIZE if size >= least)


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
