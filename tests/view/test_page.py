"""Pages from templates: texts stay texts, and what is marked safe is ours."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import samlab
from samlab.view.page import render
from samlab.view.widget.html import page

TEMPLATES = sorted(Path(samlab.__file__).parent.rglob("*.html.j2"))
OURS = {"css", "data", "script", "style", "body"}  # files of the package, escaped JSON, nbconvert's


@given(st.text())
def test_any_text_comes_back_from_the_title_as_it_was(text: str) -> None:
    made = render("view/page.html.j2", title=text)
    inner = made.partition("<title>")[2].partition("</title>")[0]
    assert unescape(inner) == text
    assert not set(inner) & set("<>\"'")


def test_a_name_that_is_no_unicode_is_shown_as_well_as_it_can_be() -> None:
    assert "<title>?.jpg</title>" in render("view/page.html.j2", title="\udcff.jpg")


def test_only_what_we_made_is_marked_safe() -> None:
    assert len(TEMPLATES) == 6
    for template in TEMPLATES:
        marked = re.findall(r"(\w+)\s*\|\s*safe", template.read_text())
        assert set(marked) <= OURS, template.name
        assert "autoescape" not in template.read_text()


def test_a_forgotten_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'title' is undefined"):
        render("view/page.html.j2")


def test_no_text_ends_the_script_of_a_widget() -> None:
    made = page({"name": "</script><b>"}, "let x;", "", title="</title><i>")
    assert made.count("</script>") == 2
    assert "<b>" not in made
    assert "<i>" not in made
