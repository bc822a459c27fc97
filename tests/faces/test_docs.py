"""The documentation is true: its code runs, its files parse, its commands exist, its tables say what the code says."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import click
import pytest
from pydantic import BaseModel

import flowbot
from flowbot.document import read_document, read_record, write_document
from flowbot.faces.cli import cli, code_of
from flowbot.models.providers import providers
from flowbot.search.induce import RECIPES, recipe_settings
from flowbot.search.operators import OPERATORS
from flowbot.store.files import METRICS, write_text
from flowbot.task.task import ModelSpec, Task
from flowbot.workflow.blocks import Branch, Loop, Map, Vote
from flowbot.workflow.document import read_workflow
from flowbot.workflow.graph import Workflow
from flowbot.workflow.picture import svg
from flowbot.workflow.steps import Call, CodeStep, StepBase, ToolStep
from tests.fitting import fitting
from tests.servers import serving

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples" / "README.md")
STARTER = ROOT / "flowbot" / "faces" / "starter" / "README.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPANS = re.compile(r"`(--?[A-Za-z][\w-]*)[^`]*`")
LINKS = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADINGS = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page; `line` is where it begins, `before` the last line of text before it."""

    page: Path
    line: int
    kind: str
    text: str
    before: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(kind: str) -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page) if block.kind == kind]


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        before = text[: found.start()].rstrip().rpartition("\n")[2]
        yield Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2], before)


def named(block: Block) -> str:
    return block.name


def lines_of_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every command line of the pages with its place, as words."""
    for block in blocks("sh"):
        for line in block.text.splitlines():
            yield block.name, shlex.split(line, comments=True)
    for line in STARTER.read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            yield "starter/README.md", shlex.split(line, comments=True)


def commands(group: click.Group = cli, path: tuple[str, ...] = ("flowbot",)) -> Iterator[tuple[str, click.Command]]:
    """Yield the command line and all commands of it, by the words that call them."""
    context = click.Context(group)
    if group is cli:
        yield "flowbot", group
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def options(command: click.Command) -> set[str]:
    found = {name for each in command.params if isinstance(each, click.Option) for name in each.opts}
    return found | {"-h", "--help"} if command is cli else found


def sections(page: Path) -> dict[str, str]:
    """Return the text under each heading of the second and third level."""
    parts = re.split(r"^###? (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of the tables in a text, by the code in the first cell (each, where there are several)."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `"):
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells)
    return found


# ------------------------------------------------------------------ code


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the starter on a hosted model, and a workflow for it: what the snippets expect to be there."""
    desk = tmp_path / "desk"
    assert code_of(["init", str(desk)]) == 0
    text = (desk / "task.yaml").read_text(encoding="utf-8")
    text, count = re.subn(r"^  task: .*$", '  task: "openai:gpt-4.1-mini"', text, flags=re.MULTILINE)
    assert count == 1
    (desk / "task.yaml").write_text(text, encoding="utf-8")
    write_text(desk / "best.yaml", WORKFLOW)
    monkeypatch.chdir(desk)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0001")
    return desk


WORKFLOW = """flowbot: 1
name: office
model: "openai:gpt-4.1-mini"
inputs: {request: text}
steps:
  - {id: answer, kind: call, reads: [request], gives: {priority: text}, prompt: Give the priority.}
output: answer.priority
"""


