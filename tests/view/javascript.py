"""The widgets' JavaScript run by node, without a page."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from samlab.view.widget import base


def node_path() -> str | None:
    """Node from the system, or the one inside playwright."""
    try:
        import playwright
    except ImportError:
        return shutil.which("node")
    bundled = Path(playwright.__file__).parent / "driver" / "node"
    return str(bundled) if bundled.exists() else shutil.which("node")


needs_node = pytest.mark.skipif(
    node_path() is None, reason="no node, nor playwright, which has one"
)


def run_js(expression: str, **values: Any) -> Any:
    """The value of a JavaScript expression over the widgets' functions.

    The program goes through standard input: as an argument it would be longer than Linux allows.
    """
    program = (
        base.script()
        + f"\nconst input = {json.dumps(values)};"
        + f"\nconsole.log(JSON.stringify(({expression})(input)));"
    )
    done = subprocess.run([str(node_path()), "-"], input=program, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)
