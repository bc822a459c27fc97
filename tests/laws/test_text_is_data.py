"""Law 1: no LLM text is ever executed or interpreted by the host."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import flowbot
from flowbot.errors import InputError
from flowbot.workflow.document import read_workflow
from flowbot.workflow.graph import WorkflowError, build
from tests.sessions import call

ROOT = Path(flowbot.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
EXECUTING = {"eval", "exec", "compile", "__import__", "execfile"}
TEMPLATING = {"format", "format_map", "safe_substitute", "substitute", "from_string"}
ALLOWED = {  # what is formatted is FlowBot's own text
    ("tools/metric.py", "format"),  # the judge's instruction, with the scale
    ("models/catalogue.py", "format"),  # names of wheels in the package's own catalogue
    ("faces/report.py", "from_string"),  # the report's page, with autoescape
}


@pytest.mark.slow
def test_a_hostile_world_executes_nothing(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    program = [sys.executable, "-m", "tests.laws.hostile", str(tmp_path)]
    done = subprocess.run(program, cwd=ROOT.parent, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"watched": [], "canary": False}


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_the_package_has_no_means_to(path: Path) -> None:
    place = str(path.relative_to(ROOT))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in EXECUTING
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TEMPLATING:
            assert (place, node.func.attr) in ALLOWED
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            assert not (isinstance(node.left, ast.Constant) and isinstance(node.left.value, str))


@pytest.mark.parametrize("kind", ["code", "shell", "python", "exec", "", None, ["call"], {"call": 1}])
def test_the_kinds_are_a_closed_set(kind: object) -> None:
    with pytest.raises(WorkflowError):
        build(
            name="x",
            inputs={"q": "text"},
            steps=[{**call("one", "q"), "kind": kind, "code": "import os"}],
            output="one.out",
        )


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch canary']",
        "flowbot: 1\nname: !!python/name:os.system x",
        "flowbot: 1\nname: &a [*a]",
        "&a [&b [&c [*a, *b, *c]]]",
    ],
)
def test_a_file_with_tags_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        read_workflow(text)
    assert list(tmp_path.iterdir()) == []
