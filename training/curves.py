"""The training curves as a picture, from the table that the training program writes."""

from __future__ import annotations

import csv
from pathlib import Path

from training.losses import WEIGHTS


def plot(table: Path, picture: Path) -> None:
    """Read `curves.csv`, write a PNG: one panel per loss, and the pictures per second."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with table.open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    names = ["total", *WEIGHTS, "speed"]
    figure, panels = plt.subplots(2, 4, figsize=(14, 6), sharex=True)
    for name, panel in zip(names, panels.flat, strict=False):
        panel.plot([r["minutes"] for r in rows], [r[name] for r in rows], linewidth=1)
        panel.set_title("pictures per second" if name == "speed" else name)
        panel.grid(alpha=0.3)
    for panel in panels.flat[len(names) :]:
        panel.set_axis_off()
    for panel in panels[-1]:
        panel.set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(picture, dpi=90)
    plt.close(figure)
