"""Backward: who gets which gradient, with which words; the order in which calls end changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence

import pytest

from flowbot.engine.backward import Gradient, backward, sketch_gradient
from flowbot.engine.ports import EndpointError, Reply, Request
from flowbot.engine.trace import StepTrace, Trace
from flowbot.task.metrics import Score
from flowbot.workflow.draw import outline
from flowbot.workflow.graph import Workflow
from tests.sessions import Scripted, call, example, flow, meta_of, tool
from tests.worlds import section

CHAIN = flow(call("one", "q"), call("two", "one.out"), call("three", "q", "two.out"))
# one feeds left, and through a tool right; last reads both
DIAMOND = flow(
    call("one", "q"),
    call("left", "one.out"),
    tool("look", expression="$one.out"),
    call("right", "look.value"),
    call("last", "left.out", "right.out"),
)


def traced(workflow: Workflow, failing: str = "", skipped: Sequence[str] = ()) -> Trace:
    """Return a trace as forward makes it: every step gave `ID's`, the failing one nothing."""
    steps: list[StepTrace] = []
    for step in workflow.steps:
        if step.id in skipped:
            continue
        reads = {source: f"{source} said" for source in step.sources}
        gives = {} if step.id == failing else dict.fromkeys(step.gives, f"{step.id}'s")
        steps.append(StepTrace(step.id, reads, gives, error="it refused" if step.id == failing else ""))
    error = f"step '{failing}' failed: it refused" if failing else ""
    output = None if failing else f"{workflow.output.partition('.')[0]}'s"
    return Trace(workflow, example(), tuple(steps), output, error).scored(Score(0.0, "Wrong."))


def critic(request: Request) -> str:
    """Criticise by the step's name, which stands in its instruction."""
    instruction = section(request.messages[-1]["content"], "instruction", "what it read")
    return json.dumps({"critique": f"mend {instruction}"})


def run(trace: Trace, shuffle: int | None = None) -> tuple[Sequence[Gradient], dict[str, Request], Scripted]:
    session = Scripted(critic, shuffle=shuffle)
    found = asyncio.run(backward(trace, meta_of(session, draw="d")))
    by_step = {section(r.messages[-1]["content"], "instruction", "what it read"): r for r in session.requests}
    return found, {text[3:-1]: request for text, request in by_step.items()}, session


def heard(request: Request) -> str:
    """Return what a gradient call was told beside the step's own: the part behind what it gave."""
    return request.messages[-1]["content"].partition("what it gave:\n")[2].partition("\n\n")[2]


def test_a_chain_goes_back_from_the_loss() -> None:
    found, asked, session = run(traced(CHAIN))
    assert session.purposes() == ["loss_gradient", "call_gradient", "call_gradient"]
    assert list(asked) == ["three", "two", "one"]
    assert [(each.step, each.example, each.critique) for each in found] == [
        ("one", "e1", "mend Do one."),
        ("two", "e1", "mend Do two."),
        ("three", "e1", "mend Do three."),
    ]
    assert heard(asked["three"]) == "result:\nOutput: three's\nExpected: one\nScore: 0. Wrong."
    assert heard(asked["two"]) == "critique of the later steps:\nmend Do three."
    assert heard(asked["one"]) == "critique of the later steps:\nmend Do two."
    assert "what it read:\none.out: one.out said\n\nwhat it gave:\nout: two's" in asked["two"].messages[-1]["content"]
    assert {request.draw for request in session.requests} == {"d"}


def test_a_diamond_merges_its_consumers_and_a_tool_passes_through() -> None:
    found, asked, session = run(traced(DIAMOND))
    assert Counter(session.purposes()) == {"loss_gradient": 1, "call_gradient": 3}
    assert [each.step for each in found] == ["one", "left", "right", "last"]
    assert asked["last"].purpose == "loss_gradient"
    assert heard(asked["right"]) == "critique of the later steps:\nmend Do last."
    assert heard(asked["one"]) == "critique of the later steps:\nmend Do left.\n\nmend Do right."


