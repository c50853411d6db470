"""Is a probability honest? Reliability of the ranking on pictures that nothing was fitted on.

python -m training.reliability reliability.png --traced traced-held-out --nuclei nuclei/val
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from samlab.sam.tiny import build_tiny
from training import labelled
from training.fit_rank import Seen, calibration_error, seen
from training.fit_tree import cut_up, judge

matplotlib.use("Agg")

Array = NDArray[np.float64]
HELD_OUT = 8_000_000
BINS = 12


def curve(probability: Array, right: Array, bins: int = BINS) -> tuple[Array, Array, Array]:
    """Mean probability, share that is right, and number, of the bins that hold at least ten."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    full = count >= 10
    mean = np.bincount(place, probability, bins)[full] / count[full]
    share = np.bincount(place, right, bins)[full] / count[full]
    return mean, share, count[full]


def plot(kinds: dict[str, tuple[Array, Array]], path: Path) -> dict[str, float]:
    """Draw a curve per kind from (probability, right); returns each one's calibration error."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(4.6, 4.2), dpi=110)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    errors = {}
    for name, (probability, right) in kinds.items():
        mean, share, _ = curve(probability, right)
        errors[name] = calibration_error(probability, right)
        axes.plot(mean, share, marker="o", markersize=3, label=f"{name}: ECE {errors[name]:.3f}")
    axes.set(xlabel="probability to be right", ylabel="share that is right")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    return errors


def look(pictures: list[labelled.Labelled], weights: Path | None) -> tuple[Array, Array]:
    """Probability and truth of all candidates of some pictures."""
    sam = build_tiny(weights)
    model = sam.mask_decoder.model
    found: list[Seen] = []
    for picture in pictures:
        one, iou = judge(cut_up(sam.image_encoder, picture), model.merge_cost)
        quality = model.quality(one.features)
        found.append(seen(one.features, one.areas, iou, quality, one.truth, one.depth))
    probability = np.concatenate([model.probability(p.features) for p in found])
    return probability, np.concatenate([p.right for p in found]).astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--flat", type=int, default=20, help="flat scenes")
    parser.add_argument("--traced", type=Path)
    parser.add_argument("--nuclei", type=Path)
    options = parser.parse_args()
    kinds = {"flat scenes": list(labelled.flat(HELD_OUT, options.flat))}
    if options.traced:
        kinds["path-traced scenes"] = list(labelled.traced(options.traced))
    if options.nuclei:
        kinds["nuclei"] = list(labelled.nuclei(options.nuclei))
    looked = {name: look(pictures, options.weights) for name, pictures in kinds.items()}
    for name, error in plot(looked, options.picture).items():
        print(f"{name}: {len(kinds[name])} pictures, ECE {error:.3f}")


if __name__ == "__main__":
    main()
