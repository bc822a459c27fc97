"""Credit: blame by verdicts, contrast of two workflows on one example, replay of what a step should have given."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from flowbot.engine.forward import forward
from flowbot.engine.ports import Ran, Reply, Request, ToolReply
from flowbot.engine.trace import Trace
from flowbot.engine.verdict import Verdict
from flowbot.search.credit import blame, contrast, replay, replays
from flowbot.search.lab import Lab
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.graph import Workflow
from tests.sessions import Script, Scripted, block, call, code, example, flow, tool


def verdict(*steps: str, should: Any = None, defect: str = "prompt", name: str = "e1") -> Verdict:
    return Verdict(name, steps, defect, "Be right.", should)


def test_blame_is_the_sum_of_rank_weights_largest_first() -> None:
    shares = blame([verdict("a", "b", "c"), verdict("b", "a"), verdict("b")])
    assert shares == pytest.approx({"b": 2.5 / 4.25, "a": 1.5 / 4.25, "c": 0.25 / 4.25})
    assert list(shares) == ["b", "a", "c"]
    assert blame([]) == {}


def test_ties_go_by_file_order_and_trust_weighs() -> None:
    tied = [verdict("b"), verdict("a")]
    assert list(blame(tied, {}, ["a", "b"])) == ["a", "b"]
    assert list(blame(tied)) == ["b", "a"]
    assert blame(tied, {("prompt", "b"): 0.25}) == pytest.approx({"a": 0.8, "b": 0.2})
    assert blame(tied, {("prompt", "a"): 0.0, ("prompt", "b"): 0.0}) == {}


def by_step(replies: Mapping[str, str]) -> Script:
    return lambda request: replies[request.schema_name]


def run(workflow: Workflow, script: Script, target: str = "right", name: str = "e1") -> Trace:
    trace = asyncio.run(forward(workflow, example(target=target, name=name), Scripted(script), "train"))
    return trace.scored(exact(trace))


def exact(trace: Trace) -> Score:
    return Score(float(trace.output == trace.example.target))


THREE = flow(call("plan", "q"), call("work", "q", "plan.out"), call("say", "work.out"))


def test_contrast_is_the_first_shared_step_that_read_the_same_and_gave_something_else() -> None:
    good = run(THREE, by_step({"plan": "a", "work": "b", "say": "right"}))
    bad = run(THREE, by_step({"plan": "a", "work": "x", "say": "wrong"}))
    assert contrast(bad, good) == contrast(good, bad) == "work"
    upstream = run(THREE, by_step({"plan": "y", "work": "x", "say": "wrong"}))
    assert contrast(upstream, good) == "plan"
    assert contrast(good, good) is None
    assert contrast(bad, upstream) is None
    other = run(THREE, by_step({"plan": "a", "work": "b", "say": "right"}), name="e2")
    assert contrast(bad, other) is None


def test_contrast_looks_into_bodies_before_the_block_and_passes_over_steps_of_one_alone() -> None:
    body = [call("draft", "q"), call("fix", "draft.out")]
    looped = flow(block("turns", "loop", max=1, body=body), call("say", "turns.out"))
    good = run(looped, by_step({"draft": "a", "fix": "b", "say": "right"}))
    bad = run(looped, by_step({"draft": "a", "fix": "x", "say": "wrong"}))
    assert contrast(bad, good) == "fix"
    assert contrast(bad, run(THREE, by_step({"plan": "a", "work": "b", "say": "right"}))) is None


def echo(request: Request) -> str:
    """Every step but the first hands on what it read last; the first is wrong."""
    read = request.messages[-1]["content"].rpartition("\n")[2]
    return "wrong" if request.schema_name in ("plan", "draft") else read


def replayed(
    workflow: Workflow, named: Verdict, script: Script = echo, **session: Any
) -> tuple[bool | None, Scripted, Trace]:
    trace = run(workflow, script)
    again = Scripted(script, **session)

    async def score(made: Trace) -> Score:
        return exact(made)

    return asyncio.run(replay(lab_with(again), trace, named, "train", score)), again, trace


def lab_with(session: Scripted) -> Lab:
    made = object.__new__(Lab)
    made.session = session
    return made


def test_replay_runs_only_what_follows_and_tells_whether_the_score_flips() -> None:
    side = flow(call("aside", "q"), call("plan", "q"), call("work", "plan.out"), call("say", "aside.out", "work.out"))
    found, session, _ = replayed(side, verdict("plan", should="right"))
    assert found is True
    assert [request.schema_name for request in session.requests] == ["work", "say"]
    assert replayed(side, verdict("plan", should="left"))[0] is False
    assert replayed(side, verdict("aside", should="right"))[0] is False


@pytest.mark.parametrize(
    "named",
    [
        verdict(),
        verdict("say", should="right"),
        verdict("plan"),
        verdict("nobody", should="right"),
    ],
)
def test_what_proves_nothing_is_not_replayed(named: Verdict) -> None:
    found, session, _ = replayed(THREE, named)
    assert found is None
    assert not session.requests


def test_what_the_step_gave_anyway_is_wrong_without_a_run() -> None:
    found, session, _ = replayed(THREE, verdict("plan", should="wrong"))
    assert found is False
    assert not session.requests


def test_the_value_must_fit_the_first_field_of_the_step() -> None:
    typed = flow(call("plan", "q", gives={"parts": "list[text]", "why": "text"}), call("say", "plan.parts", "plan.why"))

    def script(request: Request) -> str:
        if request.schema_name == "plan":
            return '{"parts": ["wrong"], "why": "so"}'
        return "right" if "done" in request.messages[-1]["content"] else "wrong"

    assert replayed(typed, verdict("plan", should="done"), script)[0] is None
    found, session, _ = replayed(typed, verdict("plan", should='["done"]'), script)
    assert found is True
    assert "so" in session.requests[0].messages[-1]["content"]


def test_a_step_that_hands_its_field_on_as_the_output_is_not_replayed() -> None:
    body = [call("draft", "q"), call("fix", "draft.out")]
    looped = flow(block("turns", "loop", max=2, body=body))
    assert replayed(looped, verdict("turns", should="right"))[0] is None
    assert replayed(looped, verdict("fix", should="right"))[0] is None
    found, session, _ = replayed(looped, verdict("draft", should="right"))
    assert found is True
    assert [request.schema_name for request in session.requests] == ["fix", "fix"]


def test_a_judge_is_not_replayed() -> None:
    judge = call("pick", "samples", gives={"best": "number"})
    voted = flow(
        block("best", "vote", n=2, by="judge", judge=judge, body=[call("draft", "q")]), call("say", "best.out")
    )

    def script(r: Request) -> str:
        return '{"best": 1}' if r.schema_name == "pick" else f"{r.schema_name} {r.draw}"

    assert replayed(voted, verdict("pick", should="2"), script)[0] is None


def test_a_step_that_failed_can_be_put_right() -> None:
    def script(request: Request) -> str | Reply:
        return Reply("", failure="refused") if request.schema_name == "plan" else echo(request)

    found, session, trace = replayed(THREE, verdict("plan", should="right"), script)
    assert trace.error
    assert found is True
    assert [request.schema_name for request in session.requests] == ["work", "say"]


def test_tools_and_programs_that_come_before_do_not_run_again() -> None:
    steps = [tool("sum", expression="1 + 1"), code("run", "print(1)"), call("plan", "sum.value", "run.output")]
    workflow = flow(*steps, call("say", "sum.value", "plan.out"))

    def play() -> Scripted:
        return Scripted(echo, lambda name, args: ToolReply(2), lambda program: Ran("1"))

    trace = asyncio.run(forward(workflow, example(target="right"), play(), "train"))
    session = play()

    async def score(made: Trace) -> Score:
        return exact(made)

    named = verdict("plan", should="right")
    assert asyncio.run(replay(lab_with(session), trace.scored(Score(0.0)), named, "train", score)) is True
    assert (len(session.requests), session.tools, session.programs) == (1, [], [])


def test_replays_count_by_step() -> None:
    runs = {name: run(THREE, echo, name=name) for name in ("e1", "e2", "e3")}
    named = [
        verdict("plan", should="right", name="e1"),
        verdict("plan", should="left", name="e2"),
        verdict("work", should="right", name="e3"),
        verdict("say", should="right", name="e3"),
        verdict("plan", should="right", name="gone"),
        verdict(should="right", name="e1"),
    ]

    async def score(made: Trace) -> Score:
        return exact(made)

    counts = asyncio.run(replays(lab_with(Scripted(echo)), named, runs, "train", score))
    assert counts == {"plan": (1, 2), "work": (1, 1)}


def test_half_a_point_more_is_a_flip_and_less_is_none() -> None:
    trace = run(THREE, echo)

    async def flipped(points: float) -> bool | None:
        async def score(made: Trace) -> Score:
            return Score(points)

        before = trace.scored(Score(0.3))
        return await replay(lab_with(Scripted(echo)), before, verdict("plan", should="x"), "train", score)

    assert [asyncio.run(flipped(points)) for points in (0.3, 0.7, 0.8, 1.0)] == [False, False, True, True]


def test_the_example_of_a_replay_is_that_of_the_trace() -> None:
    seen: list[Example] = []

    async def score(made: Trace) -> Score:
        seen.append(made.example)
        return Score(1.0)

    trace = run(THREE, echo)
    assert asyncio.run(replay(lab_with(Scripted(echo)), trace, verdict("plan", should="x"), "train", score))
    assert seen == [trace.example]
