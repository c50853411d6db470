"""The widgets' JavaScript and styles, put together as one text each, without a build step.

A file says in single lines what it uses and what it offers, and so editors, type checkers and node
read it as a module:

    import { make, icon } from "../widget/dom.js";
    export function createMap(host) {

A browser gets all files as one text: the imports give the order; both keywords are taken off, and
comments in /** */ as well, which are for the type checker.
All files then share one scope, so no two may declare the same name outside a function.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from samlab.errors import FormatError

_IMPORT = re.compile(r'import \{ (\w+(?:, \w+)*) \} from "(\.{1,2}/[\w./-]+\.js)";')
_EXPORT = re.compile(r"export (?=(?:async function|function|const|let|class) )")
# What is written for the type checker: comments of their own lines that begin with two stars.
_TYPES = re.compile(r"^[ ]*/\*\*(?:(?!\*/).)*\*/\n", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"(?:async function|function|const|let|class) (\w+)")


@dataclass(frozen=True)
class _Module:
    """One file.

    Attributes:
        text: Its lines without imports and without the word export.
        imports: (file, names) of each import.
        exports: Names it offers.
        names: All names it declares outside functions.
    """

    text: str
    imports: tuple[tuple[Path, tuple[str, ...]], ...]
    exports: frozenset[str]
    names: tuple[str, ...]


def bundle(entry: Path) -> str:
    """A JavaScript file and all that it imports, each before those that use it.

    Args:
        entry: The file that needs all others.

    Returns:
        One text without imports and exports.

    Raises:
        FormatError: A file is missing, imports go round in a circle or are not of the form above,
            an imported name is not exported, or two files declare the same name.
    """
    modules: dict[Path, _Module] = {}
    owners: dict[str, Path] = {}
    root = entry.parent

    def add(file: Path, chain: tuple[Path, ...]) -> _Module:
        if file in chain:
            circle = " > ".join(_shown(f, root) for f in (*chain[chain.index(file) :], file))
            raise FormatError(
                f"Expected imports without a circle, got {circle}. Move what both sides need into "
                "a file of its own."
            )
        if file in modules:
            return modules[file]
        module = _read(file, root, chain[-1] if chain else None)
        for used, names in module.imports:
            missing = sorted(set(names) - add(used, (*chain, file)).exports)
            if missing:
                raise FormatError(
                    f"Expected '{_shown(used, root)}' to export {', '.join(missing)}, which "
                    f"'{_shown(file, root)}' imports. Export it there or correct the import."
                )
        for name in module.names:
            other = owners.setdefault(name, file)
            if other != file:
                raise FormatError(
                    f"Expected every name once, got {name} in '{_shown(other, root)}' and in "
                    f"'{_shown(file, root)}'. All files share one scope: rename one of them."
                )
        modules[file] = module
        return module

    add(entry, ())
    return "\n".join(module.text for module in modules.values())


def _read(file: Path, root: Path, user: Path | None) -> _Module:
    if not file.is_file():
        who = (
            "from which all others come"
            if user is None
            else f"which '{_shown(user, root)}' imports"
        )
        raise FormatError(
            f"Expected the file '{_shown(file, root)}', {who}; there is none. Correct the import, "
            "or install samlab again."
        )
    lines, imports, exports, names = [], [], set(), []
    for line in _TYPES.sub("", file.read_text(encoding="utf-8")).splitlines():
        if line.startswith("import"):
            found = _IMPORT.fullmatch(line)
            if found is None:
                raise FormatError(
                    'Expected an import as one line, import { a, b } from "./file.js"; got '
                    f"'{line}' in '{_shown(file, root)}'."
                )
            path = Path(os.path.normpath(file.parent / found[2]))
            imports.append((path, tuple(found[1].split(", "))))
            continue
        plain = _EXPORT.sub("", line, count=1) if line.startswith("export") else line
        if plain.startswith("export"):
            raise FormatError(
                "Expected an export of a function, class, const or let where it is declared; got "
                f"'{line}' in '{_shown(file, root)}'."
            )
        declared = _NAME.match(plain)
        if declared:
            names.append(declared[1])
            if plain != line:
                exports.add(declared[1])
        lines.append(plain)
    text = "\n".join(lines).strip("\n") + "\n"
    return _Module(text, tuple(imports), frozenset(exports), tuple(names))


def styles(folder: Path) -> str:
    """All style sheets below a folder as one text: the shared one first, then each widget's."""
    shared = folder / "widget" / "widget.css"
    others = sorted(file for file in folder.rglob("*.css") if file != shared)
    return "\n".join(file.read_text(encoding="utf-8") for file in (shared, *others))


def _shown(file: Path, root: Path) -> str:
    """A file's path for a message."""
    return Path(os.path.relpath(file, root)).as_posix()
