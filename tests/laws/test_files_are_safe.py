"""Law 9: a workflow file is safe to open: nothing is imported or started unless trust says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowbot
from flowbot.faces.cli import code_of
from tests import worlds
from tests.servers import serving
from tests.sessions import call, flow, tool
from tests.worlds import World

MODULE = "flowbot_evil"
SPEC = {"kind": "function", "function": f"{MODULE}:boom"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module that leaves a mark when it is imported, and a workflow and a task that name it."""
    (tmp_path / f"{MODULE}.py").write_text(
        "from pathlib import Path\n"
        "(Path(__file__).parent / 'canary').write_text('imported')\n"
        "def boom(word):\n"
        "    return word.upper()\n"
    )
    workflow = flow(
        tool("loud", {"w": "text"}, word="$q"),
        call("answer", "q", "loud.w", gives={"a": "text"}, prompt="Rule: red\nRule: green\nRule: blue"),
        tools={"calc": SPEC},
    )
    flowbot.save(workflow, tmp_path / "flow.yaml")
    worlds.write_task(tmp_path, recipe={"name": "paper", "loops": 0})
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])  # it could be imported from anywhere
    yield tmp_path
    sys.modules.pop(MODULE, None)


def imported(place: Path) -> bool:
    return (place / "canary").exists() or MODULE in sys.modules


@pytest.mark.parametrize(
    "command",
    [
        ["show", "flow.yaml"],
        ["show", "flow.yaml", "--mermaid"],
        ["show", "flow.yaml", "--svg"],
        ["show", "flow.yaml", "--prompts"],
        ["diff", "flow.yaml", "flow.yaml"],
        ["estimate", "task.yaml"],
    ],
)
def test_looking_imports_nothing(place: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.chdir(place)
    assert code_of(command) == 0
    assert not imported(place)


def test_loading_imports_nothing(place: Path) -> None:
    assert flowbot.load(place / "flow.yaml").tools
    assert not imported(place)


def test_running_without_trust_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(World().script) as server:
        command = ["run", str(place / "flow.yaml"), "--input", "q=item 3", "--base-url", server.url]
        assert code_of(command) == 2
        assert not imported(place)
        assert "--trust" in capsys.readouterr().err
        assert server.requests == []
        assert code_of([*command, "--trust"]) == 0
        assert imported(place)
        assert capsys.readouterr().out == "red\n"
        assert "loud.w:\nITEM 3" in server.requests[0].prompt


def test_evaluating_and_starting_from_it_need_the_task_to_name_the_tool(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(World().script) as server:
        evaluate = ["eval", str(place / "flow.yaml"), "--task", str(place / "task.yaml"), "--base-url", server.url]
        induce = ["induce", str(place / "task.yaml"), "--start", str(place / "flow.yaml"), "--base-url", server.url]
        assert [code_of(evaluate), code_of(induce)] == [2, 2]
        assert not imported(place)
        assert "would be imported" in capsys.readouterr().err
        worlds.write_task(place, recipe={"name": "paper", "loops": 0}, tools={"mine": SPEC})
        assert code_of(evaluate) == 0
        assert imported(place)


def test_a_tool_of_the_task_is_the_users_own(place: Path) -> None:
    worlds.write_task(place, recipe={"name": "paper", "loops": 0}, tools={"calc": SPEC})
    with serving(World().script) as server:
        command = ["induce", str(place / "task.yaml"), "--start", str(place / "flow.yaml"), "--base-url", server.url]
        assert code_of([*command, "--quiet"]) == 0
    assert imported(place)
