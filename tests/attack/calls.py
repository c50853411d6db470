"""Wrong calls of everything public, made from the type signatures in samlab/__init__.pyi."""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import torch
from segment_anything.modeling.image_encoder import ImageEncoderViT

import samlab
from samlab.datasets import write_sample_set
from samlab.embedders import ColourTexture
from tests.runs.light import make_pictures, run_light

NAMESPACES = ("anatomy", "bank", "embedders", "metrics", "plot", "read", "reports", "view", "masks")
CLASSES = ("MaskGenerator", "MemoryBank", "Segments", "TextEmbedder", "TransformersEmbedder")
#: Made for samlab's own rooms: they take what was checked already, or answer without arguments.
INNER = ("trusted", "sound", "class_table_html", "summary_html", "class_cards_html")


CLASSES_OF = {
    "Embedder": ColourTexture,
    "pd.DataFrame": pd.DataFrame, "ImageEncoderViT": ImageEncoderViT,
    "Tensor": torch.Tensor, "torch.nn.Module": torch.nn.Module,
}  # fmt: skip


#: What samlab.errors.ranges calls numbers.
ALIASES = {
    "Count": "int", "Natural": "int", "Seed": "int",
    "Share": "float", "Positive": "float",
}  # fmt: skip


class Nothing:
    """What no function has use for."""


