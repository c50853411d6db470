"""A run with a cheap stand-in for the model, for tests that kill it or fill the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from samlab import masks
from samlab.pictures import Pictures, list_pictures
from samlab.runs.disk.store import RunStore
from samlab.runs.engine.collect import Flush, collect
from samlab.runs.engine.job import Job
from samlab.runs.engine.progress import Progress, ProgressBar
from samlab.runs.engine.work import Recipe
from samlab.runs.folder import missing
from samlab.runs.results import Run, open_run
from samlab.segments import Segments

SETTINGS = {"model": "light"}


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


def run_light(
    pictures: Pictures,
    out: Path | str,
    *,
    work: Callable[[Sequence[np.ndarray]], Sequence[Segments]] = light,
    classify: Any = None,
    retry_errors: bool = False,
    settings: dict[str, object] | None = None,
    flush_pictures: int = 256,
    on_progress: Callable[[Progress], None] | None = None,
    **job: Any,
) -> Run:
    """What samlab.run does, with another model."""
    listed = list_pictures(pictures)
    with RunStore.open(out, settings or SETTINGS, retry_errors=retry_errors) as store:
        bar = ProgressBar(listed.total, len(store.done), show=False, on_progress=on_progress)
        outcomes = Job(work, **job).outcomes(missing(listed, store))
        collect(outcomes, store, bar, classify=classify, flush=Flush(pictures=flush_pictures))
    return open_run(out)


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


@dataclass(frozen=True)
class LightRecipe(Recipe):
    """For processes that are started by name: the light model, and pictures that are its death.

    Attributes:
        deadly: A folder; the process ends on a picture whose first red value has a file there, and
            removes the file first unless its name ends in "always". Where it ends in "waits", the
            process waits until somebody else has removed it, and lives.
    """

    deadly: str = ""

    def settings(self) -> dict[str, Any]:
        return dict(SETTINGS)

    def build(self) -> Any:
        return LightWork(Path(self.deadly))


@dataclass(frozen=True)
class LightWork:
    deadly: Path
    settings = SETTINGS
    batch = 2

    def __call__(self, images: Sequence[np.ndarray]) -> list[Segments]:
        for image in images:
            for file in self.deadly.glob(f"{image[0, 0, 0]}-{image[0, 1, 0]}*"):
                if file.name.endswith("waits"):
                    while file.exists():
                        time.sleep(0.02)
                    continue
                if not file.name.endswith("always"):
                    file.unlink()
                os._exit(7)
        return light(images)
