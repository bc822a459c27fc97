"""flowbot export: programs of the examples and of the documentation agree with flowbot run, and what has no form is
refused by name; nothing breaks out of prompts and Mermaid."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowbot
from flowbot import InputError
from flowbot.faces.cli import code_of
from flowbot.faces.export.prompts import fenced, prompts_markdown
from flowbot.faces.export.runtime.calculator import calculated
from flowbot.faces.export.runtime.values import Failed
from flowbot.models.providers import providers
from flowbot.tools.calculator import calculate
from flowbot.workflow.document import read_workflow
from flowbot.workflow.fields import FieldType, Json
from flowbot.workflow.graph import Workflow, rebuild
from flowbot.workflow.steps import Call, CodeStep
from tests.commands import begin, finish
from tests.exporting import MODEL, both, model, run_exported, run_here
from tests.servers import Answer, Arrival, Script, serving
from tests.sessions import call, flow, tool
from tests.strategies import workflows

pytest.importorskip("openai")
pytestmark = pytest.mark.usefixtures("bare")

ROOT = Path(flowbot.__file__).parent.parent
YAML = re.compile(r"^```yaml\n(flowbot: 1\n.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = sorted(
    path
    for path in (ROOT / "examples").rglob("*.yaml")
    if "runs" not in path.relative_to(ROOT).parts and "\nsteps:" in path.read_text(encoding="utf-8")
)
Out = pytest.CaptureFixture[str]


def pages() -> list[Workflow]:
    """Return the workflows of the page on file formats."""
    text = (ROOT / "docs" / "file-formats.md").read_text(encoding="utf-8")
    return [read_workflow(found[1]) for found in YAML.finditer(text) if "\nsteps:" in found[1]]


def value(kind: FieldType) -> Json:
    return ["one", "two", "three"] if kind.kind == "list" else "A pump that leaks; it's 5 + 5."


def formless(workflow: Workflow) -> list[str]:
    """Return the steps that have no form as a program, as an error names them."""
    found: list[str] = []
    for step in workflow.all_steps:
        used = step.tools if isinstance(step, Call) else (getattr(step, "tool", None),)
        other = any(name and workflow.tools[name].kind != "calculator" for name in used)
        found += [f"'{step.id}'"] if other or isinstance(step, CodeStep) else []
    return found


def exported(workflow: Workflow) -> str | None:
    """Return the program; None where steps have no form, all of which the error names with their kind."""
    wanted = formless(workflow)
    if wanted:
        with pytest.raises(InputError) as refused:
            flowbot.export(workflow, "python")
        for step in wanted:
            named = rf"steps? [^;(]*{step}[^;(]*\((code|tool|call|vote by tests)\): "
            assert re.search(named, str(refused.value)), refused.value
        return None
    return flowbot.export(workflow, "python")


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_example_runs_as_flowbot_runs_it(path: Path, tmp_path: Path) -> None:
    """Both as programs of their own, over HTTP."""
    workflow = rebuild(flowbot.load(path), model=MODEL)
    if exported(workflow) is None:
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
    if exported(workflow) is None:
        return
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-1")
    for seed in range(4):
        inputs = {name: value(kind) for name, kind in workflow.inputs.items()}
        both(workflow, inputs, seed, monkeypatch.setenv)


def test_what_has_no_form_is_named_in_one_error() -> None:
    named = {each.name: each for each in pages()}
    with pytest.raises(InputError) as refused:
        flowbot.export(named["programs"], "python")
    assert "step 'run' (code): code that a model may have written runs in FlowBot's sandbox only" in str(refused.value)
    with pytest.raises(InputError, match=r"step 'answer' \(call\): a local: model .*--model llamacpp:NAME"):
        flowbot.export(rebuild(named["capitals"], model="local:some"))
    search = {"search": {"kind": "bm25", "corpus": "rows.jsonl"}, "calculator": {"kind": "calculator"}}
    asks = flow(call("answer", "q", tools=["search", "calculator"]), tools=search)
    with pytest.raises(InputError, match=r"step 'answer' \(call\): the tools that it may use \(search\) need FlowBot"):
        flowbot.export(asks)
    looks = flow(tool("find", {"found": "list[text]"}, query="$q") | {"tool": "search"}, tools=search)
    with pytest.raises(InputError, match=r"step 'find' \(tool\): the tool 'search' \(bm25\) needs FlowBot"):
        flowbot.export(looks)
    with pytest.raises(InputError, match="unknown form 'pythn'; did you mean 'python'"):
        flowbot.export(named["sums"], "pythn")
    with pytest.raises(InputError, match="step 'answer' has no model"):
        flowbot.export(rebuild(flow(call("answer", "q")), model=None))


def asked_twice(
    workflow: Workflow, provider: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Arrival], list[Arrival], str]:
    """Run a workflow and its program at servers in a provider's place; return what each was asked, and the failure."""
    for each in ("DEEPSEEK", "ANTHROPIC", "GROQ", "OPENAI", "VLLM"):
        monkeypatch.setenv(f"{each}_API_KEY", "sk-test-1")

    def stand_in(url: str) -> None:
        own = MappingProxyType({**providers(), provider: replace(providers()[provider], base_url=url)})
        for module in ("flowbot.models.providers", "flowbot.faces.export.python_script"):
            monkeypatch.setattr(f"{module}.providers", lambda: own)

    with serving(script) as here:
        stand_in(here.url)
        failure, output = run_here(workflow, {"q": "5"})
    with serving(script) as there:
        stand_in(there.url)
        failed, given = run_exported(flowbot.export(workflow), {"q": "5"})
    assert (bool(failed), given) == (bool(failure), output), (failed, failure)
    return here.requests, there.requests, failed


