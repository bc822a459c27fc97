"""What train examples say without a meta model: the type of the output, and worked examples."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from flowbot.engine.trace import StepTrace, Trace
from flowbot.task.data import Example
from flowbot.task.metrics import last_number
from flowbot.workflow.blocks import Vote
from flowbot.workflow.body import Block
from flowbot.workflow.fields import NUMBER, FieldType, Json, Misfit, as_text, choice, is_list, is_map
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call, Demo
from flowbot.workflow.tuning import SetOutputType

MOST_CHOICES = 30
LONGEST_CHOICE = 60


def typed(workflow: Workflow, targets: Sequence[Json]) -> SetOutputType | None:
    """Return the edit that gives a workflow's text output the type of the targets; None where it does not apply."""
    step_id, _, name = workflow.output.partition(".")
    found = target_type(targets)
    writes = isinstance(workflow.step(step_id), Call | Block)
    if not writes or found is None or workflow.output_type.kind != "text":
        return None
    return SetOutputType(step=step_id, field=name, type=found)


def target_type(targets: Sequence[Json]) -> FieldType | None:
    """Return `choice[...]` for texts from a small set seen again and again, `number` for numbers, else None."""
    if not targets or any(target is None or isinstance(target, list | dict) for target in targets):
        return None
    texts = [as_text(target).strip() for target in targets]
    distinct = sorted(set(texts))
    small = len(distinct) <= min(MOST_CHOICES, len(texts) // 3) and max(map(len, distinct)) <= LONGEST_CHOICE
    if all(last_number(target) is not None and _numeric(target) for target in targets) and not small:
        return NUMBER
    return choice(*distinct) if small and all(distinct) and len(distinct) > 1 else None


def _numeric(value: Json) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return True
    try:
        float(as_text(value).replace(",", "").strip())
    except ValueError:
        return False
    return True


def labels(workflow: Workflow, call: Call, examples: Sequence[Example]) -> bool:
    """Tell whether the targets say all that a call reads and gives: the only one, which reads inputs alone."""
    alone = len(workflow.calls) == 1 and set(call.reads) <= set(workflow.inputs) and len(call.gives) == 1
    return alone and _told(call, examples)


def _told(call: Call, examples: Sequence[Example]) -> bool:
    """Tell whether targets are answers that a demo may show: one with parts, like hidden tests, is none."""
    (kind,) = call.gives.values()
    return all(not is_map(each.target) or (kind.kind == "json" and each.shown == each.target) for each in examples)


def labelled(call: Call, reads: Mapping[str, Json], example: Example) -> Demo | None:
    """Return the demo that a target makes of a call with one field; None where it does not fit."""
    name, kind = next(iter(call.gives.items()))
    target = example.target
    if is_list(target) and target and kind.kind not in ("list", "json"):
        target = target[0]  # the first of alternatives
    try:
        value = kind.fit(target)
    except Misfit:
        return None
    return Demo(reads={source: reads[source] for source in call.reads}, gives={name: value})


def bootstrapped(workflow: Workflow, trace: Trace) -> dict[str, Demo]:
    """Return what a run shows for each call of a workflow that is not frozen: what it read and gave there.

    The run may be another workflow's: a call is shown where it has all that this one reads, and what it gives fits.
    """
    runs = taken(trace.workflow, trace.steps) if trace.points >= 1.0 else {}
    found = {call.id: _cut(call, runs[call.id]) for call in workflow.calls if call.id in runs}
    return {step_id: demo for step_id, demo in found.items() if demo and step_id not in workflow.frozen_ids}


def _cut(call: Call, part: StepTrace) -> Demo | None:
    try:
        gives = {name: kind.fit(part.gives[name]) for name, kind in call.gives.items()}
        return Demo(reads={source: part.reads[source] for source in call.reads}, gives=gives)
    except (KeyError, Misfit):
        return None


def taken(workflow: Workflow, parts: Iterable[StepTrace]) -> dict[str, StepTrace]:
    """Return the run of each step that the output came from: of a vote's the sample taken, of several the last."""
    found: dict[str, StepTrace] = {}
    for part in parts:
        step, bodies = workflow.step(part.step), part.bodies
        if isinstance(step, Vote) and isinstance(part.taken, int):
            bodies = (bodies[part.taken - 1], *bodies[step.n :])
        if not part.error:
            found[part.step] = part
            for body in bodies:
                found |= taken(workflow, body.values())
    return found


def drawn(pool: Sequence[Example], count: int, seed: str) -> list[Example]:
    """Draw examples by seed, as evenly over the targets as they go (a small set of targets is a set of classes)."""
    deck = list(pool)
    random.Random(seed).shuffle(deck)
    by_target: dict[str, list[Example]] = {}
    for example in deck:
        by_target.setdefault(as_text(example.target), []).append(example)
    if len(by_target) > count:
        return deck[:count]
    found: list[Example] = []
    while len(found) < count and any(by_target.values()):
        for group in by_target.values():
            if group and len(found) < count:
                found.append(group.pop())
    random.Random(f"{seed}|order").shuffle(found)
    return found
