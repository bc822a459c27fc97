"""The parts of `runtime/` that a program needs, as they stand there."""

from __future__ import annotations

import ast
import builtins
import keyword
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

FILES = ("asking", "calculator", "values", "flows")
LOCAL = ("INPUTS", "main", "run", "one", "item", "items", "sample", "made", "fields", "turn", "taken")


@dataclass(frozen=True)
class Part:
    """One definition or import: its source, the names that it gives, and those that it uses."""

    source: str
    gives: frozenset[str]
    uses: frozenset[str]
    imports: bool


@cache
def parts() -> tuple[Part, ...]:
    """Return all parts in their order."""
    found: list[Part] = []
    for name in FILES:
        source = files("flowbot.faces.export.runtime").joinpath(f"{name}.py").read_text(encoding="utf-8")
        lines = source.splitlines()
        found += [_part(node, lines) for node in ast.parse(source).body[2:]]  # behind docstring and __future__
    return tuple(part for part in found if not part.source.startswith("from flowbot"))


def _part(node: ast.stmt, lines: Sequence[str]) -> Part:
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    source = "\n".join(lines[first - 1 : node.end_lineno])
    uses = frozenset(each.id for each in ast.walk(node) if isinstance(each, ast.Name))
    if isinstance(node, ast.Import | ast.ImportFrom):
        return Part(source, frozenset(each.asname or each.name for each in node.names), uses, True)
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return Part(source, frozenset([node.name]), uses, False)
    stored = frozenset(each.id for each in ast.walk(node) if isinstance(each, ast.Name) and _stored(each))
    return Part(source, stored, uses - stored, False)


def _stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def reserved() -> frozenset[str]:
    """Return the names that nothing else in a program may have."""
    given = frozenset[str]().union(*(part.gives for part in parts()))
    return given | frozenset([*keyword.kwlist, *dir(builtins), *LOCAL])


def needed(source: str) -> tuple[str, str]:
    """Return what a program's own source needs: its imports, and the other parts in their order."""
    wanted = {each.id for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Name)}
    found: set[Part] = set()
    while new := [part for part in parts() if part not in found and part.gives & wanted]:
        found.update(new)
        wanted.update(*(part.uses for part in new))
    used = [part for part in parts() if part in found]
    text, lines = "", True
    for part in used:
        if not part.imports:  # constants stand below each other, all else two lines apart
            text += ("\n" if lines and "\n" not in part.source else "\n\n\n") + part.source
            lines = "\n" not in part.source
    return _imports([part for part in used if part.imports], wanted), text.lstrip("\n")


def _imports(used: Iterable[Part], wanted: set[str]) -> str:
    """Return the imports of what is wanted alone, in ruff's order: the package openai stands by itself."""
    modules: set[str] = set()
    names: dict[str, set[str]] = {}
    for part in used:
        module, _, given = part.source.removeprefix("from ").partition(" import ")
        if given:
            names.setdefault(module, set()).update(part.gives & wanted)
        else:
            modules.add(part.source)
    lines = [f"from {module} import {', '.join(sorted(given))}" for module, given in sorted(names.items())]
    own = [line for line in lines if not line.startswith("from openai")]
    return "\n".join([*sorted(modules), *own, "", *(line for line in lines if line not in own)])
