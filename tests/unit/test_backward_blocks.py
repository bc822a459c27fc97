"""Backward through steps with a body: which run of a step gets a gradient, and with which words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from flowbot.engine.backward import Gradient, backward
from flowbot.engine.forward import forward
from flowbot.engine.ports import Ran, Reply, Request, ToolCall, ToolReply
from flowbot.engine.trace import Trace
from flowbot.engine.update import update_prompts
from flowbot.task.metrics import Score
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from tests.sessions import (
    ProgramScript,
    Scripted,
    ToolScript,
    block,
    call,
    code,
    example,
    flow,
    meta_of,
    no_program,
    no_tool,
    tool,
)

REFUSED = Reply("", failure="refused")
LOSS = "Output: {}\nExpected: one\nScore: 0. Wrong."
FAILED = "The run failed: {}\nExpected: one\nScore: 0. Wrong."
PLAN = call("plan", "q", gives={"parts": "list[text]", "team": "choice[a, b]", "hard": "bool"})
Says = Mapping[str, "Json | Reply | Callable[[Request], Json | Reply]"]


def plan(*parts: str, team: str = "a", hard: bool = False) -> Json:
    return {"parts": list(parts), "team": team, "hard": hard}


def traced(workflow: Workflow, says: Says, tool: ToolScript = no_tool, program: ProgramScript = no_program) -> Trace:
    """Run a workflow whose calls say what is given, else `ID's`; it is scored 0."""

    def script(request: Request) -> str | Reply:
        said = says.get(request.schema_name, f"{request.schema_name}'s")
        said = said(request) if callable(said) else said
        return said if isinstance(said, str | Reply) else json.dumps(said)

    return asyncio.run(forward(workflow, example(), Scripted(script, tool, program))).scored(Score(0.0, "Wrong."))


def named(text: str) -> str:
    """Return the run that a gradient call is about: its path, or the step's id."""
    path = text.partition("\n\nrun:\n")[2].partition("\n\n")[0]
    return path or text.partition("instruction:\nDo ")[2].partition(".\n")[0]


def back(trace: Trace, shuffle: int | None = None) -> tuple[Sequence[Gradient], dict[str, str]]:
    """Go back; return the gradients, and what each run's critic was told beside what it read and gave."""
    told: dict[str, str] = {}

    def critic(request: Request) -> str:
        text = request.messages[-1]["content"]
        at = min(found for words in ("\n\nresult:\n", "\n\ncritique of") if (found := text.find(words)) >= 0)
        assert named(text) not in told
        told[named(text)] = text[at:].strip()
        assert request.purpose == ("loss_gradient" if "result:\n" in text[at:] else "call_gradient")
        return json.dumps({"critique": f"mend {named(text)}"})

    found = asyncio.run(backward(trace, meta_of(Scripted(critic, shuffle=shuffle))))
    runs = [each.path if "[" in each.path else each.step for each in found]
    assert set(runs) == set(told)
    assert [each.critique for each in found] == [f"mend {run}" for run in runs]
    assert all(each.path.rpartition(".")[2] == each.step for each in found)
    return found, told


def result(text: str, *about: str) -> str:
    return "\n".join(["result:", *about, text])


def later(*critiques: str) -> str:
    return "critique of the later steps:\n" + "\n\n".join(critiques)


# vote


def vote(*body: Mapping[str, Any], n: int = 3, **parts: Any) -> dict[str, Any]:
    return block("pick", "vote", n=n, body=list(body or [call("solve", "ask.out")]), **parts)


def sampled(*said: Json | Reply) -> Callable[[Request], Json | Reply]:
    return lambda request: said[int(request.draw.rpartition("/")[2]) - 1]


def test_a_votes_gradient_goes_to_the_sample_taken_with_what_the_others_gave() -> None:
    trace = traced(flow(call("ask", "q"), vote(n=4)), {"solve": sampled("a", "b", REFUSED, "b")})
    found, told = back(trace)
    assert [each.path for each in found] == ["ask", "pick[2].solve"]
    words = ["'pick' took sample 2 of these:", '1: {"out": "a"}', '2: {"out": "b"}', "3: failed: refused"]
    assert told["pick[2].solve"] == result(LOSS.format("b"), *words, '4: {"out": "b"}')
    assert told["ask"] == later("mend pick[2].solve")


