"""Where the notebook runs, and whether the browser's half of the widgets is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from samlab.doctor.findings import Finding
from samlab.doctor.packages import version


def on_kaggle() -> bool:
    """Whether this is a Kaggle session, by its environment."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def on_colab() -> bool:
    """Whether this is a Colab session, by its environment."""
    return "COLAB_RELEASE_TAG" in os.environ or "google.colab" in sys.modules


def check_platform() -> Finding:
    """Kaggle, Colab, or what the machine calls itself."""
    if on_kaggle():
        kind = os.environ["KAGGLE_KERNEL_RUN_TYPE"]
        return Finding(
            "Platform",
            "info",
            f"Kaggle, {kind.lower()} session" if kind else "Kaggle",
            "Sessions end after 12 hours and only /kaggle/working is kept. With the internet off, "
            "add SAM's weights as an input; they are found there by file name.",
        )
    if on_colab():
        return Finding(
            "Platform",
            "info",
            f"Colab {os.environ.get('COLAB_RELEASE_TAG', '')}".rstrip(),
            "What is not on Google Drive is lost with the session: "
            "from google.colab import drive; drive.mount('/content/drive')",
        )
    return Finding("Platform", "info", f"{sys.platform}, {os.cpu_count()} CPU cores")


def check_front_end() -> Finding:
    """Widgets need a half in the kernel (Python packages) and a half in JupyterLab."""
    if version("anywidget") is None or version("ipywidgets") is None:
        return Finding(
            "Widgets", "warn", "anywidget or ipywidgets is missing", "pip install anywidget"
        )
    versions = f"anywidget {version('anywidget')}, ipywidgets {version('ipywidgets')}"
    if on_colab():
        text = f"{versions}; samlab switches Colab's manager of third-party widgets on by itself"
        return Finding("Widgets", "ok", text)
    if on_kaggle():
        return Finding("Widgets", "ok", f"{versions}; the front end is the platform's own")
    from jupyter_core.paths import jupyter_path

    wanted = ("anywidget", "@jupyter-widgets/jupyterlab-manager")
    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    missing = [w for w in wanted if not any((folder / w).is_dir() for folder in folders)]
    if missing:
        return Finding(
            "Widgets",
            "warn",
            f"{versions}, but JupyterLab's part is not in this environment: {', '.join(missing)}",
            "If JupyterLab runs in another environment, run there: pip install anywidget "
            "jupyterlab_widgets; then reload the page. Without it, static pictures are shown.",
        )
    lab = version("jupyterlab")
    return Finding("Widgets", "ok", f"{versions}, JupyterLab {lab or 'not in this environment'}")