@pytest.mark.parametrize("block", blocks("python"), ids=named)
def test_a_snippet_runs(block: Block, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if block.before.startswith("<!-- not run: "):
        pytest.skip(block.before)
    with serving(fitting()) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        exec(compile(block.text, block.name, "exec"), {"__name__": "snippet"})


# ------------------------------------------------------------------ files


BASE: dict[str, Any] = {
    "flowbot": 1,
    "name": "any",
    "description": "Anything.",
    "inputs": {"question": "text"},
    "output": {"answer": "text"},
    "metric": "exact",
    "models": {"task": "openai:gpt-4.1-mini"},
}


@pytest.mark.parametrize("block", blocks("yaml"), ids=named)
def test_a_file_parses(block: Block) -> None:
    """Whole files as what they are; a part of a task within a task."""
    document = read_document(block.text, block.name)
    if not block.text.startswith("flowbot: 1"):
        task = Task.model_validate(BASE | document.data)
    elif "steps" in document.data:
        read_workflow(block.text, block.name)
        return
    else:
        task = read_record(document, Task, "task")
    recipe_settings(task.recipe.name, task.recipe.settings)


# ------------------------------------------------------------------ commands


def test_the_page_of_commands_names_each_command_and_no_other() -> None:
    described = {name for name in sections(ROOT / "docs" / "cli.md") if name.startswith("flowbot")}
    assert described == {name for name, _ in commands()}


@pytest.mark.parametrize("name", dict(commands()))
def test_the_page_of_commands_names_each_option_and_no_other(name: str) -> None:
    described = set(SPANS.findall(sections(ROOT / "docs" / "cli.md").get(name, "")))
    assert described == options(dict(commands())[name])


@pytest.mark.parametrize(("place", "words"), list(lines_of_commands()))
def test_a_command_line_is_understood(place: str, words: list[str]) -> None:
    match words:
        case ["flowbot", *rest]:
            _parse(rest)
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        case ["python", script, *_]:
            assert (ROOT / script).is_file()
        case ["pip", "install", "-e", what]:
            assert what.strip(".[]") in _extras()
        case ["export", _] | []:
            pass
        case _:
            pytest.fail(f"{place}: unknown command {words}")


def _extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(project["project"]["optional-dependencies"])


def _parse(words: list[str]) -> None:
    """Parse a command line as click does, without running it."""
    known = dict(commands())
    for length in (2, 1, 0):
        name = " ".join(["flowbot", *words[:length]])
        if name in known:
            with contextlib.suppress(click.exceptions.Exit):  # as --help ends
                known[name].make_context(name, words[length:], help_option_names=["-h", "--help"])
            return
    pytest.fail(f"no command: flowbot {' '.join(words)}")


# ------------------------------------------------------------------ tables


DEFAULTS = {
    ("race", "accept"): "0.9 to 0.98, rising with the children tested",
    ("race", "operators"): "all",
}


def in_words(default: Any) -> str:
    """Return a default as it stands in the page."""
    if isinstance(default, tuple):
        return ", ".join(str(each) for each in cast("tuple[Any, ...]", default)) or "none"
    if isinstance(default, bool):
        return "on" if default else "off"
    return "all" if default is None else str(default)


def test_every_setting_stands_with_its_default() -> None:
    page = ROOT / "docs" / "recipes.md"
    for name, recipe in RECIPES.items():
        described = rows(sections(page)[f"`{name}`"])
        fields = recipe.settings.model_fields
        assert set(described) - {"output_type"} == set(fields)
        for setting, field in fields.items():
            assert described[setting][-1] == DEFAULTS.get((name, setting), in_words(field.default)), setting


def test_the_page_of_python_names_what_is_public() -> None:
    page = ROOT / "docs" / "python.md"
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", FENCE.sub("", page.read_text("utf-8"))))))
    assert set(flowbot.__all__) - {"__version__"} <= words
    arguments, facts = inspect.signature(flowbot.ainduce).parameters, {each.name for each in fields(flowbot.Result)}
    assert set(rows(sections(page)["Searching"])) == {*arguments, *facts, "measured"}
    for taken in (flowbot.Options, flowbot.bind, flowbot.aevaluate, flowbot.import_from):
        assert set(inspect.signature(taken).parameters) <= words, taken
    assert {each.name for each in (*fields(flowbot.Trace), *fields(flowbot.Example))} - {"score"} <= words


def test_every_operator_stands_in_the_page_of_recipes() -> None:
    (row,) = [
        line for line in (ROOT / "docs" / "recipes.md").read_text("utf-8").splitlines() if "| `operators` |" in line
    ]
    assert re.findall(r"`(\w+)`", row)[1:] == list(OPERATORS)


def test_every_key_of_the_files_stands_in_the_page_of_formats() -> None:
    parts = sections(ROOT / "docs" / "file-formats.md")
    workflow, task = parts["Workflow"], parts["Task"]
    assert set(rows(task)) | {"flowbot"} == set(Task.model_fields)
    assert set(rows(workflow)) | {"flowbot"} == set(Workflow.model_fields)
    assert set(rows(parts["Models"])) == set(ModelSpec.model_fields)
    assert set(rows(parts["Metric"])) == {*METRICS, "module:function"} | _spelled(parts["Metric"])
    for name in providers():
        assert f"`{name}`" in parts["Models"], name


@pytest.mark.parametrize("kind", [Call, ToolStep, CodeStep, Vote, Branch, Map, Loop], ids=lambda kind: kind.__name__)
def test_every_kind_of_step_stands_with_its_keys(kind: type[BaseModel]) -> None:
    parts = sections(ROOT / "docs" / "file-formats.md")
    shared = set(rows(parts["Steps"]))
    assert shared == set(StepBase.model_fields) | {"kind"}
    described = rows(parts[f"`{kind.model_fields['kind'].default}`"])
    assert set(described) == {field.alias or name for name, field in kind.model_fields.items()} - shared
    for key, cells in described.items():
        if (
            isinstance(default := kind.model_fields[key if key != "else" else "otherwise"].default, int)
            and len(cells) > 2
        ):
            assert cells[-1].strip("`") == str(default).lower(), key


def test_the_nested_workflow_is_drawn_as_it_stands() -> None:
    """`FLOWBOT_GOLDEN=write` draws it anew."""
    block = next(each for each in blocks("yaml") if "name: research" in each.text)
    drawn, path = svg(read_workflow(block.text)), ROOT / "docs" / "nested.svg"
    if os.environ.get("FLOWBOT_GOLDEN") == "write":
        path.write_text(drawn, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == drawn


def _spelled(text: str) -> set[str]:
    """Return the names of a table's first cells that are no plain names (settings beside them)."""
    return {name for name in rows(text) if not re.fullmatch(r"[\w:]+", name)}


def test_the_note_on_quotes_is_true() -> None:
    bare = "gives: {team: choice[a, b], names: list[text]}\n"
    quoted = 'gives: {team: "choice[a, b]", names: "list[text]"}\n'
    data = read_document(bare, "bare.yaml").data
    assert read_document(quoted, "quoted.yaml").data == data
    assert write_document(data) == quoted.replace('"', "'")
    assert write_document(data, bare) == quoted.replace('"', "'")
    assert write_document(data, quoted) == quoted


def test_the_house_is_drawn_as_it_stands() -> None:
    house = next(block for block in blocks_of(ROOT / "docs" / "how-it-works.md") if "engine/" in block.text).text
    packages = [each.parent.name for each in (ROOT / "flowbot").glob("*/__init__.py")]
    assert [name for name in packages if f"\n  {name}/" not in house] == []
    assert [name for name in re.findall(r"^  (\w+)/", house, re.MULTILINE) if name not in packages] == []


# ------------------------------------------------------------------ links


@pytest.mark.parametrize("page", [*PAGES, STARTER], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for target in LINKS.findall(page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        if anchor:
            assert anchor in {_anchor(each) for each in HEADINGS.findall(place.read_text(encoding="utf-8"))}, target


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
