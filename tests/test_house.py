"""The rules of the house: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import samlab

PACKAGE = Path(samlab.__file__).parent
MODULES = sorted(p for p in PACKAGE.rglob("*.py"))

#: The rooms from the top down; a room may use those on lower floors.
FLOORS = [
    {"anatomy", "embedders", "metrics", "plot", "read"},
    {"cli"},
    {"reports"},
    {"runs"},
    {"bank", "view", "doctor"},
    {"pipeline", "prompting"},
    {"sam", "formats", "latent"},
    {"segments", "tables", "pictures", "datasets"},
    {"masks", "images", "files"},
    {"errors", "palette"},
]
NEIGHBOURS = {"pipeline", "prompting", "segments", "tables", "datasets", "images"}


def allowed(here: str) -> set[str]:
    floor = next(i for i, rooms in enumerate(FLOORS) if here in rooms)
    beside = FLOORS[floor] if here in NEIGHBOURS else set()
    return set().union(*FLOORS[floor + 1 :], beside)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [module] if module != "samlab" else [f"samlab.{a.name}" for a in node.names]
        rooms |= {n.split(".")[1] for n in names if n.startswith("samlab.")}
    return rooms


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    upwards = imported_rooms(path) - allowed(here) - {here, "__version__"}
    assert not upwards, f"{here} must not import {upwards}"
