"""One picture to one report: `notebooks/report.ipynb` run by papermill, exported as one HTML file.

The notebook is kept once, in `notebooks/`, where people read and copy it. The wheel carries it as
a data file (`share/samlab/notebooks/`), so that an installed samlab finds it as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import samlab
from samlab import errors
from samlab.errors import InputError, SamlabError
from samlab.errors.arguments import check_values, checked_arguments
from samlab.files import make_folder, scratch_folder, write_atomic
from samlab.images import ImageLike, read_image
from samlab.process.progress import RELAY, shown_from
from samlab.reports.page import notebook_page

NOTEBOOK = "report.ipynb"

FAILED_NOTEBOOK = " The notebook up to there: "
"""Between what went wrong and where the failed notebook is, in an error's message."""


class ReportError(SamlabError, RuntimeError):
    """The report's notebook stopped before its end."""


@checked_arguments
def write_report(
    image: ImageLike,
    out: str | os.PathLike[str],
    *,
    notebook: str | os.PathLike[str] | None = None,
    progress: bool = False,
    **parameters: Any,
) -> Path:
    """Run the report notebook on one picture and write one HTML file that needs no network.

    The file appears whole or not at all: when the notebook fails, an earlier report stays as it
    was, and the notebook up to the failing cell is left beside it as `<name>.failed.ipynb`.

    Args:
        image: Path, PIL image or array.
        out: The HTML file to write; its folder is made.
        notebook: Another notebook with a cell tagged `parameters`; samlab's own by default.
        progress: Tell on stderr which stage of the work is on.
        **parameters: Values for the notebook's parameters, for example `sam="vit_b"`, `eps=0.06`;
            `report_parameters()` lists them.

    Returns:
        The path of the HTML file.

    Raises:
        InputError: A parameter that the notebook does not have, or a missing picture.
        ReportError: A cell failed; the message is that of the cell.

    Example:
        >>> write_report("photo.jpg", "out/photo.html", eps=0.06)  # doctest: +SKIP
        PosixPath('out/photo.html')
    """
    execute_report(image, out, notebook=notebook, progress=progress, parameters=parameters)
    return Path(out)


def execute_report(
    image: ImageLike,
    out: str | os.PathLike[str],
    *,
    notebook: str | os.PathLike[str] | None = None,
    progress: bool = False,
    parameters: Mapping[str, Any],
) -> Any:
    """As `write_report`, but returns the executed notebook, an nbformat NotebookNode."""
    source = Path(notebook) if notebook is not None else report_notebook()
    out = Path(out)
    check_parameters(parameters, source)
    if out.is_dir():
        raise InputError(
            f"Expected the HTML file to write, got the folder '{out}'. For example: "
            f"{out / 'report.html'}"
        )
    with _as_file(image) as (path, name):
        make_folder(out.parent)
        failed_notebook(out).unlink(missing_ok=True)  # of the past, and misleading from now on
        with scratch_folder("report") as work:
            executed = _run(source, work, out, {**parameters, "image": path}, progress)
            byline = f"samlab {samlab.__version__} · {source.stem} of {name}"
            write_atomic(out, notebook_page(executed, name, byline))
    return executed


def report_notebook() -> Path:
    """Where `report.ipynb` is: in the source tree that samlab runs from, or in the installation."""
    tree = Path(samlab.__file__).resolve().parent.parent
    if (tree / "pyproject.toml").exists() and (tree / "notebooks" / NOTEBOOK).exists():
        return tree / "notebooks" / NOTEBOOK
    for installed in metadata.distributions(name="samlab"):
        for file in installed.files or []:
            if file.name == NOTEBOOK:
                found = Path(str(file.locate())).resolve()
                if found.exists():
                    return found
    raise ReportError(
        f"Expected '{NOTEBOOK}' in samlab's installation or in the notebooks/ folder beside its "
        "source; neither has it. Install samlab again, or name a notebook of your own."
    )