def test_within_the_sample_taken_it_goes_on_as_anywhere() -> None:
    body = [call("draft", "ask.out"), call("solve", "draft.out", "ask.out")]
    trace = traced(flow(call("ask", "q"), vote(*body, n=2), call("say", "pick.out")), {"solve": sampled("a", "b")})
    found, told = back(trace)
    assert [each.path for each in found] == ["ask", "pick[1].draft", "pick[1].solve", "say"]
    words = '\'pick\' took sample 1 of these:\n1: {"out": "a"}\n2: {"out": "b"}\n'
    assert told["pick[1].solve"] == later(f"{words}mend say")
    assert told["pick[1].draft"] == later("mend pick[1].solve")
    assert told["ask"] == later("mend pick[1].draft", "mend pick[1].solve")


def judged(verdict: Json, *said: Json | Reply) -> Trace:
    judge = call("judge", "samples", "hint.out", gives={"best": "number"})
    workflow = flow(call("ask", "q"), call("hint", "q"), vote(n=len(said), by="judge", judge=judge))
    return traced(workflow, {"solve": sampled(*said), "judge": verdict})


def test_a_judge_gets_the_loss_too_and_hands_it_to_what_it_read() -> None:
    found, told = back(judged({"best": 2}, "a", "b"))
    assert [each.path for each in found] == ["ask", "hint", "pick[2].solve", "pick.judge"]
    assert told["judge"] == result(LOSS.format("b"))
    assert told["pick[2].solve"].startswith("result:\n'pick' took sample 2 of these:\n")
    assert (told["hint"], told["ask"]) == (later("mend judge"), later("mend pick[2].solve"))


def test_a_judge_that_was_not_asked_gets_none() -> None:
    found, _ = back(judged("never", "a", "a"))
    assert [each.path for each in found] == ["ask", "pick[1].solve"]


@pytest.mark.parametrize("verdict", [{"best": 9}, REFUSED])
@pytest.mark.parametrize("first", [[], [REFUSED]])
def test_where_the_judge_failed_the_samples_are_not_to_blame(verdict: Json, first: Sequence[Reply]) -> None:
    trace = judged(verdict, *first, "a", "b")
    found, told = back(trace)
    assert [each.path for each in found] == ["hint", "pick.judge"]
    assert told["judge"] == result(FAILED.format(trace.error))
    assert trace.error.startswith("step 'pick' failed: the judge 'judge' ")


def test_where_all_samples_failed_the_loss_begins_in_the_first() -> None:
    trace = traced(flow(call("ask", "q"), vote(n=2)), {"solve": REFUSED})
    found, told = back(trace)
    assert [each.path for each in found] == ["ask", "pick[1].solve"]
    assert told["pick[1].solve"] == result(FAILED.format("step 'pick[1].solve' failed: refused"))


# branch


def routed(arms: Mapping[str, Any], on: str, **parts: Any) -> Workflow:
    return flow(PLAN, call("ask", "q"), block("route", "branch", on=on, arms=arms, **parts))


def test_a_branchs_gradient_goes_to_the_arm_taken_and_to_what_chose_it() -> None:
    arms = {"a": [call("in_a", "q")], "b": [call("in_b", "ask.out")]}
    found, told = back(traced(routed(arms, "plan.team"), {"plan": plan(team="b")}))
    assert [each.path for each in found] == ["plan", "ask", "route[b].in_b"]
    assert told["route[b].in_b"] == result(LOSS.format("in_b's"))
    assert told["plan"] == result(LOSS.format("in_b's"), "'plan.team' led to the arm 'b' of 'route'.")
    assert told["ask"] == later("mend route[b].in_b")


def test_an_arm_without_steps_hands_the_gradient_to_what_it_gives() -> None:
    arms = {"true": [call("in_true", "q")], "false": {"gives": {"out": "ask.out"}}}
    found, told = back(traced(routed(arms, "plan.hard"), {"plan": plan()}))
    assert [each.path for each in found] == ["plan", "ask"]
    assert told["ask"] == result(LOSS.format("ask's"))
    assert told["plan"] == result(LOSS.format("ask's"), "'plan.hard' led to the arm 'false' of 'route'.")


