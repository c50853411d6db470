"""Whether other processes are still there; for Linux."""

from __future__ import annotations

from pathlib import Path


def is_running(process: int) -> bool:
    """Whether there is such a process; one that ended and whom nobody asked about is none."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
