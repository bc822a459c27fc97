"""Law 6: an endpoint's errors are retried or loud and never scored; an example's failure scores 0 and says why."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import flowbot
from flowbot.engine.ports import EndpointError
from flowbot.models.patience import Patience
from tests import worlds
from tests.servers import Answer, Body, Server, serving
from tests.sessions import call, flow, tool
from tests.worlds import World

RECIPE = {"name": "paper", "batches": 1, "inner": 2}
RULES = "Rule: red\nRule: green\nRule: blue"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let patience be as ever, and its waits short."""
    short = partial(Patience, first_wait=0.002, longest_wait=0.02)
    monkeypatch.setattr("flowbot.models.wire.Patience", short)


def induce(script: Callable[[Body, int], Answer | str]) -> tuple[flowbot.Result, Server]:
    with serving(script) as server:
        task = worlds.task(recipe=RECIPE)
        return flowbot.induce(task, data=worlds.data(5, 6, 4), options=flowbot.Options(base_url=server.url)), server


@pytest.mark.slow
def test_a_storm_is_weathered_and_never_scored() -> None:
    calm, _ = induce(World().script)
    world, seen = World(), Counter[str]()

    def storm(body: Body, index: int) -> Answer | str:
        seen[str(body)] += 1
        bad = [
            Answer.busy(0),
            Answer.error(500),
            Answer(text="half of it", cut=True),
            Answer(body="<html>busy</html>"),
            Answer.error(503, retry_after="0"),
        ]
        first = seen[str(body)] - 1
        return bad[(index + first) % len(bad)] if first < 3 else world.script(body, index)

    stormy, server = induce(storm)
    assert stormy.tables == calm.tables
    assert stormy.best == calm.best
    assert stormy.ledger.requests() == calm.ledger.requests()
    assert sum(line.retries for _, line in stormy.ledger) >= 3 * len(seen)
    assert len(server.requests) > 3 * len(seen)


def test_when_retries_run_out_the_run_stops() -> None:
    world = World()

    def dying(body: Body, index: int) -> Answer | str:
        return world.script(body, index) if index < 20 else Answer.error(500, "the disk is on fire")

    with pytest.raises(EndpointError, match=r"vllm:m.* at http://127.0.0.1:\d+/v1.*the disk is on fire.*gave up after"):
        induce(dying)


def evaluate(answer: Answer | str, workflow: flowbot.Workflow) -> tuple[flowbot.Evaluation, Server]:
    """Evaluate on six examples of which `item 1002` gets another answer."""
    world = World()

    def script(body: Body, index: int) -> Answer | str:
        return answer if "item 1002" in str(body["messages"]) else world.script(body, index)

    with serving(script) as server:
        options = flowbot.Options(base_url=server.url)
        return flowbot.evaluate(workflow, worlds.task(), data=worlds.data(), options=options), server


PLAIN = flow(call("answer", "q", gives={"a": "text"}, prompt=RULES))
TYPED = flow(call("answer", "q", gives={"a": "choice[red, green, blue]"}, prompt=RULES))
FAILURES: list[tuple[str, Any, flowbot.Workflow, str, int]] = [
    ("refusal", Answer(text=None, refusal="I will not."), PLAIN, "the model refused: I will not.", 1),
    ("filter", Answer(text="", finish="content_filter"), PLAIN, "its content filter stopped the reply", 1),
    ("cut", Answer(text="re", finish="length"), PLAIN, "the reply was cut at", 1),
    (
        "overflow",
        Answer.error(400, "maximum context length is 4096 tokens"),
        PLAIN,
        "longer than the model's context",
        1,
    ),
    ("empty", Answer(text=""), PLAIN, "the reply is empty", 1),
    ("misfit", "purple", TYPED, "the reply is not a JSON object", 2),
    ("choice", '{"a": "purple"}', TYPED, "expected one of red, green, blue; got 'purple'", 2),
]


@pytest.mark.parametrize(
    ("name", "answer", "workflow", "reason", "sends"), FAILURES, ids=[each[0] for each in FAILURES]
)
def test_an_examples_failure_scores_nothing_and_says_why(
    name: str, answer: Any, workflow: flowbot.Workflow, reason: str, sends: int
) -> None:
    found, server = evaluate(answer, workflow)
    assert list(found.scores) == [1, 1, 0, 1, 1, 1]
    failed = found.traces[2]
    assert failed.score is not None
    assert reason in failed.error
    assert failed.score.feedback == failed.error
    assert failed.error.startswith("step 'answer' failed: ")
    assert sum("item 1002" in str(arrival.body) for arrival in server.requests) == sends
    assert found.ledger.total.calls == 5 + sends


def test_a_failing_tool_is_its_examples_failure() -> None:
    workflow = flow(tool("sum", {"n": "json"}, expression="$q"), call("answer", "q", "sum.n", gives={"a": "text"}))
    found, server = evaluate("red", workflow)
    assert list(found.scores) == [0] * 6
    assert all("cannot calculate 'item 1000'" in found.traces[0].error for _ in found.traces)
    assert server.requests == []


def test_nothing_is_left_behind_when_the_run_stops() -> None:
    async def main() -> int:
        with serving(lambda body, index: Answer.error(401, "who are you")) as server:
            options = flowbot.Options(base_url=server.url)
            with pytest.raises(EndpointError, match="who are you"):
                await flowbot.ainduce(worlds.task(), data=worlds.data(), options=options)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1
