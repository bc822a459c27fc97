"""Seeds: the shapes that a task can have, with and without tools, for every type of output; and one drawn freely."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from flowbot.engine.forward import forward
from flowbot.engine.ports import Program, Ran, Reply, Request, ToolReply
from flowbot.faces.start import bounded, direct
from flowbot.search.lab import Candidate, Lab
from flowbot.search.shapes import SHAPES, free_sketch, shapes
from flowbot.task.data import Example
from flowbot.task.task import Task
from flowbot.workflow.document import read_workflow, write_workflow
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Bounds, Workflow
from flowbot.workflow.steps import Call
from tests import worlds
from tests.labs import lab_of
from tests.sessions import Scripted, call, flow
from tests.strategies import workflows

WITHOUT_TOOLS = ["reason, then answer", "decompose, solve the parts, combine", "solve, check, fix", "vote of 3"]
TYPES: Sequence[Json] = ["text", "number", "bool", "choice[x, y]", "list[text]", "json", {"json": {"type": "object"}}]
PYTHON = {"python": {"kind": "python"}}
BM25 = {"calc": {"kind": "calculator"}, "wiki": {"kind": "bm25", "corpus": "wiki.jsonl"}}


def task(**changes: Any) -> Task:
    return worlds.task(description="Say it.", **changes)


def lab(start: Workflow | None = None, bounds: Bounds | None = None, **changes: Any) -> Lab:
    """Return the lab of a task with its own start."""
    made = task(**changes)
    return lab_of(start or bounded(direct(made), made), description=made.description, bounds=bounds or Bounds())


def by_name(made: Sequence[Candidate]) -> dict[str, Workflow]:
    return {each.edits[0]: each.workflow for each in made}


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize(
    ("tools", "more"),
    [({}, []), (PYTHON, ["write a program and run it"]), (BM25, ["search, read, search again"])],
    ids=["none", "python", "search"],
)
def test_every_shape_fits_the_task(kind: Json, tools: Mapping[str, Json], more: list[str]) -> None:
    place = lab(output={"a": kind}, tools=tools)
    made = shapes(place)
    assert list(by_name(made)) == WITHOUT_TOOLS + more  # the direct call is the start
    assert place.start.id not in {each.id for each in made}
    for each in made:
        found = each.workflow
        assert (each.operator, each.parent) == ("seed", place.start.id)
        assert found.inputs == place.start.inputs
        assert found.output.endswith(".a")
        assert found.output_type == place.start.output_type
        assert found.model == place.start.model
        assert all(prompt.startswith("Say it.\n\n") for prompt in found.prompts.values())
        assert read_workflow(write_workflow(found)) == found


def test_another_start_has_the_direct_call_as_a_shape() -> None:
    own = direct(task())
    start = flow(call("think", "q"), call("say", "think.out", gives={"a": "text"}), tools={})
    made = by_name(shapes(lab(start)))
    assert made["answer in one call"].steps == own.steps


def test_shapes_keep_the_bounds_and_frozen_steps() -> None:
    assert list(by_name(shapes(lab(bounds=Bounds(calls=4, depth=9))))) == ["reason, then answer"]
    frozen = flow(call("think", "q", frozen=True), call("say", "think.out", gives={"a": "text"}))
    assert shapes(lab(frozen)) == []


def test_names_that_the_task_takes_are_not_taken_again() -> None:
    names = ["answer", "reason", "split", "vote", "parts", "query"]
    made = shapes(lab(inputs=dict.fromkeys(names, "text"), output={"feedback": "text"}, tools=PYTHON | BM25))
    assert len(made) == len(SHAPES) - 1
    assert [*by_name(made)["vote of 3"].calls[0].gives] == ["reasoning", "feedback"]
    for name, found in (("ok", 4), ("reasoning", 6), ("result", 6)):
        outputs = by_name(shapes(lab(output={name: "number"}, tools=PYTHON | BM25)))
        assert len(outputs) >= found, name


def test_replies_are_bounded_as_the_start_has_it_with_room_to_reason() -> None:
    assert {each.max_tokens for each in shapes(lab())[0].workflow.calls} == {50, 400}  # the world's model has 50
    unbound = flow(call("say", "q", gives={"a": "text"}))
    assert {each.max_tokens for each in shapes(lab(unbound))[0].workflow.calls} == {None}


@pytest.mark.parametrize(
    ("spec", "query"),
    [
        ({"kind": "function", "function": "m:f", "arguments": {"query": "text"}}, "query"),
        ({"kind": "function", "function": "m:f", "arguments": {"Q": "text", "k": "number"}, "optional": ["k"]}, "Q"),
        ({"kind": "mcp", "url": "http://x", "tool": "s", "arguments": {"search": "text"}}, "search"),
        ({"kind": "mcp", "url": "http://x", "arguments": {"search": "text"}, "side_effects": "allowed"}, ""),
        ({"kind": "function", "function": "m:f", "arguments": {"article": "text"}}, ""),
        ({"kind": "function", "function": "m:f", "arguments": {"query": "text", "to": "text"}}, ""),
        ({"kind": "function", "function": "m:f", "arguments": {"query": "number"}}, ""),
        ({"kind": "function", "function": "m:f"}, ""),
        ({"kind": "calculator"}, ""),
    ],
)
def test_a_tool_that_searches_is_known_by_its_one_argument(spec: Json, query: str) -> None:
    made = by_name(shapes(lab(tools={"t": spec}))).get("search, read, search again")
    assert (made is not None) == bool(query)
    if made is not None:
        assert [getattr(step, "args", None) for step in made.steps[:3]] == [
            {query: "$q"},
            None,
            {query: "$next_query.query"},
        ]


def test_a_task_of_several_inputs_asks_for_its_first_query() -> None:
    made = by_name(shapes(lab(inputs={"claim": "text", "year": "number"}, tools=BM25)))["search, read, search again"]
    assert [step.id for step in made.steps] == ["ask", "first", "next_query", "second", "answer"]


def test_all_shapes_run() -> None:
    def said(request: Request) -> str:
        if request.schema is None:
            return "said"
        kinds = {"array": ["one", "two"], "boolean": False, "string": "said"}
        return json.dumps({name: kinds[each["type"]] for name, each in request.schema["properties"].items()})

    def searched(name: str, args: Mapping[str, Json]) -> ToolReply:
        return ToolReply(["a passage"])

    def ran(program: Program) -> Ran:
        return Ran("said\n")

    session: Any = Scripted(said, tool=searched, program=ran)
    counts = {}
    for name, workflow in by_name(shapes(lab(tools=PYTHON | BM25))).items():
        session.requests.clear()
        trace = asyncio.run(forward(workflow, Example("e", {"q": "why"}), session))
        assert (trace.output, trace.error) == ("said", ""), name
        counts[name] = len(session.requests)
    assert counts == dict(zip([*SHAPES][1:], [2, 4, 4, 3, 1, 2], strict=True))


@settings(deadline=None, max_examples=60)
@given(workflows())
def test_of_any_start_shapes_are_valid_and_others(start: Workflow) -> None:
    for each in shapes(lab(start)):
        assert each.id != start.id
        assert start.output_type.accepts(each.workflow.within(Bounds()).output_type)


# ------------------------------------------------------------------ a free sketch

DRAWN = {
    "steps": [
        {"id": "think", "role": "think", "reads": ["q"], "gives": [{"name": "idea", "type": "text"}]},
        {"id": "answer", "role": "say", "reads": ["think.idea"], "gives": [{"name": "a", "type": "text"}]},
    ],
    "output": "answer.a",
}


def sketch(reply: Json, number: int = 0) -> tuple[Candidate | None, list[Request]]:
    """Return the free sketch where the meta model draws so, and what it was asked."""
    asked: list[Request] = []

    def script(request: Request) -> Reply:
        asked.append(request)
        texts = {"workflow_update": reply, "prompt_init": {"instruction": "Do your part."}}
        return Reply(json.dumps(texts[request.purpose]))

    place = lab_of(direct(task()), description="Say it.", script=script)
    return asyncio.run(free_sketch(place, number)), asked


def test_the_meta_model_draws_one_with_prompts_and_it_is_counted() -> None:
    made, asked = sketch(DRAWN)
    assert made is not None
    assert made.workflow.prompts == {"think": "Do your part.", "answer": "Do your part."}
    assert [request.purpose for request in asked] == ["workflow_update", "prompt_init", "prompt_init"]
    assert made.paid.calls == 3
    assert made.operator == "seed"
    assert "a careful expert" in asked[0].messages[1]["content"]
    assert {request.temperature for request in asked} == {0.0}
    second, asked = sketch(DRAWN, number=1)
    assert second is not None
    assert {(request.temperature, request.draw) for request in asked} == {(0.7, "free sketch 2")}


def test_a_sketch_that_is_not_valid_or_the_start_again_is_none() -> None:
    assert sketch(DRAWN | {"output": "nothing.a"})[0] is None
    (step,) = [each for each in direct(task()).steps if isinstance(each, Call)]
    same = {"id": step.id, "role": "", "reads": ["q"], "gives": [{"name": "a", "type": "text"}]}
    assert sketch({"steps": [same], "output": f"{step.id}.a"})[0] is None


def test_a_task_may_bring_its_own_texts() -> None:
    place = lab()
    place.meta = replace(place.meta, prompts={**place.meta.prompts, "shape_reason": "Think aloud."})
    assert by_name(shapes(place))["reason, then answer"].prompts["reason"] == "Say it.\n\nThink aloud."
