"""Whether a person waits for what runs now, in a notebook or at a terminal."""

from __future__ import annotations

import os
import re
import sys
from typing import Any


def shell() -> Any:
    """IPython's shell, if this runs in one; else None. IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def has_front_end() -> bool:
    """Whether a person's notebook asked for the cell that runs now.

    Front ends name their requests by a UUID. nbclient, and so papermill and nbconvert --execute,
    names them with jupyter_client's Session: the session, the process and a running number. The
    environment variable SAMLAB_STATIC, set to 1 or 0, overrules this.
    """
    forced = os.environ.get("SAMLAB_STATIC", "")
    if forced in ("0", "1"):
        return forced == "0"
    if "google.colab" in sys.modules or "marimo" in sys.modules:
        return True
    kernel = getattr(shell(), "kernel", None)
    if kernel is None:
        return False
    try:
        message = kernel.get_parent("shell")["header"]["msg_id"]
    except (AttributeError, KeyError, TypeError):
        return True
    return re.search(r"_\d+_\d+$", str(message)) is None
