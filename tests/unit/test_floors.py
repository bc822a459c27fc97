"""The house: floors, sizes of files and functions, arguments, the count of public names."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowbot

ROOT = Path(flowbot.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.skipif(not (ROOT.parent / "pyproject.toml").exists(), reason="not a checkout")
def test_the_floors_hold() -> None:
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=ROOT.parent, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_files_and_functions_are_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    long = [node.name for node in functions(path) if (node.end_lineno or 0) - node.lineno + 1 > 60]
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_nothing_is_hidden_in_global_state(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [node.names for node in ast.walk(tree) if isinstance(node, ast.Global)] == []
    assert [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"] == []
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"pickle", "marshal", "shelve"}


@pytest.mark.parametrize("name", ["induce", "ainduce", "run", "arun", "evaluate", "aevaluate", "load", "save"])
def test_entry_points_have_few_arguments(name: str) -> None:
    found = [node for node in functions(ROOT / "faces" / "api.py") if node.name == name]
    assert found
    assert all(len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]) <= 8 for node in found)


def test_modules_are_nouns() -> None:
    assert not {"utils", "util", "manager", "base", "helpers", "common", "misc"} & {path.stem for path in FILES}


def test_public_names_are_few() -> None:
    assert len(flowbot.__all__) <= 30
