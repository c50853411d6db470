"""Threads that compute: how many this machine has room for, and that they wait without spinning.

torch's OpenMP threads spin while they wait for each other. Where several cores are seen and the
time of fewer is given, as in many containers, each spins away the time that the others need, and
two threads take five times as long as one. Threads that wait passively lose nothing there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

#: Where a person has set one of these, waiting is their affair.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_CGROUPS = Path("/sys/fs/cgroup")


def wait_passively(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP's threads sleep while they wait; what the environment says already stays.

    Only before torch is imported, so for the start of a process, never at the import of a library.

    Example:
        >>> environment = {}
        >>> wait_passively(environment)
        >>> environment["OMP_WAIT_POLICY"]
        'PASSIVE'
    """
    if waits_actively(environment):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"


def waits_actively(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether nobody has said how OpenMP's threads wait, so that they spin."""
    return not any(environment.get(name) for name in _WAITING)


def computing_environment(threads: int | None = None) -> dict[str, str]:
    """Variables for a process that is to compute, where nobody has set them.

    Args:
        threads: How many threads it may use; by default the cores of this process, where the
            quota of its container is fewer than it sees.
    """
    found: dict[str, str] = {}
    if waits_actively():
        wait_passively(found)
    if threads is None and not os.environ.get("OMP_NUM_THREADS"):
        threads = usable_cores() if usable_cores() < visible_cores() else None
    return found if threads is None else {**found, "OMP_NUM_THREADS": str(threads)}


def usable_cores() -> int:
    """Threads that can compute at once: OMP_NUM_THREADS, else what is seen and the quota allows."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if given.isdigit() and int(given) > 0:
        return int(given)
    quota = cgroup_quota()
    return visible_cores() if quota is None else max(1, min(visible_cores(), round(quota)))


def visible_cores() -> int:
    """The processors that this process may run on."""
    ask = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(ask(0)) if ask else os.cpu_count() or 1


def cgroup_quota(root: Path = _CGROUPS) -> float | None:
    """Cores whose time the container gets, or None without such a limit; cgroup version 2, then 1.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max)
    """
    try:
        quota, period = (root / "cpu.max").read_text(encoding="ascii").split()[:2]
    except (OSError, ValueError):
        try:
            quota, period = (
                (root / "cpu" / name).read_text(encoding="ascii").strip()
                for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            )
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:  # "max", or -1
        return None
    return int(quota) / int(period)


def measured_cores(threads: int, seconds: float = 0.25) -> float:
    """How many times the work of one busy thread so many get done; `threads` where all have a core.

    Others on the machine only ever take time away, so it is the best of three ratios. It takes six
    times `seconds`.
    """
    import hashlib
    from concurrent.futures import ThreadPoolExecutor

    block = bytes(1 << 18)

    def busy(_: int) -> float:
        end = time.perf_counter() + seconds
        done = 0
        while (now := time.perf_counter()) < end:
            hashlib.sha256(block).digest()  # lets other threads run meanwhile
            done += 1
        return done / (seconds + now - end)

    def speed(pool: ThreadPoolExecutor, count: int) -> float:
        return sum(pool.map(busy, range(count)))

    with ThreadPoolExecutor(threads) as pool:
        return max(speed(pool, threads) / max(speed(pool, 1), 1e-9) for _ in range(3))
