"""Worked examples: shown from train where a target is all there is to show, else cut from runs that scored 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.aim import aims, built, distinct, output_call
from flowbot.search.targets import bootstrapped, drawn, labelled, labels
from flowbot.task.data import Example
from flowbot.workflow.fields import as_text
from flowbot.workflow.steps import PROMPT_CAP, Demo

Shown = Mapping[str, Demo]  # by call
Shows = Sequence[tuple[Example, Shown]]
DRAWS = 4  # tries for a set that is another than those before


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Show sets of worked examples in place of those there are, drawn by seed; the last of several sets is half.

    Where runs that scored 1 gave more than the target says, like a reasoning, every second set is cut from them.
    """
    sources = _sources(lab, found)
    made: list[Candidate] = []
    taken: set[tuple[int, frozenset[str]]] = set()
    for slot in range(found.variants if sources else 0):
        source = slot % len(sources)
        demos = {example.id: by_call for example, by_call in sources[source]}
        pool = [example for example, _ in sources[source]]
        size = max(1, found.demos // 2) if slot and slot == found.variants - 1 else found.demos
        for number in range(DRAWS):
            chosen = drawn(pool, size, f"{found.seed(lab, 'demos')}|{slot}|{number}")
            if (key := (source, frozenset(example.id for example in chosen))) not in taken:
                taken.add(key)
                made += _candidate(lab, found, chosen, demos)
                break
    return distinct(made, found.variants)


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


def _sources(lab: Lab, found: Findings) -> list[Shows]:
    """Return what sets are drawn from, examples with a demo for calls: the targets of train, and runs that scored 1."""
    cut = _cut(found)
    call = output_call(found.parent)
    if call is None or not labels(found.parent, call, lab.train):
        return [cut] if cut else []
    told = [(example, labelled(call, example.inputs, example)) for example in lab.train]
    shows = [(example, {call.id: demo}) for example, demo in told if demo is not None]
    known = {example.id: demo for example, demo in told}
    more = [each for each in cut if each[1][call.id] != known.get(each[0].id)]
    return [each for each in (shows, more) if each]


def _cut(found: Findings) -> Shows:
    """Return what the runs that scored 1 show of the parent's calls; its own runs before those of its forebears."""
    cut: dict[str, tuple[Example, dict[str, Demo]]] = {}
    for trace in sorted(found.passed, key=lambda trace: trace.workflow.id != found.parent.id):
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
