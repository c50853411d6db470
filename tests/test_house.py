"""The rules of the house that `lint-imports` holds, and three that it has no contract for."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {".py", ".js", ".css"}

grimp = pytest.importorskip("grimp")


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module -> modules that it imports anywhere: in functions and for type checkers as well."""
    graph = grimp.build_graph("samlab", cache_dir=None)
    return {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}


def test_the_contracts_hold():
    """`make lint` says the same; here, so that who only tests learns of it."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    answer = subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--no-logo"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout
    assert "0 broken" in answer.stdout


def test_the_house_has_at_most_eight_floors(imports: dict[str, set[str]]):
    def room(module: str) -> str:
        return module.split(".")[1]

    below: dict[str, set[str]] = {room(name): set() for name in imports if "." in name}
    for name, used in imports.items():
        if "." in name:
            below[room(name)] |= {room(other) for other in used if "." in other} - {room(name)}

    @cache
    def floor(name: str) -> int:
        return 1 + max((floor(other) for other in below[name]), default=0)

    assert max(map(floor, below)) <= 8


def test_no_folder_has_more_than_thirteen_source_files():
    folders = {path.parent for path in (ROOT / "samlab").rglob("*.py")}
    for folder in folders:
        files = [p for p in folder.iterdir() if p.suffix in SOURCES and p.stem != "__init__"]
        assert len(files) <= 13, folder


def test_a_sub_room_is_used_through_what_its_init_names(imports: dict[str, set[str]]):
    """`from samlab.latent.cluster import cluster`; in which file it lies is the sub-room's own."""
    deep = {
        (name, other)
        for name, used in imports.items()
        for other in used
        if other.count(".") == 3
        and not name.startswith(other.rpartition(".")[0] + ".")
        # A run's engine and disk serve the files beside them, which use nearly all they have.
        and not (name.startswith("samlab.runs.") and other.startswith("samlab.runs."))
    }
    assert deep == set()
