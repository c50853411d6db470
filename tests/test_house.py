"""The rules of the house: who may import whom, and what importing samlab costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import samlab

PACKAGE = Path(samlab.__file__).parent
MODULES = sorted(p for p in PACKAGE.rglob("*.py"))

#: The rooms from the top down; a room may use those on lower floors.
FLOORS = [
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


def test_every_public_name_resolves() -> None:
    assert set(samlab.__all__) == set(samlab._HOME) | {"__version__"}
    assert samlab.__all__ == sorted(samlab.__all__)
    for name in samlab.__all__:
        assert getattr(samlab, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'samlab' has no attribute 'nothing'"):
        samlab.nothing  # noqa: B018


def test_importing_samlab_does_not_import_torch() -> None:
    code = "import samlab, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
