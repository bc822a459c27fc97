"""The public functions from Python: names, rows, own metrics and tools, files, and the bridge to plain code."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flowbot
from flowbot.engine.ports import EndpointError, Reply, Request
from flowbot.errors import InputError
from flowbot.faces.api import RunFailed, atraces
from flowbot.faces.wiring import open_toolbox
from flowbot.money import Usage
from flowbot.workflow.fields import Json
from tests import worlds
from tests.servers import Answer, serving
from tests.sessions import call, example, flow, tool
from tests.worlds import World

NAMES = {
    "Budget",
    "BudgetReached",
    "EndpointError",
    "Evaluation",
    "Example",
    "Flow",
    "InputError",
    "ModelSpec",
    "Options",
    "Purse",
    "Result",
    "RunFailed",
    "Score",
    "Task",
    "Trace",
    "Workflow",
    "WorkflowError",
    "__version__",
    "aevaluate",
    "ainduce",
    "arun",
    "bind",
    "evaluate",
    "export",
    "import_from",
    "induce",
    "load",
    "open_workflow",
    "run",
    "save",
}
SAYS = flow(call("answer", "q", gives={"a": "text"}))
RULES = SAYS.with_prompts({"answer": "Rule: red\nRule: green\nRule: blue"})


def shout(word: str) -> str:
    """Say a word loudly."""
    return word.upper()


def test_the_public_names_are_these() -> None:
    assert set(flowbot.__all__) == NAMES
    assert set(dir(flowbot)) == NAMES
    assert all(getattr(flowbot, name) for name in NAMES)
    with pytest.raises(AttributeError, match="no attribute 'induct'"):
        getattr(flowbot, "induct")  # noqa: B009


def test_importing_it_is_light() -> None:
    program = "import sys, flowbot; print(sorted(name for name in sys.modules if name.startswith('flowbot')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['flowbot']"


def test_using_a_workflow_loads_no_recipe() -> None:
    program = "import sys, flowbot; flowbot.open_workflow, flowbot.run; print('flowbot.search.induce' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", "it doubles the time until a server that was restarted answers"


def test_an_induction_from_rows_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds.shelved(monkeypatch, World())
    heard: list[Any] = []
    result = flowbot.induce(worlds.task(), data=worlds.data(), heard=heard.append)
    assert result.ended == "done"
    assert result.folder is None
    assert result.best.prompts["answer"].count("Rule") == 3
    assert set(result.tables) == {"val", "test"}
    assert heard[0]["kind"] == "open"
    assert {"phase", "start", "candidate", "row", "best", "step", "part"} <= {event["kind"] for event in heard}


def test_an_own_metric_is_used_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def half(given: flowbot.Example, output: Json) -> float:
        seen.append(given.id)
        return 0.5

    worlds.shelved(monkeypatch, World())
    task = worlds.task(recipe={"name": "paper", "batches": 1, "loops": 0})
    result = flowbot.induce(task, data=worlds.data(), metric=half)
    assert result.tables["test"].new == 0.5
    assert {name[:3] for name in seen} == {"val", "tes"}


def test_own_tools_stand_beside_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    def uses(purpose: str, messages: Any) -> str | None:
        if purpose != "workflow_update":
            return None
        gives = [{"name": "w", "type": "text"}]
        loud = {
            "id": "loud",
            "kind": "tool",
            "tool": "shout",
            "args": [{"name": "word", "value": "$q"}],
            "gives": gives,
        }
        say = {"id": "answer", "reads": ["q", "loud.w"], "gives": [{"name": "a", "type": "text"}]}
        return json.dumps({"steps": [loud, say], "output": "answer.a"})

    world = World(override=uses)
    worlds.shelved(monkeypatch, world)
    task = worlds.task(tools={"calc": {"kind": "calculator"}}, recipe={"name": "paper", "batches": 1, "loops": 1})
    result = flowbot.induce(task, data=worlds.data(), tools={"shout": shout})
    assert set(result.start.tools) == {"calc", "shout"}
    assert result.start.tools["shout"].description == "Say a word loudly."
    asked = [request for request in world.requests if "loud.w:\nITEM " in request.messages[-1]["content"]]
    assert asked


def test_two_tools_of_one_name_are_refused() -> None:
    tools = {"a": lambda: 1, "b": lambda: 2}
    with pytest.raises(InputError, match="functions of one name"):
        flowbot.induce(worlds.task(), data=worlds.data(), tools=tools)


def test_a_workflow_is_run_by_its_inputs() -> None:
    with serving(World().script) as server:
        made = flowbot.Workflow.model_validate(RULES.model_dump())
        assert asyncio.run(outputs(made, server.url, "item 4")) == ["green"]


async def outputs(workflow: flowbot.Workflow, url: str, *asked: str, **how: Any) -> list[Json]:
    examples = [example(text, name=str(n)) for n, text in enumerate(asked)]
    return [trace.output or trace.error async for trace in atraces(workflow, examples, base_url=url, **how)]


def test_run_and_arun(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds.shelved(monkeypatch, World())
    assert flowbot.run(RULES, q="item 3") == "red"
    assert asyncio.run(flowbot.arun(RULES, q="item 5")) == "blue"


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "the input 'q' is missing; the workflow 'flow' reads q: text"),
        ({"q": "a", "p": "b"}, "unknown input 'p'"),
        ({"q": None}, "an input does not fit"),
    ],
)
def test_inputs_that_do_not_fit_are_said_in_words(inputs: dict[str, Json], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        flowbot.run(SAYS, **inputs)


def test_a_run_that_fails_says_which_step(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        async def complete(self, request: Request) -> Reply:
            return Reply("", failure="the model refused: no")

    worlds.shelved(monkeypatch, Refusing())
    with pytest.raises(RunFailed, match="step 'answer' failed: the model refused: no") as error:
        flowbot.run(SAYS, q="x")
    assert error.value.trace.steps[0].error == "the model refused: no"


def test_a_workflow_without_a_model_says_so() -> None:
    bare = SAYS.model_copy(update={"model": None})
    with pytest.raises(InputError, match="step 'answer' has no model"):
        flowbot.run(bare, q="x")


@pytest.mark.parametrize(
    "use",
    [
        lambda: flowbot.run(SAYS, q="x"),
        lambda: flowbot.induce(worlds.task(), data=worlds.data()),
        lambda: flowbot.evaluate(SAYS, worlds.task(), data=worlds.data()),
    ],
)
def test_the_plain_forms_refuse_a_running_loop(use: Any) -> None:
    async def main() -> None:
        use()

    with pytest.raises(RuntimeError, match="await the async form"):
        asyncio.run(main())


def test_evaluating_on_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds.shelved(monkeypatch, World())
    partly = SAYS.with_prompts({"answer": "Rule: red"})
    found = flowbot.evaluate(partly, worlds.task(), data=worlds.data(), split="test")
    assert list(found.scores) == [float(row["a"] == "red") for row in worlds.rows("test", 6)]
    assert found.mean == pytest.approx(1 / 3)
    assert [trace.example.id for trace in found.traces] == [row["id"] for row in worlds.rows("test", 6)]
    assert found.ledger.requests() == {"task": 6}
    with pytest.raises(InputError, match="there is no split 'tests'"):
        flowbot.evaluate(partly, worlds.task(), data=worlds.data(), split="tests")


def test_evaluating_asks_only_the_models_that_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task's model needs a key that is not there, and the workflow does not use it."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with serving(World().script) as server:
        models = {"task": "openai:gpt-4.1-mini", "judge": {"name": worlds.MODEL, "base_url": server.url}}
        task = worlds.task(models=models)
        found = flowbot.evaluate(RULES, task, data=worlds.data())
    assert found.mean == 1


def test_what_is_evaluated_twice_is_paid_and_booked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    worlds.shelved(monkeypatch, world)
    twins = [{"q": "item 1", "a": "red"} for _ in range(50)]
    task = worlds.task(concurrency=1)
    found = flowbot.evaluate(SAYS, task, data={**worlds.data(), "test": twins}, split="test")
    assert found.ledger.total.calls == len(world.requests)


def test_files_go_both_ways_and_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    flowbot.save(SAYS, path)
    assert flowbot.load(path) == SAYS
    path.write_text("# my own words\n" + path.read_text())
    flowbot.save(RULES, str(path))
    assert path.read_text().startswith("# my own words\n")
    assert flowbot.load(str(path)) == RULES
    with pytest.raises(InputError, match="no such workflow file"):
        flowbot.load(tmp_path / "flows.yaml")


def test_options_win_over_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    worlds.shelved(monkeypatch, world)
    options = flowbot.Options(model="vllm:other", meta_model="vllm:writer", seed=5, budget_calls=10_000, concurrency=3)
    task = worlds.task(recipe={"name": "paper", "batches": 1, "loops": 1, "inner": 1})
    result = flowbot.induce(task, data=worlds.data(), options=options)
    assert {request.model for request in world.requests if request.purpose == "task"} == {"vllm:other"}
    assert {request.model for request in world.requests if request.purpose != "task"} == {"vllm:writer"}
    assert world.most_in_flight <= 6
    assert result.best.model == "vllm:other"


def test_a_bad_option_is_said_in_words() -> None:
    with pytest.raises(InputError, match="option"):
        flowbot.induce(worlds.task(), data=worlds.data(), options=flowbot.Options(budget_calls=0))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ({"train": []}, "the split 'train' is empty"),
        ({"train": [{"q": "x", "a": "y"}]}, "the split 'val' is missing"),
        ({"trian": []}, "unknown split 'trian'; did you mean 'train'?"),
        ({**worlds.data(), "val": [{"q": "x"}]}, "the target column 'a' is missing"),
    ],
)
def test_bad_rows_are_said_in_words(rows: Any, reason: str) -> None:
    with pytest.raises(InputError) as error:
        flowbot.induce(worlds.task(), data=rows)
    assert reason in str(error.value)


def test_an_endpoint_that_fails_is_raised_in_the_open(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda body, index: Answer.error(401, "bad key")) as server:
        with pytest.raises(EndpointError, match="bad key"):
            flowbot.induce(worlds.task(), data=worlds.data(), options=flowbot.Options(base_url=server.url))
        assert len(server.requests) <= 32


def test_a_tool_in_a_workflow_comes_from_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"kind": "function", "function": f"{shout.__module__}:shout"}
    workflow = flow(tool("loud", {"w": "text"}, word="$q"), call("say", "loud.w"), tools={"calc": spec})

    class Echo:
        async def complete(self, request: Request) -> Reply:
            return Reply(request.messages[-1]["content"], Usage(1, 1, 1))

    worlds.shelved(monkeypatch, Echo())
    toolbox = open_toolbox(functions={f"{shout.__module__}:shout": shout})
    assert asyncio.run(outputs(workflow, "", "hi", toolbox=toolbox)) == ["loud.w:\nHI"]
    assert flowbot.bind(workflow, tools={"shout": shout}).run(q="hi") == "loud.w:\nHI"
    with pytest.raises(InputError, match="would be imported"):
        asyncio.run(outputs(workflow, "", "hi"))
