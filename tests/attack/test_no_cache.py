"""Fault matrix, a read-only installation and a home that cannot be written: it works, slower."""

from __future__ import annotations

import subprocess
import sys

WITHOUT_FOLDERS = """
from numba.core import caching

# As numba finds it in such a container: only a folder that somebody names would do.
private = "" if hasattr(caching, "CacheImpl") else "_"  # until numba 0.62
named = getattr(caching, private + "UserProvidedCacheLocator")
getattr(caching, private + "CacheImpl")._locator_classes = [named]
"""


def said_without_folders(code: str) -> str:
    script = WITHOUT_FOLDERS + code
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_picture_is_segmented_where_numba_has_no_folder() -> None:
    code = """
import numpy as np, samlab
picture = np.zeros((96, 128, 3), np.uint8)
picture[20:60, 30:70] = 255
segments = samlab.segment(picture, points_per_side=4)
assert len(segments) and np.isfinite(segments.embedding()).all()
from samlab.files import import_compiling
assert import_compiling("umap").UMAP  # whose loops insist on a folder
print("done")
"""
    assert said_without_folders(code).endswith("done\n")


def test_the_doctor_says_that_nothing_compiled_is_kept() -> None:
    code = """
from samlab.doctor.storage import check_compiled
print(check_compiled())
"""
    said = said_without_folders(code)
    assert "status='warn'" in said
    assert "NUMBA_CACHE_DIR" in said
