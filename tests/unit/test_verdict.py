"""Verdicts: one call over a whole trace, read tolerantly; and runs in which some steps' values are given."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbot.engine.forward import forward
from flowbot.engine.loose import LISTED, NUMBERED, SAID, one_of, records
from flowbot.engine.ports import Reply
from flowbot.engine.trace import Trace
from flowbot.engine.update import Guard
from flowbot.engine.verdict import DEFECTS, Verdict, cut, echoes, fair, free, layered, told, verdict
from flowbot.task.metrics import Score
from flowbot.workflow.fields import Json, Misfit
from flowbot.workflow.graph import Workflow
from tests.sessions import PROMPTS, Scripted, block, call, example, flow, meta_of, tool
from tests.strategies import json_values

TWO = flow(call("plan", "q"), call("say", "q", "plan.out"))


def run(workflow: Workflow, reply: str = "wrong") -> Trace:
    trace = asyncio.run(forward(workflow, example(), Scripted(lambda r: reply)))
    return trace.scored(Score(0.0, "Expected one."))


def said(**fields: Json) -> str:
    return json.dumps({"blame": ["plan"], "defect": "prompt", "rule": "Name it.", "should": ""} | fields)


def judged(trace: Trace, *replies: str | Reply, guard: Guard = free) -> tuple[Verdict | None, Scripted]:
    left = list(replies)
    session = Scripted(lambda r: left.pop(0))
    return asyncio.run(verdict(trace, meta_of(session), guard)), session


def test_a_verdict_is_one_call_over_the_whole_trace() -> None:
    found, session = judged(run(TWO), said(blame=["say", "plan", "say"], should="two"))
    assert found == Verdict("e1", ("say", "plan"), "prompt", "Name it.", "two")
    (request,) = session.requests
    assert request.purpose == request.schema_name == "verdict"
    text = request.messages[1]["content"]
    assert [part for part in ("workflow:", "steps:", "inputs:", "result:") if f"\n{part}\n" in f"\n{text}"] == [
        "workflow:",
        "steps:",
        "inputs:",
        "result:",
    ]
    for part in ("plan (call)", "instruction: Do plan.", "read q: item 1", "gave out: wrong", "Expected: one"):
        assert part in text


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"blame": "say"}, {"blame": ("say",)}),
        ({"blame": ["the step 'say'", "plan.out"]}, {"blame": ("say", "plan")}),
        ({"blame": ["nobody", "SAY"], "should": "x"}, {"blame": ("say",), "should": None}),
        ({"defect": "a Prompt problem"}, {"defect": "prompt"}),
        ({"should": None}, {"should": None}),
        ({"should": "N/A."}, {"should": None}),
        ({"should": 7}, {"should": "7"}),
        ({"rule": "  Name\nit. "}, {"rule": "Name it."}),
    ],
)
def test_weak_replies_are_read_tolerantly(fields: dict[str, Json], wanted: dict[str, Json]) -> None:
    found, session = judged(run(TWO), said(**fields))
    assert found is not None
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert len(session.requests) == 1


def test_a_blame_without_a_known_step_goes_back_once_with_the_ids() -> None:
    found, session = judged(run(TWO), said(blame=["plam"]), said(blame=["say"]))
    assert found is not None
    assert found.blame == ("say",)
    assert "did you mean 'plan'? (ids: plan, say)" in session.requests[1].messages[-1]["content"]
    found, session = judged(run(TWO), said(blame=["nobody"]), said(blame=[]))
    assert found is None
    assert len(session.requests) == 2


@pytest.mark.parametrize("reply", ["no idea", "{}", said(defect="who knows"), Reply("", failure="refused")])
def test_garbage_is_no_verdict(reply: str | Reply) -> None:
    assert judged(run(TWO), reply, reply)[0] is None


def test_the_one_step_of_a_workflow_is_to_blame() -> None:
    found, _ = judged(run(flow(call("say", "q"))), said(blame=[], defect="capability", should="x"))
    assert found == Verdict("e1", ("say",), "capability", "Name it.", "x")


def test_a_rule_that_copies_goes_back_and_is_left_out_where_it_comes_again() -> None:
    def guard(text: str) -> str:
        return "copies an example" if "item 1" in text else ""

    found, session = judged(run(TWO), said(rule="item 1 is one"), said(rule="Count."), guard=guard)
    assert found is not None
    assert found.rule == "Count."
    assert "copies an example" in session.requests[1].messages[-1]["content"]
    found, _ = judged(run(TWO), said(rule="item 1 is one"), said(rule="item 1!"), guard=guard)
    assert found is not None
    assert (found.rule, found.blame) == ("", ("plan",))
    found, _ = judged(run(TWO), said(rule=""), "no idea")
    assert found is not None
    assert found.rule == ""


@pytest.mark.parametrize("rule", ["- do PLAN!", "", PROMPTS["verdict"][:90]])
def test_a_rule_that_says_nothing_new_goes_back(rule: str) -> None:
    found, session = judged(run(TWO), said(rule=rule), said(rule="Count."))
    assert len(session.requests) == 2
    assert found is not None
    assert found.rule == "Count."
    found, session = judged(run(TWO), said(rule="Do say."))  # another step's
    assert found is not None
    assert found.rule == "Do say."


def test_echoes_are_runs_of_words() -> None:
    assert echoes("So: name the UNIT, of all things here.", "Name the unit of all things.")
    assert not echoes("Name the unit of all.", "Name the unit of all things.")
    assert not echoes("", "")


def test_failures_and_tools_are_told() -> None:
    base = run(flow(call("plan", "q"), tool("sum", expression="$plan.out"), call("say", "sum.value")))
    text = told(base, 6000)
    assert "failed: no tools here" in text
    assert "sum (tool calc)" in text
    assert "say (call)" not in text


@pytest.mark.parametrize("room", [0, 1, 90, 250, 1000, 6000])
def test_what_is_told_is_bounded_whatever_the_length_of_the_trace(room: int) -> None:
    inner = [call("draft", "q"), call("check", "draft.out", "q")]
    wide = flow(block("best", "vote", n=16, body=[block("turns", "loop", max=4, body=inner)]), call("say", "best.out"))
    trace = run(wide, "word " * 5000)
    text = told(trace, room)
    assert len(text) <= room
    if room >= 1000:
        assert "say (call)" in text
        assert "runs of steps left out" in text
        assert text.count("instruction: ") <= 3


def test_short_texts_leave_their_room_to_long_ones() -> None:
    assert fair(["ab", "x" * 1000, ""], 500) == ["ab", cut("x" * 1000, 498), ""]
    long = fair(["a" * 900, "b" * 900], 1000)
    assert all(400 < len(each) <= 500 for each in long)
    assert fair(["abc"], 0) == [""]


@given(st.lists(st.text(max_size=400), max_size=8), st.integers(0, 900))
def test_fair_keeps_to_the_room(texts: Sequence[str], room: int) -> None:
    made = fair(texts, room)
    assert sum(map(len, made)) <= room
    if sum(map(len, texts)) <= room:
        assert made == list(texts)


def test_layer_by_layer_each_gradient_is_a_verdict() -> None:
    session = Scripted(lambda r: json.dumps({"critique": f"Mind  {r.purpose}."}))
    found = asyncio.run(layered(run(TWO), meta_of(session)))
    assert found == [
        Verdict("e1", ("plan",), "prompt", "Mind call_gradient."),
        Verdict("e1", ("say",), "prompt", "Mind loss_gradient."),
    ]
    assert asyncio.run(layered(run(TWO), meta_of(session), lambda text: "no")) == []


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["blame", "defect", "rule", "should", "x"]), json_values))
def test_no_reply_breaks_a_verdict(fields: dict[str, Json]) -> None:
    found, _ = judged(run(TWO), said(**fields), said(**fields))
    assert found is None or (set(found.blame) <= {"plan", "say"} and found.defect in DEFECTS)


@given(json_values)
def test_loose_types_take_whatever_comes(value: Json) -> None:
    assert isinstance(SAID.fit(value), str)
    assert all(isinstance(each, str) and each for each in LISTED.fit(value))
    assert all(isinstance(each, int) for each in NUMBERED.fit(value))
    assert all(set(each) == {"a", "b"} for each in records(a=SAID, b=LISTED).fit(value))
    with contextlib.suppress(Misfit):
        assert one_of(DEFECTS).fit(value) in DEFECTS


def test_loose_types_read_what_was_meant() -> None:
    assert NUMBERED.fit(["1", 2, "no. 3", "4, 5"]) == [1, 2, 3, 4, 5]
    assert LISTED.fit("one") == ["one"]
    assert LISTED.fit(None) == []
    assert records(a=SAID).fit({"a": None, "c": 1}) == [{"a": ""}]
    assert records(a=SAID).fit([{"a": "x"}, "y", 3]) == [{"a": "x"}]
    with pytest.raises(Misfit):
        one_of(["red", "green"]).fit("red or green")


def test_a_given_step_does_not_run_and_gives_its_values() -> None:
    session = Scripted(lambda r: f"from {r.schema_name}")
    trace = asyncio.run(forward(TWO, example(), session, given={"plan": {"out": "mine"}}))
    assert [request.schema_name for request in session.requests] == ["say"]
    part = trace.by_step["plan"]
    assert (part.gives, part.reads, part.usage.calls, part.messages) == ({"out": "mine"}, {"q": "item 1"}, 0, ())
    assert "plan.out:\nmine" in session.requests[0].messages[-1]["content"]


def test_a_given_step_in_a_body_gives_the_same_every_time_and_needs_nothing_before_it() -> None:
    body = [call("draft", "q"), call("fix", "draft.out", "previous.out")]
    workflow = flow(block("turns", "loop", max=2, body=body), call("say", "turns.out"))
    session = Scripted(lambda r: Reply("", failure="refused") if r.schema_name == "draft" else "x")
    trace = asyncio.run(forward(workflow, example(), session, given={"fix": {"out": "mine"}}))
    assert trace.error  # what failed beside it is still a failure
    session = Scripted(lambda r: f"from {r.schema_name}")
    trace = asyncio.run(forward(workflow, example(), session, given={"fix": {"out": "mine"}}))
    assert [request.schema_name for request in session.requests] == ["draft", "draft", "say"]
    assert [part.gives["out"] for part in trace.walk() if part.step == "fix"] == ["mine", "mine"]
    assert trace.by_step["turns"].gives == {"out": "mine"}


def test_a_given_block_has_no_bodies_on_the_tape() -> None:
    workflow = flow(block("best", "vote", n=3, body=[call("draft", "q")]), call("say", "best.out"))
    session = Scripted(lambda r: "x")
    trace = asyncio.run(forward(workflow, example(), session, given={"best": {"out": "mine"}}))
    assert len(session.requests) == 1
    assert trace.by_step["best"].bodies == ()
    assert trace.output == "x"
