"""Forward: run a workflow on one example. Steps whose reads are ready run at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from flowbot.engine.chat import Ask, exchange
from flowbot.engine.ports import Request, Session
from flowbot.engine.tasks import end
from flowbot.engine.trace import StepTrace, Trace
from flowbot.task.data import Example
from flowbot.workflow.fields import Json, Misfit
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call, ToolStep, literal, reference


@dataclass(frozen=True)
class Scene:
    """What a step can see while it runs: the values so far by reference, the session, and which draw this is."""

    workflow: Workflow
    session: Session
    draw: str
    values: dict[str, Json] = field(default_factory=dict[str, Json])


async def forward(workflow: Workflow, example: Example, session: Session, draw: str = "") -> Trace:
    """Return the trace of one run. A failing step ends the example with its reason; what it does not reach still runs.

    Raises `EndpointError` and `BudgetReached` only: everything else that goes wrong is data on the trace.
    """
    scene = Scene(workflow, session, draw, dict(example.inputs))
    tape = await _play(workflow, scene)
    steps = tuple(tape[step.id] for step in workflow.steps if step.id in tape)
    failed = next((step for step in steps if step.error), None)
    if failed is not None:
        return Trace(workflow, example, steps, error=f"step '{failed.path}' failed: {failed.error}")
    return Trace(workflow, example, steps, output=scene.values[workflow.output])


async def _play(workflow: Workflow, scene: Scene) -> Mapping[str, StepTrace]:
    tape: dict[str, StepTrace] = {}
    running: dict[str, asyncio.Task[None]] = {}

    async def play(step: Call | ToolStep) -> None:
        for before in workflow.upstream[step.id]:
            await running[before]
        if all(before in tape and not tape[before].error for before in workflow.upstream[step.id]):
            tape[step.id] = done = await RUN[step.kind](step, scene)
            scene.values.update({f"{step.id}.{name}": value for name, value in done.gives.items()})

    if len(workflow.steps) == 1:
        await play(workflow.steps[0])
        return tape
    try:
        for step in workflow.steps:
            running[step.id] = asyncio.create_task(play(step))
        for task in running.values():
            await task
    except BaseException:
        await end(running.values())
        raise
    return tape


async def run_call(step: Call, scene: Scene) -> StepTrace:
    """Make one LLM call."""
    reads = {source: scene.values[source] for source in step.reads}
    started = time.perf_counter()
    answer = await exchange(
        ask_of(step, reads),
        scene.session,
        Request(
            model=step.model or scene.workflow.model or "",
            messages=(),
            schema_name=step.id,
            temperature=step.temperature,
            max_tokens=step.max_tokens,
            draw=scene.draw,
        ),
    )
    seconds = time.perf_counter() - started
    return StepTrace(step.id, reads, answer.values or {}, answer.messages, answer.usage, seconds, answer.failure)


def ask_of(step: Call, reads: Mapping[str, Json]) -> Ask:
    """Return what a call asks for given values read: instruction, demos and labelled sections."""
    demos = [([(source, demo.reads[source]) for source in step.reads], demo.gives) for demo in step.demos]
    return Ask(step.prompt, list(reads.items()), step.gives, demos)


async def run_tool(step: ToolStep, scene: Scene) -> StepTrace:
    """Call one tool; its failure is the example's."""
    reads = {source: scene.values[source] for source in step.sources}
    args = {name: _argument(value, scene.values) for name, value in step.args.items()}
    reply = await scene.session.use_tool(scene.workflow, step.tool, args, scene.draw)
    name, kind = next(iter(step.gives.items()))
    failure = reply.failure
    gives: dict[str, Json] = {}
    if not failure:
        try:
            gives = {name: kind.fit(reply.value)}
        except Misfit as misfit:
            failure = f"the tool '{step.tool}' gave a value that does not fit '{name}': {misfit}"
    return StepTrace(step.id, reads, gives, seconds=reply.seconds, error=failure)


def _argument(value: Json, values: Mapping[str, Json]) -> Json:
    source = reference(value)
    return literal(value) if source is None else values[source]


Runner = Callable[..., Awaitable[StepTrace]]
RUN: Mapping[str, Runner] = {"call": run_call, "tool": run_tool}
