"""Write measured figures into the header of a weights file, beside recipe and counts.

    python -m training.stamp tiny.safetensors bsds500_val.covering=0.74 bsds500_val.photos=100

The tensors stay as they are, bit for bit.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import save_file


def stamp(weights: Path, facts: dict[str, str]) -> None:
    """Add facts to the metadata; the file appears whole or not at all."""
    with safe_open(weights, framework="numpy") as file:
        metadata = dict(file.metadata() or {})
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    temporary = weights.with_suffix(".part")
    save_file(arrays, temporary, metadata=metadata | facts)
    os.chmod(temporary, 0o644)
    os.replace(temporary, weights)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("facts", nargs="+", metavar="NAME=VALUE")
    options = parser.parse_args()
    pairs = [fact.partition("=") for fact in options.facts]
    if not all(equals and name for name, equals, _ in pairs):
        parser.error("expected facts as NAME=VALUE")
    stamp(options.weights, {name: value for name, _, value in pairs})