def test_else_is_an_arm() -> None:
    rest: Mapping[str, Any] = {"else": [call("rest", "ask.out")]}
    workflow = routed({"a": [call("in_a", "ask.out")]}, "plan.team", **rest)
    found, told = back(traced(workflow, {"plan": plan(team="b")}))
    assert [each.path for each in found] == ["plan", "ask", "route[else].rest"]
    assert "led to the arm 'else'" in told["plan"]


def test_where_no_arm_was_taken_the_gradient_goes_to_what_chose_it() -> None:
    work = code("work", "$write.out", {"hard": "bool", "ok": "bool"})
    arms = {"true": [call("in_true", "q")], "false": [call("in_false", "q")]}
    route = block("route", "branch", on="work.hard", arms=arms)
    workflow = flow(call("write", "q"), work, route, call("say", "route.out", "work.ok"))
    found, told = back(traced(workflow, {}))
    assert [each.path for each in found] == ["write"]
    assert "'work.hard' was null, for which 'route' has no arm." in told["write"]


# loop


def refine(*more: Mapping[str, Any], until: str | None = "check.ok", **parts: Any) -> dict[str, Any]:
    solve = call("solve", "ask.out", "previous.why")
    check = call("check", "solve.out", gives={"ok": "bool", "why": "text"})
    return block("refine", "loop", max=3, until=until, body=[solve, check, *more], **parts)


def checked(*good: bool | Reply) -> Says:
    """Let the turns' checks say so one after the other."""
    turns = iter(good)

    def check(request: Request) -> Json | Reply:
        said = next(turns)
        return said if isinstance(said, Reply) else {"ok": said, "why": "why"}

    return {"check": check}


def test_a_loops_gradient_goes_from_turn_to_turn_through_what_was_read_of_the_one_before() -> None:
    trace = traced(flow(call("ask", "q"), refine()), checked(False, True))
    found, told = back(trace)
    assert [each.path for each in found] == ["ask", *(f"refine[{n}].{s}" for s in ("solve", "check") for n in (1, 2))]
    loss = LOSS.format("solve's")
    ended = "'check.ok' was true in turn 2 of at most 3 of 'refine'."
    assert told["refine[2].check"] == result(loss, ended)
    assert told["refine[2].solve"] == f"{result(loss)}\n\n{later('mend refine[2].check')}"
    assert told["refine[1].check"] == later("mend refine[2].solve")
    assert told["refine[1].solve"] == later("mend refine[1].check")
    assert told["ask"] == later("mend refine[1].solve", "mend refine[2].solve")


def test_a_loop_that_never_ended_says_so() -> None:
    _, told = back(traced(flow(call("ask", "q"), refine()), checked(False, False, False)))
    assert "'check.ok' was false in turn 3 of at most 3 of 'refine'." in told["refine[3].check"]


def test_turns_that_the_last_one_did_not_read_get_none() -> None:
    body = [call("solve", "ask.out"), call("check", "solve.out", gives={"ok": "bool"})]
    looping = block("refine", "loop", max=3, until="check.ok", body=body)
    found, _ = back(traced(flow(call("ask", "q"), looping), {"check": {"ok": False}}))
    assert [each.path for each in found] == ["ask", "refine[3].solve", "refine[3].check"]


def test_a_failing_turn_begins_the_loss_and_the_turn_before_hears_of_it() -> None:
    trace = traced(flow(call("ask", "q"), refine(), call("say", "refine.out")), checked(False, REFUSED))
    assert trace.error == "step 'refine[2].check' failed: refused"
    found, told = back(trace)
    assert {each.path for each in found} == {"ask", *(f"refine[{n}].{s}" for s in ("solve", "check") for n in (1, 2))}
    assert told["refine[2].check"] == result(FAILED.format(trace.error))
    assert told["refine[2].solve"] == later("mend refine[2].check")
    assert told["refine[1].check"] == later("mend refine[2].solve")


# map


