"""The embedded encoder with one and two threads, which spin or sleep while they wait.

    python -m benchmarks.threads              two cores
    python -m benchmarks.threads --shared     two threads that share the time of one core (Linux)

OpenMP reads its settings once, so each figure is a process of its own; they take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

WAYS = {"1 thread": ("1", ""), "2, spinning": ("2", ""), "2, passive": ("2", "PASSIVE")}

ENCODE = """
import time, torch
from benchmarks._measure import build, picture
from samlab.sam.fast.encoder import encode
sam, image = build("tiny", "cpu"), picture((500, 375))
encode(image, sam)
times = []
for _ in range(3):
    start = time.perf_counter()
    encode(image, sam)
    times.append(time.perf_counter() - start)
print(min(times))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shared", action="store_true")
    options = parser.parse_args()
    if options.shared:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way, (threads, policy) in WAYS.items():
            own = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY",)}
            own |= {"OMP_NUM_THREADS": threads} | ({"OMP_WAIT_POLICY": policy} if policy else {})
            done = subprocess.run(
                [sys.executable, "-c", ENCODE], env=own, capture_output=True, text=True, check=True
            )
            found[way].append(float(done.stdout))
    for way, times in found.items():
        middle, least, most = statistics.median(times), min(times), max(times)
        print(f"{way:12}  median {middle:.2f} s  ({least:.2f} to {most:.2f})")


if __name__ == "__main__":
    main()
