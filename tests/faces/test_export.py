"""flowbot export: programs of the examples and of the documentation agree with flowbot run, and what has no form is
refused by name; nothing breaks out of prompts and Mermaid."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowbot
from flowbot import InputError
from flowbot.faces.cli import code_of
from flowbot.faces.export.prompts import fenced, prompts_markdown
from flowbot.models.providers import providers
from flowbot.workflow.document import read_workflow
from flowbot.workflow.fields import FieldType, Json
from flowbot.workflow.graph import Workflow, rebuild
from tests.commands import begin, finish
from tests.exporting import MODEL, both, imported, model
from tests.servers import serving
from tests.sessions import call, flow
from tests.strategies import workflows

pytest.importorskip("openai")
pytestmark = pytest.mark.usefixtures("bare")

ROOT = Path(flowbot.__file__).parent.parent
YAML = re.compile(r"^```yaml\n(flowbot: 1\n.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*/*.yaml") if path.name != "task.yaml")
Out = pytest.CaptureFixture[str]


def pages() -> list[Workflow]:
    """Return the workflows of the page on file formats."""
    text = (ROOT / "docs" / "file-formats.md").read_text(encoding="utf-8")
    return [read_workflow(found[1]) for found in YAML.finditer(text) if "\nsteps:" in found[1]]


def value(kind: FieldType) -> Json:
    return ["one", "two", "three"] if kind.kind == "list" else "A pump that leaks; it's 5 + 5."


def exported(workflow: Workflow) -> str | None:
    """Return the program; None where a step has no form."""
    try:
        return flowbot.export(workflow, "python")
    except InputError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_example_runs_as_flowbot_runs_it(path: Path, tmp_path: Path) -> None:
    """Both as programs of their own, over HTTP."""
    workflow = rebuild(flowbot.load(path), model=MODEL)
    if exported(workflow) is None:
        assert any(step.kind in ("code", "tool") for step in workflow.all_steps)
        return
    program, inputs = tmp_path / "program.py", {name: value(kind) for name, kind in workflow.inputs.items()}
    assert code_of(["export", str(path), "--to", "python", "--model", MODEL, "-o", str(program)]) == 0
    words = [f"{name}={each if isinstance(each, str) else json.dumps(each)}" for name, each in inputs.items()]
    with serving(model(0)) as here:
        given = [part for word in words for part in ("--input", word)]
        ours = finish(begin("run", path, "--model", MODEL, "--base-url", here.url, *given, OPENAI_API_KEY="sk-test-1"))
    for arguments, stdin in ((words, ""), ([], json.dumps(inputs))):
        with serving(model(0)) as there:
            kept = {name: each for name, each in os.environ.items() if not name.endswith(("_KEY", "_BASE_URL"))}
            environ = kept | {"OPENAI_BASE_URL": there.url, "OPENAI_API_KEY": "sk-test-1"}
            environ.pop("PYTHONPATH", None)
            line = [sys.executable, "-W", "error", str(program), *arguments]
            ran = subprocess.run(line, input=stdin, capture_output=True, text=True, env=environ, cwd="/", check=False)
        assert (ran.returncode, ran.stdout) == ours[:2], (ran.stderr, ours[2])
        assert [each.body for each in there.requests] == [each.body for each in here.requests]


def test_four_examples_have_a_form_as_a_program() -> None:
    with_form = {f"{path.parent.name}/{path.stem}" for path in EXAMPLES if exported(flowbot.load(path)) is not None}
    assert with_form == {"gsm8k/single", "hotpotqa/single", "humaneval/single", "routing/careful"}


@pytest.mark.parametrize("workflow", pages(), ids=lambda each: each.name)
def test_a_workflow_of_the_page_runs_as_flowbot_runs_it(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = workflow.with_steps({each.id: {"tools": ()} for each in workflow.calls if each.tools})
    if any(step.kind in ("tool", "code") for step in plain.all_steps):
        with pytest.raises(InputError, match=r"has no form as a Python program: step '(result|run)'"):
            flowbot.export(plain)
        return
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-1")
    for seed in range(4):
        inputs = {name: value(kind) for name, kind in plain.inputs.items()}
        both(plain, inputs, seed, monkeypatch.setenv)


def test_what_has_no_form_is_named_in_one_error() -> None:
    named = {each.name: each for each in pages()}
    with pytest.raises(InputError) as refused:
        flowbot.export(named["programs"], "python")
    assert "step 'run' (code): code that a model may have written runs in FlowBot's sandbox only" in str(refused.value)
    with pytest.raises(InputError, match=r"step 'result' \(tool\): the tool 'calculator' \(calculator\) needs FlowBot"):
        flowbot.export(named["sums"])
    with pytest.raises(InputError, match=r"step 'answer' \(call\): the tools that it may use \(calculator\)"):
        flowbot.export(named["capitals"])
    with pytest.raises(InputError, match="unknown form 'pythn'; did you mean 'python'"):
        flowbot.export(named["sums"], "pythn")
    with pytest.raises(InputError, match="step 'answer' has no model"):
        flowbot.export(rebuild(flow(call("answer", "q")), model=None))


@pytest.mark.parametrize("provider", ["deepseek", "anthropic", "groq", "openai"])
def test_each_provider_is_asked_in_its_own_way(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON held to a schema, JSON alone, or a schema in words; the bound's name; temperature or none."""
    step = call("answer", "q", gives={"a": "number", "b": "text"}, max_tokens=9, temperature=0.5)
    name = {"openai": "o3", "anthropic": "claude-opus-4-7"}.get(provider, "some")
    workflow = rebuild(flow(step), model=f"{provider}:{name}", output="answer.a")
    for each in ("DEEPSEEK", "ANTHROPIC", "GROQ", "OPENAI"):
        monkeypatch.setenv(f"{each}_API_KEY", "sk-test-1")
    with serving(['{"a": 1, "b": "x"}']) as server:
        own = MappingProxyType({**providers(), provider: replace(providers()[provider], base_url=server.url)})
        for module in ("flowbot.models.providers", "flowbot.faces.export.python_script"):
            monkeypatch.setattr(f"{module}.providers", lambda: own)
        assert flowbot.run(workflow, q="5") == 1
        program = imported(flowbot.export(workflow))
        assert asyncio.run(program.closed(program.run("5"))) == 1
        ours, theirs = server.requests
        assert ours.body == theirs.body
        assert ours.headers["Authorization"] == theirs.headers["Authorization"]


