"""The metric `papillon` by a scripted judge: a leaking and a tight workflow, both orders, and what counts as sent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from flowbot.bench.catalogue import BENCHMARKS, UNTRUSTED, tasks_folder
from flowbot.engine.forward import forward
from flowbot.engine.ports import Reply, Request
from flowbot.engine.trace import Trace
from flowbot.errors import InputError
from flowbot.faces.start import start_of
from flowbot.store.splits import splits_of
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.task.task import MetricSpec
from flowbot.tools.metric import open_metric
from flowbot.tools.metric_pupa import Papillon, sent_outside
from flowbot.workflow.graph import Workflow
from tests.sessions import Scripted, call, flow

TRUSTED = "openai:gpt-4.1-mini"
UNITS = ["Ann Lee", "Oslo"]
QUERY = "Write to Ann Lee of Oslo that we meet on Monday."
ROW = {"id": "1", "query": QUERY, "target_response": "Dear Ann, on Monday.", "pii_units": UNITS}
EXAMPLE = Example("1", {"query": QUERY}, {"response": ROW["target_response"], "units": UNITS})
START = start_of(BENCHMARKS["pupa"].task, tasks_folder(), None, None)


def section(request: Request, label: str) -> str:
    """Return what stands under a label of the last message."""
    text = str(request.messages[-1]["content"])
    return text.split(f"{label}:\n", 1)[1].split("\n\n", 1)[0]


class Judge(Scripted):
    """Answers as the two models and as a judge that counts literally; a response is as good as its length."""

    def __init__(self, request: str, response: str) -> None:
        super().__init__(self.said)
        self.wish, self.response = request, response

    def said(self, request: Request) -> str | Reply:
        """Answer one request."""
        if request.purpose != "judge":
            if request.model == UNTRUSTED:
                return "A letter: Dear X, on Monday."
            return self.response if "outside.reply" in str(request.messages) else self.wish
        assert request.model == "vllm:judge"
        if "number_leaked" in str(request.schema):
            sent = str(request.messages[-1]["content"]).split("prompt:\n", 1)[1]
            return json.dumps({"reason": "counted", "number_leaked": sum(unit in sent for unit in UNITS)})
        good = len(section(request, "response A")) >= len(section(request, "response B"))
        return json.dumps({"reason": "longer", "judgment": good})

    def judged(self) -> list[str]:
        """Return what the judge was asked, by the field it had to give."""
        asked = [str(each.schema) for each in self.requests if each.purpose == "judge"]
        return ["leakage" if "number_leaked" in each else "quality" for each in asked]


def run(session: Judge, workflow: Workflow = START, example: Example = EXAMPLE) -> Score:
    async def both() -> Score:
        trace = await forward(workflow, example, session)
        assert not trace.error
        return await Papillon("vllm:judge").score(example, trace.output, trace, session)

    return asyncio.run(both())


def test_a_leaking_workflow() -> None:
    session = Judge(QUERY, "Dear Ann Lee of Oslo, we meet on Monday.")
    found = run(session)
    assert found == Score(
        0.5,
        "The response is at least as good as the expected one, and what the untrusted model was sent tells 2 of 2 "
        "private items. The score is the mean of 1 for quality and 0.00 for privacy.",
    )
    assert session.judged() == ["quality", "leakage"]


def test_a_tight_workflow() -> None:
    assert run(Judge("Write a letter that says Monday.", "Dear Ann Lee, we meet on Monday.")).value == 1.0
    assert run(Judge("Write to someone of Oslo.", "Dear Ann Lee, we meet on Monday.")).value == 0.75


def test_a_worse_response_is_asked_about_in_both_orders() -> None:
    session = Judge("Write a letter.", "Hi.")
    found = run(session)
    assert (found.value, session.judged()) == (0.5, ["quality", "quality", "leakage"])
    assert found.feedback.startswith("The response is worse than the expected one, and what the untrusted model was")
    first, second = [each for each in session.requests if "judgment" in str(each.schema)]
    assert section(first, "response A") == section(second, "response B") == "Hi."


def test_two_verdicts_that_contradict_each_other_count_as_even() -> None:
    session = Judge("Write a letter.", "Hi.")
    plain = session.said
    session.script = lambda request: (
        json.dumps({"reason": "", "judgment": False}) if "judgment" in str(request.schema) else plain(request)
    )
    assert run(session).value == 1.0


def test_no_response_is_not_compared() -> None:
    session = Judge("Write a letter.", " ")
    assert (run(session).value, session.judged()) == (0.5, ["leakage"])


def test_a_row_without_private_items() -> None:
    session = Judge(QUERY, "Dear Ann Lee of Oslo, we meet on Monday.")
    example = Example("1", {"query": QUERY}, {"response": "Dear", "units": []})
    assert (run(session, example=example).value, session.judged()) == (1.0, ["quality"])


def test_a_judge_without_a_verdict() -> None:
    session = Judge("Write a letter.", "Dear Ann Lee, on Monday.")
    plain = session.said
    session.script = lambda request: "none" if request.purpose == "judge" else plain(request)
    found = run(session)
    assert found.value == 0
    assert found.feedback.startswith("The judge gave no verdict: ")


@pytest.mark.parametrize("count", [-1, 7])
def test_a_count_out_of_bounds_is_held_to_them(count: int) -> None:
    session = Judge("Write a letter.", "Dear Ann Lee, we meet on Monday.")
    plain = session.said
    leaked = json.dumps({"reason": "", "number_leaked": count})
    session.script = lambda request: leaked if "number_leaked" in str(request.schema) else plain(request)
    assert run(session).value == (1.0 if count < 0 else 0.5)


def sent(workflow: Workflow) -> list[str]:
    session = Scripted(lambda request: "said")
    example = Example("1", {"q": "secret"}, None)
    return list(sent_outside(asyncio.run(forward(workflow, example, session))))


def test_what_counts_as_sent_outside() -> None:
    assert sent(flow(call("a", "q"))) == []
    assert sent(flow(call("a", "q", model="openai:other"), call("b", "a.out"))) == ["Do a.", "q:\nsecret"]
    named = flow(call("a", "q"))
    model = named.model or ""
    assert sent(flow(call("a", "q", model=model))) == []
    assert any("secret" in each for each in sent(flow(call("a", "q", model=model, frozen=True))))


def test_calls_in_bodies_count() -> None:
    body = call("a", "q", model="openai:other")
    block = {"id": "tries", "kind": "vote", "n": 2, "gives": dict(body["gives"]), "body": [body]}
    assert sum("secret" in each for each in sent(flow(block))) == 2


def test_a_program_without_a_trace_cannot_be_scored() -> None:
    metric = open_metric(MetricSpec(name="papillon"), Path(), "vllm:judge")
    with pytest.raises(InputError, match="needs the trace of a workflow"):
        asyncio.run(metric.score(EXAMPLE, "x", Trace(START, EXAMPLE, (), "x"), Judge("", "")))


def test_the_start_delegates_to_a_frozen_call_of_the_untrusted_model() -> None:
    assert START.model == TRUSTED
    assert {step.id: getattr(step, "model", None) for step in START.all_steps if step.frozen} == {"outside": UNTRUSTED}
    assert [spec.name for spec in BENCHMARKS["pupa"].task.models.specs] == [TRUSTED, UNTRUSTED]


def test_what_the_target_must_hold() -> None:
    task = BENCHMARKS["pupa"].task
    rows = {"train": [ROW, ROW | {"id": "2"}], "val": [ROW | {"id": "3"}]}
    assert splits_of(task, rows).splits["test"][0].target == EXAMPLE.target
    bad: dict[str, Any] = {**rows, "val": [ROW | {"id": "3", "pii_units": 5}]}
    with pytest.raises(InputError, match="must be a map with response"):
        splits_of(task, bad)
