"""Worked examples: shown from train where a target is all there is to show, else cut from runs that scored 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowbot.search.aim import aims, built, distinct, output_call
from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.targets import bootstrapped, drawn, labelled, labels
from flowbot.task.data import Example
from flowbot.workflow.fields import as_text
from flowbot.workflow.steps import PROMPT_CAP, Demo

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


def within(demos: Sequence[Demo]) -> tuple[Demo, ...]:
    """Return the first demos that together are no longer than a prompt may be; always one."""
    left, kept = PROMPT_CAP, list[Demo]()
    for demo in demos:
        left -= sum(len(as_text(value)) for value in (*demo.reads.values(), *demo.gives.values()))
        if left >= 0 or not kept:
            kept.append(demo)
    return tuple(kept)


OPERATOR = Operator("demos", propose)
