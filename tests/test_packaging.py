"""The three lists of requirements agree, and the promises about other machines hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_requirements_and_environment_list_what_pyproject_lists() -> None:
    wanted = project()["dependencies"]
    text = (ROOT / "requirements.txt").read_text()
    requirements = [line for line in text.splitlines() if line and not line.startswith("#")]
    conda = re.findall(r'^      - "(.*)"$', (ROOT / "environment.yml").read_text(), re.M)
    assert requirements == wanted
    assert conda == wanted


def test_numpy_and_pandas_of_colab_and_kaggle_satisfy_the_bounds() -> None:
    from packaging.requirements import Requirement

    bounds = {r.name.lower(): r.specifier for r in map(Requirement, project()["dependencies"])}
    installed = {
        "colab": {"numpy": "2.1", "ipywidgets": "7.7.1", "plotly": "5.24.1", "torch": "2.11"},
        "kaggle": {"numpy": "2.0", "ipywidgets": "8.1.5", "torch": "2.10", "pandas": "2.2.2"},
    }
    for machine, versions in installed.items():
        for name, version in versions.items():
            assert version in bounds[name], f"{name} {version} on {machine}"


def test_extras_are_the_documented_ones() -> None:
    documented = {"hf", "train", "render", "ray", "graph", "test"}
    assert set(project()["optional-dependencies"]) == documented


def test_make_help_lists_every_public_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    documented = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.M).group(1).split())
    assert documented == phony
