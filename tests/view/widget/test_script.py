"""JavaScript files put together by their imports."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from samlab.errors import FormatError
from samlab.view.widget import base
from samlab.view.widget.script import bundle, styles
from tests.view.javascript import needs_node, node_path

VIEW = Path(base.__file__).parents[1]


def files(folder: Path, **texts: str) -> Path:
    """Write files a.js, b.js, ...; returns the first."""
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text)
    return folder / f"{next(iter(texts))}.js"


def test_files_come_before_those_that_import_them_and_once(tmp_path: Path) -> None:
    entry = files(
        tmp_path,
        a='import { b } from "./b.js";\nimport { c, d } from "./c.js";\n'
        "export const a = b + c + d;\n",
        b='import { c } from "./c.js";\nexport const b = c;\n',
        c="// C.\nexport const c = 1;\nexport function d() {}\n",
    )
    assert bundle(entry) == (
        "// C.\nconst c = 1;\nfunction d() {}\n\nconst b = c;\n\nconst a = b + c + d;\n"
    )


def test_what_is_written_for_the_type_checker_is_left_out(tmp_path: Path) -> None:
    text = (
        "/** @import { A } from './a.d.ts' */\n"
        "/**\n * @param {string} a\n */\n"
        "export function f(a) {\n  /** @type {A} */\n  const b = /** @type {A} */ (a);\n"
        '  return "/** */";\n}\n'
    )
    assert bundle(files(tmp_path, a=text)) == (
        'function f(a) {\n  const b = /** @type {A} */ (a);\n  return "/** */";\n}\n'
    )


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (
            {"a": 'import { b } from "./b.js";'},
            "Expected the file 'b.js', which 'a.js' imports; there is none. Correct the import, or "
            "install samlab again.",
        ),
        (
            {
                "a": 'import { b } from "./b.js";\nexport const a = 1;',
                "b": 'import { c } from "./c.js";\nexport const b = 1;',
                "c": 'import { b } from "./b.js";\nexport const c = 1;',
            },
            "Expected imports without a circle, got b.js > c.js > b.js. Move what both sides need "
            "into a file of its own.",
        ),
        (
            {"a": 'import { b, c } from "./b.js";', "b": "export const b = 1;\nconst c = 1;"},
            "Expected 'b.js' to export c, which 'a.js' imports. Export it there or correct the "
            "import.",
        ),
        (
            {"a": 'import { b } from "./b.js";\nconst x = 1;', "b": "export const b = 1;\nlet x;"},
            "Expected every name once, got x in 'b.js' and in 'a.js'. All files share one scope: "
            "rename one of them.",
        ),
        (
            {"a": "import {\n  b } from './b.js';"},
            "Expected an import as one line, import { a, b } from \"./file.js\"; got 'import {' in "
            "'a.js'.",
        ),
        (
            {"a": 'import { b as c } from "./b.js";', "b": "export const b = 1;"},
            "Expected an import as one line",
        ),
        (
            {"a": "export default 1;"},
            "Expected an export of a function, class, const or let where it is declared; got "
            "'export default 1;' in 'a.js'.",
        ),
    ],
)
def test_what_cannot_be_put_together_is_told(
    tmp_path: Path, texts: dict[str, str], sentence: str
) -> None:
    with pytest.raises(FormatError, match=f"^{re.escape(sentence)}"):
        bundle(files(tmp_path, **texts))


def test_a_missing_entry_is_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"the file 'a\.js', from which all others come;"):
        bundle(tmp_path / "a.js")


def test_every_script_and_style_of_the_package_is_used() -> None:
    script, style = base.script(), base.style()
    for file in VIEW.rglob("*.js"):
        declared = re.findall(r"^export (?:function|class|const) (\w+)", file.read_text(), re.M)
        assert declared, file
        for name in declared:
            assert re.search(rf"^(?:function|class|const) {name}\b", script, re.M), (file, name)
    for file in VIEW.rglob("*.css"):
        assert file.read_text() in style
    assert not re.search(r"^(import|export)\b", script, re.M)


def test_shared_styles_come_first(tmp_path: Path) -> None:
    for folder in ("annotate", "widget"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.css").write_text(f"/* {folder} */\n")
    assert styles(tmp_path) == "/* widget */\n\n/* annotate */\n"


@needs_node
def test_node_reads_the_files_as_modules_without_putting_them_together(tmp_path: Path) -> None:
    entry = (VIEW / "mount.js").as_uri()
    program = f"import({json.dumps(entry)}).then((m) => console.log(Object.keys(m).sort().join()))"
    (tmp_path / "run.mjs").write_text(program)
    done = subprocess.run(
        [str(node_path()), str(tmp_path / "run.mjs")], text=True, capture_output=True, check=True
    )
    assert done.stdout.strip() == "mountStatic,render"
