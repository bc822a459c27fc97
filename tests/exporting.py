"""What tests of exported programs share: workflows of the kinds that have a form, a model, and both ways to run."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from flowbot.faces.api import as_example, atraces
from flowbot.faces.export.python_script import python_script
from flowbot.workflow.blocks import Step, Vote
from flowbot.workflow.body import remade
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow, rebuild
from flowbot.workflow.steps import Call, CodeStep, ToolStep
from tests.servers import Answer, Body, serving
from tests.strategies import values, workflows

MODEL = "openai:gpt-4.1-mini"


@st.composite
def exportable(draw: st.DrawFn) -> tuple[Workflow, dict[str, Json]]:
    """Draw a workflow of the kinds that have a form as a program, and inputs for it."""
    made = draw(workflows())
    steps = remade(made.steps, _plain)
    kept = {name: spec for name, spec in made.tools.items() if name == "calc"}
    made = rebuild(made, steps=remade(steps, _shuffling), model=MODEL, tools=kept)
    return made, {name: kind.fit(draw(values(kind))) for name, kind in made.inputs.items()}


def _plain(step: Step) -> Step:
    """Return a step in a kind that has a form: a call in place of a program or a tool that is no calculator, a majority
    in place of tests."""
    if isinstance(step, ToolStep) and step.tool == "calc":
        return step
    if isinstance(step, ToolStep | CodeStep):
        return Call(id=step.id, reads=step.sources, gives=dict(step.gives), prompt=f"Do {step.id}.")
    if isinstance(step, Call):
        tools = ("calc",) if "calc" in step.tools else ()
        return step.changed({"tools": tools, "model": None if step.model is None else MODEL})
    if isinstance(step, Vote) and step.by == "tests":
        return step.changed({"by": "majority", "tool": None, "args": {}})
    return step


def _shuffling(step: Step) -> Step:
    return step.changed({"shuffle_demos": step.n == 3}) if isinstance(step, Vote) else step


def model(seed: int) -> Callable[[Body, int], Answer]:
    """Return a script whose replies depend on the request alone, and at a temperature on how often it came: they fit
    mostly, some have text around them, some do not fit, some are cut."""
    came: dict[str, int] = {}

    def script(body: Body, index: int) -> Answer:
        plain = json.dumps(body, sort_keys=True)
        came[plain] = came.get(plain, 0) + 1
        sample = came[plain] if body.get("temperature") else 0
        digest = hashlib.blake2b(f"{seed}|{sample}|{plain}".encode(), digest_size=8).digest()
        return _answer(body, random.Random(digest))

    return script


def _answer(body: Body, chance: random.Random) -> Answer:
    if chance.random() < 0.03:
        return chance.choice([Answer(text="cut", finish="length"), Answer(text=" "), Answer(text=None, refusal="No.")])
    if body.get("tools") and body.get("tool_choice") != "none" and chance.random() < 0.6:
        return Answer(text=chance.choice([None, "Let me see."]), calls=_calls(chance), finish="tool_calls")
    asked = body.get("response_format")
    if asked is None:
        return Answer(text=chance.choice(["yes", " Yes. ", "no", 'a "word"\n\n{x} \\ ☃', "12"]))
    found = _value(asked["json_schema"]["schema"], chance)
    if chance.random() < 0.2:
        broken: list[str] = [
            "",
            "no JSON",
            "[1]",
            '{"x": NaN}',
            '{"x": 1e999}',
            json.dumps(dict(list(found.items())[1:])),
        ]
        broken += [json.dumps(dict.fromkeys(found, each)) for each in (None, "what", [1], {"z": 1}, -0.5)]
        return Answer(text=chance.choice(broken))
    text = json.dumps(found, ensure_ascii=chance.random() < 0.5)
    return Answer(text=chance.choice([text, f"Here it is:\n```json\n{text}\n```\nDone.", f"  {text}\n"]))


SUMS = ["2 * (3 + 4)", "1 / 0", "10 ** 6.5", " 2^3 ", "max(1, 2.5)", "sqrt(-1)", "round(2.567, 2)", "__import__('os')"]


def _calls(chance: random.Random) -> list[tuple[str, Any]]:
    """Return calls of the calculator as models write them: most are sound, some name no tool or no expression."""
    odd = [{"expression": None}, {"x": 1}, {}, "", "no JSON", "[1]", 'Here: {"expression": "1 + 1"}', {"expression": 5}]
    args = [{"expression": chance.choice(SUMS)} if chance.random() < 0.7 else chance.choice(odd) for _ in range(3)]
    return [(chance.choice(["calc"] * 8 + ["Calc!", ""]), each) for each in args[: chance.randint(1, 3)]]


def _value(schema: Mapping[str, Any], chance: random.Random) -> Any:
    if "enum" in schema:
        said = chance.choice(schema["enum"])
        return chance.choice([said, f" {said.upper()} "])
    match schema.get("type"):
        case "object":
            return {name: _value(each, chance) for name, each in schema.get("properties", {}).items()}
        case "array":
            return [_value(schema.get("items", {}), chance) for _ in range(chance.randint(0, 3))]
        case "number":
            return chance.choice([1, 2, 2.0, 0.25, "1,234", -7, 10**20])
        case "boolean":
            return chance.choice([True, False, "yes", "False"])
        case "string":
            return chance.choice(["red", "Red.", "blue", "", "7", "é\u2028"])
        case _:
            return chance.choice([None, True, 3, "text", [1, [2]], {"a": {"b": "☃"}}])


def run_here(workflow: Workflow, inputs: Mapping[str, Json], url: str | None = None) -> tuple[str, Json]:
    """Run a workflow by FlowBot, one call at a time; return its failure and its output."""

    async def traced() -> tuple[str, Json]:
        example = as_example(workflow, inputs, "input")
        async for trace in atraces(workflow, [example], base_url=url, concurrency=1):
            return trace.error, trace.output
        raise AssertionError("no trace")

    return asyncio.run(traced())


def run_exported(source: str, inputs: Mapping[str, Json]) -> tuple[str, Json]:
    """Run an exported program in this process, one call at a time; return its failure and its output."""
    module = imported(source)
    module.SLOTS = asyncio.Semaphore(1)
    try:
        return "", asyncio.run(module.closed(module.run(*inputs.values())))
    except module.Failed as failed:
        return str(failed), None


def imported(source: str) -> Any:
    """Return an exported program as a module."""
    module = sys.modules["exported"] = ModuleType("exported")
    exec(compile(source, "exported.py", "exec"), vars(module))
    return module


def both(workflow: Workflow, inputs: Mapping[str, Json], seed: int, environ: Callable[[str, str], None]) -> None:
    """Hold an exported program to the workflow: the same requests, the same output, or a failure of both."""
    source = python_script(workflow)
    with serving(model(seed)) as here:
        failure, output = run_here(workflow, inputs, here.url)
    with serving(model(seed)) as there:
        environ("OPENAI_BASE_URL", there.url)
        failed, given = run_exported(source, inputs)
    assert bool(failure) == bool(failed), (failure, failed)
    assert json.dumps(output) == json.dumps(given)
    if not failure:
        ours, theirs = (
            sorted(json.dumps(each.body, sort_keys=True) for each in made.requests) for made in (here, there)
        )
        assert ours == theirs
