"""No name in a label file opens a file outside the image folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samlab.errors import FormatError
from samlab.formats.untrusted import image_folder, inside

OUTSIDE = [
    "../secret.png", "sub/../../secret.png", "/etc/passwd", "C:\\secret.png", "\\\\host\\share",
    "..\\secret.png", "c:secret.png", "", ".", "..", "sub/..", "a\0.jpg", "a" * 5000 + "/../../x",
    "~/../../../x",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_are_refused(pictures, name):
    assert inside(image_folder(pictures), name) is None


@pytest.mark.parametrize("name", ["a.jpg", "sub/b.png", "./a.jpg", "sub/../a.jpg", "missing.jpg"])
def test_names_inside_are_taken(pictures, name):
    found = inside(image_folder(pictures), name)
    assert found is not None
    assert found.is_relative_to(pictures.resolve())


def test_links_are_followed_only_inside(pictures, tmp_path):
    (pictures / "out.png").symlink_to(tmp_path / "secret.png")
    (pictures / "up").symlink_to(tmp_path)
    (pictures / "in.jpg").symlink_to(pictures / "a.jpg")
    (pictures / "loop").symlink_to(pictures / "loop")
    folder = image_folder(pictures)
    assert inside(folder, "out.png") is None
    assert inside(folder, "up/secret.png") is None
    assert inside(folder, "in.jpg") == folder / "a.jpg"
    assert inside(folder, "loop") in (None, folder / "loop")


def test_the_folder_itself_may_be_a_link(pictures, tmp_path):
    (tmp_path / "link").symlink_to(pictures)
    assert inside(image_folder(tmp_path / "link"), "a.jpg").is_file()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(["..", ".", "sub", "a.jpg", "/", "\\", "up", "", "é", "C:"]), max_size=8
    ),
    st.sampled_from(["/", "\\"]),
)
def test_whatever_the_name_the_file_stays_inside(tmp_path, parts, separator):
    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    found = inside(folder.resolve(), separator.join(parts))
    assert found is None or Path(found).resolve().is_relative_to(folder.resolve())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FormatError, match="Expected a folder of pictures.*which does not exist"):
        image_folder(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="which is a file"):
        image_folder(tmp_path / "file")
