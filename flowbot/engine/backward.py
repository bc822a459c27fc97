"""Backward: textual gradients, from the last layer to the first (arXiv 2604.26258)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flowbot.engine.meta import Meta
from flowbot.engine.tasks import end
from flowbot.engine.trace import StepTrace, Trace, fault
from flowbot.workflow.blocks import ITEM, SAMPLES, Branch, Loop, Map, Step, Vote
from flowbot.workflow.body import Block, Body, StepList
from flowbot.workflow.draw import outline
from flowbot.workflow.fields import TEXT, Json, as_text
from flowbot.workflow.requests import ITEMS
from flowbot.workflow.steps import Call, CodeStep, ToolStep
from flowbot.workflow.value import head

CRITIQUE = {"critique": TEXT}


@dataclass(frozen=True)
class Gradient:
    """A critique in words, of one step on one example. The loss itself is the gradient of no step.

    `path` says which run of the step it is about: `refine[2].check` is the second turn's.
    """

    step: str | None
    example: str
    critique: str
    path: str = ""


Flow = Mapping[str, Sequence[Gradient]]  # what goes back to each reference that was read


@dataclass(frozen=True)
class Back:
    """One way back: the trace, who writes critiques, and the gradients found so far."""

    trace: Trace
    meta: Meta
    found: list[Gradient] = field(default_factory=list[Gradient])

    async def through(self, steps: StepList, tape: Mapping[str, StepTrace], arriving: Flow) -> Flow:
        """Go back through steps, given what arrives at the fields they give; return what goes on to the outside.

        Only layers wait for each other. A step that did not run, or whose output nothing used, gets none. Where steps
        failed the loss begins there, and only there.
        """
        if any(part.error for part in tape.values()):
            arriving = {}
        going: dict[str, asyncio.Task[Flow]] = {}

        async def back(step: Step) -> Flow:
            incoming = [each for source, found in arriving.items() if head(source) == step.id for each in found]
            if tape[step.id].error:
                incoming.append(loss_of(self.trace))
            for consumer in steps.consumers[step.id]:
                if consumer not in going:
                    continue
                flow = await going[consumer]
                incoming += [each for source, found in flow.items() if head(source) == step.id for each in found]
            return await BACK[step.kind](step, tape[step.id], incoming, self) if incoming else {}

        try:
            for step in reversed(steps.steps):
                if step.id in tape:
                    going[step.id] = asyncio.create_task(back(step))
            flows = [await task for task in going.values()]
        except BaseException:
            await end(going.values())
            raise
        return {source: found for source, found in merged(arriving, *flows).items() if head(source) not in steps.by_id}


def merged(*flows: Flow, without: Iterable[str] = ()) -> Flow:
    """Return flows as one: for each reference all that goes back to it."""
    left_out = set(without)
    made: dict[str, list[Gradient]] = {}
    for flow in flows:
        for source, gradients in flow.items():
            if source not in left_out:
                made.setdefault(source, []).extend(gradients)
    return made


async def backward(trace: Trace, meta: Meta) -> Sequence[Gradient]:
    """Return the gradient of each call on the trace, in file order.

    g_K = LLM(x_K, y, L(x_K, y)) at the call that made the output (or failed); g_k = LLM(x_k, x_k+1, g_k+1) at each
    call before it, with the gradients of all that read what it gave.
    """
    workflow = trace.workflow
    back = Back(trace, meta)
    await back.through(workflow, {part.step: part for part in trace.steps}, {workflow.output: [loss_of(trace)]})
    order = {step.id: index for index, step in enumerate(workflow.all_steps)}
    return sorted(set(back.found), key=lambda each: (order[each.step or ""], each.path, each.critique))


def loss_of(trace: Trace) -> Gradient:
    """Return the loss L(x, y): the score and the metric's words about the output and the expected value."""
    score = trace.score
    said = f"Output: {_short(trace.output)}\nExpected: {_short(trace.example.shown)}"
    if trace.error:
        said = f"The run failed: {trace.error}\nExpected: {_short(trace.example.shown)}"
    points = f"\nScore: {score.value:g}. {score.feedback}" if score else ""
    return Gradient(None, trace.example.id, said + points)


