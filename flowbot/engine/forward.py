"""Forward: run a workflow on one example. Steps whose reads are ready run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from flowbot.engine.blocks import run_branch, run_loop, run_map, run_vote
from flowbot.engine.calls import run_call, run_code, run_tool
from flowbot.engine.ports import Session
from flowbot.engine.scene import Runner, Scene, Watch
from flowbot.engine.tasks import end
from flowbot.engine.trace import StepTrace, Trace, fault
from flowbot.task.data import Example
from flowbot.workflow.blocks import Step
from flowbot.workflow.body import StepList
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow


async def forward(
    workflow: Workflow,
    example: Example,
    session: Session,
    draw: str = "",
    given: Given | None = None,
    watch: Watch | None = None,
) -> Trace:
    """Return the trace of one run. A failing step ends the example with its reason; what it does not reach still runs.

    The steps that `given` names do not run, in bodies neither: each gives the values that stand there for its fields,
    in every turn, sample and item. (A vote's judge always runs.) `watch` is told of each step as it begins, and again
    with its part of the tape as it ends, those of bodies before their block. Raises `EndpointError`, `SandboxError` and
    `BudgetReached` only: everything else that goes wrong is data.
    """
    scene = Scene(workflow, session, draw, play, dict(example.inputs), held=given or {}, watch=watch)
    tape = await play(workflow, scene)
    steps = tuple(tape.values())
    failed = fault(tape)
    if failed is not None:
        return Trace(workflow, example, steps, error=f"step '{failed.path}' failed: {failed.error}")
    return Trace(workflow, example, steps, output=scene.values[workflow.output])


async def play(steps: StepList, scene: Scene) -> dict[str, StepTrace]:
    """Run steps; return the tape by step id in file order, without the steps that did not run."""
    tape: dict[str, StepTrace] = {}
    running: dict[str, asyncio.Task[None]] = {}

    async def run(step: Step) -> None:
        for before in steps.upstream[step.id]:
            await running[before]
        held = step.id in scene.held
        if held or all(before in tape and not tape[before].error for before in steps.upstream[step.id]):
            tape[step.id] = done = _held(step, scene) if held else await scene.run(step, RUN[step.kind])
            scene.values.update({f"{step.id}.{name}": value for name, value in done.gives.items()})

    if len(steps.steps) == 1:
        await run(steps.steps[0])
        return tape
    try:
        for step in steps.steps:
            running[step.id] = asyncio.create_task(run(step))
        await asyncio.gather(*running.values())
    except BaseException:
        await end(running.values())
        raise
    return {step.id: tape[step.id] for step in steps.steps if step.id in tape}


def _held(step: Step, scene: Scene) -> StepTrace:
    """Return the part of a step whose values are given; it read what was there by then."""
    reads = {source: scene.values[source] for source in step.sources if source in scene.values}
    return StepTrace(scene.at + step.id, reads, scene.held[step.id])


Given = Mapping[str, Mapping[str, Json]]  # by step id, the values of its fields
RUN: Mapping[str, Runner] = {
    "call": run_call,
    "tool": run_tool,
    "code": run_code,
    "vote": run_vote,
    "branch": run_branch,
    "map": run_map,
    "loop": run_loop,
}