@pytest.mark.parametrize("provider", ["deepseek", "anthropic", "groq", "openai", "vllm"])
@pytest.mark.parametrize("tools", [(), ("sums",)], ids=["plain", "tools"])
def test_each_provider_is_asked_in_its_own_way(
    provider: str, tools: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON held to a schema, JSON alone, or a schema in words; the bound's name; temperature or none; tools with a
    schema or alone; the key."""
    gives = {"a": "number", "b": "text"}
    step = call("answer", "q", gives=gives, max_tokens=9, temperature=0.5, tools=tools, max_tool_calls=3)
    name = {"openai": "o3", "anthropic": "claude-opus-4-7"}.get(provider, "some")
    made = rebuild(flow(step, tools={"sums": {"kind": "calculator"}}), model=f"{provider}:{name}", output="answer.a")
    script: list[Answer | str] = ['{"a": "x"}', '{"a": 1, "b": "x"}']  # one is mended
    if tools:
        calls = [("sums", {"expression": "2 + 3"}), ("sums!", {"x": 1}), ("sums", '{"expression'), ("sums", "")]
        script = [Answer(text="So:", calls=calls[:2], finish="tool_calls"), Answer(calls=calls[1:]), *script]
    ours, theirs, failed = asked_twice(made, provider, script, monkeypatch)
    assert not failed
    assert len(ours) == len(script)
    for one, other in zip(ours, theirs, strict=True):
        assert one.body == other.body
        assert one.headers["Authorization"] == other.headers["Authorization"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer("Half a", finish="model_length"), "the reply was cut"),
        (Answer("No.", finish="safety"), "the model refused"),
        (Answer(json=[{"type": "thinking", "thinking": []}, {"type": "text", "text": "red"}]), ""),
    ],
    ids=["cut", "filtered", "parts"],
)
def test_other_ends_and_forms_of_a_reply_are_read_as_flowbot_reads_them(
    answer: Answer, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer.json is not None:
        message = {"role": "assistant", "content": answer.json}
        answer = Answer(body=json.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}))
    made = rebuild(flow(call("answer", "q")), model="groq:some")
    assert asked_twice(made, "groq", [answer], monkeypatch)[2].startswith(told)


PIECES = [*"0123456789.+-*/%^() ,", "1e9", "max(", "min(", "abs(", "round(", "sqrt(", "x", "True", "*" * 999, "1, 2)"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_program_calculates_as_the_calculator(expression: str) -> None:
    try:
        wanted: Any = calculate(expression)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        wanted = f"cannot calculate {expression[:80]!r}: {error}"
    try:
        given: Any = calculated(expression)
    except Failed as failed:
        given = str(failed)
    assert (type(given), given) == (type(wanted), wanted)


@pytest.mark.slow
def test_a_program_says_what_is_wrong(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(flowbot.export(rebuild(flow(call("answer", "q")), model=MODEL)), encoding="utf-8")

    def begun(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        line = [sys.executable, str(program), *arguments]
        return subprocess.run(line, input=stdin, capture_output=True, text=True, check=False)

    def run(*arguments: str, stdin: str = "") -> str:
        ran = begun(*arguments, stdin=stdin)
        assert (ran.returncode, ran.stdout) == (1, "")
        return ran.stderr

    told = begun("--help")
    assert (told.returncode, told.stdout.splitlines()[2]) == (0, "    python FILE q=...")

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
