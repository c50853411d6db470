"""Fault matrix, readers: whatever lies in a file, an answer or one kind of error, in ten seconds.

200 cases for each reader; 10,000 in the test marked slow.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import samlab
from samlab.errors import SamlabError
from samlab.formats.yolo import yolo_classes
from samlab.view.annotate.journal import NAME, Journal

LONGEST = 10  # seconds
RLE = samlab.masks.encode(np.eye(20, 30, dtype=bool))
VOC = (
    '<?xml version="1.0" encoding="utf-8"?><annotation><filename>a.png</filename><size><width>30'
    "</width><height>20</height></size><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
    "<xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"
)
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 30, "height": 20}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "segmentation": RLE},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]},
    ],
}
BDD = [{"name": "a.png", "labels": [{"category": "cat", "box2d": dict(x1=1, y1=1, x2=5, y2=5)}]}]
SA1B = {
    "image": {"image_id": 1, "width": 30, "height": 20, "file_name": "a.png"},
    "annotations": [{"segmentation": RLE, "predicted_iou": 0.9, "point_coords": [[1.0, 2.0]]}],
}


class Bench:
    """A folder with a sound file for each reader, which is read again after it was changed."""

    def __init__(self, folder: Path) -> None:
        self.pictures = folder / "pictures"
        self.pictures.mkdir()
        Image.new("RGB", (30, 20)).save(self.pictures / "a.png")
        maps = folder / "maps"
        maps.mkdir()
        Image.fromarray(np.eye(20, 30, dtype=np.uint8)).save(maps / "a.png")
        texts = folder / "texts"
        texts.mkdir()
        (texts / "a.txt").write_text("0 .5 .5 .2 .2\n1 .1 .1 .5 .1 .5 .5\n")
        (folder / "data.yaml").write_text("names:\n  0: cat\n  1: dog\nnc: 2\n")
        (folder / "a.xml").write_text(VOC)
        for name, content in (("coco", COCO), ("bdd", BDD), ("sa1b", SA1B)):
            (folder / f"{name}.json").write_text(json.dumps(content))
        journal = Journal(folder / "journal")
        journal.do({"act": "classes", "names": ["cat"]})
        journal.do({"act": "add", "image": "a.png", "masks": [{**RLE, "label": 0}]})
        self.readers: dict[str, tuple[Path, Callable[[Path], object]]] = {
            "coco": (folder / "coco.json", lambda p: samlab.read.coco(p, self.pictures)),
            "bdd100k": (folder / "bdd.json", lambda p: samlab.read.bdd100k(p, self.pictures)),
            "sa1b": (folder / "sa1b.json", samlab.read.sa1b),
            "voc": (folder / "a.xml", lambda p: samlab.read.voc(p, self.pictures)),
            "yolo": (texts / "a.txt", lambda p: samlab.read.yolo(
                texts, self.pictures, classes=["cat", "dog"])),
            "yaml": (folder / "data.yaml", yolo_classes),
            "label maps": (maps / "a.png", lambda p: samlab.read.label_maps(
                maps, self.pictures, ["none", "cat"])),
            "picture": (self.pictures / "a.png", samlab.read_image),
            "journal": (folder / "journal" / NAME, self._journal),
        }  # fmt: skip
        self.sound = {name: path.read_bytes() for name, (path, _) in self.readers.items()}

    @staticmethod
    def _journal(path: Path) -> object:
        annotations = Journal(path.parent).annotations
        return [annotations.segments(image) for image in annotations.images()]

    def read(self, name: str, data: bytes) -> None:
        """Read changed data; AssertionError where it takes too long, other errors as they come."""
        path, reader = self.readers[name]
        path.write_bytes(data)
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader(path)
        except SamlabError:
            pass
        finally:
            path.write_bytes(self.sound[name])
        assert time.monotonic() - start < LONGEST


READERS = (
    "coco", "bdd100k", "sa1b", "voc", "yolo", "yaml", "label maps", "picture", "journal",
)  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    yield Bench(folder)
    shutil.rmtree(folder)


numbers = st.sampled_from(
    [0, -1, 1e308, 10**400, float("nan"), float("inf"), True, None, 2**63, 0.5, "", "x" * 300]
)
values = st.recursive(
    numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


def flipped(data: bytes, seed: int) -> bytes:
    """Some bits the other way round, or a piece cut out, doubled or at another place."""
    random = np.random.default_rng(seed)
    changed = bytearray(data)
    if seed % 4 == 0 and len(changed) > 2:
        start, end = sorted(random.integers(0, len(changed), 2).tolist())
        piece = changed[start:end]
        if seed % 8 == 0:
            del changed[start:end]
        else:
            at = int(random.integers(0, len(changed)))
            changed[at:at] = piece
        return bytes(changed)
    for at in random.integers(0, len(changed), int(random.integers(1, 6))).tolist():
        changed[at] ^= 1 << int(random.integers(0, 8))
    return bytes(changed)


@pytest.mark.parametrize("reader", READERS)
def test_flipped_bits_in_every_reader(reader, bench) -> None:
    for seed in range(200):
        bench.read(reader, flipped(bench.sound[reader], seed))


@pytest.mark.slow
@pytest.mark.skipif("SAMLAB_FUZZ" not in os.environ, reason="takes an hour: SAMLAB_FUZZ=1")
@pytest.mark.parametrize("reader", READERS)
def test_10_000_flips_in_every_reader(reader, bench) -> None:
    for seed in range(10_000):
        bench.read(reader, flipped(bench.sound[reader], seed))


def replaced(content: object, path: list[int], value: object) -> object:
    """The same JSON with one value, found by going down `path`, replaced."""
    if not path or not isinstance(content, (dict, list)) or not content:
        return value
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key = keys[path[0] % len(keys)]
    changed = dict(content) if isinstance(content, dict) else list(content)
    changed[key] = replaced(content[key], path[1:], value)  # type: ignore[index]
    return changed


def swapped(bench: Bench, name: str, path: list[int], value: object) -> None:
    content = {"coco": COCO, "bdd100k": BDD, "sa1b": SA1B}[name]
    bench.read(name, json.dumps(replaced(content, path, value)).encode())


paths = st.lists(st.integers(0, 9), min_size=1, max_size=6)
quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.parametrize("reader", ["coco", "bdd100k", "sa1b"])
def test_any_value_at_any_place_of_json(reader, bench) -> None:
    @settings(max_examples=200, deadline=None, suppress_health_check=quiet)
    @given(paths, values)
    def run(path, value) -> None:
        swapped(bench, reader, path, value)

    run()


@pytest.mark.slow
@pytest.mark.skipif("SAMLAB_FUZZ" not in os.environ, reason="takes an hour: SAMLAB_FUZZ=1")
@pytest.mark.parametrize("reader", ["coco", "bdd100k", "sa1b"])
def test_10_000_values_at_any_place_of_json(reader, bench) -> None:
    @settings(max_examples=10_000, deadline=None, suppress_health_check=quiet)
    @given(paths, values)
    def run(path, value) -> None:
        swapped(bench, reader, path, value)

    run()
