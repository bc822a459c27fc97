"""Backward: textual gradients, from the last layer to the first (arXiv 2604.26258)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from flowbot.engine.meta import Meta
from flowbot.engine.tasks import end
from flowbot.engine.trace import StepTrace, Trace
from flowbot.workflow.draw import outline
from flowbot.workflow.fields import TEXT, Json, as_text
from flowbot.workflow.steps import Call, ToolStep

CRITIQUE = {"critique": TEXT}


@dataclass(frozen=True)
class Gradient:
    """A critique in words, of one step on one example. The loss itself is the gradient of no step."""

    step: str | None
    example: str
    critique: str


async def backward(trace: Trace, meta: Meta) -> Sequence[Gradient]:
    """Return the gradient of each call on the trace, in file order.

    g_K = LLM(x_K, y, L(x_K, y)) at the call that made the output (or failed); g_k = LLM(x_k, x_k+1, g_k+1) at each
    call before it, with the gradients of all its consumers. Only the layers of one trace wait for each other. A step
    that did not run, or whose output nothing used, gets none.
    """
    workflow = trace.workflow
    ends = {step.path for step in trace.steps if step.error} or {workflow.output.partition(".")[0]}
    going: dict[str, asyncio.Task[Sequence[Gradient]]] = {}

    async def gradients(step: Call | ToolStep) -> Sequence[Gradient]:
        incoming = [loss_of(trace)] if step.id in ends else []
        for consumer in workflow.consumers[step.id]:
            if consumer in going:
                incoming += await going[consumer]
        return await BACK[step.kind](step, trace, incoming, meta) if incoming else []

    try:
        for step in reversed(workflow.steps):
            if step.id in trace.by_step:
                going[step.id] = asyncio.create_task(gradients(step))
        found = [each for task in going.values() for each in await task]
    except BaseException:
        await end(going.values())
        raise
    order = {step.id: index for index, step in enumerate(workflow.steps)}
    calls = {each for each in found if each.step is not None}
    return sorted(calls, key=lambda each: (order[each.step or ""], each.critique))


def loss_of(trace: Trace) -> Gradient:
    """Return the loss L(x, y): the score and the metric's words about the output and the expected value."""
    score = trace.score
    said = f"Output: {_short(trace.output)}\nExpected: {_short(trace.example.target)}"
    if trace.error:
        said = f"The run failed: {trace.error}\nExpected: {_short(trace.example.target)}"
    points = f"\nScore: {score.value:g}. {score.feedback}" if score else ""
    return Gradient(None, trace.example.id, said + points)


async def call_backward(step: Call, trace: Trace, incoming: Sequence[Gradient], meta: Meta) -> Sequence[Gradient]:
    """Ask for the critique of one call: a loss gradient where the loss reaches it, else a call gradient."""
    here = trace.by_step[step.id]
    loss = sorted({gradient.critique for gradient in incoming if gradient.step is None})
    later = sorted({gradient.critique for gradient in incoming if gradient.step is not None})
    heard = [("result", loss), ("critique of the later steps", later)]
    values = await meta.ask(
        "loss_gradient" if loss else "call_gradient",
        [("instruction", step.prompt), *_seen(here), *((what, "\n\n".join(said)) for what, said in heard if said)],
        CRITIQUE,
    )
    return [Gradient(step.id, trace.example.id, str(values["critique"]))] if values else []


async def tool_backward(step: ToolStep, trace: Trace, incoming: Sequence[Gradient], meta: Meta) -> Sequence[Gradient]:
    """Pass the gradients through to the call that made the arguments."""
    return incoming


async def sketch_gradient(trace: Trace, meta: Meta) -> Gradient | None:
    """Return g_W = LLM(W, {x_i}, y, L): what to add, remove, merge, reorder, or change in the structure."""
    steps = "\n".join(f"{step.path} gave: {step.error or _short(dict(step.gives))}" for step in trace.steps)
    values = await meta.ask(
        "workflow_gradient",
        [
            ("workflow", outline(trace.workflow)),
            ("inputs", _short(dict(trace.example.inputs))),
            ("steps", steps),
            ("result", loss_of(trace).critique),
        ],
        CRITIQUE,
    )
    return Gradient(None, trace.example.id, str(values["critique"])) if values else None


def _seen(step: StepTrace) -> list[tuple[str, Json]]:
    read = "\n".join(f"{name}: {as_text(value)}" for name, value in step.reads.items())
    gave = step.error or "\n".join(f"{name}: {as_text(value)}" for name, value in step.gives.items())
    return [("what it read", read), ("what it gave", gave)]


def _short(value: Json) -> str:
    text = as_text(value) if value is not None else "nothing"
    return text if len(text) <= 2000 else text[:1997] + "..."


Local = Callable[..., Awaitable[Sequence[Gradient]]]
BACK: Mapping[str, Local] = {"call": call_backward, "tool": tool_backward}
