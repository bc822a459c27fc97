"""Whoever runs a workflow is told when each step begins and ends, in bodies too, and nobody else is disturbed."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from flowbot.engine.forward import Given, forward
from flowbot.engine.ports import EndpointError, Reply, Request
from flowbot.engine.trace import StepTrace, Trace
from flowbot.workflow.graph import Workflow
from tests.laws.nested import NestedWorld, workflow
from tests.sessions import Script, Scripted, block, call, example, flow, tool

CURRENT: ContextVar[str] = ContextVar("current", default="")
JUDGE = {"id": "pick", "kind": "call", "reads": ["samples"], "gives": {"number": "number"}, "prompt": "Take one."}


class Watched:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, StepTrace | None]] = []

    def __call__(self, path: str, done: StepTrace | None) -> None:
        """Hear of a step."""
        self.told.append((path, done))
        if done is None:
            CURRENT.set(path)

    @property
    def begun(self) -> list[str]:
        """The paths of the steps that began, in order."""
        return [path for path, done in self.told if done is None]

    @property
    def ended(self) -> dict[str, StepTrace]:
        """The steps that ended, by path, in order."""
        return {path: done for path, done in self.told if done is not None}


def answers(request: Request) -> str:
    return "42"


def run(made: Workflow, script: Script = answers, given: Given | None = None) -> tuple[Trace, Watched]:
    watched = Watched()
    trace = asyncio.run(forward(made, example(), Scripted(script), given=given, watch=watched))
    return trace, watched


def test_each_step_begins_and_ends_once_with_its_part_of_the_tape() -> None:
    trace, watched = run(flow(call("one", "q"), call("two", "one.out")))
    assert [(path, done is None) for path, done in watched.told] == [
        ("one", True),
        ("one", False),
        ("two", True),
        ("two", False),
    ]
    assert tuple(watched.ended.values()) == trace.steps
    assert all(watched.ended[part.path] is part for part in trace.steps)


def test_steps_within_blocks_have_their_paths_and_end_before_their_block() -> None:
    votes = block("pick", "vote", n=3, body=[call("solve", "previous.out")])
    made = flow(block("refine", "loop", max=2, body=[votes]))
    trace, watched = run(made)
    paths = [part.path for part in trace.walk()]
    assert sorted(watched.begun) == sorted(watched.ended) == sorted(paths)
    assert "refine[2].pick[3].solve" in paths
    order = [(path, done is None) for path, done in watched.told]
    assert order[0] == ("refine", True)
    assert order[-1] == ("refine", False)
    assert order.index(("refine[1].pick[2].solve", False)) < order.index(("refine[1].pick", False))
    assert order.index(("refine[1].pick", False)) < order.index(("refine[2].pick", True))


def test_a_judge_is_told_of_as_any_step() -> None:
    samples = iter("abc")

    def script(request: Request) -> str:
        return '{"number": 2}' if request.schema_name == "pick" else next(samples)

    trace, watched = run(flow(block("best", "vote", n=3, by="judge", judge=JUDGE, body=[call("say", "q")])), script)
    assert trace.output == "b"
    assert watched.begun[-1] == "best.pick"
    assert watched.ended["best.pick"].gives == {"number": 2}


def test_a_failing_step_ends_with_its_error_and_what_does_not_run_is_not_told() -> None:
    def script(request: Request) -> Reply:
        return Reply("", failure="refused")

    trace, watched = run(flow(call("one", "q"), tool("two", expression="$one.out")), script)
    assert trace.error == "step 'one' failed: refused"
    assert watched.begun == ["one"]
    assert watched.ended["one"].error == "refused"


def test_a_step_that_is_given_does_not_run_and_is_not_told() -> None:
    _, watched = run(flow(call("one", "q"), call("two", "one.out")), given={"one": {"out": "here"}})
    assert watched.begun == ["two"]


def test_of_a_step_that_is_cut_off_the_end_is_not_told() -> None:
    watched = Watched()

    def script(request: Request) -> Reply:
        raise EndpointError("down")

    with pytest.raises(EndpointError):
        asyncio.run(forward(flow(call("one", "q")), example(), Scripted(script), watch=watched))
    assert watched.told == [("one", None)]


def test_a_watch_is_told_in_the_task_of_the_step() -> None:
    heard: dict[str, set[str]] = {}

    class Session(Scripted):
        async def complete(self, request: Request) -> Reply:
            await asyncio.sleep(0)
            heard.setdefault(CURRENT.get(), set()).add(request.schema_name)
            return Reply(await world(request))

    nest = NestedWorld()

    async def world(request: Request) -> str:
        reply = await nest.complete(request)
        return reply.text or '{"a": "red"}'

    watched = Watched()
    trace = asyncio.run(forward(workflow(), example("item 4"), Session(answers), watch=watched))
    calls = {part.path: {part.step} for part in trace.walk() if part.messages}
    assert len(calls) > 8
    assert heard == calls


def test_a_run_is_the_same_watched_or_not() -> None:
    made = flow(call("one", "q"), block("again", "loop", max=2, body=[call("look", "one.out")]))
    seen, _ = run(made)
    alone = asyncio.run(forward(made, example(), Scripted(answers)))
    assert [(part.path, part.gives, part.messages) for part in seen.walk()] == [
        (part.path, part.gives, part.messages) for part in alone.walk()
    ]
