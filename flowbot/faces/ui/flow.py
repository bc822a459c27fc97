"""A workflow as a graph: its steps, those of bodies too, and the values that go between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flowbot.faces.ui.schema import Demo, Edge, Field, Flow
from flowbot.faces.ui.schema import Step as Shown
from flowbot.workflow.blocks import ITEM, PREVIOUS, SAMPLES, Branch, Loop, Map, Step
from flowbot.workflow.body import Block, Body
from flowbot.workflow.document import write_workflow
from flowbot.workflow.fields import FieldType
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call, CodeStep
from flowbot.workflow.value import head

INPUTS, OUTPUT = "inputs", "output"  # the ends of edges that are no steps
TOLD = ("id", "kind", "prompt", "code", "demos", "gives", "reads", "tools", "model", "body", "arms", "else", "judge")


def flow_of(workflow: Workflow) -> Flow:
    """Return a workflow for the page: steps in file order with the block and the body that each stands in.

    An edge goes from the step that gives a value to each that reads it, `inputs` and `output` at the ends. A step in a
    body is the target itself; into a block go what it reads itself and what a body without steps hands on. What a body
    reads of the turn before comes from the steps that gave it, an item from what its map goes over, samples from the
    steps that end the vote's body.
    """
    found = [*_placed(workflow.steps, "", "")]
    edges = [edge for step in workflow.steps for edge in _edges(step, workflow, ())]
    owner, _, output = workflow.output.partition(".")
    edges.append(Edge(source=owner, target=OUTPUT, label=output))
    return Flow(
        id=workflow.id,
        name=workflow.name,
        model=workflow.model or "",
        inputs=_fields(workflow.inputs),
        output=workflow.output,
        steps=found,
        edges=list(dict.fromkeys(edges)),
        tools={name: spec.model_dump(mode="json", exclude_defaults=True) for name, spec in workflow.tools.items()},
        yaml=write_workflow(workflow),
    )


def _placed(steps: tuple[Step, ...], parent: str, body: str) -> Iterator[Shown]:
    for step in steps:
        yield _shown(step, parent, body)
        if isinstance(step, Block):
            for key, inner in step.bodies.items():
                yield from _placed(inner.steps, step.id, key)
            yield from _placed(step.judges, step.id, "judge")


def _shown(step: Step, parent: str, body: str) -> Shown:
    call = step if isinstance(step, Call) else None
    inside: list[tuple[str, list[str]]] = []
    if isinstance(step, Block):
        inside = [(key, [each.id for each in inner.steps]) for key, inner in step.bodies.items()]
        inside += [("judge", [judge.id for judge in step.judges])] if step.judges else []
    return Shown(
        id=step.id,
        kind=step.kind,
        parent=parent or None,
        body=body,
        prompt=call.prompt if call else "",
        code=step.code if isinstance(step, CodeStep) else "",
        reads=list(step.sources),
        gives=_fields(step.gives),
        demos=[Demo(reads=dict(each.reads), gives=dict(each.gives)) for each in call.demos] if call else [],
        tools=_tools(step),
        model=(call.model or "") if call else "",
        settings=_settings(step),
        inside=inside,
    )


def _fields(fields: Mapping[str, FieldType]) -> list[Field]:
    return [Field(name=name, type=str(kind)) for name, kind in fields.items()]


def _tools(step: Step) -> list[str]:
    if isinstance(step, Call):
        return list(step.tools)
    tool = getattr(step, "tool", None)
    return [tool] if tool else []


def _settings(step: Step) -> dict[str, Any]:
    """Return what a step's file says beside what is told otherwise; what each body hands on is told with it."""
    found: dict[str, Any] = {key: value for key, value in step.plain().items() if key not in TOLD}
    if isinstance(step, Block):
        handed = {key: dict(body.gives) for key, body in step.bodies.items() if body.gives}
        found |= {"hands on": handed} if handed else {}
    return found


# ------------------------------------------------------------------ edges


def _edges(step: Step, workflow: Workflow, within: tuple[Block, ...]) -> Iterator[Edge]:
    """Yield the edges into a step and all that stands in it; `within` are the blocks around it."""
    if not isinstance(step, Block):
        for source in step.sources:
            yield from _into(step.id, source, workflow, within)
        return
    for source in _own(step):
        yield from _into(step.id, source, workflow, within)
    around = (*within, step)
    for body in step.bodies.values():
        for each in body.steps:
            yield from _edges(each, workflow, around)
        for source in (*body.gives.values(), *step.needed(body)):
            if head(source) not in body.by_id:  # handed on from outside, or read by the tool of a vote
                yield from _into(step.id, source, workflow, around if head(source) in (ITEM, PREVIOUS) else within)
    for judge in step.judges:
        yield from _edges(judge, workflow, around)


def _own(step: Block) -> Iterator[str]:
    """Yield what a block reads itself: what it branches on or maps over."""
    match step:
        case Branch():
            yield step.on
        case Map():
            yield step.over
        case _:
            pass


def _into(target: str, source: str, workflow: Workflow, within: tuple[Block, ...]) -> Iterator[Edge]:
    owner, dot, name = source.partition(".")
    if owner == PREVIOUS:
        loop = next(block for block in reversed(within) if isinstance(block, Loop))
        origins = _origins(loop.body, name)
        yield from (Edge(source=each, target=target, label=f"{name} of the turn before") for each in origins)
    elif owner == SAMPLES:
        vote = next(block for block in reversed(within) if block.judges)
        for body in vote.bodies.values():
            for each in dict.fromkeys(each for field in vote.gives for each in _origins(body, field)):
                yield Edge(source=each, target=target, label=SAMPLES)
    elif owner == ITEM and ITEM not in workflow.inputs:
        if target not in {block.id for block in within}:  # a map's own edge says it already
            around = next(block for block in reversed(within) if isinstance(block, Map))
            yield Edge(source=around.id, target=target, label=f"each of {around.over}")
    elif dot:
        yield Edge(source=owner, target=target, label=name)
    else:
        yield Edge(source=INPUTS, target=target, label=source)


def _origins(body: Body, field: str) -> list[str]:
    """Return the step of a body that gives a field; none where it is handed on from outside."""
    source = body.source(field)
    return [head(source)] if source is not None and head(source) in body.by_id else []