async def call_backward(step: Call, part: StepTrace, incoming: Sequence[Gradient], back: Back) -> Flow:
    """Ask for the critique of one call: a loss gradient where the loss reaches it, else a call gradient."""
    loss = sorted({gradient.critique for gradient in incoming if gradient.step is None})
    later = sorted({gradient.critique for gradient in incoming if gradient.step is not None})
    heard = [("result", loss), ("critique of the later steps", later)]
    values = await back.meta.ask(
        "loss_gradient" if loss else "call_gradient",
        [("instruction", step.prompt), *_seen(part), *((what, "\n\n".join(said)) for what, said in heard if said)],
        CRITIQUE,
    )
    if not values:
        return {}
    gradient = Gradient(step.id, back.trace.example.id, str(values["critique"]), part.path)
    back.found.append(gradient)
    return {source: [gradient] for source in step.sources}


async def tool_backward(step: ToolStep | CodeStep, part: StepTrace, incoming: Sequence[Gradient], back: Back) -> Flow:
    """Pass the gradients through to the call that made the arguments."""
    return dict.fromkeys(step.sources, incoming)


async def branch_backward(step: Branch, part: StepTrace, incoming: Sequence[Gradient], back: Back) -> Flow:
    """Pass the gradients to the arm taken, and to what chose it; where there was none, to that alone."""
    if not part.bodies:
        return {step.on: _about(f"'{step.on}' was null, for which '{step.id}' has no arm.", incoming)}
    flow = await _into(step, step.bodies[part.taken], part.bodies[0], incoming, back)
    return merged(flow, {step.on: _about(f"'{step.on}' led to the arm '{part.taken}' of '{step.id}'.", incoming)})


async def loop_backward(step: Loop, part: StepTrace, incoming: Sequence[Gradient], back: Back) -> Flow:
    """Go back from the last turn, through what each turn read of the one before, to the first."""
    arriving = _to_body(step, step.body, incoming)
    if step.until is not None:
        was = as_text(_gave(part.bodies[-1], step.until))
        words = f"'{step.until}' was {was} in turn {len(part.bodies)} of at most {step.max} of '{step.id}'."
        arriving = merged(arriving, {step.until: _about(words, incoming)})
    flows: list[Flow] = []
    for tape in reversed(part.bodies):
        flow = await back.through(step.body, tape, arriving)
        previous = {source: found for source, found in flow.items() if head(source) in step.bound}
        flows.append(merged(flow, without=previous))
        arriving = {step.body.fields[source.partition(".")[2]]: found for source, found in previous.items()}
    return merged(*flows)


async def map_backward(step: Map, part: StepTrace, incoming: Sequence[Gradient], back: Back) -> Flow:
    """Pass the gradients to the items that mattered: those that failed, else those that the critiques speak of most.

    Where there were no items, what made the list is to blame.
    """
    if not part.bodies:
        return {step.over: _about(f"'{step.over}' gave no items to '{step.id}'.", incoming)}
    said = " ".join(gradient.critique for gradient in incoming)
    failed = [index for index, tape in enumerate(part.bodies) if any(inner.error for inner in tape.values())]
    gave = [
        " ".join(as_text(value) for inner in tape.values() for value in inner.gives.values()) for tape in part.bodies
    ]
    ranked = sorted(range(len(gave)), key=lambda index: (-_shared(gave[index], said), index))
    flows: list[Flow] = []
    for index in sorted((failed or ranked)[:ITEMS]):
        words = f"This is item {index + 1} of {len(part.bodies)} of '{step.id}'."
        flow = await _into(step, step.body, part.bodies[index], _about(words, incoming), back)
        flows += [merged(flow, without=[ITEM]), {step.over: flow.get(ITEM, [])}]
    return merged(*flows)