def each(*body: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    return block("each", "map", over="plan.parts", body=list(body or [call("look", "item")]), **parts)


def test_a_maps_gradient_goes_to_the_items_that_failed() -> None:
    says: Says = {
        "plan": plan("x", "bad1", "y", "bad2"),
        "look": lambda request: REFUSED if "bad" in request.messages[-1]["content"] else "saw",
    }
    trace = traced(flow(PLAN, each(), call("say", "each.out")), says)
    assert trace.error == "step 'each[2].look' failed: refused"
    found, told = back(trace)
    assert [each.path for each in found] == ["plan", "each[2].look", "each[4].look"]
    assert told["each[4].look"] == result(FAILED.format(trace.error))
    assert told["plan"] == later("mend each[2].look", "mend each[4].look")


def test_of_items_that_did_not_fail_those_get_one_that_the_critique_speaks_of_most() -> None:
    words = {"one": "alpha beta", "two": "gamma", "three": "mend say", "four": "delta say", "five": "omega"}
    says: Says = {
        "plan": plan(*words),
        "look": lambda request: words[request.messages[-1]["content"].partition("item:\n")[2]],
    }
    trace = traced(flow(PLAN, each(), call("say", "each.out")), says)
    found, told = back(trace)
    assert [each.path for each in found] == ["plan", "each[1].look", "each[3].look", "each[4].look", "say"]
    assert told["each[3].look"] == later("This is item 3 of 5 of 'each'.\nmend say")
    assert told["plan"] == later("mend each[1].look", "mend each[3].look", "mend each[4].look")


@pytest.mark.parametrize("parts", [["x"], ["x", "y"]])
def test_a_map_of_few_items_has_a_gradient_for_each(parts: Sequence[str]) -> None:
    found, _ = back(traced(flow(PLAN, each(), call("say", "each.out")), {"plan": plan(*parts)}))
    assert [each.path for each in found if each.step == "look"] == [f"each[{n + 1}].look" for n in range(len(parts))]
    assert found[0].step == "plan"


def test_a_map_without_items_blames_what_made_the_list() -> None:
    trace = traced(flow(PLAN, each(), call("say", "each.out")), {"plan": plan()})
    found, told = back(trace)
    assert [each.path for each in found] == ["plan", "say"]
    assert told["plan"] == later("'plan.parts' gave no items to 'each'.\nmend say")


def test_a_map_over_what_is_no_list_blames_what_made_it() -> None:
    parts = call("plan", "q", gives={"parts": "json"})
    trace = traced(flow(parts, each(), call("say", "each.out")), {"plan": {"parts": {"no": "list"}}})
    assert trace.error == "step 'each' failed: 'plan.parts' is no list to map over"
    found, told = back(trace)
    assert [each.path for each in found] == ["plan"]
    assert told["plan"] == result(FAILED.format(trace.error), "'plan.parts' gave no items to 'each'.")


def test_nested_maps_hand_it_on_to_what_made_the_items() -> None:
    rows = call("rows", "q", gives={"rows": "list[list[text]]"})
    inner = block("inner", "map", over="item", body=[call("look", "item")])
    outer = block("each", "map", {"out": "list[list[text]]"}, over="rows.rows", body=[inner])
    found, told = back(traced(flow(rows, outer), {"rows": {"rows": [["a"], ["b", "c"]]}}))
    runs = ["each[1].inner[1].look", "each[2].inner[1].look", "each[2].inner[2].look"]
    assert [each.path for each in found] == ["rows", *runs]
    assert told["rows"] == later(*(f"mend {run}" for run in runs))
    assert "This is item 2 of 2 of 'inner'.\nThis is item 2 of 2 of 'each'.\nOutput" in told[runs[2]]


# code, tools


def test_programs_and_tools_pass_it_through() -> None:
    steps = [
        call("write", "q"),
        call("test", "q"),
        code("work", "$write.out", {"ok": "bool", "output": "text"}, tests="$test.out"),
        tool("look", expression="$work.output"),
        call("say", "look.value"),
    ]
    trace = traced(flow(*steps), {}, program=lambda p: Ran("1"), tool=lambda name, args: ToolReply(1))
    found, told = back(trace)
    assert [each.step for each in found] == ["write", "test", "say"]
    assert told["write"] == told["test"] == later("mend say")


def test_a_failing_program_hands_the_loss_to_the_call_that_wrote_it() -> None:
    workflow = flow(call("ask", "q"), call("write", "ask.out"), code("work", "$write.out"), call("say", "work.output"))
    found, told = back(traced(workflow, {}, program=lambda p: Ran(error="NameError: x")))
    assert [each.step for each in found] == ["ask", "write"]
    assert told["write"] == result(FAILED.format("step 'work' failed: NameError: x"))


def test_the_critic_sees_which_tools_a_call_used() -> None:
    wish = Reply("", calls=(ToolCall("calc", '{"expression": "1/0"}'), ToolCall("calc", '{"expression": "1"}')))
    workflow = flow(call("ask", "q", tools=["calc"]))
    gave = [ToolReply(failure="division by zero"), ToolReply(1)]
    trace = traced(workflow, {"ask": lambda r: "1" if r.turn else wish}, tool=lambda name, args: gave.pop(0))
    session = Scripted(lambda r: '{"critique": "mend"}')
    asyncio.run(backward(trace, meta_of(session)))
    used = 'calc {"expression": "1/0"} gave: division by zero\ncalc {"expression": "1"} gave: 1'
    assert f"tools it called:\n{used}\n\nwhat it gave:\nout: 1\n\n" in session.requests[0].messages[-1]["content"]


# all of them


def test_a_failure_far_within_begins_the_loss_there_and_what_ran_well_beside_it_gets_none() -> None:
    body = [call("left", "item"), call("right", "item"), call("both", "left.out", "right.out")]
    workflow = flow(PLAN, call("ask", "q"), each(vote(*body, n=2)), call("say", "each.out", "ask.out"))
    trace = traced(workflow, {"plan": plan("x"), "right": REFUSED})
    assert trace.error == "step 'each[1].pick[1].right' failed: refused"
    found, told = back(trace)
    assert [each.path for each in found] == ["plan", "each[1].pick[1].right"]
    assert told["each[1].pick[1].right"] == result(FAILED.format(trace.error))


def nested() -> Workflow:
    """Return a workflow with every kind in it."""
    pick = block("pick", "vote", n=2, body=[call("guess", "item")])
    arms = {"a": [call("in_a", "refine.out")], "b": {"gives": {"out": "refine.out"}}}
    route = block("route", "branch", on="plan.team", arms=arms)
    last = call("say", "each.out", "route.out", "look.value")
    return flow(PLAN, call("ask", "q"), each(pick), refine(), route, tool("look", expression="$refine.out"), last)


def nested_trace() -> Trace:
    says: Says = {"plan": plan("x", "y"), "guess": sampled("1", "2"), **checked(False, True)}
    return traced(nested(), says, tool=lambda name, args: ToolReply(1))


def test_the_order_of_finishing_changes_nothing() -> None:
    trace = nested_trace()
    assert trace.error == ""
    runs = [back(trace, shuffle) for shuffle in (None, *range(8))]
    assert len(runs[0][0]) == 1 + 1 + 2 + 4 + 1 + 1
    assert all(found == runs[0] for found in runs)


def test_steps_that_did_not_run_get_none_and_gradients_stand_in_file_order() -> None:
    workflow, (found, _) = nested(), back(nested_trace())
    order = [step.id for step in workflow.all_steps]
    assert [each.step for each in found] == sorted((each.step or "" for each in found), key=order.index)
    taken = [each.path for each in found if "[" in each.path]
    runs = [f"refine[{n}].{step}" for step in ("solve", "check") for n in (1, 2)]
    assert taken == ["each[1].pick[1].guess", "each[2].pick[1].guess", *runs, "route[a].in_a"]


def test_frozen_steps_and_what_stands_in_them_keep_their_prompts() -> None:
    frozen = block("pick", "vote", n=2, body=[call("guess", "item")], frozen=True)
    workflow = flow(PLAN, each(frozen), call("say", "each.out", frozen=True), call("end", "say.out", "plan.team"))
    found, _ = back(traced(workflow, {"plan": plan("x")}))
    assert {each.step for each in found} == {"plan", "guess", "say", "end"}  # they hand it on all the same
    session = Scripted(lambda r: '{"instruction": "New."}')
    made = asyncio.run(update_prompts(workflow, found, meta_of(session), lambda text: ""))
    assert made.prompts == {"plan": "New.", "guess": "Do guess.", "say": "Do say.", "end": "New."}
    assert session.purposes() == ["prompt_update", "prompt_update"]


def test_a_prompt_in_a_body_is_rewritten_once_with_the_critiques_of_all_its_runs() -> None:
    session = Scripted(lambda r: '{"instruction": "New."}')
    found, _ = back(nested_trace())
    made = asyncio.run(update_prompts(nested(), found, meta_of(session), lambda text: ""))
    assert set(made.prompts.values()) == {"New."}
    (asked,) = [text for r in session.requests if "Do solve." in (text := r.messages[-1]["content"])]
    assert "- mend refine[1].solve\n- mend refine[2].solve" in asked
