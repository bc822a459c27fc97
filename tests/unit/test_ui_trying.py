"""Trying a workflow from the page: the price first, each step as it runs, the rights of `flowbot run`, and no more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flowbot.document import write_document
from flowbot.errors import InputError
from flowbot.faces.ui.schema import TryEnd, TryStep
from flowbot.faces.ui.trying import Trial, play, price, trial_of_file, trial_of_run
from flowbot.workflow.document import write_workflow
from flowbot.workflow.graph import Workflow, rebuild
from tests.nested import nested
from tests.servers import Answer, Server, serving
from tests.sessions import block, call, flow, tool
from tests.worlds import plain_task

TWO = flow(call("one", "q"), call("two", "q", "one.out", gives={"sure": "bool", "answer": "text"}), output="two.answer")
SAID = '{"sure": true, "answer": "red"}'
TOOLS = {"look": {"kind": "function", "function": "desk_of_trying:look", "arguments": {"query": "text"}}}
USES = flow(
    {"id": "look", "kind": "tool", "tool": "look", "args": {"query": "$q"}, "gives": {"v": "text"}}, tools=TOOLS
)
PRICED = {"task": {"name": "vllm:m", "price": {"input": 1.0, "output": 2.0}, "max_tokens": 100}}


def answered(body: Mapping[str, Any], index: int) -> Answer:
    return Answer(text=SAID if "response_format" in body else "first")


async def tried(trial: Trial, agreed: bool = True, **inputs: Any) -> list[TryStep | TryEnd]:
    return [each async for each in play(trial, inputs, agreed)]


def run(workflow: Workflow, server: Server, folder: Path, **inputs: Any) -> tuple[list[TryStep], TryEnd]:
    *steps, end = asyncio.run(tried(Trial(workflow, folder, base_url=server.url), **(inputs or {"q": "item 1"})))
    assert isinstance(end, TryEnd)
    return [step for step in steps if isinstance(step, TryStep)], end


# the price


def test_the_price_is_all_that_it_may_take_and_asks_nothing(tmp_path: Path) -> None:
    with serving(answered) as server:
        found = price(Trial(TWO, tmp_path, base_url=server.url), {"q": "item 1"})
        assert server.requests == []
    assert (found.calls, found.usd, found.models, found.tools, found.problem) == (3, 0.0, ["vllm:m"], [], "")


def test_the_price_is_that_of_the_runs_task_and_bounds_of_its_models(tmp_path: Path) -> None:
    task = plain_task(models=PRICED | {"meta": "vllm:meta"})
    (tmp_path / "task.yaml").write_text(write_document(task), encoding="utf-8")
    found = price(trial_of_run(tmp_path, TWO), {"q": "item 1"})
    assert found.usd is not None
    assert 3 * 100 * 2e-6 < found.usd < 0.02
    longer = price(trial_of_run(tmp_path, TWO), {"q": "item 1 " * 1000})
    assert longer.usd is not None
    assert longer.usd > found.usd + 0.0069  # three requests, 7,000 characters each
    bare = tmp_path / "bare"
    bare.mkdir()
    unknown = rebuild(TWO, model="openai:nobody-knows-this")
    assert price(trial_of_run(bare, unknown), {"q": "x"}).usd is None


def test_what_a_key_is_needed_for_is_said_with_the_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    trial = Trial(rebuild(TWO, model="openai:gpt-4.1-mini"), tmp_path)
    found = price(trial, {"q": "item 1"})
    assert "needs a key and OPENAI_API_KEY is not set" in found.problem
    with pytest.raises(InputError, match="needs a key"):
        asyncio.run(tried(trial, q="item 1"))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"n": 1}, "the input 'q' is missing; the workflow 'flow' reads q: text, n: number"),
        ({"q": "x", "n": 1, "z": 1}, "unknown input 'z'"),
        ({"q": "x", "n": "many"}, "an input does not fit: .*many"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_anything_is_asked(
    inputs: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with serving(answered) as server:
        trial = Trial(rebuild(TWO, inputs={"q": "text", "n": "number"}), tmp_path, base_url=server.url)
        for asking in (lambda: price(trial, inputs), lambda: asyncio.run(tried(trial, **inputs))):
            with pytest.raises(InputError, match=words):
                asking()
        assert server.requests == []


def test_nothing_is_asked_before_somebody_agreed(tmp_path: Path) -> None:
    with serving(answered) as server:
        with pytest.raises(InputError, match="nobody has agreed"):
            asyncio.run(tried(Trial(TWO, tmp_path, base_url=server.url), agreed=False, q="item 1"))
        assert server.requests == []


# the run


def test_each_step_is_told_as_it_begins_and_ends_and_then_the_end(tmp_path: Path) -> None:
    with serving(answered) as server:
        steps, end = run(TWO, server, tmp_path)
        assert len(server.requests) == 2
    assert [(step.path, step.played is None) for step in steps] == [
        ("one", True),
        ("one", False),
        ("two", True),
        ("two", False),
    ]
    last = steps[-1].played
    assert last is not None
    assert (last.kind, last.gives, last.error) == ("call", {"sure": True, "answer": "red"}, "")
    assert last.reads == {"q": "item 1", "one.out": "first"}
    assert [message["role"] for message in last.messages] == ["system", "user", "assistant"]
    assert last.messages[-1]["content"] == SAID
    assert (end.output, end.error, end.spent.calls) == ("red", "", 2)
    assert end.spent.input_tokens > 0
    assert end.spent.seconds > 0


def test_steps_within_blocks_are_told_by_their_path(tmp_path: Path) -> None:
    made = flow(block("again", "loop", max=2, body=[call("say", "q", "previous.out")]))
    with serving(answered) as server:
        steps, end = run(made, server, tmp_path)
    done = [step.path for step in steps if step.played is not None]
    assert done == ["again[1].say", "again[2].say", "again"]
    whole = steps[-1].played
    assert whole is not None
    assert [[part.path for part in body] for body in whole.bodies] == [["again[1].say"], ["again[2].say"]]
    assert whole.bodies[0][0].messages[-1]["content"] == "first"
    assert end.output == "first"


def test_lists_come_as_lists_or_as_text(tmp_path: Path) -> None:
    made = rebuild(flow(call("one", "q")), inputs={"q": "list[text]"})
    with serving(answered) as server:
        for given in (["a", "b"], '["a", "b"]'):
            steps, _ = run(made, server, tmp_path, q=given)
            assert steps[-1].played is not None
            assert steps[-1].played.reads == {"q": ["a", "b"]}


def test_a_failing_step_and_a_failing_endpoint_are_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-abcdefgh12345678")
    with serving([Answer(refusal="no")]) as server:
        steps, end = run(TWO, server, tmp_path)
        assert [step.path for step in steps] == ["one", "one"]
        assert steps[-1].played is not None
        assert "no" in steps[-1].played.error
        assert end.error.startswith("step 'one' failed: ")
        assert end.spent.calls == 1
    with serving([Answer(text="first"), Answer.error(401, "bad key sk-abcdefgh12345678")]) as server:
        steps, end = run(TWO, server, tmp_path)
        assert [step.path for step in steps] == ["one", "one", "two"]
        assert "401" in end.error
        assert "sk-abcdefgh12345678" not in end.error
        assert end.output is None


def test_the_price_is_a_wall(tmp_path: Path) -> None:
    task = plain_task(models=PRICED | {"meta": "vllm:meta"})
    (tmp_path / "task.yaml").write_text(write_document(task), encoding="utf-8")
    dear = {"prompt_tokens": 100_000, "completion_tokens": 100}
    with serving([Answer(text="first", usage=dear)]) as server:
        trial = trial_of_run(tmp_path, TWO, base_url=server.url)
        *_, end = asyncio.run(tried(trial, q="item 1"))
        assert len(server.requests) == 1
    assert isinstance(end, TryEnd)
    assert end.error.startswith("it would take more than the price that was agreed to: the budget of ")
    assert end.spent.usd == pytest.approx(0.1002)


def test_when_the_reader_goes_away_nothing_more_is_asked(tmp_path: Path) -> None:
    async def main(server: Server) -> float:
        began = time.monotonic()
        async with contextlib.aclosing(play(Trial(TWO, tmp_path, base_url=server.url), {"q": "x"}, True)) as steps:
            first = await anext(steps)
            assert isinstance(first, TryStep)
            await asyncio.sleep(0.2)
            assert len(server.requests) == 1
        assert len(asyncio.all_tasks()) == 1
        return time.monotonic() - began

    with serving(lambda body, index: Answer(text="late", latency=5)) as server:
        assert asyncio.run(main(server)) < 3
        assert len(server.requests) == 1


# trust


def test_a_tool_that_nobody_trusts_is_refused_in_clear_words(tmp_path: Path) -> None:
    (tmp_path / "desk_of_trying.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    trial = Trial(USES, tmp_path)
    found = price(trial, {"q": "x"})
    assert "'desk_of_trying:look' would be imported, and nothing says that it is trusted" in found.problem
    assert "--trust" in found.problem
    assert (found.calls, found.tools) == (0, ["look"])
    with pytest.raises(InputError, match="nothing says that it is trusted"):
        asyncio.run(tried(trial, q="x"))
    server = {"kind": "mcp", "command": ["touch", str(tmp_path / "started")], "tool": "look"}
    started = rebuild(USES, tools={"look": server})
    assert "would be started" in price(Trial(started, tmp_path), {"q": "x"}).problem
    assert not (tmp_path / "started").exists()


def test_a_runs_task_is_no_trust_and_with_trust_the_tool_is_used(tmp_path: Path) -> None:
    task = plain_task(tools=TOOLS)
    (tmp_path / "task.yaml").write_text(write_document(task), encoding="utf-8")
    source = "def look(query: str) -> str:\n    'Look.'\n    return 'found ' + query\n"
    (tmp_path / "desk_of_trying.py").write_text(source, encoding="utf-8")
    sys.modules.pop("desk_of_trying", None)
    assert "nothing says" in price(trial_of_run(tmp_path, USES), {"q": "x"}).problem
    trial = trial_of_run(tmp_path, USES, trust=True)
    assert price(trial, {"q": "x"}).problem == ""
    assert "desk_of_trying" not in sys.modules
    *steps, end = asyncio.run(tried(trial, q="x"))
    assert [step.path for step in steps if isinstance(step, TryStep)] == ["look", "look"]
    assert isinstance(end, TryEnd)
    assert (end.output, end.spent.calls) == ("found x", 0)
    sys.modules.pop("desk_of_trying", None)


def test_a_file_is_tried_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "flow.yaml"
    path.write_text(write_workflow(flow(tool("sum", expression="2*21"))), encoding="utf-8")
    trial = trial_of_file(path)
    assert trial.folder == (tmp_path / "deep").resolve()
    *_, end = asyncio.run(tried(trial, q="x"))
    assert isinstance(end, TryEnd)
    assert end.output == 42


def test_programs_are_priced_without_a_sandbox(tmp_path: Path) -> None:
    found = price(Trial(nested("tested"), tmp_path), {"question": "x"})
    assert (found.calls, found.tools, found.problem) == (4, ["check"], "")


def test_what_is_told_is_plain_json(tmp_path: Path) -> None:
    with serving(answered) as server:
        steps, end = run(TWO, server, tmp_path)
    for each in (*steps, end):
        assert json.loads(each.model_dump_json()) == each.model_dump(mode="json")