async def vote_backward(step: Vote, part: StepTrace, incoming: Sequence[Gradient], back: Back) -> Flow:
    """Pass the gradients to the sample that was taken, with what the others gave; and to the judge."""
    samples, judged = part.bodies[: step.n], part.bodies[step.n :]
    lines = [f"{number}: {_sample(step, tape)}" for number, tape in enumerate(samples, 1)]
    words = f"'{step.id}' took sample {part.taken} of these:\n" + "\n".join(lines)
    flows: list[Flow] = []
    for judge, tape in zip(step.judges, judged, strict=False):
        flow = await call_backward(judge, tape[judge.id], incoming, back)
        flows.append(merged(flow, without=[SAMPLES]))
    if not (judged and part.error):  # where the judge failed, the samples are not to blame
        flows.append(await _into(step, step.body, samples[(part.taken or 1) - 1], _about(words, incoming), back))
    return merged(*flows)


def _sample(step: Vote, tape: Mapping[str, StepTrace]) -> str:
    failed = fault(tape)
    gave = {name: _gave(tape, source) for name in step.gives if (source := step.body.source(name))}
    return f"failed: {failed.error}" if failed else _short(gave)


def _gave(tape: Mapping[str, StepTrace], source: str) -> Json:
    """Return what stands on a tape for a reference; None where the step did not run, or stands elsewhere."""
    step_id, _, name = source.partition(".")
    return tape[step_id].gives.get(name) if step_id in tape else None


async def _into(
    step: Block, body: Body, tape: Mapping[str, StepTrace], incoming: Sequence[Gradient], back: Back
) -> Flow:
    return await back.through(body, tape, _to_body(step, body, incoming))


def _to_body(step: Block, body: Body, incoming: Sequence[Gradient]) -> Flow:
    """Hand what arrives at a block on to the fields of its body that it gives."""
    sources = [source for name in step.gives if (source := body.source(name))]
    return {source: list(incoming) for source in sources}


def _about(words: str, gradients: Sequence[Gradient]) -> Sequence[Gradient]:
    """Return gradients with what must be known to read them."""
    return [replace(gradient, critique=f"{words}\n{gradient.critique}") for gradient in gradients]


def _shared(gave: str, said: str) -> float:
    """Return the share of the words that an item gave which critiques speak of."""
    words = set(gave.casefold().split())
    return len(words & set(said.casefold().split())) / len(words) if words else 0.0


async def sketch_gradient(trace: Trace, meta: Meta) -> Gradient | None:
    """Return g_W = LLM(W, {x_i}, y, L): what to add, remove, merge, reorder, or change in the structure."""
    steps = "\n".join(f"{step.path} gave: {step.error or _short(dict(step.gives))}" for step in trace.walk())
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


def _seen(part: StepTrace) -> list[tuple[str, Json]]:
    read = "\n".join(f"{name}: {as_text(value)}" for name, value in part.reads.items() if value is not None)
    gave = part.error or "\n".join(f"{name}: {as_text(value)}" for name, value in part.gives.items())
    used = [f"{use.tool} {_short(dict(use.args))} gave: {use.failure or _short(use.value)}" for use in part.tools]
    turn = [("run", part.path)] if "[" in part.path else []
    return [
        *turn,
        ("what it read", read),
        *([("tools it called", "\n".join(used))] if used else []),
        ("what it gave", gave),
    ]


def _short(value: Json) -> str:
    text = as_text(value) if value is not None else "nothing"
    return text if len(text) <= 2000 else text[:1997] + "..."


Local = Callable[..., Awaitable[Flow]]
BACK: Mapping[str, Local] = {
    "call": call_backward,
    "tool": tool_backward,
    "code": tool_backward,
    "vote": vote_backward,
    "branch": branch_backward,
    "map": map_backward,
    "loop": loop_backward,
}
