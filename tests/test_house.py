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

FLOOR = {"segments", "masks", "images", "palette", "errors"}
ALLOWED = {
    "cli": {"runs", "view", "pipeline", "bank", "doctor", "sam", "formats", "latent"} | FLOOR,
    "runs": {"view", "pipeline", "bank", "doctor", "sam", "formats", "latent", "tables"} | FLOOR,
    "doctor": {"sam"} | FLOOR,
    "view": {"pipeline", "sam", "formats", "latent"} | FLOOR,
    "pipeline": {"sam", "formats", "latent"} | FLOOR,
    "prompting": {"pipeline", "sam", "formats", "latent"} | FLOOR,
    "bank": {"pipeline", "sam", "formats", "latent"} | FLOOR,
    "sam": FLOOR,
    "formats": FLOOR,
    "latent": FLOOR,
    "segments": {"tables", "masks", "images", "errors"},
    "tables": {"segments", "masks", "errors"},
    "masks": {"errors"},
    "images": {"errors"},
    "palette": set(),
    "errors": set(),
}


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
    upwards = imported_rooms(path) - ALLOWED[here] - {here, "__version__"}
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
