"""Exported programs do what the workflow does, and no text of a workflow becomes code."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from unittest.mock import patch

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from flowbot.faces.export.literals import block, quoted, text
from flowbot.faces.export.python_script import python_script
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow, rebuild
from tests.exporting import both, exportable

pytest.importorskip("openai")

Drawn = tuple[Workflow, dict[str, Json]]
MARKS = [*"\"'\\{}$%#\n\r\t\x00\x1b\u202e\u2028é☃ a", '"""', "'''", "\\N{", "\\x", '\\"', "\\\n", ';import os\n"""\n']
hostile = st.lists(st.sampled_from(MARKS) | st.characters(exclude_categories=["Cs"]), max_size=20).map("".join)
unshrunk = [Phase.explicit, Phase.reuse, Phase.generate]  # shrinking takes many minutes here


def said_anew(workflow: Workflow, said: str) -> Workflow:
    """Return a workflow with a text for its name and for all its prompts."""
    changes = {call.id: {"prompt": said, "demos": ()} for call in workflow.calls}
    return rebuild(workflow.with_steps(changes), name=said)


def skeleton(source: str) -> str:
    """Return a program's structure without its texts."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


@pytest.mark.slow
@settings(max_examples=20, phases=unshrunk)
@given(exportable(), st.integers(0, 9))
def test_a_program_sends_and_gives_what_the_workflow_does(drawn: Drawn, seed: int) -> None:
    with patch.dict(os.environ, {"OPENAI_API_KEY": "sk-test-0001"}):
        both(*drawn, seed, os.environ.__setitem__)


@settings(max_examples=100)
@given(hostile)
def test_a_text_is_one_literal(said: str) -> None:
    for written in (quoted(said), block(said), text(said)):
        tree = ast.parse(f"x = {written}\n").body
        assert [type(each) for each in tree] == [ast.Assign]
        assert ast.literal_eval(written) == said
        assert all(char == "\n" or char.isprintable() for char in written)


@pytest.mark.slow
@settings(max_examples=20, phases=unshrunk)
@given(exportable(), hostile.filter(lambda each: bool(each.strip())))
def test_no_text_becomes_code(drawn: Drawn, said: str) -> None:
    source = python_script(said_anew(drawn[0], said))
    assert skeleton(source) == skeleton(python_script(said_anew(drawn[0], "Do it.")))
    if not drawn[0].calls:
        return  # there is no prompt to say it in
    assert said.strip("\n") in {each.value for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Constant)}


@pytest.mark.slow
@settings(max_examples=20, phases=unshrunk)
@given(exportable())
def test_a_program_is_formatted_as_ruff_does(drawn: Drawn) -> None:
    source = python_script(drawn[0])
    for command in (["format", "--diff"], ["check", "--quiet"]):
        line = [sys.executable, "-m", "ruff", *command, "--isolated", "-"]
        ran = subprocess.run(line, input=source.encode(), capture_output=True, check=False)
        assert ran.returncode == 0, ran.stdout.decode()
