"""A real JupyterLab server and a real Chromium, driven by playwright."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One browser at a time, and two more tries.

    The prompter's test sometimes waited in vain for the answer to a click: seen once in a kernel
    that an earlier test had used, never in ten runs with a fresh one under heavy load. Each test
    has its own kernel now, and clicks on elements, not on places of the screen that were measured
    before. The tries are left for what is not ours: Chromium, JupyterLab, and their talk with a
    kernel. A test that needs them is counted as "rerun" in the last line of the output, and should
    be looked at.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.flaky(reruns=2))


def _chromium_path() -> str | None:
    given = os.environ.get("SAMLAB_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome")
    return given or next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = _chromium_path()
    if path is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium, or SAMLAB_CHROMIUM)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--no-proxy-server",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A fresh page of 1280 x 900; an error in the page fails the test.

    With SAMLAB_SHOTS set to a folder, the page's last sight is kept there as a picture.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(180_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.errors = errors
    yield page
    if "SAMLAB_SHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["SAMLAB_SHOTS"]) / f"{request.node.name}.png")
    context.close()
    assert errors == []


@pytest.fixture
def offline_page(page: Any) -> Any:
    """A page without network; requests other than for local files are collected and refused."""
    page.requests = []

    def refuse(route: Any) -> None:
        page.requests.append(route.request.url)
        route.abort()

    page.context.set_offline(True)
    page.route(lambda url: not url.startswith(("file:", "data:", "blob:")), refuse)
    return page


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A JupyterLab server: its address and its root folder."""
    root = tmp_path_factory.mktemp("lab")
    # No dialog about news; and cells out of sight stay in the page, so that a test can count them.
    _setting(
        root, "apputils-extension/notification", {"fetchNews": "false", "checkForUpdates": False}
    )
    _setting(root, "notebook-extension/tracker", {"windowingMode": "none"})
    for _ in range(3):  # between looking for a port and taking it, someone else may take it
        server, address = _start_server(root)
        if _answers(address, server):
            break
    else:
        raise RuntimeError("JupyterLab did not start:\n" + (root / "server.log").read_text())
    yield address, root
    _stop(server)


def _start_server(root: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=",
        f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True",
        "--ServerApp.disable_check_xsrf=True",
    ]  # fmt: skip
    with (root / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=root)
    return server, f"http://127.0.0.1:{port}"


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server, which ends its kernels; a stuck one is killed."""
    server.terminate()
    try:
        server.wait(timeout=60)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _setting(root: Path, name: str, value: dict[str, Any]) -> None:
    path = root / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _answers(address: str, server: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers; False where it ended, or is silent for five minutes."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        if server.poll() is not None:
            return False
        try:
            with direct.open(f"{address}/api", timeout=2):
                return True
        except OSError:
            time.sleep(0.5)
    _stop(server)
    return False


@pytest.fixture
def own_kernels(lab: tuple[str, Path]) -> Iterator[None]:
    """End the kernels of a test, after its page."""
    yield
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{lab[0]}/api/sessions", timeout=60) as answer:
        sessions = json.load(answer)
    for session in sessions:
        url = f"{lab[0]}/api/sessions/{session['id']}"
        direct.open(urllib.request.Request(url, method="DELETE"), timeout=60).close()


@pytest.fixture
def notebook(lab: tuple[str, Path], own_kernels: None, page: Any) -> Callable[..., Any]:
    """Open a notebook of these cells (or a file) in JupyterLab, run all, and return the page.

    Each test has kernels of its own. A notebook of the same name would go on with the kernel of
    the last test; there, on a busy machine, a click of the prompter was sent and never answered.
    """
    address, root = lab

    def run(cells: list[str] | Path, name: str = "", theme: str = "JupyterLab Light") -> Any:
        name = name or f"test-{time.time_ns()}.ipynb"
        if isinstance(cells, Path):
            shutil.copy(cells, root / name)
        else:
            nbformat.write(_document(cells), root / name)
        page.goto(f"{address}/lab/workspaces/w{time.time_ns()}/tree/{name}")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme
        )
        page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel"
            "?.connectionStatus === 'connected'"
        )
        page.evaluate("() => window.jupyterapp.commands.execute('filebrowser:hide-main')")
        run_all(page)
        return page

    return run


def _document(cells: list[str]) -> nbformat.NotebookNode:
    document = nbformat.v4.new_notebook()
    document.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3", "language": "python",
    }  # fmt: skip
    document.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    return document


def run_all(page: Any) -> None:
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")


def run_new_cell(page: Any, code: str) -> str:
    """Append a cell, run it, and return what it prints."""
    before = page.locator(".jp-Notebook .jp-Cell").count()
    page.evaluate(
        """async (code) => {
          const panel = window.jupyterapp.shell.currentWidget;
          const cells = panel.content.model.sharedModel;
          cells.insertCell(cells.cells.length, { cell_type: "code", source: code });
          while (panel.content.widgets.length < cells.cells.length) {
            await new Promise(requestAnimationFrame);
          }
          panel.content.deselectAll();
          panel.content.activeCellIndex = cells.cells.length - 1;
          return window.jupyterapp.commands.execute("notebook:run-cell");
        }""",
        code,
    )
    output = page.locator(".jp-Notebook .jp-Cell").nth(before).locator(".jp-OutputArea-output")
    output.first.wait_for()
    return str(output.first.inner_text()).strip()