def test_a_tool_at_the_end_hands_the_loss_to_the_call_that_made_its_arguments() -> None:
    found, asked, session = run(
        traced(flow(call("one", "q"), call("two", "one.out"), tool("do", expression="$two.out")))
    )
    assert session.purposes() == ["loss_gradient", "call_gradient"]
    assert [each.step for each in found] == ["one", "two"]
    assert heard(asked["two"]).startswith("result:\n")


def test_a_call_that_the_loss_and_a_later_call_reach_hears_both() -> None:
    function = {"calc": {"kind": "function", "function": "m:f"}}
    do = tool("do", a="$one.out", b="$two.out")
    workflow = flow(call("one", "q"), call("two", "one.out"), do, tools=function)
    _, asked, _ = run(traced(workflow))
    assert asked["one"].purpose == "loss_gradient"
    assert heard(asked["one"]).startswith("result:\nOutput: do's\n")
    assert heard(asked["one"]).endswith("\n\ncritique of the later steps:\nmend Do two.")


@pytest.mark.parametrize("workflow", [CHAIN, DIAMOND])
def test_the_order_of_finishing_changes_nothing(workflow: Workflow) -> None:
    runs = [run(traced(workflow), shuffle) for shuffle in (None, *range(12))]
    assert len({tuple(found) for found, _, _ in runs}) == 1
    asked = [sorted(request.key() for request in session.requests) for _, _, session in runs]
    assert all(each == asked[0] for each in asked)


def test_where_a_step_failed_the_loss_starts_there() -> None:
    found, asked, session = run(traced(CHAIN, "two", ["three"]))
    assert session.purposes() == ["loss_gradient", "call_gradient"]
    assert [each.step for each in found] == ["one", "two"]
    assert (
        heard(asked["two"]) == "result:\nThe run failed: step 'two' failed: it refused\nExpected: one\nScore: 0. Wrong."
    )
    assert "what it gave:\nit refused" in asked["two"].messages[-1]["content"]


def test_a_branch_whose_output_nothing_used_gets_no_gradient() -> None:
    found, asked, _ = run(traced(DIAMOND, "right", ["last"]))
    assert [each.step for each in found] == ["one", "right"]
    assert set(asked) == {"one", "right"}
    assert heard(asked["one"]) == "critique of the later steps:\nmend Do right."


def test_a_failing_tool_hands_the_loss_on() -> None:
    found, asked, _ = run(traced(DIAMOND, "look", ["right", "last"]))
    assert [each.step for each in found] == ["one"]
    assert asked["one"].purpose == "loss_gradient"


def test_a_gradient_that_does_not_come_leaves_the_others() -> None:
    def script(request: Request) -> str | Reply:
        return Reply("", failure="refused") if "Do two." in request.messages[-1]["content"] else critic(request)

    session = Scripted(script)
    found = asyncio.run(backward(traced(CHAIN), meta_of(session)))
    assert [each.step for each in found] == ["three"]
    assert session.purposes() == ["loss_gradient", "call_gradient"]


def test_an_endpoint_that_fails_is_raised() -> None:
    def script(request: Request) -> str:
        raise EndpointError("down")

    with pytest.raises(EndpointError):
        asyncio.run(backward(traced(DIAMOND), meta_of(Scripted(script))))


def test_the_sketchs_gradient_sees_structure_steps_and_result() -> None:
    session = Scripted(lambda r: '{"critique": "split it"}')
    trace = traced(DIAMOND)
    found = asyncio.run(sketch_gradient(trace, meta_of(session)))
    assert found == Gradient(None, "e1", "split it")
    request = session.requests[0]
    assert request.purpose == "workflow_gradient"
    text = request.messages[-1]["content"]
    assert text.startswith(f"workflow:\n{outline(DIAMOND)}\n\ninputs:\n")
    assert "steps:\none gave: " in text
    assert text.endswith("result:\nOutput: last's\nExpected: one\nScore: 0. Wrong.")
    assert not any(prompt in text for prompt in DIAMOND.prompts.values())


def test_no_gradient_of_the_sketch_without_a_reply() -> None:
    session = Scripted(lambda r: Reply("", failure="refused"))
    assert asyncio.run(sketch_gradient(traced(CHAIN), meta_of(session))) is None