def report_parameters(notebook: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """The parameters of the report notebook: name -> default and what it means, as text."""
    import papermill

    source = Path(notebook) if notebook is not None else report_notebook()
    if not source.is_file():
        what = "it is a folder" if source.is_dir() else "the file does not exist"
        raise InputError(f"No notebook at '{source}': {what}. Check the path.")
    try:
        found = papermill.inspect_notebook(str(source))
    except ValueError as error:
        raise InputError(
            f"Expected a Python notebook, got '{source}': {error} "
            "Open it in JupyterLab with a Python kernel and save it."
        ) from error
    return {name: f"{info['default']}  {info['help']}".strip() for name, info in found.items()}


def failed_notebook(out: str | os.PathLike[str]) -> Path:
    """Where the notebook of a failed run is left: `report.html` -> `report.failed.ipynb`."""
    return Path(out).with_suffix(".failed.ipynb")


# -- running ------------------------------------------------------------------------------------


def _run(source: Path, work: Path, out: Path, parameters: dict[str, Any], progress: bool) -> Any:
    """Execute the notebook; on failure keep it as far as it got and raise what it raised."""
    import papermill
    from nbclient.exceptions import CellControlSignal, DeadKernelError
    from papermill.exceptions import PapermillException

    target = work / NOTEBOOK
    relay = work / "progress.json"
    try:
        with shown_from(relay) if progress else nullcontext():
            return papermill.execute_notebook(
            str(source), str(target), parameters=parameters, kernel_name="python3",
            progress_bar=False, log_output=False,
            extra_arguments=["--log-level=40", *(_relay(relay) if progress else [])],
        )  # fmt: skip
    except (PapermillException, CellControlSignal, DeadKernelError) as error:
        failed = failed_notebook(out)
        kept = ""
        if target.exists():
            write_atomic(failed, target.read_text(encoding="utf-8"))
            kept = f"{FAILED_NOTEBOOK}'{failed}'."
        raise ReportError(_explain(error) + kept) from error


def _relay(file: Path) -> list[str]:
    """What makes a kernel write its stages into a file."""
    line = f"import os; os.environ[{RELAY!r}] = {str(file)!r}"
    return [f"--IPKernelApp.exec_lines={line}"]


def _explain(error: Exception) -> str:
    """samlab's own errors as they are; others with their type and the cell they came from."""
    name, value = getattr(error, "ename", None), str(getattr(error, "evalue", ""))
    if name is None:
        return f"The report's notebook stopped: {str(error).strip() or type(error).__name__}."
    own = getattr(errors, str(name), None)
    if isinstance(own, type) and issubclass(own, SamlabError):
        return value
    cell = getattr(error, "exec_count", "?")
    return f"The report's notebook stopped in cell {cell} with {name}: {value}."


def check_parameters(parameters: Mapping[str, Any], source: Path) -> None:
    """Refuse parameters that the notebook does not have, and a notebook that takes no picture."""
    known = report_parameters(source)
    if "image" not in known:
        raise InputError(
            f"Expected a notebook with a cell tagged 'parameters' that sets image; '{source}' sets "
            f"{', '.join(known) or 'none'}. Start from a copy of samlab's {NOTEBOOK}."
        )
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise InputError(
            f"Expected parameters of '{source.name}', got {', '.join(map(repr, unknown))}. "
            f"It has: {', '.join(known)}."
        )
    _check_types(parameters, source)
    if "sam" in parameters:
        from samlab.sam.checkpoints import find

        find(parameters["sam"])  # raises where there is no such model and no such file
    if source == report_notebook():
        from samlab.latent.cluster import cluster

        named = ("eps", "min_samples", "metric", "method")
        check_values(cluster, {name: parameters[name] for name in named if name in parameters})


def _check_types(parameters: Mapping[str, Any], source: Path) -> None:
    """Refuse a text where the notebook says that it wants a number, before anything is run."""
    import papermill

    numbers = {"int": (int,), "float": (int, float)}
    for name, info in papermill.inspect_notebook(str(source)).items():
        wanted = numbers.get(str(info["inferred_type_name"]))
        value = parameters.get(name)
        if wanted and name in parameters and (isinstance(value, bool) or type(value) not in wanted):
            kind = "a whole number" if wanted == (int,) else "a number"
            raise InputError(
                f"Expected the parameter {name} as {kind}, got {value!r}. For example: "
                f"-p {name} {info['default']}"
            )


@contextmanager
def _as_file(image: ImageLike) -> Iterator[tuple[str, str]]:
    """The picture as an absolute path, written to a temporary file if it is not one, and a name."""
    if isinstance(image, (str, os.PathLike)):
        path = Path(image).absolute()
        if not path.is_file():
            read_image(image)  # raises, and says whether it is missing or a folder
        yield str(path), path.name
        return
    pixels: np.ndarray = read_image(image)
    name = Path(getattr(image, "filename", "") or "picture").stem
    with scratch_folder("picture") as folder:
        path = folder / f"{name}.png"
        Image.fromarray(pixels).save(path)
        yield str(path), name
