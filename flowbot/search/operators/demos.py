"""Worked examples: shown from train where a target is all there is to show, else cut from runs that scored 1."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from flowbot.engine.trace import StepTrace, Trace
from flowbot.search.aim import aims, built, distinct, output_call
from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.task.data import Example
from flowbot.workflow.blocks import Vote
from flowbot.workflow.fields import Json, Misfit, as_text, is_list, is_map
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import PROMPT_CAP, Call, Demo

Shown = Mapping[str, Demo]  # by call
SHORTAGE = 4  # sets drawn for each that is wanted: where there is little to draw from, some are the same


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Show sets of worked examples in place of those there are, drawn by seed; the last of several sets is half."""
    shows = _shows(lab, found)
    pool = [example for example, _ in shows]
    demos = {example.id: by_call for example, by_call in shows}
    half = max(1, found.demos // 2)
    sizes = [found.demos] * (found.variants * SHORTAGE) + [half] * SHORTAGE
    made: dict[frozenset[str], list[Candidate]] = {}
    full = found.variants - (found.variants > 1)
    for number, size in enumerate(sizes if pool else ()):
        if len(made) >= (full if size > half else found.variants):
            continue
        chosen = drawn(pool, size, f"{found.seed(lab, 'demos')}|{number}")
        key = frozenset(example.id for example in chosen)
        if key not in made:
            made[key] = _candidate(lab, found, chosen, demos)
    return distinct([each for candidates in made.values() for each in candidates], found.variants)


def _candidate(lab: Lab, found: Findings, chosen: Sequence[Example], demos: Mapping[str, Shown]) -> list[Candidate]:
    parent = found.parent
    by_call = {
        call.id: within([demo for example in chosen if (demo := demos[example.id].get(call.id)) is not None])
        for call in parent.calls
    }
    settings = {step_id: {"demos": shown} for step_id, shown in by_call.items() if shown}
    told = ", ".join(f"{len(each['demos'])} worked examples in '{step_id}'" for step_id, each in settings.items())
    why = "worked examples show the form of the answers and the rules behind them"
    facts = aims(found, shown={example.id for example in chosen})
    return built(lab, found, "demos", lambda: parent.with_steps(settings), f"show {told}", why, **facts)


def _shows(lab: Lab, found: Findings) -> list[tuple[Example, Shown]]:
    """Return what can be shown: examples with a demo for the calls that have one."""
    call = output_call(found.parent)
    if call is not None and labels(found.parent, call, lab.train):
        told = [(example, labelled(call, example.inputs, example)) for example in lab.train]
        return [(example, {call.id: demo}) for example, demo in told if demo is not None]
    cut: dict[str, tuple[Example, dict[str, Demo]]] = {}
    for trace in sorted(found.passed, key=lambda trace: trace.workflow.id != found.parent.id):  # its own runs first
        for step_id, demo in bootstrapped(found.parent, trace).items():
            cut.setdefault(trace.example.id, (trace.example, {}))[1].setdefault(step_id, demo)
    return list(cut.values())


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


def within(demos: Sequence[Demo]) -> tuple[Demo, ...]:
    """Return the first demos that together are no longer than a prompt may be; always one."""
    left, kept = PROMPT_CAP, list[Demo]()
    for demo in demos:
        left -= sum(len(as_text(value)) for value in (*demo.reads.values(), *demo.gives.values()))
        if left >= 0 or not kept:
            kept.append(demo)
    return tuple(kept)


OPERATOR = Operator("demos", propose)