@pytest.mark.slow
def test_a_program_says_what_is_wrong(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(flowbot.export(rebuild(flow(call("answer", "q")), model=MODEL)), encoding="utf-8")

    def run(*arguments: str, stdin: str = "") -> str:
        line = [sys.executable, str(program), *arguments]
        ran = subprocess.run(line, input=stdin, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout) == (1, "")
        return ran.stderr

    assert run("q=1") == "failed: set OPENAI_API_KEY: gpt-4.1-mini needs a key\n"
    assert run("x=1") == "failed: 'q': the inputs are q, as NAME=VALUE\n"
    assert run(stdin="{").startswith("failed: the inputs are no JSON: ")


def test_the_command_writes_each_form(tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "flow.yaml"
    flowbot.save(rebuild(flow(call("answer", "q")), model="local:some"), path)
    assert code_of(["export", str(path), "--to", "mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart LR\n")
    assert code_of(["export", str(path), "--to", "prompts", "-o", str(tmp_path / "prompts.md")]) == 0
    assert "## answer" in (tmp_path / "prompts.md").read_text(encoding="utf-8")
    assert code_of(["export", str(path), "--to", "python"]) == 0
    out, err = capsys.readouterr()
    assert "LOCAL_BASE_URL" in out
    assert err.startswith("note: local: models run within FlowBot")
    assert code_of(["export", str(path), "--to", "prompts", "-o", str(path)]) == 2
    assert "would write over the workflow" in capsys.readouterr().err
    assert code_of(["export", str(path), "--to", "python", "--model", "nothing"]) == 2


def read(text: str) -> str:
    """Return a text as a parser of CommonMark reads it."""
    return f"{text}\n".replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


@given(st.text(st.sampled_from("`~ \n\r\tab#<>-*"), max_size=60))
def test_no_prompt_ends_its_fence(said: str) -> None:
    """Read by a parser of CommonMark: one fence, with the text in it."""
    markdown = pytest.importorskip("markdown_it")
    tokens = markdown.MarkdownIt().parse(f"before\n\n{fenced(said)}\nbehind\n")
    assert [each.type for each in tokens if each.level == 0][2:-2] == ["fence"]
    assert tokens[3].content == read(said)


@pytest.mark.slow
@given(workflows())
def test_no_text_of_a_workflow_is_markup_in_its_prompts(workflow: Workflow) -> None:
    markdown = pytest.importorskip("markdown_it")
    tokens = markdown.MarkdownIt().parse(prompts_markdown(workflow))
    inner = [each for token in tokens for each in token.children or ()]
    assert {each.type for each in tokens} & {"html_block", "code_block", "table_open", "hr"} == set()
    assert {each.type for each in inner} <= {"text", "code_inline", "strong_open", "strong_close", "softbreak"}
    fences = [each.content for each in tokens if each.type == "fence"]
    for prompt in workflow.prompts.values():
        assert read(prompt) in fences


def test_a_notebook_shows_the_picture() -> None:
    workflow = rebuild(flow(call("answer", "q", prompt="<script>alert(1)</script>")), name="<b>&")
    bundle = workflow._repr_mimebundle_()  # pyright: ignore[reportPrivateUsage]
    assert bundle["text/plain"].startswith("inputs: q: text")
    assert bundle["image/svg+xml"].startswith("<svg ")
    assert bundle["image/svg+xml"] in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    assert "<b>" not in bundle["text/html"]


@pytest.mark.parametrize("workflow", pages(), ids=lambda each: each.name)
def test_a_program_imports_the_sdk_and_the_standard_library_alone(workflow: Workflow) -> None:
    source = exported(workflow)
    tree = ast.parse(source or "")
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in named} <= {*sys.stdlib_module_names, "openai"}


def test_a_program_of_one_call_has_the_parts_of_one_call(tmp_path: Path) -> None:
    source = flowbot.export(rebuild(flow(call("answer", "q")), model=MODEL))
    assert not re.search(r"class Counter|def (ask|hold|choice|majority|shuffled|together)\(", source)
    assert len(source.splitlines()) < 330
