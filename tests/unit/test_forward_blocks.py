"""Forward through branches, maps, loops and blocks within blocks: who runs, in which order, what a failure does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from flowbot.engine.forward import forward
from flowbot.engine.ports import EndpointError, Ran, Reply, Request, ToolReply
from flowbot.engine.trace import StepTrace, Trace
from flowbot.money import BudgetReached
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from tests.sessions import Script, Scripted, block, call, code, example, flow, tool

REFUSED = Reply("", failure="refused")
PARTS = call("plan", "q", gives={"parts": "list[text]", "hard": "bool", "team": "choice[a, b, c]"})


def run(workflow: Workflow, session: Any, draw: str = "") -> Trace:
    return asyncio.run(forward(workflow, example(), session, draw))


def plan(**values: Json) -> str:
    return json.dumps({"parts": [], "hard": False, "team": "a"} | values)


def section(request: Request, label: str) -> str:
    """Return the last section of that name that a request shows."""
    return request.messages[-1]["content"].rpartition(f"{label}:\n")[2].partition("\n\n")[0]


def timeless(part: StepTrace) -> Any:
    """Return a part of the tape without its seconds."""
    bodies = [[timeless(inner) for inner in body.values()] for body in part.bodies]
    return part.path, dict(part.reads), dict(part.gives), part.messages, part.usage, part.error, part.taken, bodies


def vote(*body: Mapping[str, Any], n: int = 3, **parts: Any) -> dict[str, Any]:
    return block("pick", "vote", n=n, body=list(body or [call("solve", "q")]), **parts)


# branch


def branch(arms: Mapping[str, Any], on: str = "plan.hard", **parts: Any) -> dict[str, Any]:
    return block("route", "branch", on=on, arms=arms, **parts)


def arm(name: str) -> list[dict[str, Any]]:
    return [call(f"in_{name}", "q")]


@pytest.mark.parametrize(("hard", "taken"), [(True, "true"), (False, "false")])
def test_a_bool_takes_its_arm_and_the_other_does_not_run(hard: bool, taken: str) -> None:
    session = Scripted(lambda r: plan(hard=hard) if r.schema_name == "plan" else r.schema_name)
    trace = run(flow(PARTS, branch({"true": arm("true"), "false": arm("false")})), session)
    assert (trace.output, trace.by_step["route"].taken) == (f"in_{taken}", taken)
    assert [part.path for part in trace.walk()] == ["plan", "route", f"route[{taken}].in_{taken}"]
    assert trace.by_step["route"].reads == {"plan.hard": hard, "q": "item 1"}


@pytest.mark.parametrize(("team", "taken"), [("a", "a"), ("b", "else"), ("c", "else")])
def test_a_choice_takes_its_arm_or_else(team: str, taken: str) -> None:
    session = Scripted(lambda r: plan(team=team) if r.schema_name == "plan" else r.schema_name)
    trace = run(flow(PARTS, branch({"a": arm("a")}, "plan.team", **{"else": arm("else")})), session)
    assert (trace.output, trace.by_step["route"].taken) == (f"in_{taken}", taken)


def test_an_arm_without_steps_hands_on_what_is_there() -> None:
    session = Scripted(lambda r: plan(hard=False) if r.schema_name == "plan" else r.schema_name)
    arms = {"true": arm("true"), "false": {"gives": {"out": "ask.out"}}}
    trace = run(flow(PARTS, call("ask", "q"), branch(arms), call("say", "route.out")), session)
    assert trace.output == "say"
    assert (trace.by_step["route"].gives, trace.by_step["route"].bodies) == ({"out": "ask"}, ({},))
    assert "in_true" not in trace.by_step


def test_a_failing_arm_is_the_branches_failure() -> None:
    session = Scripted(lambda r: plan(team="b") if r.schema_name == "plan" else REFUSED)
    trace = run(flow(PARTS, branch({"a": arm("a")}, "plan.team", **{"else": arm("else")})), session)
    assert trace.error == "step 'route[else].in_else' failed: refused"
    assert trace.by_step["route"].error == "refused"


def test_in_the_first_turn_a_branch_on_previous_takes_its_else_for_there_is_null() -> None:
    arms = {"None": arm("none"), "b": arm("b")}
    route = branch(arms, "previous.team", gives={"out": "text"}, **{"else": arm("else")})
    check = call("check", "route.out", gives={"team": "choice[None, b]", "out": "text"})
    trace = run(
        flow(block("again", "loop", max=2, body=[route, check])),
        Scripted(lambda r: json.dumps({"team": "b", "out": "x"}) if r.schema_name == "check" else "y"),
    )
    assert (trace.error, [body["route"].taken for body in trace.by_step["again"].bodies]) == ("", ["else", "b"])


def test_a_branch_without_an_arm_for_the_null_of_a_failed_program_fails() -> None:
    work = code("work", "q = 1", {"hard": "bool", "ok": "bool"})
    route = branch({"true": arm("true"), "false": arm("false")}, "work.hard")
    session = Scripted(lambda r: "x", program=lambda p: Ran(error="NameError"))
    trace = run(flow(work, route, call("say", "route.out", "work.ok")), session)
    assert trace.error == "step 'route' failed: there is no arm for null"
    assert (trace.by_step["route"].taken, session.requests) == (None, [])


# map


def each(*body: Mapping[str, Any], over: str = "plan.parts", **parts: Any) -> dict[str, Any]:
    return block("each", "map", over=over, body=list(body or [call("look", "item")]), **parts)


def looked(*items: Json) -> Script:
    """Plan the items; then say of each what it is, and fail where it is bad."""

    def script(request: Request) -> str | Reply:
        if request.schema_name == "plan":
            return plan(parts=list(items))
        item = section(request, "item")
        return REFUSED if item == "bad" else f"saw {item}"

    return script


@pytest.mark.parametrize("shuffle", range(4))
def test_a_map_gives_in_the_order_of_the_items(shuffle: int) -> None:
    session = Scripted(looked("x", "y", "x", "z"), shuffle=shuffle)
    trace = run(flow(PARTS, each()), session)
    assert trace.output == ["saw x", "saw y", "saw x", "saw z"]
    part = trace.by_step["each"]
    assert (part.taken, part.reads) == (4, {"plan.parts": ["x", "y", "x", "z"]})
    assert [body["look"].path for body in part.bodies] == [f"each[{n}].look" for n in (1, 2, 3, 4)]
    assert [body["look"].reads for body in part.bodies] == [{"item": item} for item in "xyxz"]
    assert session.most == 4


def test_a_map_takes_at_most_cap_items() -> None:
    session = Scripted(looked(*map(str, range(10))))
    assert run(flow(PARTS, each(cap=3)), session).output == ["saw 0", "saw 1", "saw 2"]
    assert len(session.requests) == 4


def test_a_map_over_nothing_gives_empty_lists() -> None:
    trace = run(flow(PARTS, each()), Scripted(looked()))
    assert (trace.output, trace.error, trace.by_step["each"].taken) == ([], "", 0)


def test_a_failing_item_is_the_maps_failure_and_the_others_still_run() -> None:
    trace = run(flow(PARTS, each(), call("say", "each.out")), Scripted(looked("x", "bad", "z", "bad")))
    assert trace.error == "step 'each[2].look' failed: refused"
    assert [body["look"].gives for body in trace.by_step["each"].bodies] == [{"out": "saw x"}, {}, {"out": "saw z"}, {}]
    assert trace.by_step["each"].gives == {}
    assert "say" not in trace.by_step


def test_maps_nest_and_the_inner_item_is_the_nearer() -> None:
    rows = call("rows", "q", gives={"rows": "list[list[text]]"})
    inner = block("inner", "map", over="item", body=[call("look", "item")])
    outer = each(inner, over="rows.rows", gives={"out": "list[list[text]]"})
    saw = looked()
    session = Scripted(lambda r: '{"rows": [["a", "b"], [], ["c"]]}' if r.schema_name == "rows" else saw(r))
    trace = run(flow(rows, outer), session)
    assert trace.output == [["saw a", "saw b"], [], ["saw c"]]
    paths = [part.path for part in trace.walk() if part.step == "look"]
    assert paths == ["each[1].inner[1].look", "each[1].inner[2].look", "each[3].inner[1].look"]


def test_what_is_no_list_cannot_be_mapped_over() -> None:
    rows = call("rows", "q", gives={"rows": "json"})
    trace = run(flow(rows, each(over="rows.rows")), Scripted(lambda r: '{"rows": {"a": 1}}'))
    assert trace.error == "step 'each' failed: 'rows.rows' is no list to map over"


# loop


def refine(turns: int = 3, *more: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    solve = call("solve", "q", "previous.why", "previous.out")
    check = call("check", "solve.out", gives={"ok": "bool", "why": "text"})
    body = [solve, check, *more]
    return block("refine", "loop", max=turns, body=body, until="check.ok") | parts


def turning(good: int, fails: str = "") -> Script:
    """Solve by numbered tries; the one of number `good` is right. `fails` is what `solve` says before it breaks."""
    tries: list[str] = []

    def script(request: Request) -> str | Reply:
        if request.schema_name == "solve":
            tries.append(f"try {len(tries) + 1}")
            return REFUSED if tries[-1] == fails else tries[-1]
        return json.dumps({"ok": len(tries) == good, "why": f"why {len(tries)}"})

    return script


@pytest.mark.parametrize(("good", "turns"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_a_loop_ends_where_its_field_is_true_or_at_its_most_and_gives_the_last_turn(good: int, turns: int) -> None:
    trace = run(flow(refine()), Scripted(turning(good)))
    assert (trace.output, trace.by_step["refine"].taken) == (f"try {turns}", turns)
    assert [part.path for part in trace.walk()][1::2] == [f"refine[{n}].solve" for n in range(1, turns + 1)]


def test_a_loop_without_until_takes_all_its_turns() -> None:
    looping = block("refine", "loop", max=4, body=[call("solve", "q", "previous.out")])
    assert run(flow(looping), Scripted(turning(1))).output == "try 4"


def test_previous_is_null_and_left_out_at_first_and_then_the_turn_before() -> None:
    session = Scripted(turning(9))
    trace = run(flow(refine()), session)
    solves = [r.messages[-1]["content"] for r in session.requests if r.schema_name == "solve"]
    assert solves == [
        "q:\nitem 1",
        "q:\nitem 1\n\nprevious.why:\nwhy 1\n\nprevious.out:\ntry 1",
        "q:\nitem 1\n\nprevious.why:\nwhy 2\n\nprevious.out:\ntry 2",
    ]
    turns = [body["solve"].reads for body in trace.by_step["refine"].bodies]
    assert turns[0] == {"q": "item 1", "previous.why": None, "previous.out": None}
    assert turns[2] == {"q": "item 1", "previous.why": "why 2", "previous.out": "try 2"}


def test_turns_are_draws_of_their_own_above_temperature_0() -> None:
    inner = vote(call("solve", "q"), call("cold", "solve.out", temperature=0.0), n=2)
    session = Scripted(lambda r: "x", lambda name, args: ToolReply(1))
    looping = block("again", "loop", max=2, body=[inner, tool("count", expression="$pick.out")], gives={"n": "number"})
    looping["body"] = {"steps": looping["body"], "gives": {"n": "count.value"}}
    run(flow(looping), session, "d")
    draws = {(request.schema_name, request.draw) for request in session.requests}
    assert draws == {("cold", "d"), *(("solve", f"d{turn}/{n}") for turn in ("", "~2") for n in (1, 2))}
    assert session.draws == ["d", "d~2"]


def test_a_failing_turn_ends_the_loop() -> None:
    trace = run(flow(refine()), Scripted(turning(9, fails="try 2")))
    assert trace.error == "step 'refine[2].solve' failed: refused"
    assert [part.path for part in trace.walk()] == ["refine", "refine[1].solve", "refine[1].check", "refine[2].solve"]
    assert trace.by_step["refine"].gives == {}


# all of them


def deep() -> Workflow:
    """Return a workflow in which blocks nest as deep as they may."""
    pick = vote(call("solve", "item", "previous.out", "q"), n=2)
    route = branch({"true": [pick], "false": {"gives": {"out": "plan.team"}}}, gives={"out": "text"})
    turns = block("again", "loop", max=2, body=[route])
    return flow(PARTS, each(turns), call("say", "each.out"))


def test_blocks_nest_and_paths_lead_through_all_of_them() -> None:
    saw = looked("x", "y")
    session = Scripted(lambda r: plan(parts=["x", "y"], hard=True) if r.schema_name == "plan" else saw(r))
    trace = run(deep(), session)
    assert trace.error == ""
    paths = [part.path for part in trace.walk() if part.step == "solve"]
    assert paths == [
        f"each[{item}].again[{turn}].route[true].pick[{sample}].solve"
        for item in (1, 2)
        for turn in (1, 2)
        for sample in (1, 2)
    ]
    assert trace.usage.calls == len(session.requests) == 1 + 8 + 1
    assert trace.by_step["each"].usage.calls == 8


def test_a_failure_far_within_is_named_by_its_path() -> None:
    saw = looked("x", "bad")
    session = Scripted(lambda r: plan(parts=["x", "bad"], hard=True) if r.schema_name == "plan" else saw(r))
    assert run(deep(), session).error == "step 'each[2].again[1].route[true].pick[1].solve' failed: refused"


def test_independent_bodies_run_at_once() -> None:
    pick = vote(call("solve", "plan.team"), n=4)
    arms = {
        "true": arm("true"),
        "false": [call("left", "q"), call("right", "q"), call("both", "left.out", "right.out")],
    }
    last = call("say", "pick.out", "each.out", "route.out", "ask.out")
    session = Scripted(looked("x", "y", "z"))
    trace = run(flow(PARTS, pick, each(), branch(arms), call("ask", "plan.team"), last), session)
    assert trace.error == ""
    assert session.most == 4 + 3 + 2 + 1
    assert session.in_flight == 0


class Failing:
    """A model that fails at one call after a moment; all others wait for long and note that they were ended."""

    def __init__(self, error: Exception, bad: str) -> None:
        self.error, self.bad = error, bad
        self.began: list[str] = []
        self.ended: list[str] = []

    async def complete(self, request: Request) -> Reply:
        """Answer the plan, fail, or wait."""
        if request.schema_name == "plan":
            return Reply(plan(parts=["bad", "x", "y", "z"]))
        name = request.schema_name if request.schema_name == "slow" else section(request, "item")
        if name == self.bad:
            await asyncio.sleep(0.01)
            raise self.error
        self.began.append(name)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.ended.append(name)
            raise
        return Reply("never")

    async def use_tool(self, *args: Any) -> ToolReply:
        """Refuse."""
        raise NotImplementedError


@pytest.mark.parametrize("error", [EndpointError("down"), BudgetReached("calls", 1, 1)])
def test_where_one_call_raises_all_others_are_ended_at_once(error: Exception) -> None:
    workflow = flow(PARTS, vote(call("slow", "plan.team"), n=2), each(), call("say", "pick.out", "each.out"))
    failing = Failing(error, "bad")
    session: Any = failing

    async def main() -> int:
        with pytest.raises(type(error)):
            await asyncio.wait_for(forward(workflow, example(), session), 5)
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1
    assert sorted(failing.began) == sorted(failing.ended) == ["slow", "slow", "x", "y", "z"]


def test_the_order_in_which_calls_end_changes_nothing() -> None:
    workflow = flow(
        PARTS,
        each(vote(call("guess", "item"), n=3)),
        refine(),
        branch({"true": arm("true"), "false": arm("false")}),
        call("say", "each.out", "refine.out", "route.out"),
    )

    def script(request: Request) -> str:
        if request.schema_name == "plan":
            return plan(parts=["x", "y", "z"], hard=True)
        if request.schema_name == "check":
            return json.dumps({"ok": "previous" in section(request, "solve.out"), "why": "why"})
        return f"{request.schema_name} {request.draw[-1:] or request.messages[-1]['content']}"

    traces: list[Any] = []
    for shuffle in (None, *range(8)):
        trace = run(workflow, Scripted(script, shuffle=shuffle))
        assert trace.error == ""
        traces.append([timeless(part) for part in trace.steps])
    assert all(found == traces[0] for found in traces)
