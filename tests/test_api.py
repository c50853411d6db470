"""The public names: all there, typed for who uses them, and cheap to import."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import samlab

ROOT = Path(__file__).resolve().parents[1]
NAMESPACES = [
    "anatomy", "bank", "datasets", "doctor", "embedders", "metrics", "plot", "read", "reports",
    "view",
]  # fmt: skip


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_public_name_resolves():
    values = {name: getattr(samlab, name) for name in samlab.__all__}
    flat = {name for name, value in values.items() if not isinstance(value, ModuleType)}
    assert {"segment", "cluster", "explore", "Segments", "MemoryBank", "SamlabError"} <= flat
    assert len(flat) <= 45, "flat are the verbs and their tables; the rest goes to a namespace"


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_every_name_of_a_namespace_resolves(namespace: str):
    module = getattr(samlab, namespace)
    assert module is import_module(f"samlab.{namespace}")
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert not name.startswith(("plot_", "read_")), "the namespace says that already"


@pytest.mark.parametrize("name", ["nothing", "plot_classes", "read_coco", "knn_accuracy"])
def test_an_unknown_or_an_old_name_is_an_attribute_error(name: str):
    with pytest.raises(AttributeError, match=f"No samlab attribute {name}"):
        getattr(samlab, name)


def functions_of(folder: str, begin: str) -> set[FunctionType]:
    """The functions in the modules of a folder whose names begin so."""
    found = set()
    for path in sorted((ROOT / "samlab" / folder).glob("[!_]*.py")):
        module = import_module(f"samlab.{folder.replace('/', '.')}.{path.stem}")
        functions = {f for f in vars(module).values() if isinstance(f, FunctionType)}
        found |= {f for f in functions if f.__name__.startswith(begin)}
    return found


def test_no_plot_is_forgotten_in_the_namespace():
    assert functions_of("view/plots", "plot_") <= {
        getattr(samlab.plot, name) for name in samlab.plot.__all__
    }


def test_no_reader_is_forgotten_in_the_namespace():
    readers = {
        reader
        for reader in functions_of("formats", "read_")
        if reader.__annotations__["return"] == "LabelledImages"
    }
    assert samlab.read_labels in readers
    assert readers - {samlab.read_labels} <= {
        getattr(samlab.read, name) for name in samlab.read.__all__
    }


SCRIPT = """
import samlab
import samlab.metrics
from samlab import plot

reveal_type(samlab.segment("photo.jpg"))
reveal_type(samlab.cluster)
reveal_type(samlab.explore)
reveal_type(samlab.Segments.embedding)
reveal_type(plot.k_distances)
reveal_type(samlab.plot.matches)
reveal_type(samlab.read.coco)
reveal_type(samlab.metrics.knn_accuracy)
reveal_type(samlab.embedders.ColourTexture())
reveal_type(samlab.bank.Head)
reveal_type(samlab.MemoryBank.load("bank.safetensors"))
samlab.segment(7)
samlab.plot_classes
"""

#: What mypy says of each line of it, where `ANY` may be anything.
REVEALED = [
    "samlab.segments.segments.Segments",
    "def (segments: samlab.segments.segments.Segments | numpy.ndarrayANY, "
    "eps: float | Literal['auto'] =, ANY) -> samlab.latent.cluster.results.Clustering",
    "def (segments: samlab.segments.segments.Segments, image: str | os.PathLike[str] | ANY, *, "
    "eps: float | Literal['auto'] =, ANY) -> samlab.view.explorer.explorer.Explorer",
    "def (self: samlab.segments.segments.Segments, name: str | None =) -> numpy.ndarrayANY",
    "def (clustering: samlab.latent.cluster.results.Clustering, ANY) -> ANY",
    "def (run: samlab.runs.results.Run, matches: ANY) -> ANY",
    "def (annotations: ANY) -> samlab.formats.labelled.LabelledImages",
    "def (vectors: samlab.segments.segments.Segments | numpy.ndarrayANY) -> float",
    "samlab.latent.embed.embedders.ColourTexture",
    "def (ANY) -> samlab.bank.heads.Head",
    "samlab.bank.memory_bank.MemoryBank",
]

#: samlab as an installed package, and its heaviest dependencies left unread: seconds, not minutes.
SETTINGS = """
[mypy]
follow_imports = silent
ignore_missing_imports = true
[mypy-torch.*,torchvision.*,matplotlib.*,IPython.*,traitlets.*,anywidget.*,ipywidgets.*]
follow_imports = skip
[mypy-skimage.*,ray.*,transformers.*,numba.*,jinja2.*,typer.*,nbformat.*,nbconvert.*,safetensors.*]
follow_imports = skip
"""


@pytest.mark.slow
def test_a_users_script_sees_real_types(tmp_path: Path):
    pytest.importorskip("mypy")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    answer = python("-m", "mypy", "--output=json", "script.py", cwd=tmp_path)
    assert not answer.stderr
    said = [json.loads(line) for line in answer.stdout.splitlines()]
    revealed = [one["message"] for one in said if "Revealed type is" in one["message"]]
    for message, pattern in zip(revealed, REVEALED, strict=True):
        expected = ".*".join(re.escape(part) for part in pattern.split("ANY"))
        assert re.fullmatch(f'Revealed type is "{expected}"', message), message
    errors = [one["code"] for one in said if one["severity"] == "error"]
    assert errors == ["arg-type", "attr-defined"]  # segment(7), and a name of before


@pytest.mark.parametrize("namespace", [None, *sorted({*NAMESPACES} - {"anatomy", "bank"})])
def test_importing_does_not_import_torch(namespace: str | None):
    """Nor does any namespace whose functions do not run SAM themselves."""
    name = f"samlab.{namespace}" if namespace else "samlab"
    names = f"[getattr({name}, n) for n in {name}.__all__]" if namespace else "None"
    code = f"import sys, {name}; {names}; sys.exit('torch' in sys.modules)"
    answer = python("-c", code)
    assert answer.returncode == 0, answer.stderr


def test_importing_samlab_imports_no_other_package():
    """Only lazy_loader: the first use of a name pays for what that name needs."""
    code = (
        "import sys; before = set(sys.modules); import samlab; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    others = set(python("-S", "-c", "import sys; print(*sys.stdlib_module_names)").stdout.split())
    assert set(python("-c", code).stdout.split()) - others == {"lazy_loader", "samlab"}


def test_the_command_helps_without_torch_or_pandas():
    code = (
        "import sys; from typer.testing import CliRunner; from samlab.cli.main import app; "
        "answer = CliRunner().invoke(app, ['--help']); assert 'report' in answer.output; "
        "sys.exit(bool({'torch', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    answer = python("-c", code)
    assert answer.returncode == 0, answer.stderr
