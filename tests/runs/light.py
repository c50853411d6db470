"""A run with a cheap stand-in for the model, for tests that kill it or fill the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from samlab import masks
from samlab.pictures import Pictures
from samlab.pipeline.segmenter import SegmentBatch, SegmenterConfig
from samlab.runs.disk.shards import Outcome
from samlab.runs.disk.store import RunStore
from samlab.runs.engine.collect import FlushLimits
from samlab.runs.folder import run_with
from samlab.runs.results import Run, open_run
from samlab.segments import Segments

SETTINGS = {"model": "light", "classify": None}


def make_pictures(folder: Path, n: int, broken: int = 0, size: int = 24) -> Path:
    """n pictures of which `broken` are none, spread evenly."""
    folder.mkdir(parents=True, exist_ok=True)
    bad = set(np.linspace(0, n - 1, broken).astype(int).tolist()) if broken else set()
    rng = np.random.default_rng(0)
    for i in range(n):
        path = folder / f"{i:05d}.png"
        if i in bad:
            path.write_bytes(b"\x89PNG but not really")
        else:
            Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype=np.uint8)).save(path)
    return folder


def light(images: Sequence[np.ndarray]) -> list[Segments]:
    """A few squares per picture, where and how many depending on its pixels; 0 for some."""
    return [_squares(image) for image in images]


def _squares(image: np.ndarray) -> Segments:
    n = int(image[0, 0, 0]) % 4
    rles = []
    for i in range(n):
        mask = np.zeros(image.shape[:2], bool)
        corner = int(image[0, i, 1]) % (image.shape[0] - 4)
        mask[corner : corner + 4, i : i + 5] = True
        rles.append(masks.encode(mask))
    vectors = image[:n, :8, 0].astype(np.float32)
    return Segments(rles=rles, embeddings={"sam": vectors}, image_size=image.shape[:2])


@dataclass(frozen=True)
class LightConfig(SegmenterConfig):
    """In place of a model: a function, and pictures on which the process that does them ends.

    Attributes:
        segment: Pictures to segments.
        about: What `settings` says.
        deadly: A folder; the process ends on a picture whose first red values have a file there,
            and removes the file first unless its name ends in "always". Where it ends in "waits",
            the process waits until somebody else has removed it, and lives.
    """

    segment: SegmentBatch = light
    about: Mapping[str, Any] = field(default_factory=lambda: {"model": "light"})
    deadly: str = ""

    def settings(self) -> dict[str, Any]:
        return dict(self.about)

    def build(self) -> Any:
        return LightSegmenter(self.segment, Path(self.deadly) if self.deadly else None)


@dataclass(frozen=True)
class LightSegmenter:
    segment: SegmentBatch
    deadly: Path | None
    batch = 2

    def __call__(self, images: Sequence[np.ndarray]) -> Sequence[Segments]:
        for image in images if self.deadly else ():
            for file in self.deadly.glob(f"{image[0, 0, 0]}-{image[0, 1, 0]}*"):
                if file.name.endswith("waits"):
                    while file.exists():
                        time.sleep(0.02)
                    continue
                if not file.name.endswith("always"):
                    file.unlink()
                os._exit(7)
        return self.segment(images)


def run_light(
    pictures: Pictures,
    out: Path | str,
    *,
    segment: SegmentBatch = light,
    about: Mapping[str, Any] | None = None,
    deadly: str = "",
    flush_pictures: int = 256,
    batch: int | None = 1,
    **options: Any,
) -> Run:
    """`run_with` on the light model."""
    config = LightConfig(segment=segment, about=about or {"model": "light"}, deadly=deadly)
    limits = FlushLimits(pictures=flush_pictures)
    return run_with(config, pictures, out, batch=batch, progress=False, limits=limits, **options)


def tables_of(run: Run) -> tuple[str, str]:
    """Both tables as text, without what differs between two runs: the time taken."""
    pictures = run.pictures.drop(columns="seconds")
    return pictures.to_csv(), run.table().to_pandas().to_json()


def check_folder(out: Path) -> None:
    """Every file that counts is readable, and no picture is committed twice."""
    if not (out / "run.json").exists():
        return
    run = open_run(out)
    names = [i for shard, _ in run.shards for i in shard.pictures["image_id"].to_pylist()]
    assert len(names) == len(set(names)), "a picture was committed twice"
    found = run.table().to_pandas().groupby("image_id").size()
    stated = run.pictures.set_index("image_id")["n_segments"]
    assert (stated[stated > 0].sort_index() == found.sort_index()).all()


def commit(store: RunStore, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes as one shard, as `collect` does."""
    tables = [table for outcome in outcomes if (table := outcome.table()) is not None]
    store.commit([outcome.row() for outcome in outcomes], tables, store.new_name())