@dataclass(frozen=True)
class Call:
    """A function, arguments that are right, and one that is not."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]
    wrong: str
    value: Any
    kind: bool  # whether the value's type is wrong, rather than its value

    def __str__(self) -> str:
        return f"{self.name}({self.wrong}={self.value!r:.40})"

    def __call__(self) -> Any:
        return self.function(**{**self.arguments, self.wrong: self.value})


def public() -> dict[str, Callable[..., Any]]:
    """Every public function, and the classes that people make themselves, by name."""
    tree = ast.parse((Path(samlab.__file__).parent / "__init__.pyi").read_text())
    names = [a.asname for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names]
    found = {name: getattr(samlab, name) for name in names if name not in NAMESPACES}
    for space in NAMESPACES:
        module = getattr(samlab, space)
        found |= {f"{space}.{n}": getattr(module, n) for n in dir(module) if not n.startswith("_")}
    return {
        name: thing
        for name, thing in found.items()
        if name.rpartition(".")[2] not in INNER
        and getattr(thing, "__module__", "").startswith("samlab")
        and thing.__module__ != "samlab.errors.arguments"
        and (isinstance(thing, types.FunctionType) or name.rpartition(".")[2] in CLASSES)
    }


def rights(folder: Path) -> dict[str, Any]:
    """An argument that is right for most functions, by its name."""
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    cells = np.zeros((12, 24, 32), bool)
    for i in range(12):
        cells[i, 2 * i : 2 * i + 2, 3:20] = True
    vectors = np.random.default_rng(1).random((12, 256)).astype(np.float32)
    labels = np.repeat([0, 1, 2], 4)
    names = {0: "cat", 1: "dog", 2: "cow"}
    segments = samlab.Segments(
        samlab.masks.encode(cells), embeddings={"sam": vectors}, labels=labels, image_id="a.png",
        class_names=names, predicted_iou=np.ones(12), stability_score=np.ones(12),
    )  # fmt: skip
    sam = samlab.load_sam("tiny", device="cpu")
    features = samlab.encode(pixels, sam)
    rle = segments.rles[0]
    clustering = samlab.cluster(segments)
    pictures = make_pictures(folder / "pictures", 2)
    proposals = samlab.MaskGenerator(sam, points_per_side=4).propose(pixels)
    run = run_light(make_pictures(folder / "run-pictures", 4), folder / "run")
    samples = write_sample_set(folder / "samples", 2)
    labelled = samlab.read.coco(samples.coco, samples.images)
    bank = samlab.MemoryBank.from_segments(segments)
    return {
        "bank": bank, "run": run, "labelled": labelled, "detections": np.array([[2.0, 2, 9, 9]]),
        "evaluation": bank.evaluate(segments), "matches":
        samlab.search_run(run, np.ones((1, 8)), 2), "prompts":
        samlab.anatomy.prompts_for(sam, features, points=[[[3.0, 3.0]]]), "starts": np.array([1]),
        "ends": np.array([4]), "values": np.eye(2), "names": ["a", "b"],
        "maps": np.zeros((1, 4, 4)), "titles": ["a"],
        "a": segments, "b": segments, "boxes": np.array([[2.0, 2, 9, 9]]), "block": 0,
        "classes": ["cat", "dog"], "clustering": clustering,
        "embedder": ColourTexture(),
        "eps": 0.3, "examples": segments, "features": features, "file": folder / "none.png",
        "heat": np.zeros((24, 32)), "image": pixels, "images": pictures,
        "label_map": np.zeros((24, 32), int),
        "labels": labels, "logits": np.zeros((1, 256, 256), np.float32), "mask": cells[0],
        "masks": cells[:1], "name": "tiny", "out": folder / "out", "pairs": [(labels, labels)],
        "path": folder / "a.json", "pictures": pictures, "point": (3.0, 3.0),
        "points": [[3.0, 3.0]],
        "proposals": proposals, "query": segments, "rle": rle, "rles": [rle], "sam": sam,
        "segments": segments, "source": pixels, "sweep": samlab.sweep(segments), "texts": ["a dog"],
        "truth": labels, "vectors": vectors, "image_size": (24, 32), "class_names": names,
        "size": (24, 32), "folder": folder, "k": 2, "progress": False, "points_per_side": 2,
    }  # fmt: skip


#: What is right for one function and wrong for others of the same argument's name.
OWN: dict[str, dict[str, Any]] = {
    "MemoryBank": {"prototypes": np.eye(2), "labels": [0, 1], "class_names": ("a", "b")},
    "bank.MemoryBank": {
        "prototypes": np.eye(2),
        "labels": [0, 1],
        "class_names": ("a", "b"),
    },
    "plot.boxes": {"images": []},
    "plot.doubtful": {"images": []},
    "search_run": {"query": np.ones((1, 8))},
    "segment_points": {"labels": [1], "boxes": None, "masks": None},
    "segment_boxes": {"labels": None, "points": None, "masks": None},
    "segment_masks": {"labels": None, "points": None, "boxes": None},
    "anatomy.prompts_for": {"labels": [1], "boxes": None, "masks": None},
}


def right_call(name: str, function: Callable[..., Any], known: dict[str, Any]) -> dict[str, Any]:
    """Its required arguments; nothing else, so that a call is as cheap as can be."""
    needed = {}
    for key, parameter in parameters(function).items():
        if parameter.default is parameter.empty or key in ("progress", "points_per_side"):
            value = OWN.get(name, {}).get(key, known.get(key))
            hint = str(parameter.annotation)
            fits = isinstance(value, (str, Path)) or "Path" not in hint
            needed[key] = value if value is not None and fits else stand_in(hint)
    return needed


def stand_in(hint: str) -> Any:
    """Something that passes for what a hint says, for a call that never comes to using it."""
    if "Path" in hint or hint == "str":
        return "no such"
    if "Mapping" in hint:
        return {}
    if any(word in hint for word in ("list", "tuple", "Sequence", "Iterable")):
        return []
    if "ndarray" in hint:
        return np.zeros((2, 2))
    if hint == "int":
        return 1
    if hint in CLASSES_OF:
        return Mock(spec=CLASSES_OF[hint])
    return type(hint.rpartition(".")[2], (Mock,), {})()


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    found = inspect.signature(function).parameters
    return {name: p for name, p in found.items() if p.kind not in kinds}


def wrong_calls(folder: Path) -> Iterator[Call]:
    """Each parameter of each function, with values of wrong types and wrong values."""
    known = rights(folder)
    for name, function in public().items():
        right = right_call(name, function, known)
        for key, parameter in parameters(function).items():
            for value in wrong_kinds(key, str(parameter.annotation), parameter.default):
                yield Call(name, function, right, key, value, True)
            for value in wrong_values(str(parameter.annotation)):
                yield Call(name, function, right, key, value, False)


def wrong_kinds(name: str, hint: str, default: Any) -> Iterator[Any]:
    """Values that a hint, read as a person reads it, does not allow."""
    if hint in ("Any", "<class 'inspect._empty'>"):
        return
    for alias, kind in ALIASES.items():
        hint = hint.replace(alias, kind)
    many = any(word in hint for word in ("ndarray", "Sequence", "Iterable", "list", "tuple"))
    text = any(word in hint for word in ("str", "Path", "Literal", "Like", "Picture", "Model"))
    text |= any(word in hint for word in ("Format", "How", "Stage", "Outside", "Loss", "Keep"))
    yield Nothing()
    if "None" not in hint and default is not None and "Like" not in hint:
        yield None
    if "int" not in hint and "float" not in hint:
        yield 5
    if "bool" not in hint:
        yield True
    if hint in ("int", "int | None", "bool"):
        yield 1.5
    if ("float" in hint or hint == "int") and name != "eps":  # NaN there: there is no radius
        yield float("nan")
    if not text:
        yield "wrong"
    if not many and "Like" not in hint and "Picture" not in hint:
        yield [1, 2]


def wrong_values(hint: str) -> Iterator[Any]:
    """Values of the right type that mean nothing; a function may have use for some."""
    for alias, kind in ALIASES.items():
        hint = hint.replace(alias, kind)
    if "int" in hint:
        yield from (-1, 0)
    if "float" in hint:
        yield from (-1.0, float("inf"), 10**400)
    if "str" in hint or "Like" in hint:
        yield from ("no such", "x" * 5000, "a\0b", "\ud800")
    if "ndarray" in hint:
        yield from ([[1.0], [1.0, 2.0]], np.array(["x"]), np.full((3, 3), np.nan), [])
    if "Sequence" in hint or "Iterable" in hint or "list" in hint:
        yield from ([], [None], [[]])
